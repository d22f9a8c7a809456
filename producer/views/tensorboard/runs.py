"""The trials of a study as TensorBoard runs: ended trials, and networks in training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

from producer.results.epochs import Curves, ended_curves, live_curves
from producer.results.own_trials import expected
from producer.space.columns import unpacked
from producer.views.tensorboard.events import Metric, Moment, Point, Run, is_number
from producer.views.tensorboard.hparams import Columns, Kind
from warren.messages import Objective
from warren.storage.documents import Document
from warren.storage.study_document import StudySpace

STUDY = "study"
"""The column with the study of a trial."""

Rank: TypeAlias = tuple[bool, float, int]


class StudyRuns:
    """A study, its known trials, and their runs."""

    def __init__(self, study: StudySpace, created_at: datetime) -> None:
        self.id = study.id
        self.created_at = created_at
        objective = Objective.model_validate(study.objective)
        estimator = str((objective.estimator or {}).get("__estimator__", ""))
        self.columns = Columns.of(unpacked(study.space), estimator, in_grid=study.estimator_in_grid)
        # The metric that determines the best trial comes first.
        self.expected = expected(study)
        self.scores = [objective.refit, *(metric for metric in objective.scorers if metric != objective.refit)]
        self.train = objective.return_train_score
        self.forget()

    def forget(self) -> None:
        """Remove every trial."""
        self.looked: tuple[Any, ...] | None = None
        self.looked_at: datetime | None = None
        # By number: a trial's rank, and when it ended.
        self.ranks: dict[int, Rank] = {}
        self.ended: dict[int, datetime] = {}

    def add(self, documents: Iterable[Document]) -> None:
        """Add ended trials."""
        for document in documents:
            number = document["number"]
            if not is_number(number):
                continue  # the number becomes the name of a folder
            self.ranks[number] = rank_of(document)
            self.ended[number] = document["finished_at"]

    @property
    def fields(self) -> list[str]:
        """Fields of a trial document that its run needs."""
        kinds = ("mean_test", "split_test", *(("mean_train",) if self.train else ()))
        scores = [f"{kind}_{metric}" for metric in self.scores for kind in kinds]
        told = ["number", "state", "params", "estimator", "error", "started_at", "finished_at", "fit_seconds"]
        return [*told, "split_epochs", "split_fit_seconds", *scores]

    @property
    def metrics(self) -> list[Metric]:
        """Results with a column in the table."""
        found = [
            Metric(tag=f"mean_test_{metric}", about="mean over the folds" + ("; ranks the trials" if first else ""))
            for first, metric in ((metric == self.scores[0], metric) for metric in self.scores)
        ]
        if self.train:
            about = "mean over the folds, on training data"
            found += [Metric(tag=f"mean_train_{metric}", about=about, training=True) for metric in self.scores]
        return [*found, Metric(tag="fit_seconds", about="training seconds of all folds together")]

    def run(self, document: Document, kinds: Mapping[str, Kind]) -> Run:
        """Return the run of a trial document."""
        ended = document["finished_at"].timestamp()
        started = (document.get("started_at") or document["finished_at"]).timestamp()
        return Run(
            # The number first, because the column is narrow.
            name=f"{document['number']} {self.id}",
            started=started,
            ended=ended,
            failed=document["state"] != "COMPLETE",
            parameters={**self.columns.row(document, kinds), STUDY: self.id},
            points=list(self._points(document, started, ended)),
            error=document.get("error"),
        )

    def running(self, note: Document, kinds: Mapping[str, Kind]) -> Run:
        """Return the run of a trial in training, from its document in ``unfinished``."""
        seen = ((note.get("last_seen") or {}).get("at") or note["started_at"]).timestamp()
        curves = live_curves(note)
        return Run(
            name=f"{note['number']} {self.id}",
            started=note["started_at"].timestamp(),
            ended=None,
            failed=False,
            parameters={**self.columns.row(note, kinds), STUDY: self.id},
            # It is unknown when each epoch ended: `Growing` spreads the new ones.
            points=list(_curve_points(curves, dict.fromkeys(curves, (seen, seen)))),
        )

    def _points(self, document: Document, started: Moment, ended: Moment) -> Iterator[Point]:
        """Yield the numbers of a trial."""
        for metric in self.metrics:
            if (value := document.get(metric.tag)) is not None:
                yield Point(tag=metric.tag, value=value, moment=ended)
        for metric_name in self.scores:
            tag = f"split_test_{metric_name}"
            for fold, score in enumerate(document.get(tag) or ()):
                if score is not None:
                    yield Point(tag=tag, value=score, step=fold, moment=ended)
        n_folds = len(document.get("split_epochs") or ())
        spans = _spans(document.get("split_fit_seconds") or (), n_folds, started, ended)
        yield from _curve_points(ended_curves(document), spans)


def _spans(seconds: Sequence[float], n_folds: int, started: Moment, ended: Moment) -> dict[int, tuple[Moment, Moment]]:
    """Return begin and end of each fold's training, one after the other, by the fits' seconds."""
    if len(seconds) != n_folds or not 0 < sum(seconds) < math.inf:
        seconds = [1.0] * n_folds
    # Scoring takes time, too, and folds may come from an earlier worker, so only shares are used.
    share = (ended - started) / (sum(seconds) or 1.0)
    ends = [started + share * part for part in accumulate(seconds, initial=0.0)]
    return dict(enumerate(pairwise(ends)))


def _curve_points(curves: Curves, spans: Mapping[int, tuple[Moment, Moment]]) -> Iterator[Point]:
    """Yield loss and metrics of each fold by epoch, evenly over the fold's time."""
    for fold, curve in curves.items():
        start, end = spans[fold]
        for position, epoch in enumerate(curve["epoch"]):
            moment = start + (end - start) * epoch / curve["epoch"][-1]
            for name, values in curve.items():
                if name != "epoch":
                    yield Point(tag=f"{name}/fold {fold}", value=values[position], step=int(epoch), moment=moment)


def rank_of(document: Document) -> Rank:
    """Return a trial's rank: whether all folds have a score, then the score, then lower number."""
    score = document.get("mean_test_score")
    if score is None or math.isnan(score) or document.get("failed_fits") or document["state"] != "COMPLETE":
        return False, 0.0, -document["number"]
    return True, score, -document["number"]
