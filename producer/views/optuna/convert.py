"""Converts trial documents into Optuna's trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from producer.space.columns import unpacked
from producer.views.optuna.distributions import Parameters
from warren.errors import InputError
from warren.messages import Objective
from warren.storage.documents import Document
from warren.storage.study_document import StudySpace

# Fields of a trial document that are read in any case, and those kept as attributes.
_MADE_OF = ("number", "state", "started_at", "finished_at")
_NOTED = ("estimator", "fit_seconds", "error", "worker", "attempts")
_NOTED_IN_FULL = ("score_seconds", "saved_seconds", "shared_by", "mean_best_iteration")
# The attribute that `optuna.study.Study.set_metric_names` sets.
_METRIC_NAMES = "study:metric_names"


class Translator:
    """Converts a study's trial documents into Optuna's trials.

    Parameters
    ----------
    study : StudySpace
    metric : str, default=None
        The objective, one of the study's metrics; None is the metric that determines the best
        trial.
    brief : bool, default=False
        Leave out what a page does not show: fold scores, train scores, most times.

    Attributes
    ----------
    metric : str
    distributions : dict of str to BaseDistribution
        Of every parameter.

    Raises
    ------
    InputError
        The study has no such metric.
    """

    def __init__(self, study: StudySpace, metric: str | None = None, *, brief: bool = False) -> None:
        objective = Objective.model_validate(study.objective)
        metrics = list(objective.scorers)
        self.metric = objective.refit if metric is None else metric
        if self.metric not in metrics:
            raise InputError(f"metric={metric!r}: the study has {', '.join(map(repr, metrics))}")
        self._name = study.name
        parameters = Parameters.of(unpacked(study.space))
        self.distributions = parameters.distributions
        self._space = parameters.space
        self._by_names: dict[tuple[str, ...], dict[str, Any]] = {}
        # Every document also has the metric that determines the best trial under this name.
        short = "score" if self.metric == objective.refit else self.metric
        self._score = f"mean_test_{short}"
        others = [metric for metric in metrics if metric != self.metric]
        noted = [f"std_test_{short}", *(f"mean_test_{other}" for other in others), *_NOTED]
        if brief:
            noted.insert(0, "number")  # because a page numbers trials itself
        else:
            noted += [f"std_test_{other}" for other in others]
            noted += [f"split_test_{metric}" for metric in metrics]
            if objective.return_train_score:
                noted += [f"{what}_train_{metric}" for metric in metrics for what in ("mean", "std", "split")]
            noted += _NOTED_IN_FULL
        if study.estimator_in_grid:
            noted.remove("estimator")  # it is a parameter
        self._noted = noted

    @property
    def fields(self) -> list[str]:
        """Fields of a trial document that `trials` reads."""
        return list(dict.fromkeys([*_MADE_OF, self._score, *self._noted]))

    def study(self, name: str, study_id: int, **noted: Any) -> FrozenStudy:
        """Return the study itself.

        Parameters
        ----------
        name : str
            Its name for Optuna.
        study_id : int
            Its id for Optuna.
        **noted
            Its user attributes.
        """
        system = {_METRIC_NAMES: [self.metric]}
        return FrozenStudy(name, StudyDirection.MAXIMIZE, {"name": self._name, **noted}, system, study_id)

    def trials(
        self, documents: Sequence[Document], places: Sequence[tuple[int, int]] | None = None
    ) -> Iterator[FrozenTrial]:
        """Convert trial documents; ascending numbers are fastest.

        Parameters
        ----------
        documents : sequence of dict
            With at least `fields`.
        places : sequence of (int, int), default=None
            Number and id of each trial for Optuna; None uses the trial's own number for both.

        Yields
        ------
        FrozenTrial
        """
        own = [document["number"] for document in documents]
        places = places or [(number, number) for number in own]
        for document, params, (number, trial_id) in zip(documents, self._space.at(own), places, strict=True):
            names = tuple(params)
            distributions = self._by_names.get(names)
            if distributions is None:
                distributions = self._by_names[names] = {name: self.distributions[name] for name in names}
            # Optuna accepts no NaN, and a mean over folds of which some failed is no score.
            score = float(document[self._score]) if document["state"] == "COMPLETE" else math.nan
            complete = not math.isnan(score)
            yield FrozenTrial(
                number,
                TrialState.COMPLETE if complete else TrialState.FAIL,
                score if complete else None,
                _local(document.get("started_at") or document["finished_at"]),
                _local(document["finished_at"]),
                params,
                distributions,
                self._notes(document),
                {},
                {},
                trial_id,
            )

    def _notes(self, document: Document) -> dict[str, Any]:
        pairs = ((name, document.get(name)) for name in self._noted)
        return {name: value for name, value in pairs if value is not None}


def _local(moment: datetime) -> datetime:
    """Return a time in Optuna's form: local, without a time zone."""
    return moment.astimezone().replace(tzinfo=None)
