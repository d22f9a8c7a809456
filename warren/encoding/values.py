"""Values in estimators besides numbers and text, such as functions, arrays and splitters.

Each is encoded under a reserved key (`warren.encoding.tags`), and decoded by a lookup that finds
only allowed names.
"""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from warren.encoding.tagged_objects import SPLITTERS, random_key
from warren.encoding.tags import (
    ARRAYS,
    DTYPES,
    KEYS,
    NUMBERS,
    PURE_FUNCTIONS,
    SCORE_FUNCTIONS,
    TYPES,
    is_function_name,
    problem_of,
)
from warren.errors import InputError, short
from warren.safety.allowlist import look_up
from warren.safety.scorers import is_scorer, scorer_of, scorer_parts

Json: TypeAlias = Any
"""As in `warren.encoding.codec`."""

_SELECTOR = "sklearn.compose.make_column_selector"
_SELECTION = "sklearn.model_selection"
_STATS = "scipy.stats"
_FROZEN = "scipy.stats.distributions.rv_frozen"
# Digits that distinguish generators in text for people.
_STATE_DIGITS = 8
_BUILTINS: dict[str, type] = {"bool": bool, "int": int, "float": float, "object": object, "str": str}


def function_name(value: Any) -> str | None:
    """Return the name of a function that may be sent, or None for any other.

    Parameters
    ----------
    value : callable
        The function.

    Returns
    -------
    str or None
        For example ``numpy.log1p``.
    """
    name = getattr(value, "__name__", None)
    if not isinstance(name, str):
        return None
    for full in (f"numpy.{name}", f"scipy.special.{name}", f"sklearn.feature_selection.{name}"):
        if is_function_name(full) and _look_up(full) is value:
            return full
    return None


def resolve_function(name: str) -> Callable[..., Any]:
    """Return the function with a name.

    Parameters
    ----------
    name : str
        For example ``numpy.log1p``.

    Returns
    -------
    callable
        A ufunc of NumPy or SciPy, a score of features from scikit-learn, or one of a few pure
        functions of NumPy.

    Raises
    ------
    InputError
        There is no such function here.
    """
    found = _look_up(name) if is_function_name(name) else None
    if found is None:
        raise InputError(
            f"function {short(name)} is not allowed, or not installed here: ufuncs of numpy and scipy.special and "
            "scores of sklearn.feature_selection are allowed; put others into an estimator of your own, named in "
            "WARREN_ALLOW"
        )
    return found


def _look_up(name: str) -> Callable[..., Any] | None:
    """Return the function with a name of the right spelling, if it is allowed."""
    found: Any = look_up(name)
    module, _, last = name.rpartition(".")
    listed = {"numpy": PURE_FUNCTIONS, "sklearn.feature_selection": SCORE_FUNCTIONS}.get(module, frozenset())
    return found if isinstance(found, np.ufunc) or last in listed else None


def encode_value(value: Any, where: str, encode: Callable[[Any], Json], allow: Iterable[str] = ()) -> Json | None:
    """Turn a value into an object with a reserved key.

    Parameters
    ----------
    value : any
        A value in an estimator.
    where : str
        Names it in the error.
    encode : callable
        `warren.encoding.codec.encode`, for values inside.
    allow : iterable of str, default=()
        Further allowed metric functions.

    Returns
    -------
    dict or None
        None if it has no reserved key.

    Raises
    ------
    InputError
        It has one, but contains something that can't be sent.
    """
    encoded = _encode_value(value, where, encode, allow)
    if encoded is not None and (problem := problem_of(encoded, lambda _: None)):
        raise InputError(f"{where} = {short(value)} {problem}")
    return encoded


