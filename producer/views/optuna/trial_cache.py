"""Caches a study's trials for Optuna; each trial keeps its index."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from producer.views.optuna.convert import Translator
from warren.storage.documents import Document
from warren.storage.own_trials import OwnTrials
from warren.storage.study_document import Record, StudyProgress

PLACE_BITS = 36
"""Bits of a trial's id that hold its index in its study."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What a page shows of a study.

    Attributes
    ----------
    study : FrozenStudy
    trials : list of FrozenTrial
        In the order in which they ended.
    best : FrozenTrial or None
    replaced : int
        How often a row got another result since the first read of the study: earlier rows may have
        changed.
    in_any, in_all : dict of str to BaseDistribution
        Parameters of any complete trial, and of every complete trial.
    attributes : dict of str to bool
        The trials' attributes, and whether each is a number.
    """

    study: FrozenStudy
    trials: list[FrozenTrial]
    best: FrozenTrial | None
    replaced: int
    in_any: Mapping[str, BaseDistribution]
    in_all: Mapping[str, BaseDistribution]
    attributes: Mapping[str, bool]


class Metric(Record):
    """The part of an objective with the metric that determines the best trial."""

    refit: str


class Listed(StudyProgress):
    """The fields of a study in the list, which is read every second."""

    objective: Metric

    @classmethod
    def projection(cls) -> dict[str, int]:
        """Return the fields to read: of the objective, only the metric."""
        return StudyProgress.projection() | {"objective.refit": 1}


class Seen:
    """A study and its known trials.

    A trial's index never changes: a page asks for the trials from an index on, and keeps earlier
    ones.
    """

    def __init__(self, study: Listed, study_id: int, slot: int) -> None:
        self.lock = threading.Lock()
        self.study = study
        self.study_id = study_id
        self.asked_at = 0.0
        self._first_id = slot << PLACE_BITS
        self.forget()

    def forget(self) -> None:
        """Remove every trial."""
        self.translator: Translator | None = None
        self.own: OwnTrials | None = None
        self.trials: list[FrozenTrial] = []
        self.best: FrozenTrial | None = None
        # The counts in the study's document when it was last read, and the UTC time of that.
        self.looked: tuple[Any, ...] | None = None
        self.looked_at: datetime | None = None
        self.may_compare_at = 0.0
        # By the trial's own number: its index, and when it ended.
        self._places: dict[int, int] = {}
        self._ended: dict[int, datetime] = {}
        # Numbers of failed trials that are tried again: their rows stay until there is another
        # result.
        self._retried: set[int] = set()
        self.replaced = 0
        self._attributes: dict[str, bool] = {}
        self._names: set[frozenset[str]] = set()

    @property
    def current(self) -> int:
        """Number of trials with a known result."""
        return len(self.trials) - len(self._retried)

    def add(self, translator: Translator, documents: Sequence[Document]) -> None:
        """Add results: new ones at the end, sorted by their end; others replace earlier ones."""
        news = [one for one in documents if self._ended.get(one["number"]) != one["finished_at"]]
        for document in sorted(news, key=lambda one: (one["finished_at"], one["number"])):
            self._places.setdefault(document["number"], len(self._places))
            self._ended[document["number"]] = document["finished_at"]
        news.sort(key=lambda one: int(one["number"]))
        places = [self._places[document["number"]] for document in news]
        made = translator.trials(news, [(place, self._first_id + place) for place in places])
        found = dict(zip(places, made, strict=True))
        for place in sorted(found):
            self.replaced += place < len(self.trials)
            self.trials[place : place + 1] = [found[place]]
            self._sum_up(found[place])
        self._retried.difference_update(document["number"] for document in news)

    def _sum_up(self, trial: FrozenTrial) -> None:
        for name, value in trial.user_attrs.items():
            self._attributes[name] = isinstance(value, (int, float)) and self._attributes.get(name, True)
        if trial.state == TrialState.COMPLETE:
            self._names.add(frozenset(trial.params))
            if self.best is None or _rank(trial) > _rank(self.best):
                self.best = trial

    def view(self, study: FrozenStudy) -> View:
        """Return what a page shows of the study."""
        distributions = self.translator.distributions if self.translator else {}
        anywhere = frozenset[str]().union(*self._names)
        everywhere = anywhere.intersection(*self._names)
        return View(
            study=study,
            trials=self.trials.copy(),
            best=self.best,
            replaced=self.replaced,
            in_any={name: distributions[name] for name in sorted(anywhere)},
            in_all={name: distributions[name] for name in sorted(everywhere)},
            attributes=self._attributes.copy(),
        )

    def unknown(self, numbers: set[int]) -> list[int]:
        """Return which of these numbers with results are not known here."""
        return sorted(number for number in numbers if number not in self._places or number in self._retried)

    def failed(self) -> list[int]:
        """Return the numbers of the trials that failed."""
        return [number for number, place in self._places.items() if self.trials[place].state == TrialState.FAIL]

    def retry(self, numbers: set[int]) -> None:
        """Note that these trials have no result any more."""
        self._retried |= numbers


def _rank(trial: FrozenTrial) -> tuple[float, int]:
    """Return a trial's rank: its score, then the lower number, as in the study itself."""
    return (trial.values or [float("-inf")])[0], -int(trial.user_attrs["number"])
