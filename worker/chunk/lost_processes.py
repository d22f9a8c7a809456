"""Training processes that are lost before a trial begins: the chunk's fault, or this machine's, or somebody's."""

from __future__ import annotations

import logging
import time

from warren.messages import Chunk
from warren.retry import Patience
from warren.settings import Settings
from warren.storage.store import Store
from worker.chunk.claim import Hold, name_of
from worker.chunk.failures import which
from worker.chunk.outcome import Outcome, Verdict
from worker.process.training_process import ChildLostError

logger = logging.getLogger(__name__)

# Seconds that a worker leaves a chunk to others with which it has lost its training process.
_OTHERS_FIRST_SECONDS = 60.0
# Training processes that somebody may kill in a row with one chunk: who does so for longer means it.
_MOST_KILLED = 50


class Losses:
    """Says when a chunk is to blame for training processes that were lost with it before a trial began.

    Its data may not fit into memory, or a library be broken: then it is so on every worker. Or this machine is ill:
    then others go on with it. So the chunk is handed on, and set aside after as many losses in a row as a trial has
    tries, each on another worker; on the same ones where no other is at work. In a row means that no trial of its study
    has ended in between. What somebody has killed is nobody's fault, as long as that has an end.

    Parameters
    ----------
    store : Store
    hold : Hold
    settings : Settings
    retry : Patience
        Calls the store again while that is away.
    """

    def __init__(self, store: Store, hold: Hold, settings: Settings, retry: Patience) -> None:
        self._store = store
        self._hold = hold
        self._settings = settings
        self._retry = retry
        # Chunks that are left to others, by name, and until when.
        self._left: dict[str, float] = {}

    def left_to_others(self, chunk: Chunk) -> Outcome | None:
        """Say what becomes of a chunk that others shall try first; None for any other."""
        moment = time.monotonic()
        self._left = {name: until for name, until in self._left.items() if until > moment}
        return Outcome(verdict=Verdict.HAND_ON, others_first=True) if name_of(chunk) in self._left else None

    def count(self, chunk: Chunk, lost: ChildLostError) -> Outcome:
        """Count a loss, and say what becomes of the chunk."""
        study = self._retry(self._store.study, chunk.study_id, ("progress.complete", "progress.failed")) or {}
        progress = study.get("progress", {})
        # Counted, for the times of results are those of their workers' clocks.
        ended = progress.get("complete", 0) + progress.get("failed", 0)
        losses = self._hold.lose(chunk, ended, blamed=not lost.killed)
        about = which(chunk) | {"reason": str(lost), "times": losses.times, "killed": losses.killed}
        logger.warning("lost the training process before a trial began", extra=about)
        untried = self._hold.others() - losses.workers
        most = self._settings.max_attempts
        if losses.killed < _MOST_KILLED and len(losses.workers) < most and (untried or losses.times < most):
            if untried and not lost.killed:
                self._left[name_of(chunk)] = time.monotonic() + _OTHERS_FIRST_SECONDS
            return Outcome(verdict=Verdict.HAND_ON, others_first=not lost.killed)
        times, workers = losses.times + losses.killed, len(losses.workers)
        where = f" on {workers} workers" if workers > 1 else ""
        reason = f"the training process was lost {times} times before a trial began{where}: {lost}"
        return Outcome(verdict=Verdict.DEAD_LETTER, reason=reason)
