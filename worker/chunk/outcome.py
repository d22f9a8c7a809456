"""What becomes of a message, and how log lines name its chunk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from warren.messages import Chunk


class Verdict(StrEnum):
    """What becomes of a message."""

    ACKNOWLEDGE = "acknowledged"
    # Acknowledged too, and nothing was trained: its study no longer needs it.
    DROP = "dropped"
    REQUEUE = "requeued"
    # Given back too, to the end of its lane: other workers shall have it first.
    HAND_ON = "handed_on"
    # The same, for it belongs to another database, whose workers may take it.
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
        Whether this worker looks for another message in the lane, and rests the lane for a while if there is none.
    """

    verdict: Verdict
    reason: str = ""
    others_first: bool = False


def log_fields(chunk: Chunk) -> dict[str, object]:
    """Return the fields of a log line that identify a chunk."""
    return {"study": chunk.study_id, "chunk": chunk.index}