def _encode_value(
    value: Any, where: str, encode: Callable[[Any], Json], allow: Iterable[str]
) -> dict[str, Json] | None:
    if isinstance(value, type):
        name = next((name for name, builtin in _BUILTINS.items() if builtin is value), f"numpy.{value.__name__}")
        return {"__type__": name} if name in TYPES and _type(name) is value else None
    if isinstance(value, np.dtype):
        return {"__dtype__": value.name} if value.name in DTYPES and value.isnative else None
    if isinstance(value, slice):
        return {"__slice__": [encode(value.start), encode(value.stop), encode(value.step)]}
    if isinstance(value, np.ndarray):
        return _array(value, encode)
    if isinstance(value, (set, frozenset)):
        # Sort the items: the order of text in a set differs between processes.
        items = sorted(map(encode, value), key=lambda item: json.dumps(item, sort_keys=True))
        return {"__set__" if isinstance(value, set) else "__frozenset__": items}
    if type(value) is np.random.RandomState:
        return _random_state(value, encode)
    if is_scorer(value):
        return _scorer(value, where, encode, allow)
    if type(value).__name__ in SPLITTERS and type(value) is look_up(f"{_SELECTION}.{type(value).__name__}"):
        return _splitter(value, encode)
    if "scipy.stats" in sys.modules and isinstance(value, look_up(_FROZEN)):
        return _distribution(value, encode)
    if callable(value):
        if (name_of := function_name(value)) is not None:
            return {"__function__": name_of}
        return _selector(value, encode)
    pandas: Any = sys.modules.get("pandas")  # if there is an index, pandas is loaded
    if pandas is not None and isinstance(value, pandas.Index) and value.nlevels == 1:
        labels = encode(value.tolist())
        return {"__index__": labels if value.name is None else {"labels": labels, "name": encode(value.name)}}
    return None


def _array(value: np.ndarray[Any, Any], encode: Callable[[Any], Json]) -> Json | None:
    dtype = "str" if value.dtype.kind == "U" else value.dtype.name
    known = NUMBERS if value.ndim == 2 else ARRAYS if value.ndim == 1 else ()
    is_text = dtype != "object" or all(isinstance(item, str) for item in value)
    if dtype not in known or not is_text or isinstance(value, np.ma.MaskedArray):
        return None
    return {"__array__": [dtype, encode(value.tolist())]}


def _selector(value: Any, encode: Callable[[Any], Json]) -> Json | None:
    compose: Any = sys.modules.get("sklearn.compose")
    if compose is None or type(value) is not compose.make_column_selector:
        return None
    fields = {name: field for name, field in vars(value).items() if field is not None}
    # pandas treats a single dtype, a list, a set and a tuple alike.
    fields = {name: list(field) if isinstance(field, (tuple, set)) else field for name, field in fields.items()}
    return {"__selector__": {name: encode(field) for name, field in fields.items()}}


def _random_state(value: np.random.RandomState, encode: Callable[[Any], Json]) -> Json | None:
    """Turn a generator into its state, so that the decoded one draws the same numbers."""
    state = value.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return None
    words = base64.b64encode(np.asarray(state["state"]["key"], dtype="<u4").tobytes()).decode()
    rest = (state["state"]["pos"], state["has_gauss"], state["gauss"])
    return {"__random_state__": [words, *map(encode, rest)]}


def _scorer(value: Any, where: str, encode: Callable[[Any], Json], allow: Iterable[str]) -> Json | None:
    try:
        parts = scorer_parts(value, allow)
    except InputError as exc:
        raise InputError(f"{where} = {short(value)}: {exc}") from None
    if isinstance(parts, dict):
        parts["kwargs"] = {name: encode(keyword) for name, keyword in parts["kwargs"].items()}
    return {"__scorer__": parts}


def _splitter(value: Any, encode: Callable[[Any], Json]) -> Json | None:
    """Turn a splitter into the arguments of its constructor, without defaults."""
    kind = type(value)
    # Repeated splitters keep some arguments for the inner one in ``cvargs``.
    given = getattr(value, "cvargs", {}) | vars(value)
    taken = inspect.signature(kind).parameters.values()
    params = {item.name: given[item.name] for item in taken if given[item.name] is not item.default}
    return {"__splitter__": [kind.__name__, {name: encode(param) for name, param in params.items()}]}


def _distribution(value: Any, encode: Callable[[Any], Json]) -> Json | None:
    name = value.dist.name
    if type(look_up(f"{_STATS}.{name}")) is not type(value.dist):
        return None  # a distribution of the user's own
    args, kwds = ([encode(arg) for arg in value.args], {key: encode(arg) for key, arg in value.kwds.items()})
    return {"__distribution__": [name, args, kwds]}


