"""Estimators that are built: looked at as they are, whatever a message said of them.

`warren.safety.parameter_checks` says what a message will do. Here every object of an estimator is asked for its class
and for its parameters, and these are judged by the rules of that class.
"""

from __future__ import annotations

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
    seen: dict[int, Any] = {}  # by identity, and alive: no other takes its place
    waiting = [estimator]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if hasattr(value, "get_params") and not isinstance(value, type):
            cls: type = type(value)
            dotted_name(cls, allow)
            params = value.get_params(deep=False)
            check_class(cls, public_name(cls), {name: encoded_value(one) for name, one in params.items()})
            waiting += params.values()
        else:
            waiting += _inside(value)


def _inside(value: Any) -> Iterator[Any]:
    """Yield what a value holds."""
    if isinstance(value, Mapping):
        yield from value
        yield from value.values()
    elif isinstance(value, (list, tuple, set, frozenset)) or (isinstance(value, np.ndarray) and value.dtype == object):
        yield from value


def encoded_value(value: Any) -> Json:
    """Return a value as rules read it: what is in an estimator was looked at where it was made."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "get_params") and not isinstance(value, type):
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
