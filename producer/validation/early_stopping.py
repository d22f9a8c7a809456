"""Checks that a validation fraction has a use: some trial must stop early."""

from __future__ import annotations

from itertools import chain
from typing import Any

from producer.space.space import Space
from producer.validation.estimators import Candidates
from producer.validation.final_steps import ends_of, without_own
from warren.errors import InputError
from warren.libraries.registry import library_of
from warren.safety.allowlist import dotted_name


def _asks(estimator: Any, space: Space, own: bool, allow: tuple[str, ...]) -> bool:
    """Return whether some trial of an estimator stops early."""
    for grid in space.grids:
        if own and not any(value is estimator for value in grid.get("estimator", (estimator,))):
            continue
        given = without_own(grid, own)
        for end, prefix in ends_of(estimator, given):
            library = library_of(dotted_name(type(end), allow))
            params = end.get_params(deep=False)
            for name, off in library.early_stopping.items() if library else ():
                if any(value not in (None, *off) for value in chain([params.get(name)], given.get(prefix + name, ()))):
                    return True
    return False


def check_early_stopping(
    validation_fraction: Any, candidates: Candidates, space: Space, allow: tuple[str, ...] = ()
) -> None:
    """Refuse a validation fraction if no trial stops early: it would only lose training rows.

    Parameters
    ----------
    validation_fraction : float or None
        As for `producer.submit`.
    candidates : Candidates
    space : Space
    allow : tuple of str, default=()
        Further allowed estimator names.

    Raises
    ------
    InputError
        No trial stops early.
    """
    if validation_fraction is None:
        return
    if not any(_asks(estimator, space, candidates.own, allow) for estimator in candidates.estimators):
        raise InputError(
            f"validation_fraction={validation_fraction}: no trial stops early, so no fit would use it; set "
            "early_stopping_rounds in the estimator or the grid, or leave validation_fraction out"
        )
