"""Rules for values with a reserved key.

This module imports no library; `warren.encoding.values` creates the values.

::

    np.log1p                         {"__function__": "numpy.log1p"}
    make_column_selector("a.*")      {"__selector__": {"pattern": "a.*"}}
    slice(0, 5)                      {"__slice__": [0, 5, null]}
    np.array([1, 2])                 {"__array__": ["int64", [1, 2]]}
    np.array([[0.5], [1.0]])         {"__array__": ["float64", [[0.5], [1.0]]]}
    {0, 1}, frozenset({0, 1})        {"__set__": [0, 1]}, {"__frozenset__": [0, 1]}
    pd.Index(["a", "b"])             {"__index__": ["a", "b"]}
    pd.Index(["a", "b"], name="c")   {"__index__": {"labels": ["a", "b"], "name": "c"}}
    np.float32, float                {"__type__": "numpy.float32"}, {"__type__": "float"}
    np.dtype("float32")              {"__dtype__": "float32"}
    KFold(3)                         {"__splitter__": ["KFold", {"n_splits": 3}]}
    make_scorer(fbeta_score, beta=2) {"__scorer__": {"function": "sklearn.metrics.fbeta_score", ..}}
    get_scorer("roc_auc")            {"__scorer__": "roc_auc"}
    scipy.stats.loguniform(0.1, 10)  {"__distribution__": ["loguniform", [0.1, 10], {}]}
    np.random.RandomState(0)         {"__random_state__": [key, pos, has_gauss, gauss]}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from warren.encoding.tagged_objects import KEYWORD, OBJECTS, problem_of_object
from warren.safety.regex_checks import problem_of_pattern

Json: TypeAlias = Any  # as in warren.encoding.codec, which imports NumPy; an idle worker does not need it

KEYS = OBJECTS | {"__function__", "__selector__", "__slice__", "__array__", "__index__", "__dtype__", "__type__"}
"""The reserved keys; each is the only key of its object."""

_WIDTHS = {"int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64)}
NUMBERS = frozenset({"bool", *(f"{kind}{bits}" for kind, widths in _WIDTHS.items() for bits in widths)})
"""Dtypes of numbers that are the same on every machine."""
DTYPES = NUMBERS | {"object"}
"""Dtypes for the output of transformers."""
ARRAYS = DTYPES | {"str"}
"""Dtypes of arrays; with dtype object or str they contain text."""
TYPES = frozenset(
    {
        *("bool", "int", "float", "object", "str"),
        *(f"numpy.{name}" for name in NUMBERS - {"bool"}),
        *("numpy.bool", "numpy.object_", "numpy.number", "numpy.integer", "numpy.signedinteger"),
        *("numpy.unsignedinteger", "numpy.inexact", "numpy.floating"),
    }
)
"""Types, for the dtype of something or for the selection of columns."""

SCORE_FUNCTIONS = frozenset(
    {"chi2", "f_classif", "f_regression", "mutual_info_classif", "mutual_info_regression", "r_regression"}
)
"""Functions of ``sklearn.feature_selection`` that score features."""
PURE_FUNCTIONS = frozenset({"clip", "max", "mean", "median", "min", "nan_to_num", "round", "sum"})
"""Functions of NumPy, besides ufuncs, that compute an array and access nothing else."""

OUTPUTS = frozenset({"default", "pandas", "polars"})
"""Arguments of ``set_output``."""

REQUESTED = frozenset(
    {
        *("fit", "partial_fit", "predict", "predict_proba", "predict_log_proba", "decision_function", "score", "split"),
        *("transform", "inverse_transform"),
    }
)
"""Methods that can request metadata (``sklearn.utils._metadata_requests.SIMPLE_METHODS``)."""

_FUNCTION = re.compile(
    rf"(numpy|scipy\.special)\.[a-z][a-z0-9_]{{0,40}}|sklearn\.feature_selection\.({'|'.join(sorted(SCORE_FUNCTIONS))})",
    re.ASCII,
)
_SELECTOR = frozenset({"pattern", "dtype_include", "dtype_exclude"})
# pandas' names of dtypes. A time zone in one may not be a path, because pandas opens the files that
# dateutil names.
_ZONE = r"(?!dateutil)[A-Za-z][A-Za-z0-9_+:-]{0,40}(/[A-Za-z0-9_+-]{1,40}){0,2}"
_DTYPE = re.compile(
    rf"[<>=|]?[A-Za-z][A-Za-z0-9_]{{0,40}}(\[[A-Za-z0-9_]{{1,20}}(, ?({_ZONE}|[0-9.]{{1,20}}))?\]){{0,2}}", re.ASCII
)
_NO_INDEX = "is not an index of columns: their names must be text or integers"
# How many times larger than its text an array may be: each item takes as much memory as the
# longest.
_MOST_PADDING = 32


def items_of(value: Json) -> list[Json]:
    """Return the items of an encoded list, tuple or set; nothing for anything else."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("__tuple__", "__set__", "__frozenset__") if key in value), None)
    return value if isinstance(value, list) else []


