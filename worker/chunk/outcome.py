"""What becomes of a message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What becomes of a message."""

    ACKNOWLEDGE = "acknowledged"
    # Acknowledged too, and nothing was trained: nobody wants it any more.
    DROP = "dropped"
    REQUEUE = "requeued"
    # Given back too, to the end of its lane: others shall have it first.
    HAND_ON = "handed_on"
    # The same, for it belongs to another database, whose workers may come to it.
    FOREIGN = "foreign"
    DEAD_LETTER = "dead_lettered"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A verdict.

    Attributes
    ----------
    verdict : Verdict
    reason : str, default=""
        Why, where it is a dead letter or foreign.
    others_first : bool, default=False
        Whether this worker looks for something else in the lane, and leaves it alone for a while if there is nothing.
    """

    verdict: Verdict
    reason: str = ""
    others_first: bool = False
