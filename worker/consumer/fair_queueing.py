"""Which lane a worker takes its next chunk from: its time is shared between the studies that wait, by their priority.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with a clock for each worker: a lane's time runs slower
the higher its priority, and the lane that is furthest behind comes first. A lane that was empty for a while gains
nothing by it, but its first chunk comes at once. Where there is a GPU, the queue of trials for one stands before them
all: no other worker takes what waits there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

# Seconds for which a lane that was found empty comes last.
_EMPTY_SECONDS = 0.5
# Messages of other databases that a worker passes over in one go to get to its own behind them.
_MOST_PASSED = 200
# Seconds that a lane rests after it: at first, and where nothing but such messages is found again and again; and times
# as long as the passing took, for forty workers that pass the same messages over must not keep a broker busy.
_FIRST_REST = 1.0
_LONGEST_REST = 30.0
_REST_SHARE = 10.0


@dataclass
class _Lane:
    """What a worker knows of one lane."""

    # Seconds that it had, each divided by the priority of its study.
    had: float = 0.0
    priority: int = 1
    empty_at: float = float("-inf")
    # Messages of other databases that are still to be passed over, and since when; until when the lane rests after it,
    # and how long it will the next time.
    to_pass: int | None = None
    passing_since: float = 0.0
    rests_until: float = float("-inf")
    rest: float = _FIRST_REST


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
        """Return the lanes in the order in which to look for a chunk, without those that rest.

        Parameters
        ----------
        moment : float
            Seconds on any clock that the other methods are given too.
        """

        def turn(name: str) -> tuple[bool, bool, float]:
            lane = self._lanes[name]
            return moment - lane.empty_at < _EMPTY_SECONDS, name not in self._before, lane.had

        return sorted((name for name in self._lanes if moment >= self._lanes[name].rests_until), key=turn)

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

    def pass_over(self, name: str, behind: int, moment: float) -> None:
        """Note that a lane's message was for other workers, most often of another database, and is at its end now.

        More of them may follow, or chunks of this database: all that waited are looked at, up to a limit. Then the lane
        rests.

        Parameters
        ----------
        name : str
        behind : int
            Messages that wait in the lane, so far as it is known.
        moment : float
        """
        lane = self._lanes[name]
        if lane.to_pass is None:
            lane.to_pass, lane.passing_since = min(behind, _MOST_PASSED), moment
        else:
            lane.to_pass -= 1
        if lane.to_pass > 0:
            return
        spent = _REST_SHARE * (moment - lane.passing_since)
        lane.rests_until = moment + min(max(lane.rest, spent), _LONGEST_REST)
        # Where more wait than were looked at, chunks of this database may be among them.
        lane.rest = _FIRST_REST if behind > _MOST_PASSED else min(2 * lane.rest, _LONGEST_REST)
        lane.to_pass = None

    def end(self, name: str, seconds: float) -> None:
        """Note how long the chunk took that was begun last."""
        lane = self._lanes[name]
        lane.to_pass, lane.rest = None, _FIRST_REST
        if name not in self._before:
            lane.had += seconds / lane.priority
