"""From a study's file to what `producer.submit` takes: estimators, grids, splitter."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from producer.cli.study_file import Splitter, StudyFile, nearest, short
from tuning.allowlist import resolve
from tuning.codec import decode
from tuning.errors import InputError

# Splitters that a file may name: those of scikit-learn that need nothing but numbers and truth values.
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
# Names in a grid that are no parameters: whose grid it is.
_OWN = ("estimator", "params")


def make_cv(cv: int | Splitter) -> Any:
    """Return what `producer.submit` takes as ``cv``.

    Raises
    ------
    InputError
        The splitter is not one of `SPLITTERS`, does not have a parameter, or would split anew each time.
    """
    if isinstance(cv, int):
        return cv
    if cv.splitter not in SPLITTERS:
        raise InputError(f"cv.splitter: {cv.splitter!r} can't be used here: {nearest(cv.splitter, SPLITTERS)}")
    import sklearn.model_selection

    cls = getattr(sklearn.model_selection, cv.splitter)
    given = dict(cv.model_extra or {})
    known = inspect.signature(cls).parameters
    for name in given:
        if name not in known:
            raise InputError(f"cv: {cv.splitter} has no parameter {name!r}: {nearest(name, known) if known else ''}")
    if "random_state" in known and given.get("random_state") is None and given.get("shuffle", "shuffle" not in known):
        raise InputError(
            f"cv: {cv.splitter} would split anew at each submission and never resume: give it a random_state, 0 will do"
        )
    try:
        return cls(**given)
    except (TypeError, ValueError) as exc:
        raise InputError(f"cv: {cv.splitter}: {exc}") from None


def make_search(study: StudyFile, allow: Iterable[str] = ()) -> tuple[Any, Any]:
    """Return the estimator and the grid as `producer.submit` takes them.

    Parameters
    ----------
    study : StudyFile
        What the file says.
    allow : iterable of str, default=()
        Further estimator names (the setting ``WARREN_ALLOW``).

    Returns
    -------
    estimator : estimator or None
        None where each grid brings its own.
    param_grid : dict or list of dict

    Raises
    ------
    InputError
        No estimator, one that is not allowed or lacks a parameter, or values that are no list.
    """
    grids = [study.grid] if isinstance(study.grid, dict) else study.grid
    places = ["grid"] if isinstance(study.grid, dict) else [f"grid[{position}]" for position in range(len(grids))]
    values = [_values(grid, place) for grid, place in zip(grids, places, strict=True)]
    if not any(name in grid for grid in grids for name in _OWN):
        if study.estimator is None:
            raise InputError("no estimator: write `estimator: xgboost.XGBClassifier`, for one, beside `grid`")
        estimator = _build(study.estimator, study.params, "estimator", "params", allow)
        return estimator, values[0] if isinstance(study.grid, dict) else values
    for grid, place, own in zip(grids, places, values, strict=True):
        name, params = grid.get("estimator", study.estimator), grid.get("params", {})
        if not isinstance(name, str) or not isinstance(params, dict):
            raise InputError(
                f"{place}: `estimator` is a dotted name (xgboost.XGBClassifier) and `params` a mapping; "
                "give both to every grid, or an estimator to all beside `grid`"
            )
        if "estimator" not in grid:  # the common estimator, with the parameters that this grid adds
            params = study.params | params
        own["estimator"] = [_build(name, params, f"{place}.estimator", f"{place}.params", allow)]
    return None, values[0] if isinstance(study.grid, dict) else values


def _values(grid: dict[str, Any], place: str) -> dict[str, Any]:
    found = {}
    for name, values in grid.items():
        if name in _OWN:
            continue
        if not isinstance(values, list):
            raise InputError(f"{place}.{name}: {short(values)} is no list of values; for one value write [{values}]")
        found[name] = decode(values)
    return found


def _build(name: str, params: Mapping[str, Any], place: str, params_place: str, allow: Iterable[str]) -> Any:
    try:
        cls = resolve(name, allow)
    except InputError as exc:
        raise InputError(f"{place}: {exc}") from exc
    given = {key: decode(value, allow) for key, value in params.items()}
    known = inspect.signature(cls).parameters
    # A class that takes any keyword is asked by `submit`, which knows the libraries' aliases.
    strict = all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in known.values())
    for key in given:
        if strict and key not in known:
            raise InputError(f"{params_place}: {cls.__name__} has no parameter {key!r}: {nearest(key, known)}")
    try:
        return cls(**given)
    except (TypeError, ValueError) as exc:
        raise InputError(f"{place}: {cls.__name__}: {exc}") from exc
