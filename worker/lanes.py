"""Which lane a worker takes its next chunk from: its time is shared between the studies that wait, by their priority.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with a clock for each worker: a lane's time runs slower
the higher its priority, and the lane that is furthest behind comes first. A lane that was empty for a while gains
nothing by it, but its first chunk comes at once. Where there is a GPU, the queue of trials for one stands before them
all: nobody else takes what waits there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

# Seconds that a lane which was found empty is looked at last.
_EMPTY_SECONDS = 0.5


@dataclass
class _Lane:
    """What a worker knows of one lane."""

    # Seconds that it had, each divided by the priority of its study.
    had: float = 0.0
    priority: int = 1
    empty_at: float = float("-inf")


class Lanes:
    """One worker's account of the lanes.

    Parameters
    ----------
    names : sequence of str
        The queues; the first comes first where nothing else decides.
    before : collection of str, default=()
        Those of them that come before all others whenever something waits there, and have no part in the account.
    """

    def __init__(self, names: Sequence[str], before: Collection[str] = ()) -> None:
        self._lanes = {name: _Lane() for name in names}
        self._before = frozenset(before)
        # What the lane that was last taken from had by then: where a lane that comes back begins.
        self._clock = 0.0

    @property
    def names(self) -> list[str]:
        """Every lane, the first first."""
        return list(self._lanes)

    def order(self, moment: float) -> list[str]:
        """Return the lanes in the order in which to look for a chunk.

        Parameters
        ----------
        moment : float
            Seconds on any clock that the other methods are given too.
        """

        def turn(name: str) -> tuple[bool, bool, float]:
            lane = self._lanes[name]
            return moment - lane.empty_at < _EMPTY_SECONDS, name not in self._before, lane.had

        return sorted(self._lanes, key=turn)

    def empty(self, name: str, moment: float) -> None:
        """Note that a lane was found empty."""
        self._lanes[name].empty_at = moment

    def begin(self, name: str, priority: int) -> None:
        """Note that a chunk was taken from a lane, of a study of this priority."""
        lane = self._lanes[name]
        lane.empty_at, lane.priority = float("-inf"), max(1, priority)
        if name in self._before:
            return
        self._clock = lane.had = max(lane.had, self._clock)

    def end(self, name: str, seconds: float) -> None:
        """Note how long the chunk took that was begun last."""
        lane = self._lanes[name]
        if name not in self._before:
            lane.had += seconds / lane.priority
