"""Checks a study's estimators and the parameters that its grids set."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils import get_tags

from producer.formatting import short
from producer.space.space import Space
from producer.validation.final_steps import ends_of, without_own
from producer.validation.networks import check_builders, check_optimizers
from producer.validation.parameter_names import (
    closest,
    known_names,
    library,
    overruled_by,
    set_by_user,
    synonyms,
)
from warren.encoding.codec import Json, encode_estimator
from warren.encoding.encoded import COMPOSITIONS
from warren.errors import InputError
from warren.libraries.keras import NETWORK
from warren.libraries.registry import THREADS
from warren.safety.allowlist import dotted_name
from warren.safety.parameter_checks import DEEPEST, LARGEST_PARAMS, Start, check_estimator

Kind: TypeAlias = Literal["classifier", "regressor", "other"]

_METHODS = ("fit", "get_params", "set_params")
# Parameters that list steps or members by names of the user.
_MEMBERS = frozenset(composition.members for composition in COMPOSITIONS.values())


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The estimators that the trials of a study start from.

    Attributes
    ----------
    encoded : dict or None
        The study's estimator (`warren.encoding.codec`); None if every trial has its own.
    own : bool
        Whether ``"estimator"`` in a grid is the trial's own estimator. It is not if the study's
        estimator has a parameter (``BaggingClassifier``), step or member of that name, or no grid
        has it.
    estimator_is_member : bool
        Whether ``"estimator"`` in a grid is a step or member.
    estimators : tuple of estimator instances
        The estimators that trials start from.
    ends : tuple of estimator instances
        The final estimators that a grid can reach: the same, or the last step of a pipeline.
    kind : {"classifier", "regressor", "other"}
        The kind of all estimators; it determines splits and scorers.
    """

    encoded: Json | None
    own: bool
    estimator_is_member: bool
    estimators: tuple[Any, ...]
    ends: tuple[Any, ...]
    kind: Kind

    @property
    def classifier(self) -> bool:
        """Whether splits are stratified if ``cv`` is a number."""
        return self.kind == "classifier"


def check_estimators(estimator: Any, space: Space, allow: Iterable[str] = ()) -> Candidates:
    """Check a study's estimators, and that each has every parameter that its grids set.

    Parameters
    ----------
    estimator : estimator instance or None
        None if every grid has a list of them under ``"estimator"``.
    space : Space
        The grids.
    allow : iterable of str, default=()
        Further allowed estimator names.

    Returns
    -------
    Candidates

    Raises
    ------
    InputError
        An estimator is missing, invalid or not allowed; classifiers and regressors are mixed; or a
        parameter is unknown, set twice, without effect, or could access files or code.
    """
    allowed = tuple(allow)
    if estimator is not None:
        _check_instance(estimator, "estimator", allowed)
    asked = any("estimator" in grid for grid in space.grids)
    own = asked and not takes_estimator(estimator, space.grids)
    inner = asked and not own
    checked: dict[int, Any] = {}
    ends: dict[int, Any] = {}
    cache: dict[int, frozenset[str] | None] = {}
    passed: set[tuple[Any, ...]] = set()
    for number, grid in enumerate(space.grids):
        bases = _bases(estimator, space, number, grid, own)
        given = without_own(grid, own)
        for position, base in enumerate(bases):
            if id(base) not in checked:
                if own and "estimator" in grid:
                    _check_instance(base, space.where(number, "estimator", position), allowed)
                checked[id(base)] = base
                cache[id(base)] = known_names(base)
            ends |= {id(end): end for end, _ in ends_of(base, given)}
            names = tuple(given)
            # A random search has one grid per point: don't check the same names again for this
            # estimator, unless the grid replaces an inner estimator and sets its parameters.
            swaps = not _MEMBERS.isdisjoint(name.rpartition("__")[2] for name in names) or any(
                other.startswith(f"{name}__") for name in names for other in names
            )
            key = (id(base), names)
            if swaps or key not in passed:
                for name in names:
                    _check_name(base, name, given, space.where(number, name), known=cache[id(base)])
                _check_synonyms(base, names, space, number)
                passed.add(key)
    if estimator is not None and id(estimator) not in checked and not own:
        ends |= {id(end): end for end, _ in ends_of(estimator, {})}
        checked[id(estimator)] = estimator
    encoded = None if estimator is None else encode_estimator(estimator, "estimator", allowed)
    if encoded is not None:
        check_estimator(encoded, "estimator")
        check_builders(encoded, "estimator")
    _check_values(encoded, own, space, allowed)
    for number, grid in enumerate(space.grids):
        for base in _bases(estimator, space, number, grid, own):
            check_optimizers(base, without_own(grid, own), partial(space.where, number))
    return Candidates(
        encoded=encoded,
        own=own,
        estimator_is_member=inner and "estimator" not in estimator.get_params(deep=False),
        estimators=tuple(checked.values()),
        ends=tuple(ends.values()),
        kind=_one_kind(list(checked.values())),
    )


