"""The outcome of a message, and the log fields that name its chunk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from warren.messages import Chunk


class Verdict(StrEnum):
    """What the consumer does with a message."""

    ACKNOWLEDGE = "acknowledged"
    # Acknowledged as well, but nothing was trained: its study no longer needs it.
    DROP = "dropped"
    REQUEUE = "requeued"
    # Requeued at the end of its lane: other workers should have it first.
    HAND_ON = "handed_on"
    # The same, because it belongs to another database; a worker of that database may take it.
    FOREIGN = "foreign"
    DEAD_LETTER = "dead_lettered"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A verdict and its reason.

    Attributes
    ----------
    verdict : Verdict
        What the consumer does with the message.
    reason : str, default=""
        Why it is a dead letter or foreign.
    others_first : bool, default=False
        Whether this worker looks for another message in the lane, and lets the lane rest if there
        is none.
    """

    verdict: Verdict
    reason: str = ""
    others_first: bool = False


def log_fields(chunk: Chunk) -> dict[str, object]:
    """Return the fields of a log line that identify a chunk."""
    return {"study": chunk.study_id, "chunk": chunk.index}
