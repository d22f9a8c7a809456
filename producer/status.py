"""How far a study is: one small read of its document, whatever its size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from producer.planning.measured import work_left
from tuning.store import Document

# What a status is read from.
STATUS_FIELDS = ("name", "state", "n_trials", "progress", "created_at", "finished_at", "dead_letters", "estimates")


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a study is.

    Attributes
    ----------
    id, name : str
        The study.
    state : str
        ``RUNNING``, ``PAUSED``, ``CANCELLED`` or ``COMPLETE`` (every trial has ended).
    total, complete, failed, dead : int
        Trials in all, with scores, with a reason instead, and in messages that no worker can use.
    fit_seconds, score_seconds : float
        Seconds that workers have spent on ended trials.
    saved_seconds : float
        Seconds of training that they did not need to spend, for fits and binned data were shared.
    work_left_seconds : float or None
        Seconds that workers have still to spend, expected from those already spent; None where nothing was estimated.
    best_score : float or None
        The best mean test score so far.
    best_number : int or None
        The trial that has it.
    created_at, finished_at : datetime or None
        UTC.
    """

    id: str
    name: str
    state: str
    total: int
    complete: int
    failed: int
    dead: int
    fit_seconds: float
    score_seconds: float
    saved_seconds: float
    work_left_seconds: float | None = None
    best_score: float | None
    best_number: int | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def done(self) -> int:
        """Trials that have ended."""
        return self.complete + self.failed

    @property
    def spent_seconds(self) -> float:
        """Seconds that workers have spent on ended trials."""
        return self.fit_seconds + self.score_seconds

    @property
    def waiting(self) -> int:
        """Trials that have not."""
        return self.total - self.done

    @classmethod
    def of(cls, study: Document) -> Status:
        """Read a study document."""
        progress = study["progress"]
        best = progress.get("best")
        return cls(
            id=study["_id"],
            name=study["name"],
            state=study["state"],
            total=study["n_trials"],
            complete=progress["complete"],
            failed=progress["failed"],
            dead=progress["dead"],
            fit_seconds=progress["fit_seconds"],
            score_seconds=progress["score_seconds"],
            saved_seconds=progress.get("saved_seconds", 0.0),
            work_left_seconds=work_left(study),
            best_score=best and best["score"],
            best_number=best and -best["minus_number"],
            created_at=study["created_at"],
            finished_at=study.get("finished_at"),
        )
