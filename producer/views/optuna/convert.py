"""Converts trial documents to Optuna's trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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

# Fields of a trial document: those that the trial itself needs, and those that become user
# attributes.
_CORE_FIELDS = ("number", "state", "started_at", "finished_at")
_ATTRIBUTES = ("estimator", "fit_seconds", "error", "worker", "attempts")
_FURTHER_ATTRIBUTES = ("score_seconds", "saved_seconds", "shared_by", "mean_best_iteration")
# The key that `optuna.study.Study.set_metric_names` sets.
_METRIC_NAMES = "study:metric_names"

STUDY_FIELDS = ("name", "objective", "space", "estimator_in_grid")
"""Fields of a study document that a `Translator` reads."""


class Translator:
    """Converts a study's documents to Optuna's study and trials.

    Parameters
    ----------
    study : dict
        The study document with `STUDY_FIELDS`.
    metric : str, default=None
        The objective, one of the study's metrics; None is the metric that ranks the trials.
    brief : bool, default=False
        Leave out what the dashboard does not show: the scores of each fold, train scores, most
        times.

    Attributes
    ----------
    metric : str
        The objective.
    distributions : dict of str to BaseDistribution
        By parameter name.

    Raises
    ------
    InputError
        The study has no such metric.
    """

    def __init__(self, study: Mapping[str, Any], metric: str | None = None, *, brief: bool = False) -> None:
        objective = Objective.model_validate(study["objective"])
        metrics = list(objective.scorers)
        self.metric = objective.refit if metric is None else metric
        if self.metric not in metrics:
            raise InputError(f"metric={metric!r}: the study has {', '.join(map(repr, metrics))}")
        self._name: str = study["name"]
        parameters = Parameters.of(unpacked(study["space"]))
        self.distributions = parameters.distributions
        self._space = parameters.space
        self._by_names: dict[tuple[str, ...], dict[str, Any]] = {}
        # Every document also has the ranking metric under the name "score".
        short = "score" if self.metric == objective.refit else self.metric
        self._score = f"mean_test_{short}"
        others = [metric for metric in metrics if metric != self.metric]
        attributes = [f"std_test_{short}", *(f"mean_test_{other}" for other in others), *_ATTRIBUTES]
        if brief:
            attributes.insert(0, "number")  # the dashboard renumbers the trials
        else:
            attributes += [f"std_test_{other}" for other in others]
            attributes += [f"split_test_{metric}" for metric in metrics]
            if objective.return_train_score:
                attributes += [f"{what}_train_{metric}" for metric in metrics for what in ("mean", "std", "split")]
            attributes += _FURTHER_ATTRIBUTES
        if study["estimator_in_grid"]:
            attributes.remove("estimator")  # it is already a parameter
        self._attributes = attributes

    @property
    def fields(self) -> list[str]:
        """Fields of a trial document that `trials` reads."""
        return list(dict.fromkeys([*_CORE_FIELDS, self._score, *self._attributes]))

    def study(self, name: str, study_id: int, **attributes: Any) -> FrozenStudy:
        """Return Optuna's study, without trials.

        Parameters
        ----------
        name : str
            Its name in Optuna.
        study_id : int
            Its id in Optuna.
        **attributes
            Further user attributes.
        """
        system = {_METRIC_NAMES: [self.metric]}
        return FrozenStudy(name, StudyDirection.MAXIMIZE, {"name": self._name, **attributes}, system, study_id)

    def trials(
        self, documents: Sequence[Document], places: Sequence[tuple[int, int]] | None = None
    ) -> Iterator[FrozenTrial]:
        """Convert trial documents; fastest by ascending number.

        Parameters
        ----------
        documents : sequence of dict
            With at least `fields`.
        places : sequence of (int, int), default=None
            Number and id of each trial in Optuna; None uses the trial's own number for both.

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
            # Optuna accepts no NaN, and a trial with failed folds has no score.
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
        pairs = ((name, document.get(name)) for name in self._attributes)
        return {name: value for name, value in pairs if value is not None}


def _local(moment: datetime) -> datetime:
    """Return a time in Optuna's form: local, without a time zone."""
    return moment.astimezone().replace(tzinfo=None)
