"""Metric functions that a message may name, for scorers without a name of their own.

``make_scorer(fbeta_score, beta=2)`` is sent as the function's dotted name and JSON keywords. A name
must lead to a public function of ``sklearn.metrics`` that compares true with predicted values, or
be listed exactly in the setting ``WARREN_ALLOW``.
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
# scikit-learn's names for the first argument of a comparing function: labels, clusters, ratings by
# one person.
_TRUE = frozenset({"y_true", "labels_true", "y1"})
# The true and the predicted values come first; further arguments may be keywords.
_COMPARED = 2


def check_keywords(kwargs: Mapping[str, Json], where: str) -> None:
    """Refuse keywords of a metric that `decode` can't read, or that contain estimators.

    Parameters
    ----------
    kwargs : mapping of str to Json
        The result of `warren.encoding.codec.encode`, or what a message contains in its place.
    where : str
        Names them in the error.

    Raises
    ------
    InputError
        The text names the keyword, its value and what to do.
    """
    for name, value in kwargs.items():
        place = f"{where}[{short(name)}]"
        if not KEYWORD.fullmatch(name) or name in MAKE_SCORERS_OWN:
            raise InputError(
                f"{place}: {short(name)} is not a keyword of a metric: use letters, digits and '_', and none of "
                "make_scorer's own"
            )
        check_value(value, place, named=False)
        if holds_estimator(value):
            raise InputError(
                f"{place} = {short(value)}: a metric takes numbers, text and lists of them, but no estimator"
            )


def metric_function(name: str, kwargs: Iterable[str] = (), allow: Iterable[str] = ()) -> Callable[..., Any]:
    """Return the metric function with an allowed dotted name.

    Parameters
    ----------
    name : str
        For example ``sklearn.metrics.fbeta_score``.
    kwargs : iterable of str, default=()
        Keywords with which it will be called.
    allow : iterable of str, default=()
        Further names, spelled exactly as allowed (the setting ``WARREN_ALLOW``).

    Returns
    -------
    callable
        The function.

    Raises
    ------
    InputError
        The name is not on the allow-list, leads to no such function, or the function has no such
        keyword.
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
        raise InputError(f"metric {plain(name)!r} is not a public function of {module}")
    taken = inspect.signature(found).parameters
    if not named and next(iter(taken), "") not in _TRUE:
        raise InputError(f"metric {name!r} does not compare true with predicted values: it can't make a scorer")
    keywords = [*taken][_COMPARED:]
    anything = any(item.kind is item.VAR_KEYWORD for item in taken.values())
    if unknown := [keyword for keyword in kwargs if keyword not in keywords and not anything]:
        raise InputError(f"metric {name!r} takes no keyword {short(unknown[0])}; it takes {', '.join(keywords)}")
    return found


def metric_name(function: Any, allow: Iterable[str] = ()) -> str:
    """Return the allowed name of a metric function.

    Parameters
    ----------
    function : callable
        The argument of `sklearn.metrics.make_scorer`.
    allow : iterable of str, default=()
        Further allowed names.

    Returns
    -------
    str
        A name for which `metric_function` returns `function`.

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
            f"the metric {full} can't be sent, because a message must not run code: use a function of {_METRICS}, or "
            "one in a module that the workers have too, and name it in WARREN_ALLOW where workers and producers run"
        )
    metric_function(public)
    return public


def is_scorer(value: Any) -> bool:
    """Return whether a value was made by `sklearn.metrics.make_scorer`.

    Its class has no public name.
    """
    return hasattr(value, "_score_func") and type(value) is type(look_up(f"{_METRICS}.get_scorer")("accuracy"))


def scorer_parts(scorer: Any, allow: Iterable[str] = ()) -> str | dict[str, Any]:
    """Return the arguments from which `sklearn.metrics.make_scorer` made a scorer.

    Parameters
    ----------
    scorer : scorer
        The scorer.
    allow : iterable of str, default=()
        Further allowed metric functions.

    Returns
    -------
    str or dict
        A name if scikit-learn has exactly this scorer under one; otherwise ``function``, its
        allowed name, ``greater_is_better``, ``response_method``, a name or a list, and ``kwargs``,
        as the user gave them.

    Raises
    ------
    InputError
        Its metric function is not allowed.
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
    """Return the scorer from the result of `scorer_parts`.

    Raises
    ------
    InputError
        scikit-learn has no scorer of this name, or the metric function is not allowed.
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
