"""Reads which trial documents belong to a study, by its space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from producer.space.columns import unpacked, values_of
from producer.space.space import Space
from warren.encoding.codec import Json
from warren.messages import Objective
from warren.storage.expected_trials import ANYTHING, Expected
from warren.storage.own_trials import OwnTrials
from warren.storage.store import Store
from warren.storage.study_document import StudySpace


def own_trials(store: Store, study: StudySpace) -> OwnTrials:
    """Return the trials of a study as its readers see them.

    Parameters
    ----------
    store : Store
    study : StudySpace
    """
    return OwnTrials(store.trials, store.unfinished, expected(study))


def expected(study: StudySpace) -> Expected:
    """Return what the trial documents of a study must contain.

    This creates no estimator and imports no learner.

    Raises
    ------
    InputError, ValueError
        The study's document is invalid.
    """
    grids = [{name: _values(values) for name, values in grid.items()} for grid in unpacked(study.space)]
    space = Space(grids)
    return Expected(study.id, study.n_trials, Objective.model_validate(study.objective), space.__getitem__)


def _values(packed: Json) -> Sequence[Any]:
    values = values_of(packed)
    return values if isinstance(values, range) else [_value(one) for one in values]


def _value(encoded: Json) -> Any:
    """Return a value as every version has written it in trial documents."""
    if isinstance(encoded, Mapping) and [*encoded] == ["__float__"]:
        return float(encoded["__float__"])
    return ANYTHING if isinstance(encoded, (Mapping, list)) else encoded
