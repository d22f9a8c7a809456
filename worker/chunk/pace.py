"""How fast this worker is, against what the planner expects: says whether a trial still fits into the grace."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from worker.chunk.progress import Progress

# What counts of a measure when the next comes: machines and parameters change in the middle of a study.
_MEMORY = 0.8


@dataclass
class _Measured:
    expected: float = 0.0
    taken: float = 0.0


class Pace:
    """Seconds that this worker takes for a second of the planner's, for each kind of estimator."""

    def __init__(self) -> None:
        self._measured: defaultdict[str, _Measured] = defaultdict(_Measured)

    def learn(self, progress: Progress, number: int, moment: float) -> None:
        """Take note of a trial that ends at `moment`, on the monotonic clock."""
        trial = next(trial for trial in progress.todo if trial.number == number)
        if progress.began is not None and trial.estimated_seconds and number not in progress.taken_over:
            measured = self._measured[_kind(progress)]
            measured.expected = _MEMORY * measured.expected + trial.estimated_seconds
            measured.taken = _MEMORY * measured.taken + moment - progress.since

    def of(self, progress: Progress) -> float:
        """Return the pace for the trial in hand; 1 where nothing was measured."""
        measured = self._measured.get(_kind(progress)) if progress.todo else None
        return measured.taken / measured.expected if measured else 1.0


def _kind(progress: Progress) -> str:
    estimator = progress.todo[0].estimator or progress.chunk.objective.estimator or {}
    return str(estimator.get("__estimator__"))
