"""Finished trials on their way to the store: gathered for a moment, written together, kept until they are durable."""

from __future__ import annotations

import logging
import time

from tenacity import stop_never
from tenacity.stop import stop_base

from tuning.errors import StoreError
from tuning.retry import patiently
from tuning.settings import Settings
from tuning.store import Document, Store, unpack

logger = logging.getLogger(__name__)

# Seconds between two counts at least: less than a worker's looks at its study are apart, for the count answers them.
_COUNT_SECONDS = 0.9
# A database that many workers ask is slow to answer. Counting is a convenience: it takes this part of the time at most,
# and yet is not put off for longer than a person waits.
_COUNT_SHARE = 1 / 30
_COUNT_SECONDS_AT_MOST = 5.0
# Documents written together: a second of no-op trials, far below MongoDB's 48 MB a message.
_BATCH = 1000


class ResultWriter:
    """Writes results, and counts them in their study.

    Parameters
    ----------
    store : Store
    settings : Settings
        Says how long a result may wait for others.
    stop : tenacity stop, default=never
        When to give up on a database that is away; results not written are lost with it and evaluated again.
    """

    def __init__(self, store: Store, settings: Settings, stop: stop_base = stop_never) -> None:
        self._store = store
        self._flush_seconds = settings.flush_seconds
        self._waiting: list[bytes] = []
        self._oldest = 0.0
        # Written, not counted; and when was counted last.
        self._uncounted: list[Document] = []
        self._counted_at = float("-inf")
        self._count_pause = _COUNT_SECONDS
        self.retry = patiently(StoreError, "finished trials wait for the database", logger, stop=stop)

    def add(self, packed: bytes) -> None:
        """Take a trial document, packed."""
        if not self._waiting:
            self._oldest = time.monotonic()
        self._waiting.append(packed)

    def seconds_left(self) -> float:
        """Seconds until something must be written; infinite when nothing waits."""
        if not self._waiting:
            return float("inf")
        if len(self._waiting) >= _BATCH:
            return 0.0
        return max(0.0, self._oldest + self._flush_seconds - time.monotonic())

    def write(self) -> None:
        """Write what waits; when this returns, it is durable, though not counted yet.

        Raises
        ------
        StoreError
            The database was away until `stop` gave up.
        """
        if self._waiting:
            self.retry(self._write)

    def _write(self) -> None:
        new = self._store.insert_trials(self._waiting)
        self._uncounted += [unpack(self._waiting[position]) for position in new]
        self._waiting.clear()

    def forget(self) -> None:
        """Drop what waits: it goes back to the queue with its chunk."""
        self._waiting.clear()

    def count_due(self) -> bool:
        """Say whether results wait to be counted, and the last count is long enough ago."""
        return bool(self._uncounted) and time.monotonic() - self._counted_at >= self._count_pause

    def count(self) -> list[Document | None]:
        """Count what was written in its studies, and return those as they now are; None for a deleted one."""
        return self.retry(self._count) if self._uncounted else []

    def _count(self) -> list[Document | None]:
        studies = []
        began = time.monotonic()
        while self._uncounted:
            study_id = self._uncounted[0]["study_id"]
            mine = [document for document in self._uncounted if document["study_id"] == study_id]
            studies.append(self._store.add_progress(study_id, mine))
            self._uncounted = [document for document in self._uncounted if document["study_id"] != study_id]
        self._counted_at = time.monotonic()
        pause = (self._counted_at - began) / _COUNT_SHARE
        self._count_pause = min(max(pause, _COUNT_SECONDS), _COUNT_SECONDS_AT_MOST)
        return studies
