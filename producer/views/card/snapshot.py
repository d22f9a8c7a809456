"""What a card says of a study: its status and the little beside it, read with a few questions of bounded cost."""

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

# Results that a pace is taken from, so far as the average foretells them: enough to be steady, few enough to be read at
# once. And how many are read where there are more.
_PACE_RESULTS = 100
_MOST_RESULTS = 500
# Seconds that the pace looks back at least: trials that share a fit end together, which a shorter look shows as jumps.
_PACE_SECONDS = 3.0
# Results that should have come by now, and seconds without one, before a study counts as one where nothing moves.
_MISSED_RESULTS = 10
_QUIET_SECONDS = 30.0
# Failures whose reasons are read.
_MOST_FAILURES = 200
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_FOLD = re.compile(r"^fold \d+: ")


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why trials failed.

    Attributes
    ----------
    text : str
        As one of them says it.
    count : int
        How many say so, numbers aside.
    example : int
        The first of them.
    """

    text: str
    count: int
    example: int


@dataclass(frozen=True, kw_only=True)
class Tempo:
    """How fast trials have ended lately.

    Attributes
    ----------
    rate : float
        Trials a second.
    work_rate : float
        Seconds that workers spent on trials in a second: how many were at work.
    workers : int
        How many left these results.
    """

    rate: float
    work_rate: float
    workers: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card says of a study.

    Attributes
    ----------
    status : Status
    metric : str
        What the best score is of.
    at : datetime
        When this was so, UTC.
    last_result_at : datetime or None
        When the last trial ended, UTC.
    began_anew : bool
        Whether a trial has ended since the study was last submitted or resumed.
    tempo : Tempo or None
        None where the study does not run, or too little has ended.
    best_estimator : str
        Its class; empty where no trial has a score.
    best_params : mapping of str to object
        As its document has them, without the estimator.
    reasons : tuple of Reason
        Why trials failed, the commonest first.
    failures_read : int
        How many failures these are of.
    """

    status: Status
    metric: str
    at: datetime
    last_result_at: datetime | None = None
    began_anew: bool = False
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
        """Seconds since the last result, in a study that runs; 0 where one may well be on its way."""
        if not (self.running and self.began_anew and self.tempo and self.last_result_at):
            return 0.0
        quiet = (self.at - self.last_result_at).total_seconds()
        return quiet if quiet > max(_QUIET_SECONDS, _MISSED_RESULTS / self.tempo.rate) else 0.0

    @property
    def waiting_seconds(self) -> float:
        """Seconds since the study was submitted or resumed, while no trial has ended since; else 0."""
        if not self.running or self.began_anew or self.status.submitted_at is None:
            return 0.0
        return (self.at - self.status.submitted_at).total_seconds()

    @property
    def seconds_left(self) -> float | None:
        """Seconds until every trial has ended, at the pace of late; None where nobody can tell."""
        if not self.running or self.tempo is None or self.quiet_seconds:
            return None
        return self.status.seconds_left(self.tempo.rate, self.tempo.work_rate)

    @property
    def elapsed_seconds(self) -> float:
        """Seconds from the first submission to the end, or to now."""
        ended = self.status.finished_at
        if ended is None and self.status.state == "CANCELLED":
            ended = self.last_result_at
        return max(((ended or self.at) - self.status.created_at).total_seconds(), 0.0)


def read(study: StudyReader) -> Facts:
    """Ask the database what a card says; four small questions, whatever the study's size.

    Of a study that stands still the broker is asked now and then whether its trials are still there.

    Raises
    ------
    StudyError
        The study is not there any more.
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
    found["began_anew"] = last is not None and last >= since
    if status.state == "RUNNING" and last is not None and last >= since:
        found["tempo"] = _tempo(study.trials, document, since, last)
    return Facts(status=status, metric=study.refit, at=now(), last_result_at=last, **found)


def _failed(trials: OwnTrials, status: Status) -> list[Document]:
    """Return the first failed trials: those among so many that enough are to be expected, or else among all."""
    found: list[Document] = []
    for below in dict.fromkeys((min(2 * status.total * _MOST_FAILURES // status.failed, status.total), status.total)):
        found = found or trials.failed(below, _MOST_FAILURES, ("number", "error"))
    return found


def _reasons(failed: Sequence[Document]) -> list[Reason]:
    """Group failures by what they say, whatever fold, seconds and sizes they name."""
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
    """Take the pace of the last results: workers that came late and pauses are none of theirs."""
    before = sum(one.before.trials for one in (study.estimates or {}).values())
    ended = max(study.progress.done - before, 1)
    seconds = (last - since).total_seconds()
    # As far back as the average lets expect enough results: few documents match, whatever the size of the study.
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
        # What ended first began before these seconds did.
        counted = found[1:]
    else:
        counted, lasted = found, max((found[-1]["finished_at"] - since).total_seconds(), 1e-3)
    return Tempo(
        rate=len(counted) / lasted,
        work_rate=sum(one["fit_seconds"] + one["score_seconds"] for one in counted) / lasted,
        workers=len({one.get("worker") for one in found}),
    )
