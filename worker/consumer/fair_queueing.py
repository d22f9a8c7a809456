"""Choose the lane of a worker's next chunk: waiting studies share its time by their priority.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996) with one clock per worker: the higher
a lane's priority, the slower its clock runs, and the lane that is furthest behind comes first. A
lane that was empty for a while gains no credit, but its first chunk comes at once. On a worker with
a GPU, the queue of GPU trials comes before all lanes: no other worker takes its chunks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

# Seconds for which a lane that was found empty is tried last.
_EMPTY_SECONDS = 0.5
# Messages of other databases that a worker moves to the end of a lane in one pass, to reach its own
# behind them.
_MOST_PASSED = 200
# Seconds that a lane rests after such a pass: the first time, and at most when every pass finds
# only foreign messages. A rest is also at least `_REST_SHARE` times as long as the pass, so that
# many workers that move the same messages do not keep the broker busy.
_FIRST_REST = 1.0
_LONGEST_REST = 30.0
_REST_SHARE = 10.0


@dataclass
class _Lane:
    """What a worker knows about one lane."""

    # Seconds of this worker's time that the lane received, each divided by the priority of its
    # study.
    received: float = 0.0
    priority: int = 1
    empty_at: float = float("-inf")
    # Messages of other databases that this pass still has to move, and when it began; until when
    # the lane rests after it, and how long the next rest is.
    to_pass: int | None = None
    passing_since: float = 0.0
    rests_until: float = float("-inf")
    rest: float = _FIRST_REST


class Lanes:
    """How much of one worker's time each lane has received.

    Parameters
    ----------
    names : sequence of str
        The queues. The first comes first where nothing else decides.
    before : collection of str, default=()
        Queues among them that come before all others whenever they hold a message, and whose time
        is not counted.
    """

    def __init__(self, names: Sequence[str], before: Collection[str] = ()) -> None:
        self._lanes = {name: _Lane() for name in names}
        self._before = frozenset(before)
        # The time that the lane of the last chunk had received by then; a lane that was empty
        # starts from here.
        self._clock = 0.0

    @property
    def names(self) -> list[str]:
        """Every lane, in order of preference."""
        return list(self._lanes)

    def order(self, moment: float) -> list[str]:
        """Return the lanes in the order in which to look for a chunk, without those that rest.

        Parameters
        ----------
        moment : float
            Seconds on any clock; the other methods must use the same one.
        """

        def turn(name: str) -> tuple[bool, bool, float]:
            lane = self._lanes[name]
            return moment - lane.empty_at < _EMPTY_SECONDS, name not in self._before, lane.received

        return sorted((name for name in self._lanes if moment >= self._lanes[name].rests_until), key=turn)

    def empty(self, name: str, moment: float) -> None:
        """Note that a lane was found empty."""
        self._lanes[name].empty_at = moment

    def begin(self, name: str, priority: int) -> None:
        """Note that a chunk was taken from a lane, with the priority of its study."""
        lane = self._lanes[name]
        lane.empty_at, lane.priority = float("-inf"), max(1, priority)
        if name in self._before:
            return
        self._clock = lane.received = max(lane.received, self._clock)

    def pass_over(self, name: str, behind: int, moment: float) -> None:
        """Note that a lane's message was for other workers and was moved to its end.

        More such messages may follow, or chunks of this database: the worker looks at all that
        waited, up to a limit. Then the lane rests.

        Parameters
        ----------
        name : str
            The lane.
        behind : int
            Messages that wait in the lane behind this one, as far as known.
        moment : float
            The current time in seconds.
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
        # If more wait than were looked at, chunks of this database may be among them.
        lane.rest = _FIRST_REST if behind > _MOST_PASSED else min(2 * lane.rest, _LONGEST_REST)
        lane.to_pass = None

    def end(self, name: str, seconds: float) -> None:
        """Note how many seconds the last chunk of a lane took."""
        lane = self._lanes[name]
        lane.to_pass, lane.rest = None, _FIRST_REST
        if name not in self._before:
            lane.received += seconds / lane.priority
