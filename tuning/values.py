"""What the steps of pipelines hold beside numbers and text: functions, selectors of columns, arrays, dtypes.

Each travels under a reserved key (`tuning.reserved`), and is found again by a name that is looked up where nothing else
can be found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from tuning.allowlist import look_up
from tuning.errors import InputError, short
from tuning.reserved import ARRAYS, DTYPES, KEYS, PURE_FUNCTIONS, SCORE_FUNCTIONS, TYPES, is_function_name, problem_of

Json: TypeAlias = Any
"""As in `tuning.codec`."""

_SELECTOR = "sklearn.compose.make_column_selector"
_BUILTINS: dict[str, type] = {"bool": bool, "int": int, "float": float, "object": object, "str": str}


def function_name(value: Any) -> str | None:
    """Return the name of a function that may travel, or None of any other.

    Parameters
    ----------
    value : callable
    """
    name = getattr(value, "__name__", None)
    if not isinstance(name, str):
        return None
    for full in (f"numpy.{name}", f"scipy.special.{name}", f"sklearn.feature_selection.{name}"):
        if is_function_name(full) and _look_up(full) is value:
            return full
    return None


def resolve_function(name: str) -> Callable[..., Any]:
    """Return the function that a name stands for.

    Parameters
    ----------
    name : str
        ``numpy.log1p``, for one.

    Returns
    -------
    callable
        A ufunc of NumPy or SciPy, a score of features of scikit-learn, or one of a few pure functions of NumPy.

    Raises
    ------
    InputError
        The name leads to none of these here.
    """
    found = _look_up(name) if is_function_name(name) else None
    if found is None:
        raise InputError(
            f"function {short(name)} may not travel, or is not installed here: ufuncs of numpy and scipy.special and "
            "scores of sklearn.feature_selection may; put others into an estimator of your own, named in WARREN_ALLOW"
        )
    return found


def _look_up(name: str) -> Callable[..., Any] | None:
    """Return the function that a name of the right spelling leads to, if it is one that may travel."""
    found: Any = look_up(name)
    module, _, last = name.rpartition(".")
    listed = {"numpy": PURE_FUNCTIONS, "sklearn.feature_selection": SCORE_FUNCTIONS}.get(module, frozenset())
    return found if isinstance(found, np.ufunc) or last in listed else None


def encode_value(value: Any, encode: Callable[[Any], Json]) -> Json | None:
    """Turn a value into an object with a reserved key.

    Parameters
    ----------
    value : any
    encode : callable
        `tuning.codec.encode` for what is inside.

    Returns
    -------
    dict or None
        None where it is nothing that travels so.

    Raises
    ------
    InputError
        It is, and holds what can't travel.
    """
    if isinstance(value, type):
        name = next((name for name, one in _BUILTINS.items() if one is value), f"numpy.{value.__name__}")
        return {"__type__": name} if name in TYPES and _type(name) is value else None
    if isinstance(value, np.dtype):
        return {"__dtype__": value.name} if value.name in DTYPES and value.isnative else None
    if isinstance(value, slice):
        return _checked({"__slice__": [encode(value.start), encode(value.stop), encode(value.step)]})
    if isinstance(value, np.ndarray):
        return _array(value, encode)
    if callable(value):
        if (name_of := function_name(value)) is not None:
            return {"__function__": name_of}
        return _selector(value, encode)
    pandas: Any = sys.modules.get("pandas")  # who holds an index has it loaded
    if pandas is not None and isinstance(value, pandas.Index) and value.nlevels == 1 and value.name is None:
        return _checked({"__index__": encode(value.tolist())})
    return None


def _array(value: np.ndarray[Any, Any], encode: Callable[[Any], Json]) -> Json | None:
    dtype = "str" if value.dtype.kind == "U" else value.dtype.name
    if value.ndim != 1 or dtype not in ARRAYS or isinstance(value, np.ma.MaskedArray):
        return None
    return _checked({"__array__": [dtype, encode(value.tolist())]})


def _selector(value: Any, encode: Callable[[Any], Json]) -> Json | None:
    compose: Any = sys.modules.get("sklearn.compose")
    if compose is None or type(value) is not compose.make_column_selector:
        return None
    fields = {name: one for name, one in vars(value).items() if one is not None}
    # A name in front of what pandas takes for a dtype makes no difference, a set or tuple neither.
    fields = {name: list(one) if isinstance(one, (tuple, set)) else one for name, one in fields.items()}
    return _checked({"__selector__": {name: encode(one) for name, one in fields.items()}})


def _checked(encoded: dict[str, Json]) -> Json | None:
    """Return an encoded value that `decode_value` reads; None, and so a refusal, of another."""
    return encoded if problem_of(encoded, lambda _: None) is None else None


def decode_value(encoded: dict[str, Json], decode: Callable[[Json], Any]) -> Any:
    """Turn an object with one of `tuning.reserved.KEYS` back into a value.

    Parameters
    ----------
    encoded : dict
        What `encode_value` returned.
    decode : callable
        `tuning.codec.decode` for what is inside.

    Raises
    ------
    InputError
        It is none, or names what is not to be had here.
    """
    if problem := problem_of(encoded, lambda _: None):
        raise InputError(f"a parameter value {short(encoded)} {problem}")
    [(key, inside)] = encoded.items()
    match key:
        case "__function__":
            return resolve_function(inside)
        case "__slice__":
            return slice(*inside)
        case "__array__":
            return np.array(decode(inside[1]), dtype=inside[0])
        case "__index__":
            import pandas as pd

            return pd.Index(inside)
        case "__dtype__":
            return np.dtype(inside)
        case "__type__":
            return _type(inside)
    return look_up(_SELECTOR)(**{name: decode(one) for name, one in inside.items()})


def _type(name: str) -> Any:
    return _BUILTINS[name] if name in _BUILTINS else getattr(np, name.removeprefix("numpy."), None)


def readable_value(encoded: dict[str, Json], readable: Callable[[Json], Json]) -> Json | None:
    """Return a value of a reserved key as a person reads it, or None of any other.

    Parameters
    ----------
    encoded : dict
    readable : callable
        `tuning.codec.readable` for what is inside.
    """
    if len(encoded) != 1 or not KEYS.issuperset(encoded):
        return None
    [(key, inside)] = encoded.items()
    match key:
        case "__slice__":
            return f"slice({', '.join(map(repr, inside))})"
        case "__array__":
            return readable(inside[1])
        case "__selector__":
            return f"make_column_selector({', '.join(f'{name}={readable(one)!r}' for name, one in inside.items())})"
    return readable(inside)
