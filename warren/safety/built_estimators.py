"""Estimators that are built: looked at as they are, whatever a message said of them.

`warren.safety.parameter_checks` says what a message will do. Here every object of an estimator is asked for its class
and for its parameters, and these are judged by the rules of that class.
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
    """Refuse an estimator that has, anywhere in it, a class that is not allowed or a parameter that reaches too far.

    Parameters
    ----------
    estimator : estimator instance
        Whole, as it would be fitted. It is asked for its parameters, of which XGBoost draws some from a generator that
        is one: fit another.
    allow : collection of str
        Further estimator names.

    Raises
    ------
    InputError
        Names the class, or the parameter, its value and the way out.
    """
    for value in walk(estimator):
        if is_estimator(value):
            cls: type = type(value)
            dotted_name(cls, allow)
            params = value.get_params(deep=False)
            check_class(cls, public_name(cls), {name: encoded_value(one) for name, one in params.items()})


def is_estimator(value: Any) -> bool:
    """Say whether a value is an instance with parameters: an estimator, or a kernel, which has no ``fit``."""
    return hasattr(value, "get_params") and not isinstance(value, type)


def walk(estimator: Any) -> Iterator[Any]:
    """Yield an estimator, its parameters and all that these hold, each object once."""
    seen: dict[int, Any] = {}  # by identity, and alive: no other takes its place
    waiting = [estimator]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        yield value
        if is_estimator(value):
            waiting += value.get_params(deep=False).values()
        else:
            waiting += inside(value)
            waiting += value if isinstance(value, Mapping) else ()


def inside(value: Any) -> Iterator[Any]:
    """Yield what a container holds, of a mapping its values; nothing of anything else."""
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from value
    elif isinstance(value, np.ndarray) and value.dtype == object:
        yield from value.flat
    elif isinstance(value, functools.partial):
        yield from (value.func, value.args, value.keywords)


def encoded_value(value: Any) -> Json:
    """Return a value as rules read it: what is in an estimator was looked at where it was made."""
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
    except InputError:  # an object that no message makes; by a rule's name it is refused
        return {"__object__": type(value).__name__}
