"""Note in the database that this worker has a chunk."""

from __future__ import annotations

import logging
import time

from warren.errors import StoreError
from warren.messages import Chunk
from warren.retry import Patience
from warren.settings import Settings
from warren.storage.unfinished import Losses, Unfinished
from worker.chunk.outcome import log_fields
from worker.chunk.progress import Progress

logger = logging.getLogger(__name__)

# Seconds between two notes that the worker still has its chunk.
_NOTE_SECONDS = 10.0
# A chunk counts as abandoned after this many seconds without a note, at least: a worker may not
# reach the database for a while. And after this many heartbeats: by then the broker has requeued
# the chunk of a worker that vanished.
_LEAST_HELD_SECONDS = 600.0
_HEARTBEATS = 4


class Claim:
    """Notes in the database which chunk this worker has.

    Parameters
    ----------
    unfinished : Unfinished
        The notes on unfinished work.
    retry : Patience
        Calls the store again while it is unreachable.
    settings : Settings
        Worker name and heartbeat.
    """

    def __init__(self, unfinished: Unfinished, retry: Patience, settings: Settings) -> None:
        self._unfinished = unfinished
        self._retry = retry
        self._worker = settings.worker_name
        self._seconds = max(_LEAST_HELD_SECONDS, _HEARTBEATS * settings.heartbeat_seconds)
        self._noted_at = float("-inf")

    def begin(self, progress: Progress, *, again: bool) -> int:
        """Note that this worker has a chunk.

        Return how many workers in a row vanished with it without progress.
        """
        name, left = chunk_name(progress.chunk), len(progress.todo)
        self._noted_at = time.monotonic()
        return self._retry(
            self._unfinished.chunk_begins,
            name,
            progress.work_done,
            self._worker,
            self._seconds,
            again=again,
            trials=left,
        )

    def renew(self, chunk: Chunk) -> None:
        """Note now and then that this worker still has the chunk."""
        if time.monotonic() - self._noted_at >= _NOTE_SECONDS:
            self._noted_at = time.monotonic()
            name, trials = chunk_name(chunk), len(chunk.trials)
            self._retry(self._unfinished.chunk_held, name, self._worker, self._seconds, trials=trials)

    def end(self, chunk: Chunk) -> None:
        """Note that this worker no longer has the chunk."""
        try:
            self._retry(self._unfinished.chunk_ends, chunk_name(chunk), self._worker)
        except StoreError as exc:  # the grace is over; the claim expires by itself
            logger.warning("could not note the end of a chunk", extra=log_fields(chunk) | {"reason": str(exc)})

    def add_loss(self, chunk: Chunk, ended: int, *, blamed: bool) -> Losses:
        """Note that the training process was lost before a trial began.

        See `Unfinished.chunk_lost`.
        """
        return self._retry(self._unfinished.chunk_lost, chunk_name(chunk), self._worker, ended, blamed=blamed)

    def other_workers(self) -> set[str]:
        """Return the other workers that have a chunk."""
        return self._retry(self._unfinished.holders) - {self._worker}


def chunk_name(chunk: Chunk) -> str:
    """Return the name of a chunk in `warren.storage.unfinished`."""
    return f"{chunk.study_id}/{chunk.generation}/{chunk.index}"