def is_state(rest: Mapping[Any, Json]) -> bool:
    """Return whether an encoded estimator's fields besides name and parameters are valid.

    These are the argument of ``set_output``, and the requests of ``set_fit_request`` and similar
    methods.
    """
    output, requests = rest.get("output", "default"), rest.get("requests", {})
    return (
        rest.keys() <= {"output", "requests"}
        and isinstance(output, str)
        and output in OUTPUTS
        and isinstance(requests, dict)
        and all(method in REQUESTED and _is_request(asked) for method, asked in requests.items())
    )


def _is_request(asked: Json) -> bool:
    """Return whether a value is a method's request: metadata names, each with a bool or name."""
    return isinstance(asked, dict) and all(
        _is_metadata(name) and (isinstance(alias, bool) or _is_metadata(alias)) for name, alias in asked.items()
    )


def _is_metadata(name: Json) -> bool:
    return isinstance(name, str) and KEYWORD.fullmatch(name) is not None


def is_function_name(name: Json) -> bool:
    """Return whether a name has the spelling of an allowed function.

    Only a lookup shows whether it is one.
    """
    return isinstance(name, str) and _FUNCTION.fullmatch(name) is not None


def is_function(value: Json) -> bool:
    """Return whether a value is an encoded function."""
    return isinstance(value, dict) and value.keys() == {"__function__"} and is_function_name(value["__function__"])


def problem_of(value: dict[str, Json], check: Callable[[Json], None]) -> str | None:
    """Return what is wrong with a value with a reserved key, or None.

    Parameters
    ----------
    value : dict
        An object with one of `KEYS`.
    check : callable
        Raises an error for an invalid value inside.

    Returns
    -------
    str or None
        The end of a sentence.
    """
    [(key, inside)] = value.items() if len(value) == 1 else [("", None)]
    match key, inside:
        case "__function__", _ if is_function_name(inside):
            return None
        case "__function__", _:
            return (
                "names no function that is allowed: ufuncs of NumPy and scipy.special are, scores of "
                f"sklearn.feature_selection, and {', '.join(sorted(PURE_FUNCTIONS))} of NumPy"
            )
        case "__selector__", {**fields} if fields.keys() <= _SELECTOR:
            pattern = fields.get("pattern")
            if pattern is not None and not isinstance(pattern, str):
                return "is not a selector of columns: its pattern must be text or None"
            if pattern is not None and (problem := problem_of_pattern(pattern)):
                return f"is not an allowed selector of columns: its pattern {problem}"
            if all(_chooses(fields.get(name)) for name in ("dtype_include", "dtype_exclude")):
                return None
            return "is not a selector of columns: its dtypes must be names, types, or a list of these"
        case "__slice__", [_, _, _]:
            return None if all(map(_is_bound, inside)) else "is not a slice: its bounds must be integers, text or None"
        case "__array__", [str(dtype), list(items)] if dtype in ARRAYS:
            check(items)
            rows = items if dtype in NUMBERS and items and all(isinstance(row, list) for row in items) else [items]
            if len(set(map(len, rows))) > 1 or not all(_fits(item, dtype) for row in rows for item in row):
                return f"is not an array of dtype {dtype}"
            return (
                "is an array of text with one item that is far too long" if dtype == "str" and _padded(items) else None
            )
        case "__index__", list(items):
            check(items)
            return None if all(map(_is_label, items)) else _NO_INDEX
        case "__index__", {"labels": list(items), "name": name, **rest} if not rest:
            check(items)
            return None if all(map(_is_label, [name, *items])) else _NO_INDEX
        case "__dtype__", str(name) if name in DTYPES:
            return None
        case "__type__", str(name) if name in TYPES:
            return None
        case _ if key in OBJECTS:
            return problem_of_object(key, inside, check)
        case "__dtype__" | "__type__", _:
            return f"is not an allowed type: pass one of {', '.join(sorted(DTYPES))}"
    return f"misuses the reserved key {key or min(value)!r}"


def _chooses(value: Json) -> bool:
    """Return whether a value may select columns by dtype."""
    if isinstance(value, list):
        return all(not isinstance(item, list) and item is not None and _chooses(item) for item in value)
    match value:
        case None:
            return True
        case str():
            return _DTYPE.fullmatch(value) is not None
        case {"__type__": str(name), **rest}:
            return name in TYPES and not rest
        case {"__dtype__": str(name), **rest}:
            return name in DTYPES and not rest
    return False


def _is_label(value: Json) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _padded(items: list[str]) -> bool:
    """Return whether an array of texts would take much more memory than its message."""
    lengths = [len(item) for item in items]
    return len(items) * max(lengths, default=0) > _MOST_PADDING * (sum(lengths) + len(items))


def _is_bound(value: Json) -> bool:
    return value is None or (_is_label(value) and (isinstance(value, str) or abs(value) < 2**63))


def _fits(item: Json, dtype: str) -> bool:
    """Return whether an item has exactly the type of an array; NumPy would convert any value."""
    if dtype in {"object", "str"}:
        return isinstance(item, str)
    if dtype == "bool":
        return isinstance(item, bool)
    if dtype.startswith("float"):
        is_number = isinstance(item, (int, float)) and not isinstance(item, bool)
        return is_number or (isinstance(item, dict) and item.keys() == {"__float__"})
    bits = int(dtype.lstrip("uint"))
    low, high = (0, 2**bits) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    return isinstance(item, int) and not isinstance(item, bool) and low <= item < high
