"""Check whether a chunk is of this database, still needed, and what its study published."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from warren.messages import Address, Chunk
from warren.retry import Patience
from warren.safety.signing import Keys, signed_chunk, signed_model, tell_unsigned
from warren.settings import Settings
from warren.storage.documents import Document
from warren.storage.published_check import why_not
from warren.storage.store import Store
from warren.storage.study_document import StudyState
from worker.chunk.outcome import Outcome, Verdict, log_fields

logger = logging.getLogger(__name__)

# Seconds between reads of the study during a long trial, so that a pause takes effect within one
# trial.
_READ_SECONDS = 1.0


class Acceptance:
    """Decides whether a chunk belongs to this worker's database and is still needed.

    Parameters
    ----------
    store : Store
        The worker's database.
    retry : Patience
        Calls the store again while it is unreachable.
    """

    def __init__(self, store: Store, retry: Patience) -> None:
        self._store = store
        self._retry = retry
        # The id of this worker's database when it was last read.
        self._database: str | None = None
        # The study as last read, and when.
        self._last_read: tuple[float, StudyState | None] = (float("-inf"), None)

    def note(self, studies: Iterable[StudyState | None]) -> None:
        """Note studies as they are at this moment; the last counts."""
        for study in studies:
            self._last_read = (time.monotonic(), study)

    def study(self, chunk: Chunk, *, fresh: bool = False) -> StudyState | None:
        """Return the study's state and generation, at most a second old, or as they are now."""
        read_at, study = self._last_read
        old = fresh or time.monotonic() - read_at > _READ_SECONDS
        if old or study is None or study.id != chunk.study_id:
            study = self._retry(self._store.study, chunk.study_id, StudyState)
            self._last_read = (time.monotonic(), study)
        return study

    def foreign(self, database: str | None, url: str) -> Outcome | None:
        """Return the outcome of a message that names another database than this worker's.

        None for all others.

        Parameters
        ----------
        database : str or None
            The database id in the message, if any.
        url : str
            The URL of that database, from the message.
        """
        if database is None or database == self._database:
            return None
        self._database = self._retry(self._store.identity)  # the database may have been emptied or created again
        return None if database == self._database else self._foreign(f"of database {database} ({url or 'no URL'})")

    def _foreign(self, whose: str) -> Outcome:
        own = self._retry(self._store.identity)
        reason = f"{whose}; this worker's is {own} ({self._store.url})"
        return Outcome(verdict=Verdict.FOREIGN, reason=reason, others_first=True)

    def unneeded(self, chunk: Chunk, *, named: bool, fresh: bool = False) -> Outcome | None:
        """Return the outcome of a chunk that its study does not need; None if the study needs it.

        The chunk is dropped only if this worker's database is certain: since the last read the
        study may have been resumed, or deleted and submitted again, and a study that is not found
        may be in another database.

        Parameters
        ----------
        chunk : Chunk
            The chunk.
        named : bool
            Whether its message names this worker's database; messages of earlier versions name
            none.
        fresh : bool, default=False
            Whether to read the study again even if the last read is recent.
        """
        if (not fresh and needs(self.study(chunk), chunk)) or needs(self.study(chunk, fresh=True), chunk):
            return None
        if self._retry(self._store.surely_unwanted, chunk.study_id, chunk.generation):
            logger.info("dropped a chunk that its study no longer needs", extra=log_fields(chunk))
            return Outcome(verdict=Verdict.DROP)
        if self.study(chunk, fresh=True) is not None:  # resumed just now
            return None
        if not named:
            return self._foreign(f"of study {chunk.study_id}, which is not here, and it names no database")
        return Outcome(
            verdict=Verdict.DEAD_LETTER,
            reason=f"database {self._store.database!r} has no study {chunk.study_id!r}, nor a note that it was "
            "deleted: was it restored from an older backup? The same submit() publishes the study again",
        )


def needs(study: StudyState | None, chunk: Chunk) -> bool:
    """Return whether a study runs, and a chunk is of its latest publication."""
    return study is not None and study.state == "RUNNING" and study.generation <= chunk.generation


class Authenticity:
    """Checks that messages are what a study published, and signs models of this worker.

    Parameters
    ----------
    store : Store
        The worker's database.
    retry : Patience
        Calls the store again while it is unreachable.
    settings : Settings
        Contain the key.
    """

    def __init__(self, store: Store, retry: Patience, settings: Settings) -> None:
        self._store = store
        self._retry = retry
        self._keys = Keys(settings.key)
        if not self._keys:
            tell_unsigned()

    def signature_problem(self, body: bytes, database: str | None, signature: str | None) -> str | None:
        """Return why a worker with a key does not accept a message; None if it may.

        Parameters
        ----------
        body : bytes
            The message.
        database : str or None
            The database id in the message.
        signature : str or None
            Its signature.
        """
        problem = self._keys.problem("warren/chunk", signed_chunk(database, body), signature)
        return (
            problem
            and f"it {problem}, and this worker has a WARREN_KEY: study.resume() with that key publishes it again"
        )

    def body_problem(self, address: Address, body: bytes) -> str | None:
        """Return why a message is not what its study published; None if it is."""
        return self._retry(why_not, self._store, address, body)

    def sign_model(self, study_id: str, number: int, document: Document) -> Document:
        """Return a trial's document with its model signed, if there is a key and a model."""
        if not self._keys or not isinstance(model := document.get("model"), dict):
            return document
        signature = self._keys.sign("warren/model", signed_model(study_id, number, model))
        return document | {"model": model | {"signature": signature}}
