"""Scorers: what a message says of them becomes one callable that scores a fitted estimator by every metric."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sklearn
from sklearn.metrics import check_scoring, get_scorer
from sklearn.utils.metadata_routing import MetadataRequest

from warren.encoding.codec import decode
from warren.errors import InputError
from warren.messages import MetricScorer, Scoring
from warren.safety.scorers import scorer_of
from warren.storage.dataset import Matrix
from worker.training.fit_errors import trace_of

# How scikit-learn tells a scorer that failed among several.
_TRACEBACK = "Traceback (most recent call last):"

Scorer = Callable[..., Mapping[str, Any]]
"""Takes a fitted estimator, X, y and, if there are weights, `sample_weight`, which it hands to scorers that take them.

Returns a number a metric, or `Failed`.
"""


class Failed(str):
    """The traceback of a scorer that failed: a text that a scorer returns is none."""

    __slots__ = ()


class _OwnScore:
    """Asks the estimator for its own ``score``, with weights where that takes some."""

    def __call__(self, estimator: Any, X: Matrix, y: Any = None, **weights: Any) -> Any:
        taken = weights if "sample_weight" in inspect.signature(estimator.score).parameters else {}
        return estimator.score(X, **taken) if y is None else estimator.score(X, y, **taken)

    def _accept_sample_weight(self) -> bool:
        """Answer what scikit-learn asks its scorers; the estimator, which knows, comes with the call."""
        return True

    def get_metadata_routing(self) -> MetadataRequest:
        """Ask for weights where metadata is routed; who asks for none is not given any."""
        asked = MetadataRequest(owner=self)
        asked.score.add_request(param="sample_weight", alias=True)
        return asked


def _weighed(scorer: Any) -> Any:
    """Return a scorer that asks for weights where metadata is routed; the objective says whether it is given any."""
    if isinstance(scorer, _OwnScore) or not sklearn.get_config().get("enable_metadata_routing"):
        return scorer
    takes_some = getattr(scorer, "_accept_sample_weight", bool)()  # scikit-learn 1.6 asks no scorer
    return scorer.set_score_request(sample_weight=True) if takes_some else scorer


def _made(scorer: Scoring, allow: tuple[str, ...]) -> Any:
    """Return one of scikit-learn's scorers.

    Raises
    ------
    ValueError
        There is none of this name; an `InputError` where its metric function is not allowed.
    """
    if scorer is None:
        return _OwnScore()
    if not isinstance(scorer, MetricScorer):
        return get_scorer(scorer)
    kwargs = {name: decode(value, build=_no_estimator) for name, value in scorer.kwargs.items()}
    return scorer_of(scorer.model_dump() | {"kwargs": kwargs}, allow)


def _no_estimator(cls: type, _: dict[str, Any]) -> Any:
    raise InputError(f"a metric takes numbers, text and lists of them, no {cls.__name__}")


def make_scorer(scorers: Mapping[str, Scoring], allow: Iterable[str] = ()) -> Scorer:
    """Return one callable for all metrics, which predicts once for those that share a prediction.

    Parameters
    ----------
    scorers : mapping of str to (str, MetricScorer or None)
        Scorer by metric: a scikit-learn scorer's name, one made of a metric function, or None for the estimator's own
        ``score``.
    allow : iterable of str, default=()
        Further metric functions (the setting ``WARREN_ALLOW``).

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        A scorer that scikit-learn does not have; an `InputError` for a metric function that is not allowed.
    """
    allowed = tuple(allow)
    found = {metric: _weighed(_made(scorer, allowed)) for metric, scorer in scorers.items()}
    if len(found) == 1:
        [(metric, single)] = found.items()

        def score_one(estimator: Any, X: Matrix, y: Any, **weights: Any) -> Mapping[str, Any]:
            try:
                taken = weights if weights and single._accept_sample_weight() else {}
                return {metric: single(estimator, X, y, **taken)}
            except Exception as exc:  # noqa: BLE001 - a scorer that fails is a result, as in scikit-learn
                return {metric: Failed(trace_of(exc))}

        return score_one
    together = check_scoring(scoring=found, raise_exc=False)

    def score_all(estimator: Any, X: Matrix, y: Any, **weights: Any) -> Mapping[str, Any]:
        # Routing refuses what nobody asks for.
        taken = weights if weights and together._accept_sample_weight() else {}
        scores: Mapping[str, Any] = together(estimator, X, y, **taken)
        return {
            metric: Failed(score) if isinstance(score, str) and score.startswith(_TRACEBACK) else score
            for metric, score in scores.items()
        }

    return score_all
