"""The facts on a study's card, read with a few queries of bounded cost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from producer.results.missing_trials import look_closely, stands_still
from producer.results.status import Status
from producer.results.study_reader import StudyReader
from warren.storage.documents import Document, now
from warren.storage.own_trials import OwnTrials
from warren.storage.study_document import StudyProgress, StudyStatus

# Results that the pace is computed from: enough to be steady, few enough to read at once. The
# average pace says how far back to look; if that finds more results, at most so many are read.
_PACE_RESULTS = 100
_MOST_RESULTS = 500
# Least seconds that the pace covers: trials that share a fit end together, so a shorter span jumps.
_PACE_SECONDS = 3.0
# A study counts as stalled after so many missed results, and so many seconds without one.
_MISSED_RESULTS = 10
_QUIET_SECONDS = 30.0
# Most failures whose reasons are read.
_MOST_FAILURES = 200
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_FOLD = re.compile(r"^fold \d+: ")


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why trials failed.

    Attributes
    ----------
    text : str
        The error of the first of these trials.
    count : int
        How many trials have this error; numbers in the text may differ.
    example : int
        Number of the first of these trials.
    """

    text: str
    count: int
    example: int


@dataclass(frozen=True, kw_only=True)
class Tempo:
    """The recent pace of results.

    Attributes
    ----------
    rate : float
        Trials per second.
    work_rate : float
        Seconds of work per second, that is the mean number of busy workers.
    workers : int
        Number of workers that wrote these results.
    """

    rate: float
    work_rate: float
    workers: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts on a study's card.

    Attributes
    ----------
    status : Status
    metric : str
        The metric of the best score.
    at : datetime
        When the facts were read, UTC.
    last_result_at : datetime or None
        When the last trial ended, UTC.
    has_new_result : bool
        Whether a trial has ended since the study was last submitted or resumed.
    tempo : Tempo or None
        None if the study does not run, or too few trials have ended.
    best_estimator : str
        Class of the best trial's estimator; empty while no trial has a score.
    best_params : mapping of str to object
        The best trial's parameters as stored, without the estimator.
    reasons : tuple of Reason
        Why trials failed, the commonest first.
    failures_read : int
        Number of failures that were read for `reasons`.
    """

    status: Status
    metric: str
    at: datetime
    last_result_at: datetime | None = None
    has_new_result: bool = False
    tempo: Tempo | None = None
    best_estimator: str = ""
    best_params: Mapping[str, Any]
    reasons: tuple[Reason, ...] = ()
    failures_read: int = 0

    @property
    def running(self) -> bool:
        """Whether trials are still expected."""
        return self.status.state == "RUNNING" and self.status.done < self.status.total

    @property
    def quiet_seconds(self) -> float:
        """Seconds since the last result of a stalled study; 0 for a study that is not stalled."""
        if not (self.running and self.has_new_result and self.tempo and self.last_result_at):
            return 0.0
        quiet = (self.at - self.last_result_at).total_seconds()
        return quiet if quiet > max(_QUIET_SECONDS, _MISSED_RESULTS / self.tempo.rate) else 0.0

    @property
    def waiting_seconds(self) -> float:
        """Seconds since the last submit or resume if no trial has ended since; else 0."""
        if not self.running or self.has_new_result or self.status.submitted_at is None:
            return 0.0
        return (self.at - self.status.submitted_at).total_seconds()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until every trial has ended, at the recent pace; None if unknown."""
        if not self.running or self.tempo is None or self.quiet_seconds:
            return None
        return self.status.seconds_left(self.tempo.rate, self.tempo.work_rate)

    @property
    def elapsed_seconds(self) -> float:
        """Seconds from the first submission to the end, or until now."""
        ended = self.status.finished_at
        if ended is None and self.status.state == "CANCELLED":
            ended = self.last_result_at
        return max(((ended or self.at) - self.status.created_at).total_seconds(), 0.0)


def read(study: StudyReader) -> Facts:
    """Read the facts with four small queries, for a study of any size.

    If the study is stalled, also asks the broker from time to time whether its trials are still
    queued.

    Raises
    ------
    StudyError
        The study does not exist any more.
    StoreError
        The database is unreachable.
    """
    document = study.read(StudyStatus)
    if stands_still(document) and look_closely(study.store, study.settings, study.id):
        document = study.read(StudyStatus)
    status = Status.of(document)
    found: dict[str, Any] = {"best_params": {}}
    if status.best_number is not None:
        best = next(study.trials.at([status.best_number], ("estimator", "params")), {})
        found["best_estimator"] = best.get("estimator", "")
        found["best_params"] = study.own_params({"params": {}} | best)
    if status.failed:
        failed = _failed(study.trials, status)
        found |= {"reasons": tuple(_reasons(failed)), "failures_read": len(failed)}
    last = document.progress.last_result_at
    since = status.submitted_at or status.created_at
    found["has_new_result"] = last is not None and last >= since
    if status.state == "RUNNING" and last is not None and last >= since:
        found["tempo"] = _tempo(study.trials, document, since, last)
    return Facts(status=status, metric=study.refit, at=now(), last_result_at=last, **found)


def _failed(trials: OwnTrials, status: Status) -> list[Document]:
    """Return the first failed trials; search all trials only if the first ones have none."""
    found: list[Document] = []
    for below in dict.fromkeys((min(2 * status.total * _MOST_FAILURES // status.failed, status.total), status.total)):
        found = found or trials.failed(below, _MOST_FAILURES, ("number", "error"))
    return found


def _reasons(failed: Sequence[Document]) -> list[Reason]:
    """Group failures by error text, ignoring the fold and all numbers in it."""
    first: dict[str, Document] = {}
    counts: Counter[str] = Counter()
    for document in failed:
        text = _FOLD.sub("", str(document["error"]))
        kind = _NUMBER.sub("0", text)
        first.setdefault(kind, {"text": text, "number": document["number"]})
        counts[kind] += 1
    return [
        Reason(text=first[kind]["text"], count=count, example=first[kind]["number"])
        for kind, count in counts.most_common()
    ]


def _tempo(trials: OwnTrials, study: StudyProgress, since: datetime, last: datetime) -> Tempo | None:
    """Return the pace of the last results, which earlier pauses don't change."""
    before = sum(one.before.trials for one in (study.estimates or {}).values())
    ended = max(study.progress.done - before, 1)
    seconds = (last - since).total_seconds()
    # Look back just far enough for that many results at the average pace, so that few documents
    # match.
    back = max(_PACE_SECONDS, _PACE_RESULTS * seconds / ended)
    found = trials.ended_since(
        max(since, last - timedelta(seconds=back)),
        _MOST_RESULTS,
        ("finished_at", "fit_seconds", "score_seconds", "worker"),
        newest=True,
    )
    if not found:
        return None
    lasted = (found[-1]["finished_at"] - found[0]["finished_at"]).total_seconds()
    if lasted > 0:
        # The first result's work was done before this span.
        counted = found[1:]
    else:
        counted, lasted = found, max((found[-1]["finished_at"] - since).total_seconds(), 1e-3)
    return Tempo(
        rate=len(counted) / lasted,
        work_rate=sum(result["fit_seconds"] + result["score_seconds"] for result in counted) / lasted,
        workers=len({result.get("worker") for result in found}),
    )
