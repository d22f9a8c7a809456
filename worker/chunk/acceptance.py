"""Whether a chunk is for this worker at all: of its own database, and still wanted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from warren.messages import Chunk
from warren.retry import Patience
from warren.storage.documents import Document
from warren.storage.store import Store
from worker.chunk.failures import which
from worker.chunk.outcome import Outcome, Verdict

logger = logging.getLogger(__name__)

# Seconds between looks at the study while a long trial runs: a pause takes effect within one trial.
_CONTROL_SECONDS = 1.0


class Wanted:
    """What a worker knows of its database and of the study in hand.

    Parameters
    ----------
    store : Store
    retry : Patience
        Calls the store again while that is away.
    """

    def __init__(self, store: Store, retry: Patience) -> None:
        self._store = store
        self._retry = retry
        # The id of our own database, as last read.
        self._database: str | None = None
        # The study as last seen, and when: a look a second is enough.
        self._seen: tuple[float, Document | None] = (float("-inf"), None)

    def see(self, studies: Iterable[Document | None]) -> None:
        """Take note of studies as they are at this moment; the last counts."""
        for study in studies:
            self._seen = (time.monotonic(), study)

    def look(self, chunk: Chunk, *, afresh: bool = False) -> Document | None:
        """Return the study's state and generation, at most a moment old, or as they are now."""
        seen_at, study = self._seen
        old = afresh or time.monotonic() - seen_at > _CONTROL_SECONDS
        if old or study is None or study["_id"] != chunk.study_id:
            study = self._retry(self._store.study, chunk.study_id, ("state", "generation"))
            self._seen = (time.monotonic(), study)
        return study

    def foreign(self, database: str | None, url: str) -> Outcome | None:
        """Say what becomes of a message that names a database which is not ours; None where it may be ours.

        Parameters
        ----------
        database : str or None
            The id that it names, if it does.
        url : str
            Where that is, as the message says.
        """
        if database is None or database == self._database:
            return None
        self._database = self._retry(self._store.identity)  # it may have been emptied, or made anew
        return None if database == self._database else self._give_back(f"of database {database} ({url or 'no URL'})")

    def _give_back(self, whose: str) -> Outcome:
        own = self._retry(self._store.identity)
        reason = f"{whose}; this worker's is {own} ({self._store.url})"
        return Outcome(verdict=Verdict.FOREIGN, reason=reason, others_first=True)

    def unwanted(self, chunk: Chunk, *, named: bool, afresh: bool = False) -> Outcome | None:
        """Say what becomes of a chunk that nobody wants; None where somebody does.

        It is dropped only where our database knows for certain: on what was seen before the study may have been
        resumed since, or deleted and submitted anew, and one that is not there may be another database's.

        Parameters
        ----------
        chunk : Chunk
        named : bool
            Whether its message names our database; those of earlier versions name none.
        afresh : bool, default=False
            Whether what was seen a moment ago does not count.
        """
        if (not afresh and wanted(self.look(chunk), chunk)) or wanted(self.look(chunk, afresh=True), chunk):
            return None
        if self._retry(self._store.surely_unwanted, chunk.study_id, chunk.generation):
            logger.info("dropped a chunk that is not wanted any more", extra=which(chunk))
            return Outcome(verdict=Verdict.DROP)
        if self.look(chunk, afresh=True) is not None:  # resumed this very moment
            return None
        if not named:
            return self._give_back(f"of study {chunk.study_id}, which is not here, and it names no database")
        return Outcome(
            verdict=Verdict.DEAD_LETTER,
            reason=f"database {self._store.database!r} has no study {chunk.study_id!r}, nor a note that it was "
            "deleted: was it restored from an older backup? The same submit() publishes the study anew",
        )


def wanted(study: Document | None, chunk: Chunk) -> bool:
    """Say whether a chunk still has to be evaluated: its study runs, and this is its latest publication."""
    return study is not None and study["state"] == "RUNNING" and study["generation"] <= chunk.generation
