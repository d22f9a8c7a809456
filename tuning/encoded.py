"""Encoded estimators taken apart: whose class one is, and which are inside it under what name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from tuning.names import ALLOWED_PACKAGES

Json: TypeAlias = Any  # as in tuning.codec, which brings NumPy: an idle worker does without


def is_estimator(value: Json) -> bool:
    """Say whether a value is an encoded estimator."""
    return isinstance(value, dict) and "__estimator__" in value


def package_of(estimator: Json) -> str:
    """Return the package of an encoded estimator's class; "" for one that the operator named."""
    package = str(estimator["__estimator__"]).partition(".")[0] if is_estimator(estimator) else ""
    return package if package in ALLOWED_PACKAGES else ""


def packages_of(estimators: Iterable[Json], name: str, swaps: Mapping[str, Iterable[Json]]) -> frozenset[str]:
    """Return the packages of the estimators that a parameter may be set on.

    Parameters
    ----------
    estimators : iterable of Json
        Encoded estimators that a trial starts from.
    name : str
        The parameter; ``a__b`` goes to what is called ``a`` in them.
    swaps : mapping of str to iterable of Json
        Encoded estimators that take the place of inner ones, by the parameter that puts them there.

    Returns
    -------
    frozenset of str
        All of them where nothing is found under that name: it may be a default that no message shows.
    """
    parts = name.split("__")
    found = list(estimators)
    for length, part in enumerate(parts[:-1], start=1):
        swapped = swaps.get("__".join(parts[:length]))
        found = [inner for one in found for inner in _members(one, part)] if swapped is None else list(swapped)
    found = [one for one in found if is_estimator(one)]
    return frozenset(map(package_of, found)) or frozenset(ALLOWED_PACKAGES)


def _members(estimator: Json, name: str) -> list[Json]:
    """Return the estimators that are called `name` in another: its parameter, or steps in lists of (name, step)."""
    params = estimator["params"] if is_estimator(estimator) else None
    if not isinstance(params, dict):
        return []
    found = [params.get(name)]
    for value in params.values():
        for item in items_of(value):
            pair = items_of(item)
            if pair and pair[0] == name:
                found += pair[1:]
    return [one for one in found if is_estimator(one)]


def items_of(value: Json) -> list[Json]:
    """Return the items of an encoded list or tuple; nothing of anything else."""
    if isinstance(value, dict):
        value = value.get("__tuple__")
    return value if isinstance(value, list) else []
