"""Scorers by name, and the metric that makes the best trial."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from sklearn.metrics import get_scorer_names

from producer.inputs.text import nearest, short
from tuning.errors import InputError

# A metric becomes a field of a trial document and a column, mean_test_<metric>.
_METRIC = re.compile(r"(?!__)[A-Za-z0-9_-]{1,100}", re.ASCII)


def check_scoring(scoring: Any, refit: Any, estimators: Iterable[Any]) -> tuple[dict[str, str | None], str]:
    """Check the scorers and say which one makes the best trial.

    Parameters
    ----------
    scoring : None, str, list of str, or dict of str to str
        scikit-learn scorer names. None is the estimator's own ``score``.
    refit : None, bool or str
        The metric that makes the best; None is the first.
    estimators : iterable of estimator instances
        Those that are scored.

    Returns
    -------
    scorers : dict of str to (str or None)
        Scorer name by metric. A single metric given by its name alone is called ``score``, as in scikit-learn.
    refit : str
        One of the metrics.

    Raises
    ------
    InputError
        An unknown scorer, a callable, a metric named twice or unfit for a column, or a `refit` that is no metric.
    """
    scorers = _scorers(scoring, estimators)
    return scorers, _refit(refit, scorers, scoring)


def _scorers(scoring: Any, estimators: Iterable[Any]) -> dict[str, str | None]:
    if scoring is None:
        for estimator in estimators:
            if not callable(getattr(estimator, "score", None)):
                raise InputError(
                    f"scoring=None: {type(estimator).__name__} has no score method of its own; pass a scorer's name, "
                    "'accuracy' for one"
                )
        return {"score": None}
    if isinstance(scoring, str):
        return {"score": _known(scoring, "scoring")}
    if isinstance(scoring, Mapping):
        if not scoring:
            raise InputError(
                "scoring={} is empty: name at least one metric, or pass None for the estimator's own score"
            )
        return {_metric(metric): _known(name, f"scoring[{metric!r}]") for metric, name in scoring.items()}
    if callable(scoring):
        raise InputError(
            f"scoring={short(scoring)}: a callable can't travel, for a message must not run code; "
            "pass the scorer's name, 'roc_auc' for one"
        )
    if isinstance(scoring, (list, tuple, AbstractSet)):
        names = sorted(scoring, key=str) if isinstance(scoring, AbstractSet) else list(scoring)
        if not names:
            raise InputError(f"scoring={scoring!r} is empty: name at least one metric, or pass None")
        checked = [_known(name, f"scoring[{position}]") for position, name in enumerate(names)]
        if twice := [name for position, name in enumerate(checked) if name in checked[:position]]:
            raise InputError(f"scoring names {twice[0]!r} twice: name each metric once")
        return dict(zip(checked, checked, strict=True))
    raise InputError(f"scoring={short(scoring)}: pass a scorer's name, a list of names, or a dict of metric to name")


def _known(name: Any, where: str) -> str:
    if not isinstance(name, str):
        what = "a callable can't travel" if callable(name) else f"{type(name).__name__} is no scorer"
        raise InputError(f"{where}={short(name)}: {what}; pass the scorer's name, 'roc_auc' for one")
    known = get_scorer_names()
    if name not in known:
        raise InputError(
            f"{where}={name!r} is no scorer; the nearest that exists is {nearest(name, known)!r}. "
            "sklearn.metrics.get_scorer_names() lists them"
        )
    return str(name)


def _metric(name: Any) -> str:
    if not isinstance(name, str) or not _METRIC.fullmatch(name):
        raise InputError(
            f"scoring: a metric can't be called {name!r}, for it becomes the column mean_test_<metric>; "
            "use letters, digits, '_' and '-', and no '__' in front"
        )
    return str(name)


def _refit(refit: Any, scorers: dict[str, str | None], scoring: Any) -> str:
    first = next(iter(scorers))
    choices = ", ".join(map(repr, scorers))
    if callable(refit):
        raise InputError(f"refit={short(refit)}: a callable can't travel; pass one of {choices}")
    if refit is None or refit is False or (refit is True and len(scorers) == 1):
        best = first
    elif refit is True:
        raise InputError(f"refit=True: with several metrics it must say which one makes the best: {choices}")
    elif isinstance(refit, str) and refit in scorers:
        best = str(refit)
    elif isinstance(refit, str) and refit == scoring:
        best = first
    else:
        raise InputError(f"refit={short(refit)} is not among the metrics: pass one of {choices}")
    if "score" in scorers and best != "score":
        raise InputError(
            f"scoring: the metric 'score' would share its column mean_test_score with {best!r}, which makes the best; "
            "call it something else"
        )
    return best
