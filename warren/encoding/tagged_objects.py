"""Rules for objects with a reserved key: sets, splitters, scorers, distributions, generators.

A part of `warren.encoding.tags`, and like it independent of libraries: `warren.encoding.values`
creates the objects.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Any  # as in warren.encoding.codec, which imports NumPy; an idle worker does not need it

OBJECTS = frozenset({"__set__", "__frozenset__", "__splitter__", "__scorer__", "__distribution__", "__random_state__"})
"""Their keys."""

_DRAWN = frozenset({"random_state"})
SPLITTERS: Mapping[str, frozenset[str]] = {
    "LeaveOneOut": frozenset(),
    "LeaveOneGroupOut": frozenset(),
    "LeavePOut": frozenset({"p"}),
    "LeavePGroupsOut": frozenset({"n_groups"}),
    "PredefinedSplit": frozenset({"test_fold"}),
    "TimeSeriesSplit": frozenset({"n_splits", "max_train_size", "test_size", "gap"}),
    **dict.fromkeys(
        ("KFold", "StratifiedKFold", "GroupKFold", "StratifiedGroupKFold"), _DRAWN | {"n_splits", "shuffle"}
    ),
    **dict.fromkeys(("RepeatedKFold", "RepeatedStratifiedKFold"), _DRAWN | {"n_splits", "n_repeats"}),
    **dict.fromkeys(
        ("ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit"),
        _DRAWN | {"n_splits", "test_size", "train_size"},
    ),
}
"""Splitters of ``sklearn.model_selection``, with their parameters."""

KEYWORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}", re.ASCII)
"""What a metric function's keyword is spelled like, a distribution's, and a name of metadata."""
MAKE_SCORERS_OWN = frozenset({"score_func", "response_method", "greater_is_better"})
"""Arguments of `sklearn.metrics.make_scorer` itself, which no metric gets."""
RESPONSES = frozenset({"predict", "predict_proba", "decision_function"})
"""Methods of an estimator that a scorer may call."""

# Words of a Mersenne Twister's state, and their size in bytes.
_WORDS, _STATE_BYTES = 624, 2496
_LONGEST_METRIC = 200
_SCORER = frozenset({"function", "greater_is_better", "response_method", "kwargs"})
_SCORER_NAME = re.compile(r"[a-z0-9_]{1,100}", re.ASCII)
_DOTTED = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+", re.ASCII)


def problem_of_object(key: str, inside: Json, check: Callable[[Json], None]) -> str | None:
    """Return what is wrong with the content of an object, or None.

    Used by `warren.encoding.tags.problem_of`.

    Parameters
    ----------
    key : str
        One of `OBJECTS`.
    inside : Json
        The content.
    check : callable
        Raises an error for an invalid value inside.

    Returns
    -------
    str or None
        The end of a sentence.
    """
    match key, inside:
        case "__set__" | "__frozenset__", list(items):
            check(items)
            return None if all(map(_is_member, items)) else "is not a set of numbers, text and tuples of them"
        case "__splitter__", [str(name), dict(params)] if name in SPLITTERS and params.keys() <= SPLITTERS[name]:
            check([*params.values()])
            fits = all(map(_splits_by, params.values()))
            return (
                None
                if fits
                else "is not a splitter: its parameters must be numbers, and a list of them for a test_fold"
            )
        case "__scorer__", str(name):
            return None if _SCORER_NAME.fullmatch(name) else "is not a scorer's name"
        case "__scorer__", {"function": str(), "kwargs": dict(kwargs)} if inside.keys() == _SCORER:
            check([*kwargs.values()])
            return _problem_of_scorer(inside)
        case "__distribution__", [str(name), list(args), dict(kwds)]:
            known = KEYWORD.fullmatch(name) and all(map(KEYWORD.fullmatch, kwds))
            numbers = all(map(is_number, (*args, *kwds.values())))
            return None if known and numbers else "is not a distribution of scipy.stats with numbers as parameters"
        case "__random_state__", [str(key), int(pos), int(has_gauss), gauss] if is_number(gauss):
            whole = 0 <= pos <= _WORDS and has_gauss in (0, 1) and random_key(key) is not None
            return None if whole else "is not a state of a random generator"
        case "__splitter__", _:
            return f"is not an allowed splitter, or has other parameters: pass one of {', '.join(sorted(SPLITTERS))}"
    return f"misuses the reserved key {key!r}"


def random_key(text: str) -> bytes | None:
    """Return the words of a Mersenne Twister's state.

    None if invalid, or all zero, which would draw the same for ever.
    """
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == _STATE_BYTES and any(key) else None


def _problem_of_scorer(scorer: Mapping[str, Json]) -> str | None:
    methods = scorer["response_method"]
    methods = [methods] if isinstance(methods, str) else methods
    if not _DOTTED.fullmatch(scorer["function"]) or len(scorer["function"]) > _LONGEST_METRIC:
        return "is not a scorer: its function must be the dotted name of a metric"
    if not isinstance(scorer["greater_is_better"], bool) or not isinstance(methods, list) or not methods:
        return "is not a scorer: greater_is_better must be a bool, and response_method a name or a list"
    if not all(isinstance(method, str) and method in RESPONSES for method in methods) or len(methods) > len(RESPONSES):
        return f"is not a scorer: response_method must be one of {', '.join(sorted(RESPONSES))}, or a list of them"
    for name, value in scorer["kwargs"].items():
        if not KEYWORD.fullmatch(name) or name in MAKE_SCORERS_OWN or not _is_plain(value):
            return "is not a scorer: keywords must be numbers, text and lists, and not make_scorer's own"
    return None


def _is_plain(value: Json) -> bool:
    """Return whether a value consists only of numbers, text, lists, tuples, dicts and arrays."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        plain = {"__float__", "__tuple__", "__dict__", "__array__"}
        return all(not key.startswith("__") or key in plain for key in value) and all(map(_is_plain, value.values()))
    return True


def is_number(value: Json) -> bool:
    """Return whether a value is a number, including encoded NaN and infinities."""
    if isinstance(value, dict):
        return value.keys() == {"__float__"} and value["__float__"] in ("nan", "inf", "-inf")
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_member(value: Json) -> bool:
    """Return whether a value may be in a set."""
    if isinstance(value, dict) and value.keys() == {"__tuple__"} and isinstance(value["__tuple__"], list):
        return all(map(_is_member, value["__tuple__"]))
    return value is None or isinstance(value, (bool, str)) or is_number(value)


def _splits_by(value: Json) -> bool:
    """Return whether a value may be a parameter of a splitter."""
    if isinstance(value, dict):
        return len(value) == 1 and not value.keys().isdisjoint({"__array__", "__random_state__"})
    return value is None or isinstance(value, (bool, int, float))
