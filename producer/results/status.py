"""The progress of a study: one small read of its document, for a study of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from producer.planning.calibration import work_left
from warren.storage.study_document import StudyProgress, StudyStatus
from warren.versions import differences

# Most trials that a sentence names; it counts the others.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Status:
    """The progress of a study.

    Attributes
    ----------
    id, name : str
        The study.
    state : str
        ``RUNNING``, ``PAUSED``, ``CANCELLED`` or ``COMPLETE`` (every trial has ended).
    total, complete, failed, dead : int
        Numbers of all trials, those with scores, those that failed, and those in messages that no
        worker can use.
    fit_seconds, score_seconds : float
        Seconds that workers have spent on ended trials.
    saved_seconds : float
        Seconds of training that sharing fits and binned data has saved.
    work_left_seconds : float or None
        Expected seconds of work that remain, by the measured seconds so far; None without
        estimates.
    best_score : float or None
        The best mean test score so far.
    best_number : int or None
        Number of the trial with the best score.
    created_at, submitted_at, finished_at : datetime or None
        UTC. `submitted_at` is when the broker had confirmed every chunk of the last publication.
    dead_numbers : tuple of int
        The trials in messages that no worker can use.
    dead_reasons : tuple of str
        Why workers can't use them.
    versions : tuple of str
        Versions in the notebook that differ from the workers', and theirs; empty texts if none
        differ.
    lost : int
        Trials that have no result, are not in the queue, and are with no worker: the broker has
        removed them (`producer.results.missing_trials`).
    lost_for_certain : bool
        Whether no vanished worker can still have those trials.
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
    submitted_at: datetime | None = None
    finished_at: datetime | None
    dead_numbers: tuple[int, ...] = ()
    dead_reasons: tuple[str, ...] = ()
    versions: tuple[str, str] = ("", "")
    lost: int = 0
    lost_for_certain: bool = False

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
        """Trials that have not ended."""
        return self.total - self.done

    def seconds_left(self, rate: float, workers: float) -> float:
        """Return the seconds until every trial has ended, by remaining work or rate of trials.

        Parameters
        ----------
        rate : float
            Ended trials per second.
        workers : float
            Seconds of work per second: the mean number of busy workers.
        """
        if self.work_left_seconds and workers > 0:
            return self.work_left_seconds / workers
        return (self.waiting - self.dead) / rate

    @property
    def dead_text(self) -> str:
        """Messages that no worker can use, why, and what to do; empty if there are none."""
        if not self.dead:
            return ""
        trials = name_trials(self.dead_numbers) if self.dead_numbers else f"{self.dead:,} trials"
        reasons = self.dead_reasons or ("no reason is known",)
        more = f" (the first of {len(reasons)} reasons)" if len(reasons) > 1 else ""
        return (
            f"{trials} can't be evaluated by any worker: {reasons[0]}{more}. Mend that, and put them back with "
            f"study.retry_failed() or `warren retry {self.id}`"
        )

    @property
    def versions_text(self) -> str:
        """Versions that differ between notebook and workers, and what follows; empty if none do."""
        submitted, trained = self.versions
        return submitted and (
            f"it was submitted with {submitted}, and workers have {trained}: scores can differ from those that the "
            "notebook computes, and models may not load there. Give both sides the same Python and requirements"
        )

    @property
    def lost_text(self) -> str:
        """What the broker has removed, and what to do; empty if it has removed nothing."""
        if not self.lost:
            return ""
        are = "1 trial is" if self.lost == 1 else f"{self.lost:,} trials are"
        unless = (
            ""
            if self.lost_for_certain
            else ". Unless a worker that has just vanished got them: the broker then takes them back within minutes"
        )
        return (
            f"{are} neither done, nor in the queue, nor with a worker: the broker has removed them (a purge, a queue "
            "that was deleted, a policy, or a volume that it lost), or workers have set them aside, which chunks.dead "
            f"and their logs say (they have a WARREN_KEY, for one). study.resume() or `warren resume {self.id}` "
            f"publishes them again{unless}"
        )

    @classmethod
    def of(cls, study: StudyStatus) -> Status:
        """Read a study's document."""
        progress, best, letters = study.progress, study.progress.best, study.dead_letters
        return cls(
            id=study.id,
            name=study.name,
            state=study.state,
            total=study.n_trials,
            complete=progress.complete,
            failed=progress.failed,
            dead=progress.dead,
            fit_seconds=progress.fit_seconds,
            score_seconds=progress.score_seconds,
            saved_seconds=progress.saved_seconds,
            work_left_seconds=work_left(study),
            best_score=None if best is None else best.score,
            best_number=None if best is None else -best.minus_number,
            created_at=study.created_at,
            submitted_at=study.submitted_at,
            finished_at=study.finished_at,
            dead_numbers=tuple(sorted({number for letter in letters for number in letter.numbers})),
            dead_reasons=tuple(dict.fromkeys(letter.reason for letter in letters)),
            versions=differences(study.versions, progress.versions),
            lost=_lost(study),
            lost_for_certain=study.missing is not None and study.missing.certain,
        )


def _lost(study: StudyProgress) -> int:
    """Return the number of lost trials, if it was noted and is still valid."""
    missing = study.missing
    if missing is None or not missing.sure or study.state != "RUNNING" or missing.publication != study.publications:
        return 0
    return max(0, min(missing.trials, study.n_trials - study.progress.done - study.progress.dead))


def name_trials(numbers: Sequence[int]) -> str:
    """Return trial numbers as short text: ``trial 3``, ``trials 3, 4, 7 and 12 more``."""
    if len(numbers) == 1:
        return f"trial {numbers[0]}"
    # Naming one more trial is no longer than counting it.
    named = numbers if len(numbers) <= _NAMED + 1 else numbers[:_NAMED]
    words = [str(number) for number in named]
    last = f"{len(numbers) - _NAMED:,} more" if len(named) < len(numbers) else words.pop()
    return f"trials {', '.join(words)} and {last}"
