"""Checks the scorers and the metric that ranks the trials."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from sklearn.metrics import get_scorer_names

from producer.formatting import nearest, short
from warren.encoding.codec import encode
from warren.errors import InputError
from warren.messages import MetricScorer, Scoring
from warren.safety.scorers import check_keywords, is_scorer, scorer_parts

# A metric becomes a field of a trial document and the column mean_test_<metric>.
_METRIC = re.compile(r"(?!__)[A-Za-z0-9_-]{1,100}", re.ASCII)
_WAY_OUT = (
    "pass a scorer's name, such as 'roc_auc', or make_scorer(...) of a function of sklearn.metrics, "
    "such as make_scorer(fbeta_score, beta=2)"
)


def check_scoring(
    scoring: Any, refit: Any, estimators: Iterable[Any], allow: Iterable[str] = ()
) -> tuple[dict[str, Scoring], str]:
    """Check the scorers, and return them and the metric that ranks the trials.

    Parameters
    ----------
    scoring : None, str, scorer, list of str, or dict of str to (str, scorer or None)
        scikit-learn scorer names, or results of `sklearn.metrics.make_scorer` for its functions.
        None is the estimator's own ``score``.
    refit : None, bool or str
        The metric that ranks the trials; None is the first.
    estimators : iterable of estimator instances
        The estimators to score.
    allow : iterable of str, default=()
        Further allowed metric functions.

    Returns
    -------
    scorers : dict of str to (str, MetricScorer or None)
        Scorer by metric. A single metric is called ``score``, as in scikit-learn.
    refit : str
        One of the metrics.

    Raises
    ------
    InputError
        A scorer is unknown or a callable that can't be sent, a metric is repeated or can't be a
        column name, or `refit` is not a metric.
    """
    scorers = _scorers(scoring, tuple(estimators), tuple(allow))
    return scorers, _refit(refit, scorers, scoring)


def _scorers(scoring: Any, estimators: tuple[Any, ...], allow: tuple[str, ...]) -> dict[str, Scoring]:
    if scoring is None:
        _check_own_score("scoring", estimators)
        return {"score": None}
    if isinstance(scoring, str) or callable(scoring):
        return {"score": _known(scoring, "scoring", allow)}
    if isinstance(scoring, Mapping):
        if not scoring:
            raise InputError(
                "scoring={} is empty: name at least one metric, or pass None for the estimator's own score"
            )
        found: dict[str, Scoring] = {}
        for metric, scorer in scoring.items():
            where = f"scoring[{metric!r}]"
            if scorer is None:
                _check_own_score(where, estimators)
            found[_metric(metric)] = None if scorer is None else _known(scorer, where, allow)
        return found
    if isinstance(scoring, (list, tuple, AbstractSet)):
        names = sorted(scoring, key=str) if isinstance(scoring, AbstractSet) else list(scoring)
        if not names:
            raise InputError(f"scoring={scoring!r} is empty: name at least one metric, or pass None")
        checked = [_named(name, f"scoring[{position}]") for position, name in enumerate(names)]
        if twice := [name for position, name in enumerate(checked) if name in checked[:position]]:
            raise InputError(f"scoring names {twice[0]!r} twice: name each metric once")
        return dict(zip(checked, checked, strict=True))
    raise InputError(f"scoring={short(scoring)}: {_WAY_OUT}, a list of names, or a dict of metric to scorer")


def _check_own_score(where: str, estimators: tuple[Any, ...]) -> None:
    for estimator in estimators:
        if not callable(getattr(estimator, "score", None)):
            raise InputError(
                f"{where}=None: {type(estimator).__name__} has no score method; pass a scorer's name, "
                "such as 'accuracy'"
            )


def _named(name: Any, where: str) -> str:
    if not isinstance(name, str):
        what = "a metric without a name" if callable(name) else f"{type(name).__name__} is not a scorer"
        raise InputError(f"{where}={short(name)}: {what}; pass the scorer's name, or a dict of metric to scorer")
    known = get_scorer_names()
    if name not in known:
        raise InputError(
            f"{where}={name!r} is not a scorer; the closest name is {nearest(name, known)!r}. "
            "sklearn.metrics.get_scorer_names() lists them"
        )
    return str(name)


def _known(scorer: Any, where: str, allow: tuple[str, ...]) -> Scoring:
    if isinstance(scorer, str):
        return _named(scorer, where)
    if not callable(scorer):
        raise InputError(f"{where}={short(scorer)}: {type(scorer).__name__} is not a scorer; {_WAY_OUT}")
    if not is_scorer(scorer):
        raise InputError(
            f"{where}={short(scorer)}: a callable can't be sent, because a message must not run code; {_WAY_OUT}"
        )
    return _of_parts(scorer, where, allow)


def _of_parts(scorer: Any, where: str, allow: tuple[str, ...]) -> Scoring:
    """Return the arguments of `make_scorer`, or the name of one of scikit-learn's scorers."""
    try:
        parts = scorer_parts(scorer, allow)
    except InputError as exc:
        raise InputError(f"{where}={short(scorer)}: {exc}") from None
    if isinstance(parts, str):
        return parts
    encoded = {name: encode(value, f"{where}: {name}") for name, value in parts["kwargs"].items()}
    check_keywords(encoded, where)
    return MetricScorer.model_validate(parts | {"kwargs": encoded})


def _metric(name: Any) -> str:
    if not isinstance(name, str) or not _METRIC.fullmatch(name):
        raise InputError(
            f"scoring: {name!r} can't be a metric's name, because that becomes the column mean_test_<metric>; "
            "use letters, digits, '_' and '-', and no '__' at the start"
        )
    return str(name)


def _refit(refit: Any, scorers: dict[str, Scoring], scoring: Any) -> str:
    first = next(iter(scorers))
    choices = ", ".join(map(repr, scorers))
    if callable(refit):
        raise InputError(f"refit={short(refit)}: a callable can't be sent; pass one of {choices}")
    if refit is None or refit is False or (refit is True and len(scorers) == 1):
        best = first
    elif refit is True:
        raise InputError(f"refit=True: with several metrics, pass the one that ranks the trials: {choices}")
    elif isinstance(refit, str) and refit in scorers:
        best = str(refit)
    elif isinstance(refit, str) and isinstance(scoring, str) and refit == scoring:
        best = first
    else:
        raise InputError(f"refit={short(refit)} is not a metric: pass one of {choices}")
    if "score" in scorers and best != "score":
        raise InputError(
            f"scoring: the metric 'score' would share its column mean_test_score with {best!r}, which ranks the "
            "trials; give it another name"
        )
    return best