def settled(estimator: Any) -> Any:
    """Return an estimator whose ``get_params`` always returns the same parameters.

    If ``random_state`` is a generator, XGBoost's ``get_params`` draws a new number each time.
    scikit-learn's searches read it once, for a clone; so this returns a clone.
    """
    return clone(estimator) if _draws(estimator) else estimator


def _draws(value: Any, depth: int = 0) -> bool:
    if isinstance(value, (list, tuple)):
        return depth < DEEPEST and any(_draws(item, depth + 1) for item in value)
    if isinstance(value, type) or not hasattr(value, "get_params") or depth > DEEPEST:
        return False
    own = vars(value)
    if library(value) == "xgboost" and isinstance(
        own.get("random_state"), (np.random.RandomState, np.random.Generator)
    ):
        return True
    return any(_draws(item, depth + 1) for item in own.values())


def takes_estimator(estimator: Any, grids: Iterable[Mapping[str, Sequence[Any]]]) -> bool:
    """Return whether ``"estimator"`` in a grid is a parameter, step or member of an estimator.

    Parameters
    ----------
    estimator : estimator instance or None
    grids : iterable of mapping of str to sequence
        The grids; they may replace all steps at once.

    Returns
    -------
    bool
    """
    if estimator is None:
        return False
    if "estimator" in estimator.get_params(deep=True):
        return True
    variants = (found for grid in grids if "estimator" in grid for found in _with_members(estimator, grid, ""))
    return any(found is not estimator and "estimator" in found.get_params(deep=True) for found in variants)


def _with_members(estimator: Any, grid: Mapping[str, Sequence[Any]], prefix: str) -> list[Any]:
    """Return an estimator with each of a grid's lists of steps or members, if it has some."""
    for name in _MEMBERS:
        if prefix + name in grid and name in estimator.get_params(deep=False):
            return [copy.copy(estimator).set_params(**{name: value}) for value in grid[prefix + name]]
    return [estimator]


def _check_values(encoded: Json | None, own: bool, space: Space, allow: tuple[str, ...]) -> None:
    """Refuse values that could access files or code, or are too large for a trial's document."""
    common = Start([encoded])
    for number, grid in enumerate(space.encoded_grids(allow)):
        columns = dict(zip(grid.names, grid.columns, strict=True))
        bases = columns.pop("estimator", ()) if own else ()
        for position, base in enumerate(bases):
            check_estimator(base, space.where(number, "estimator", position))
            check_builders(base, space.where(number, "estimator", position))
        start = Start(bases) if bases else common
        where = partial(space.where, number)
        start.check(columns, where)
        largest = 0
        for name, column in columns.items():
            builds = name.rpartition("__")[2] == "builder" and start.classes(name, columns) == {NETWORK}
            for position, value in enumerate(() if isinstance(column, range) else column):
                check_builders(value, where(name, position), builder=builds)
            largest += max(map(_size, column[:1] if isinstance(column, range) else column))
        if largest > LARGEST_PARAMS:
            raise InputError(
                f"param_grid: a trial's parameters need up to {largest:,} bytes, but its document can hold "
                f"{LARGEST_PARAMS:,}; move large values to X or to the estimator's class"
            )


def _size(value: Json) -> int:
    """Return the approximate size of an encoded value as JSON in bytes."""
    if isinstance(value, str):
        return len(value)
    return len(json.dumps(value)) if isinstance(value, (list, dict)) else 20


def _bases(estimator: Any, space: Space, number: int, grid: Mapping[str, Sequence[Any]], own: bool) -> Sequence[Any]:
    if own and "estimator" in grid:
        return grid["estimator"]
    if estimator is None:
        raise InputError(
            f"{space.where(number, 'estimator')} is missing: without a first argument every grid needs its own list of "
            "estimators, {'estimator': [XGBClassifier()], ...}"
        )
    return (estimator,)


