"""Checks of a built estimator as it is, independent of the message.

`warren.safety.parameter_checks` checks what a message asks for. Here every object in an estimator
is checked by the rules of its own class, with its actual parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from warren.encoding.codec import Json, encode
from warren.errors import InputError
from warren.safety.allowlist import dotted_name, public_name
from warren.safety.parameter_rules import check_class


def check_built(estimator: Any, allow: Collection[str]) -> None:
    """Refuse an estimator that contains a class that is not allowed, or a forbidden parameter.

    Parameters
    ----------
    estimator : estimator instance
        The whole estimator, as it would be fitted. Fit another one: XGBoost's ``get_params`` draws
        some parameters if a random generator is given.
    allow : collection of str
        Further allowed names of estimators.

    Raises
    ------
    InputError
        The text names the class, or the parameter, its value and what to do.
    """
    for value in walk(estimator):
        if is_estimator(value):
            cls: type = type(value)
            dotted_name(cls, allow)
            params = value.get_params(deep=False)
            check_class(cls, public_name(cls), {name: encoded_value(param) for name, param in params.items()})


def is_estimator(value: Any) -> bool:
    """Return whether a value is an instance of an estimator, or of a kernel without ``fit``."""
    return hasattr(value, "get_params") and not isinstance(value, type)


def walk(estimator: Any) -> Iterator[Any]:
    """Yield an estimator, its parameters and all objects inside them, each object once."""
    visited: dict[int, Any] = {}  # by ``id``; kept alive so that no other object gets the same id
    waiting = [estimator]
    while waiting:
        value = waiting.pop()
        if id(value) in visited:
            continue
        visited[id(value)] = value
        yield value
        if is_estimator(value):
            waiting += value.get_params(deep=False).values()
        else:
            waiting += inside(value)
            waiting += value if isinstance(value, Mapping) else ()


def inside(value: Any) -> Iterator[Any]:
    """Yield the items of a container, or the values of a mapping; nothing for anything else."""
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif isinstance(value, np.ndarray) and value.dtype == object:
        yield from value.flat
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)


def encoded_value(value: Any) -> Json:
    """Return a value in the form for rules.

    Parts of an estimator were checked when they were built.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if is_estimator(value):
        return {"__estimator__": "", "params": {}}
    if isinstance(value, tuple):
        return {"__tuple__": [encoded_value(item) for item in value]}
    if isinstance(value, list):
        return [encoded_value(item) for item in value]
    if isinstance(value, Mapping):
        pairs = [[encoded_value(key), encoded_value(item)] for key, item in value.items()]
        plain = all(isinstance(key, str) and not key.startswith("__") for key, _ in pairs)
        return dict(pairs) if plain else {"__dict__": pairs}
    try:
        return encode(value, "value")
    except InputError:  # an object that no message can create; rules refuse it by this key
        return {"__object__": type(value).__name__}
