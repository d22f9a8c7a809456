"""Builds the arguments of `producer.submit` from a study's file: estimators, grids and splitter."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from producer.cli.study_file import Splitter, StudyFile
from producer.formatting import did_you_mean, short
from producer.validation.parameter_names import closest, known_names
from warren.encoding.codec import decode
from warren.errors import InputError
from warren.safety.allowlist import resolve

# Splitters that a file may name: those of scikit-learn that need only numbers and booleans.
SPLITTERS = (
    "KFold",
    "StratifiedKFold",
    "GroupKFold",
    "StratifiedGroupKFold",
    "RepeatedKFold",
    "RepeatedStratifiedKFold",
    "ShuffleSplit",
    "StratifiedShuffleSplit",
    "GroupShuffleSplit",
    "TimeSeriesSplit",
    "LeaveOneOut",
    "LeavePOut",
    "LeaveOneGroupOut",
    "LeavePGroupsOut",
)
# Names in a grid that are not parameters but describe the grid's estimator.
_OWN: dict[str, type] = {"estimator": str, "params": dict}
_OWN_NEEDS = {"estimator": "a dotted name (xgboost.XGBClassifier)", "params": "a mapping of fixed parameters"}


def make_cv(cv: int | Splitter) -> Any:
    """Return the argument ``cv`` of `producer.submit`.

    Raises
    ------
    InputError
        The splitter is not one of `SPLITTERS`, lacks a parameter, or would split differently each
        time.
    """
    if isinstance(cv, int):
        return cv
    if cv.splitter not in SPLITTERS:
        raise InputError(f"cv.splitter: {cv.splitter!r} can't be used here: {did_you_mean(cv.splitter, SPLITTERS)}")
    import sklearn.model_selection

    cls = getattr(sklearn.model_selection, cv.splitter)
    given = dict(cv.model_extra or {})
    known = inspect.signature(cls).parameters
    for name in given:
        if name not in known:
            raise InputError(f"cv: {cv.splitter} has no parameter {name!r}: {did_you_mean(name, known)}")
    if "random_state" in known and given.get("random_state") is None and given.get("shuffle", "shuffle" not in known):
        raise InputError(
            f"cv: {cv.splitter} would split differently at each submission and never resume: set a random_state"
        )
    try:
        return cls(**given)
    except (TypeError, ValueError) as exc:
        raise InputError(f"cv: {cv.splitter}: {exc}") from None


def make_search(study: StudyFile, allow: Iterable[str] = ()) -> tuple[Any, Any]:
    """Return the arguments ``estimator`` and ``param_grid`` of `producer.submit`.

    Parameters
    ----------
    study : StudyFile
        The content of the file.
    allow : iterable of str, default=()
        Further allowed estimator names (the setting ``WARREN_ALLOW``).

    Returns
    -------
    estimator : estimator or None
        None if each grid has its own.
    param_grid : dict or list of dict

    Raises
    ------
    InputError
        The estimator is missing, not allowed or lacks a parameter, or values are not a list.
    """
    single = isinstance(study.grid, dict)
    grids = [study.grid] if isinstance(study.grid, dict) else study.grid
    places = ["grid"] if single else [f"grid[{position}]" for position in range(len(grids))]
    values = [_values(grid, place, allow) for grid, place in zip(grids, places, strict=True)]
    if not any(_own(grid) for grid in grids):
        estimator = _build(study.estimator, study.params, "", allow)
        return estimator, values[0] if single else values
    for grid, place, found in zip(grids, places, values, strict=True):
        own = _own(grid)
        if "estimator" in found:
            raise InputError(f"{place}.estimator: a list of values needs `estimator` and `params` next to `grid`")
        name, params = own.get("estimator", study.estimator), own.get("params", {})
        if "estimator" not in own:  # the common estimator, with this grid's further fixed parameters
            params = study.params | params
        found["estimator"] = [_build(name, params, f"{place}.", allow)]
    return None, values[0] if single else values


def _own(grid: dict[str, Any]) -> dict[str, Any]:
    """Return the grid's estimator and params; lists are values of parameters with these names."""
    return {name: grid[name] for name in _OWN if name in grid and not isinstance(grid[name], list)}


def _values(grid: dict[str, Any], place: str, allow: Iterable[str]) -> dict[str, Any]:
    found = {}
    for name, values in grid.items():
        if name in _OWN and isinstance(values, _OWN[name]):
            continue
        if name in _OWN and not isinstance(values, list):
            raise InputError(f"{place}.{name}: needs {_OWN_NEEDS[name]}, not {short(values)}")
        if not isinstance(values, list):
            raise InputError(f"{place}.{name}: {short(values)} is not a list of values; for one value write [{values}]")
        found[name] = decode(values, allow)
    return found


def _build(name: str | None, params: Mapping[str, Any], place: str, allow: Iterable[str]) -> Any:
    if name is None:
        raise InputError(f"{place}estimator is missing: write, for example, `estimator: xgboost.XGBClassifier`")
    try:
        cls = resolve(name, allow)
    except InputError as exc:
        raise InputError(f"{place}estimator: {exc}") from exc
    given = {key: decode(value, allow) for key, value in params.items()}
    try:
        known = known_names(cls())
    except TypeError:  # a class with required parameters
        known = frozenset(inspect.signature(cls).parameters)
    for key in given:
        if known is not None and key not in known:
            raise InputError(
                f"{place}params: {cls.__name__} has no parameter {key!r}; the closest name is {closest(key, known)!r}"
            )
    try:
        return cls(**given)
    except (TypeError, ValueError) as exc:
        raise InputError(f"{place}estimator: {cls.__name__}: {exc}") from exc