def decode_value(encoded: dict[str, Json], decode: Callable[[Json], Any], allow: Iterable[str] = ()) -> Any:
    """Turn an object with one of `warren.encoding.tags.KEYS` back into a value.

    Parameters
    ----------
    encoded : dict
        The result of `encode_value`.
    decode : callable
        `warren.encoding.codec.decode`, for values inside.
    allow : iterable of str, default=()
        Further allowed metric functions.

    Returns
    -------
    any
        The value.

    Raises
    ------
    InputError
        It is invalid, or names something that is not available here.
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

            return pd.Index(inside) if isinstance(inside, list) else pd.Index(inside["labels"], name=inside["name"])
        case "__dtype__":
            return np.dtype(inside)
        case "__type__":
            return _type(inside)
        case "__set__":
            return set(map(decode, inside))
        case "__frozenset__":
            return frozenset(map(decode, inside))
        case "__random_state__":
            words = np.frombuffer(random_key(inside[0]) or b"", dtype="<u4")
            made = np.random.RandomState()
            made.set_state(("MT19937", words, *inside[1:3], decode(inside[3])))
            return made
        case "__scorer__":
            return scorer_of(
                inside if isinstance(inside, str) else inside | {"kwargs": decode(inside["kwargs"])}, allow
            )
        case "__splitter__":
            name, params = inside
            return _made(look_up(f"{_SELECTION}.{name}"), (), decode(params), encoded)
        case "__distribution__":
            name, args, params = inside
            return _made(_distribution_of(name), decode(args), decode(params), encoded)
    return look_up(_SELECTOR)(**{name: decode(field) for name, field in inside.items()})


def _distribution_of(name: str) -> Any:
    """Return a distribution of SciPy by its name."""
    found = look_up(f"{_STATS}.{name}")
    kinds = tuple(look_up(f"{_STATS}.{kind}") for kind in ("rv_continuous", "rv_discrete"))
    if not isinstance(found, kinds):
        raise InputError(f"{short(name)} is not a distribution of {_STATS} here")
    return found


def _made(cls: Callable[..., Any], args: Sequence[Any], params: Mapping[str, Any], encoded: Json) -> Any:
    """Call a class with checked parameters; turn its error into an `InputError`."""
    try:
        return cls(*args, **params)
    except (TypeError, ValueError, ArithmeticError) as exc:
        raise InputError(f"a parameter value {short(encoded)} can't be made here: {exc}") from exc


def _type(name: str) -> Any:
    return _BUILTINS[name] if name in _BUILTINS else getattr(np, name.removeprefix("numpy."), None)


def readable_value(encoded: dict[str, Json], readable: Callable[[Json], Json]) -> Json | None:
    """Return a value with a reserved key in the form for people, or None for any other.

    Parameters
    ----------
    encoded : dict
        The encoded value.
    readable : callable
        `warren.encoding.codec.readable`, for values inside.

    Returns
    -------
    Json or None
        For a trial document.
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
            return _call("make_column_selector", (), inside, readable)
        case "__index__" if isinstance(inside, dict):
            return readable(inside["labels"])
        case "__random_state__":  # the full state has thousands of digits
            return f"RandomState({hashlib.sha256(json.dumps(inside).encode()).hexdigest()[:_STATE_DIGITS]})"
        case "__scorer__" if isinstance(inside, dict):
            keywords = {} if inside["greater_is_better"] else {"greater_is_better": False}
            if inside["response_method"] != "predict":
                keywords["response_method"] = inside["response_method"]
            return _call("make_scorer", (inside["function"],), keywords | inside["kwargs"], readable)
        case "__splitter__":
            return _call(inside[0], (), inside[1], readable)
        case "__distribution__":
            return _call(inside[0], inside[1], inside[2], readable)
    return readable(inside)


def _call(name: str, args: Iterable[Json], kwargs: Mapping[str, Json], readable: Callable[[Json], Json]) -> str:
    """Return a call as Python code."""
    shown = [str(readable(arg)) for arg in args] + [f"{key}={readable(arg)!r}" for key, arg in kwargs.items()]
    return f"{name}({', '.join(shown)})"
