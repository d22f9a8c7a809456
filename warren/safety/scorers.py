"""Metric functions that a message may name, for scorers that have no name of their own.

``make_scorer(fbeta_score, beta=2)`` travels as the function's dotted name and JSON keywords. A name leads to a public
function of ``sklearn.metrics`` that compares what is true with what was predicted, or is listed, letter by letter, in
the setting ``WARREN_ALLOW``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from warren.encoding.encoded import Json, holds_estimator
from warren.encoding.tagged_objects import KEYWORD, MAKE_SCORERS_OWN
from warren.errors import InputError, plain, short
from warren.safety.allowlist import look_up
from warren.safety.parameter_checks import check_value

_METRICS = "sklearn.metrics"
# What scikit-learn calls the first argument of a function that compares: labels, clusters, ratings of one person.
_TRUE = frozenset({"y_true", "labels_true", "y1"})
# The true and the predicted values come first; what follows may be keywords.
_COMPARED = 2


def check_keywords(kwargs: Mapping[str, Json], where: str) -> None:
    """Refuse encoded keywords of a metric function that `decode` could not read, or that hold estimators.

    Parameters
    ----------
    kwargs : mapping of str to Json
        What `warren.encoding.codec.encode` returned, or what a message has in its place.
    where : str
        What they are, for the error.

    Raises
    ------
    InputError
        Names the keyword, its value and the way out.
    """
    for name, value in kwargs.items():
        place = f"{where}[{short(name)}]"
        if not KEYWORD.fullmatch(name) or name in MAKE_SCORERS_OWN:
            raise InputError(
                f"{place}: {short(name)} is no keyword of a metric: letters, digits and '_', none of make_scorer's own"
            )
        check_value(value, place, named=False)
        if holds_estimator(value):
            raise InputError(f"{place} = {short(value)}: a metric takes numbers, text and lists of them, no estimator")


def metric_function(name: str, kwargs: Iterable[str] = (), allow: Iterable[str] = ()) -> Callable[..., Any]:
    """Return the metric function that an allowed dotted name stands for.

    Parameters
    ----------
    name : str
        ``sklearn.metrics.fbeta_score``, for one.
    kwargs : iterable of str, default=()
        Keywords that it shall be called with.
    allow : iterable of str, default=()
        Further names, exactly as they may appear (the setting ``WARREN_ALLOW``).

    Returns
    -------
    callable

    Raises
    ------
    InputError
        The name is not on the allow-list, leads to no such function, or the function takes no such keyword.
    """
    named = name in allow
    module, _, last = name.rpartition(".")
    if not named and module != _METRICS:
        raise InputError(
            f"metric {short(name)} is not on the allow-list: use a public function of {_METRICS}, or name it in "
            "WARREN_ALLOW where workers and producers run"
        )
    try:
        found = look_up(name)
        public = named or last in look_up(f"{_METRICS}.__all__")
    except InputError as exc:
        raise InputError(f"metric {exc}") from exc
    if not inspect.isfunction(found) or not public:
        raise InputError(f"metric {plain(name)!r} is no public function of {module}")
    taken = inspect.signature(found).parameters
    if not named and next(iter(taken), "") not in _TRUE:
        raise InputError(f"metric {name!r} compares no true with predicted values: it can't make a scorer")
    keywords = [*taken][_COMPARED:]
    anything = any(one.kind is one.VAR_KEYWORD for one in taken.values())
    if unknown := [one for one in kwargs if one not in keywords and not anything]:
        raise InputError(f"metric {name!r} takes no keyword {short(unknown[0])}; it takes {', '.join(keywords)}")
    return found


def metric_name(function: Any, allow: Iterable[str] = ()) -> str:
    """Return the allowed name of a metric function.

    Parameters
    ----------
    function : callable
        What `sklearn.metrics.make_scorer` was given.
    allow : iterable of str, default=()
        Further allowed names.

    Returns
    -------
    str
        A name that `metric_function` takes back to `function`.

    Raises
    ------
    InputError
        No allowed name leads to this function.
    """
    own = getattr(function, "__name__", type(function).__name__)
    full = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', own)}"
    if full in allow:
        return full
    public = f"{_METRICS}.{own}"
    if look_up(public) is not function:
        raise InputError(
            f"the metric {full} can't travel, for a message must not run code: use a function of {_METRICS}, or one in "
            "a module that the workers have too, and name it in WARREN_ALLOW where workers and producers run"
        )
    metric_function(public)
    return public


def is_scorer(value: Any) -> bool:
    """Say whether a value is what `sklearn.metrics.make_scorer` makes; its class has no public name."""
    return hasattr(value, "_score_func") and type(value) is type(look_up(f"{_METRICS}.get_scorer")("accuracy"))


def scorer_parts(scorer: Any, allow: Iterable[str] = ()) -> str | dict[str, Any]:
    """Say what `sklearn.metrics.make_scorer` was given.

    Parameters
    ----------
    scorer : scorer
        What it made.
    allow : iterable of str, default=()
        Further metric functions.

    Returns
    -------
    str or dict
        A name where scikit-learn has this very scorer under one; or ``function``, its allowed name,
        ``greater_is_better``, ``response_method``, a name or a list, and ``kwargs``, as the user wrote them.

    Raises
    ------
    InputError
        Its metric may not travel.
    """
    function: Any = scorer._score_func
    keywords: dict[str, Any] = dict(scorer._kwargs)
    while isinstance(function, partial) and not function.args:
        function, keywords = function.func, function.keywords | keywords
    response, sign = scorer._response_method, scorer._sign
    methods = (response,) if isinstance(response, str) else tuple(response)
    get_scorer = look_up(f"{_METRICS}.get_scorer")
    for name in look_up(f"{_METRICS}.get_scorer_names")():
        other = get_scorer(name)
        same = other._score_func is function and other._sign == sign and other._response_method in (response, methods)
        if same and other._kwargs == keywords:
            return str(name)
    known = metric_name(function, allow)
    metric_function(known, keywords, allow)
    return {
        "function": known,
        "greater_is_better": sign > 0,
        "response_method": methods[0] if len(methods) == 1 else list(methods),
        "kwargs": keywords,
    }


def scorer_of(parts: str | Mapping[str, Any], allow: Iterable[str] = ()) -> Any:
    """Return the scorer that `scorer_parts` took apart.

    Raises
    ------
    InputError
        scikit-learn has none of this name, or the metric function is not allowed.
    """
    if isinstance(parts, str):
        try:
            return look_up(f"{_METRICS}.get_scorer")(parts)
        except ValueError as exc:
            raise InputError(
                f"no scorer is called {parts!r} here: scikit-learn's get_scorer_names() lists them"
            ) from exc
    method = parts["response_method"]
    return look_up(f"{_METRICS}.make_scorer")(
        metric_function(parts["function"], parts["kwargs"], allow),
        response_method=method if isinstance(method, str) else tuple(method),
        greater_is_better=parts["greater_is_better"],
        **parts["kwargs"],
    )
