"""The cached trials of a study, each at a position that never changes."""

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

PLACE_BITS = 36
"""Bits of a trial's id that hold its position in its study."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What a page shows of a study.

    Attributes
    ----------
    study : FrozenStudy
    trials : list of FrozenTrial
        In the order in which they ended.
    best : FrozenTrial or None
        None while no trial has a score.
    replaced : int
        How often a trial's result was replaced since the study was first read; a change makes
        cached pages invalid.
    in_any, in_all : dict of str to BaseDistribution
        Parameters of at least one complete trial, and of all complete trials.
    attributes : dict of str to bool
        Names of user attributes, and whether all values are numbers.
    """

    study: FrozenStudy
    trials: list[FrozenTrial]
    best: FrozenTrial | None
    replaced: int
    in_any: Mapping[str, BaseDistribution]
    in_all: Mapping[str, BaseDistribution]
    attributes: Mapping[str, bool]


class CachedStudy:
    """A study and its cached trials.

    A trial keeps its position: a page keeps the trials it has, and asks for those after them.
    """

    def __init__(self, document: Document, study_id: int, slot: int) -> None:
        self.lock = threading.Lock()
        self.document = document
        self.study_id = study_id
        self.asked_at = 0.0
        self._first_id = slot << PLACE_BITS
        self.forget()

    def forget(self) -> None:
        """Forget every trial."""
        self.translator: Translator | None = None
        self.own: OwnTrials | None = None
        self.trials: list[FrozenTrial] = []
        self.best: FrozenTrial | None = None
        # Publications and ended trials of the study document at the last read, and the time of that
        # read, UTC.
        self.counts_read: tuple[Any, ...] | None = None
        self.read_at: datetime | None = None
        self.may_compare_at = 0.0
        # By the trial's own number: its position, and when it ended.
        self._places: dict[int, int] = {}
        self._ended: dict[int, datetime] = {}
        # Numbers of failed trials that are tried again: their rows stay until a new result arrives.
        self._retried: set[int] = set()
        self.replaced = 0
        self._attributes: dict[str, bool] = {}
        self._names: set[frozenset[str]] = set()

    @property
    def current(self) -> int:
        """The number of trials with a current result."""
        return len(self.trials) - len(self._retried)

    def add(self, translator: Translator, documents: Sequence[Document]) -> None:
        """Add results: new trials by end time at the end; others replace their rows."""
        changed = [document for document in documents if self._ended.get(document["number"]) != document["finished_at"]]
        for document in sorted(changed, key=lambda document: (document["finished_at"], document["number"])):
            self._places.setdefault(document["number"], len(self._places))
            self._ended[document["number"]] = document["finished_at"]
        changed.sort(key=lambda document: int(document["number"]))
        places = [self._places[document["number"]] for document in changed]
        made = translator.trials(changed, [(place, self._first_id + place) for place in places])
        found = dict(zip(places, made, strict=True))
        for place in sorted(found):
            self.replaced += place < len(self.trials)
            self.trials[place : place + 1] = [found[place]]
            self._sum_up(found[place])
        self._retried.difference_update(document["number"] for document in changed)

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
        """Return those of the stored trial numbers that have no current result here."""
        return sorted(number for number in numbers if number not in self._places or number in self._retried)

    def failed(self) -> list[int]:
        """Return the numbers of the trials that failed."""
        return [number for number, place in self._places.items() if self.trials[place].state == TrialState.FAIL]

    def retry(self, numbers: set[int]) -> None:
        """Mark trials as having no result any more."""
        self._retried |= numbers


def _rank(trial: FrozenTrial) -> tuple[float, int]:
    """Return a trial's rank: by its score, then by the lower number, as in the study itself."""
    return (trial.values or [float("-inf")])[0], -int(trial.user_attrs["number"])
