"""The chunk in hand, noted where others see it: a study's trials are done, in the queue, or with somebody."""

from __future__ import annotations

import logging
import time

from warren.errors import StoreError
from warren.messages import Chunk
from warren.retry import Patience
from warren.settings import Settings
from warren.storage.unfinished import Losses, Unfinished
from worker.chunk.failures import which
from worker.chunk.progress import Progress

logger = logging.getLogger(__name__)

# Seconds between two notes that the chunk is still in hand.
_NOTE_SECONDS = 10.0
# Seconds without one after which it counts as given up, at least: a database may be out of a worker's reach for a
# while; and heartbeats after which the broker has taken a vanished worker's chunk back.
_LEAST_HELD_SECONDS = 600.0
_HEARTBEATS = 4


class Hold:
    """Notes that this worker has a chunk in hand.

    Parameters
    ----------
    unfinished : Unfinished
    retry : Patience
        Calls the store again while that is away.
    settings : Settings
    """

    def __init__(self, unfinished: Unfinished, retry: Patience, settings: Settings) -> None:
        self._unfinished = unfinished
        self._retry = retry
        self._worker = settings.worker_name
        self._seconds = max(_LEAST_HELD_SECONDS, _HEARTBEATS * settings.heartbeat_seconds)
        self._noted_at = float("-inf")

    def begin(self, progress: Progress, *, again: bool) -> int:
        """Take a chunk in hand; return how many workers in a row have vanished with it and left nothing done."""
        name, left = name_of(progress.chunk), len(progress.todo)
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

    def keep(self, chunk: Chunk) -> None:
        """Note now and then that it is still in hand."""
        if time.monotonic() - self._noted_at >= _NOTE_SECONDS:
            self._noted_at = time.monotonic()
            name, trials = name_of(chunk), len(chunk.trials)
            self._retry(self._unfinished.chunk_held, name, self._worker, self._seconds, trials=trials)

    def end(self, chunk: Chunk) -> None:
        """Let it go."""
        try:
            self._retry(self._unfinished.chunk_ends, name_of(chunk), self._worker)
        except StoreError as exc:  # the grace is over; it counts as given up in a while
            logger.warning("left a note that a chunk is in hand", extra=which(chunk) | {"reason": str(exc)})

    def lose(self, chunk: Chunk, ended: int, *, blamed: bool) -> Losses:
        """Note that the training process was lost with it before a trial began; see `Unfinished.chunk_lost`."""
        return self._retry(self._unfinished.chunk_lost, name_of(chunk), self._worker, ended, blamed=blamed)

    def others(self) -> set[str]:
        """Return the other workers that have a chunk in hand."""
        return self._retry(self._unfinished.holders) - {self._worker}


def name_of(chunk: Chunk) -> str:
    """Return the name under which `warren.storage.unfinished` knows a chunk."""
    return f"{chunk.study_id}/{chunk.generation}/{chunk.index}"
