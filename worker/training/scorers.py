"""Turn a message's scorers into one callable that scores by every metric."""

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

# By this, scikit-learn's answer shows which of several scorers failed.
_TRACEBACK = "Traceback (most recent call last):"

Scorer = Callable[..., Mapping[str, Any]]
"""Takes a fitted estimator, X, y and `sample_weight` if there are weights.

Only scorers that accept weights get them.

Returns a number for each metric, or `Failed`.
"""


class Failed(str):
    """The traceback of a failed scorer; its type differs from a text that a scorer returns."""

    __slots__ = ()


class _OwnScore:
    """Calls the estimator's own ``score``, with weights if it accepts them."""

    def __call__(self, estimator: Any, X: Matrix, y: Any = None, **weights: Any) -> Any:
        taken = weights if "sample_weight" in inspect.signature(estimator.score).parameters else {}
        return estimator.score(X, **taken) if y is None else estimator.score(X, y, **taken)

    def _accept_sample_weight(self) -> bool:
        """Tell scikit-learn that weights are accepted.

        Whether they are used depends on the estimator of the call.
        """
        return True

    def get_metadata_routing(self) -> MetadataRequest:
        """Request weights when metadata is routed: a scorer without a request gets none."""
        asked = MetadataRequest(owner=self)
        asked.score.add_request(param="sample_weight", alias=True)
        return asked


def _weighed(scorer: Any) -> Any:
    """Return a scorer that requests weights when metadata is routed.

    The objective decides whether there are any.
    """
    if isinstance(scorer, _OwnScore) or not sklearn.get_config().get("enable_metadata_routing"):
        return scorer
    takes_some = getattr(scorer, "_accept_sample_weight", bool)()  # absent in scikit-learn 1.6
    return scorer.set_score_request(sample_weight=True) if takes_some else scorer


def _made(scorer: Scoring, allow: tuple[str, ...]) -> Any:
    """Build a scorer.

    Raises
    ------
    ValueError
        There is no scorer of this name; an `InputError` if its metric function is not allowed.
    """
    if scorer is None:
        return _OwnScore()
    if not isinstance(scorer, MetricScorer):
        return get_scorer(scorer)
    kwargs = {name: decode(value, build=_no_estimator) for name, value in scorer.kwargs.items()}
    return scorer_of(scorer.model_dump() | {"kwargs": kwargs}, allow)


def _no_estimator(cls: type, _: dict[str, Any]) -> Any:
    raise InputError(f"a metric takes numbers, text and lists of them, not {cls.__name__}")


def make_scorer(scorers: Mapping[str, Scoring], allow: Iterable[str] = ()) -> Scorer:
    """Return one callable for all metrics, which predicts once for those that share a prediction.

    Parameters
    ----------
    scorers : mapping of str to (str, MetricScorer or None)
        Scorer by metric: the name of a scikit-learn scorer, a scorer made of a metric function, or
        None for the estimator's own ``score``.
    allow : iterable of str, default=()
        Further allowed metric functions (the setting ``WARREN_ALLOW``).

    Returns
    -------
    callable
        See `Scorer`.

    Raises
    ------
    ValueError
        scikit-learn has no such scorer; an `InputError` if a metric function is not allowed.
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
        # Metadata routing raises for weights that no scorer requests.
        taken = weights if weights and together._accept_sample_weight() else {}
        scores: Mapping[str, Any] = together(estimator, X, y, **taken)
        return {
            metric: Failed(score) if isinstance(score, str) and score.startswith(_TRACEBACK) else score
            for metric, score in scores.items()
        }

    return score_all