def _check_instance(value: Any, where: str, allow: tuple[str, ...]) -> None:
    if isinstance(value, type):
        raise InputError(f"{where} is the class {value.__name__}: pass an instance: {value.__name__}()")
    if not all(callable(getattr(value, method, None)) for method in _METHODS):
        raise InputError(
            f"{where} = {short(value)} is not an estimator: pass an instance with {', '.join(_METHODS)}, "
            "such as XGBClassifier()"
        )
    dotted_name(type(value), allow)


def _check_name(
    estimator: Any,
    name: str,
    grid: Mapping[str, Sequence[Any]],
    where: str,
    *,
    known: frozenset[str] | None,
    prefix: str = "",
) -> None:
    """Check that an estimator has a parameter, also in nested estimators like ``set_params``."""
    kind = type(estimator).__name__
    key, nested, rest = name.partition("__")
    for whole in _with_members(estimator, grid, prefix):
        if whole is not estimator:
            known = known_names(whole)
        if name in THREADS and not _is_member(whole, name):
            raise InputError(
                f"{where}: each worker sets the number of threads itself (WARREN_THREADS), so a grid over {name!r} "
                "would repeat the same fit; leave it out"
            )
        if known is not None and key not in known:
            raise InputError(
                f"{where}: {kind} has no parameter {key!r}; the closest name is {prefix + closest(key, known)!r}"
            )
        if not nested:
            if winner := overruled_by(whole, name):
                raise InputError(
                    f"{where}: {kind} ignores {name!r}, because it always passes {winner!r}; use {prefix + winner!r}"
                )
            continue
        # The grid may replace the inner estimator before it sets its parameter.
        inner = grid.get(prefix + key) or [whole.get_params(deep=True).get(key)]
        for value in inner:
            if isinstance(value, type) or not callable(getattr(value, "get_params", None)):
                raise InputError(f"{where}: {prefix + key!r} is {short(value)}, which has no parameter {rest!r}")
            _check_name(value, rest, grid, where, known=known_names(value), prefix=f"{prefix}{key}__")


def _is_member(estimator: Any, name: str) -> bool:
    """Return whether a name is the user's name of a step or member of an estimator."""
    return name in estimator.get_params(deep=True) and name not in estimator.get_params(deep=False)


def _check_synonyms(estimator: Any, names: Sequence[str], space: Space, number: int) -> None:
    kind, there = type(estimator).__name__, set_by_user(estimator)
    for position, name in enumerate(names):
        others = synonyms(estimator, name)
        if not others:
            continue
        if twice := others.intersection(names[position + 1 :]):
            raise InputError(
                f"{space.where(number, name)} and {space.where(number, min(twice))} are the same parameter of {kind}: "
                "keep one"
            )
        if name not in there and (set_already := others & there):
            first = min(set_already)
            raise InputError(
                f"{space.where(number, name)} and {kind}({first}=...) are the same parameter: use the name {first!r} "
                "in the grid, or leave it out of the estimator"
            )


def _kind(estimator: Any) -> Kind:
    try:
        classifier, regressor = is_classifier(estimator), is_regressor(estimator)
    except (AttributeError, TypeError):  # a class of WARREN_ALLOW without scikit-learn's tags
        declared = getattr(estimator, "_estimator_type", None)
        classifier, regressor = declared == "classifier", declared == "regressor"
    return "classifier" if classifier else "regressor" if regressor else "other"


def _one_kind(estimators: list[Any]) -> Kind:
    kinds: dict[Kind, str] = {}
    for estimator in estimators:
        kinds.setdefault(_kind(estimator), type(estimator).__name__)
    if len(kinds) > 1:
        listed = ", ".join(f"{name} is {kind if kind != 'other' else 'neither'}" for kind, name in kinds.items())
        raise InputError(
            f"a study can't mix classifiers and regressors ({listed}), because their splits and scores differ: "
            "submit a study for each"
        )
    return next(iter(kinds))


def needs_y(estimator: Any) -> bool:
    """Return whether an estimator needs y; False if it has no such tag."""
    try:
        return bool(get_tags(estimator).target_tags.required)
    except (AttributeError, TypeError):
        return False


def takes_weights(estimator: Any) -> bool:
    """Return whether an estimator's ``fit`` accepts sample weights, or any keywords."""
    accepted = inspect.signature(estimator.fit).parameters
    return "sample_weight" in accepted or any(param.kind is param.VAR_KEYWORD for param in accepted.values())
