"""The pure core: fits and scores one trial on one fold, without network or global state.

The steps and their order are those of scikit-learn's ``GridSearchCV``, so that the numbers are
equal: build a new estimator, set the trial's parameters, fit on the training part, score the
held-out part, then the training part.
"""

from __future__ import annotations

import logging
import math
import numbers
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import dropwhile
from typing import Any, Protocol, TypeVar

import numpy as np
import sklearn

from worker.fitting.learner import Derived, Fold, Learner, Part, Which
from worker.training.fit_errors import end_of, line, line_of, trace_of
from worker.training.scorers import Failed, Scorer

logger = logging.getLogger(__name__)

T = TypeVar("T")

# From scikit-learn 1.7 on, searches pass sample weights also to the scorers that accept them (its
# pull request 30743).
_WEIGHTED_SCORES = tuple(int(part) for part in sklearn.__version__.split(".")[:2]) >= (1, 7)


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """The result of one fit on one fold.

    Attributes
    ----------
    test_scores, train_scores : dict of str to float
        One score per metric; train scores are empty unless asked for.
    fit_seconds, score_seconds : float
        Seconds for fitting (this trial's share if several shared the fit) and for scoring the
        held-out part.
    saved_seconds : float
        Seconds that a separate fit would have taken in addition. An estimate: the time of a fit is
        assumed to grow with its rounds.
    error : str or None
        Why the fit or a scorer failed, on one line.
    trace : str
        The end of its traceback.
    fitted : bool
        Whether the fit itself succeeded; a scorer may have failed all the same.
    best_iteration : int or None
        Rounds that early stopping kept, counted from 1.
    chosen : dict
        Parameters that the library chose from the number of rounds, if early stopping decided that
        number.
    epochs : dict of str to list of float, or None
        The curve of its network, the last if there are several: see `worker.training.epochs.Curve`.
    resumed_epochs : int
        Epochs of its networks that a checkpoint saved.
    """

    test_scores: dict[str, float]
    train_scores: dict[str, float]
    fit_seconds: float
    score_seconds: float
    saved_seconds: float = 0.0
    error: str | None = None
    trace: str = ""
    fitted: bool = True
    best_iteration: int | None = None
    chosen: Mapping[str, Any] = field(default_factory=dict)
    epochs: Mapping[str, Sequence[float]] | None = None
    resumed_epochs: int = 0

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> FoldResult:
        """Return a stored result; fields that only a newer version knows are ignored."""
        return cls(**{name: value for name, value in kept.items() if name in cls.__dataclass_fields__})


class Counted(Derived, Protocol):
    """Values kept of a fold, and seconds spent and saved: see `data_cache.KeptDerived`."""

    made_seconds: float
    saved_seconds: float


class Nothing:
    """Keeps nothing of a fold: every value is computed for the fit that needs it."""

    made_seconds = 0.0
    saved_seconds = 0.0

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:  # noqa: ARG002 - the protocol
        """Compute the value."""
        return make()


def _checked(scores: Mapping[str, Any], error_score: float) -> tuple[dict[str, float], str]:
    """Return a scorer's numbers, and the first failure's traceback.

    A metric that failed gets `error_score`.
    """
    checked, trace = {}, ""
    for metric, score in scores.items():
        problem: str
        if isinstance(score, Failed):
            problem = score
        else:
            try:
                checked[metric] = _number(score)
                continue
            except (TypeError, ValueError, OverflowError) as exc:
                problem = line_of(exc)
        checked[metric] = error_score
        trace = trace or f"scorer {metric}: {problem}"
    return checked, trace


def _number(score: Any) -> float:
    """Return a score as a float, by the rules of `sklearn.model_selection`.

    Raises
    ------
    TypeError, OverflowError
        It is not a number, or too large for eight bytes.
    """
    if hasattr(score, "item"):
        with suppress(ValueError):  # it holds several numbers
            score = score.item()
    if not isinstance(score, numbers.Number) or isinstance(score, complex):
        raise TypeError(f"the score is a {type(score).__name__}, not a number")
    try:
        return float(score)  # type: ignore[arg-type]  # typeshed's Number has no __float__
    except OverflowError:
        raise OverflowError("the score is too large for a floating-point number, which ends at 1.8e308") from None


def fit_and_score(
    make_estimator: Callable[[], Any],
    fold: Fold,
    score: Scorer,
    metrics: Sequence[str],
    *,
    error_score: float,
    return_train_score: bool,
    seed: int,
    weigh_scores: bool = True,
    learner: Learner | None = None,
    derived: Counted | None = None,
    rounds: Sequence[int] = (),
) -> list[FoldResult | None]:
    """Fit one candidate on one fold and score it, and also the models of its first rounds.

    Parameters
    ----------
    make_estimator : callable
        Returns a new, unfitted estimator with the trial's parameters.
    fold : Fold
        The data.
    score : callable
        From `worker.training.scorers.make_scorer`.
    metrics : sequence of str
        The metrics that `score` returns.
    error_score : float
        The score of a fit or scorer that fails.
    return_train_score : bool
        Whether to score the training part too.
    seed : int
        Seed for NumPy's global generator, which estimators without a ``random_state`` use.
    weigh_scores : bool, default=True
        Whether to pass sample weights also to the scorers that accept them.
    learner : Learner, default=None
        Fits the estimator; None fits as scikit-learn does.
    derived : Counted, default=None
        Values kept of the fold for the next fit; None keeps nothing.
    rounds : sequence of int, default=()
        The rounds of each trial that shares the fit; the largest number is the estimator's own.
        Empty for one trial.

    Returns
    -------
    list of (FoldResult or None)
        One for each of `rounds`, or one; also when the fit fails: a failure is data. None for
        rounds whose model this fit does not contain: they need another fit.
    """
    learner, kept = learner or Learner(), Nothing() if derived is None else derived
    failed = dict.fromkeys(metrics, error_score)
    np.random.seed(seed)  # what check_random_state(None) returns
    started = time.perf_counter()
    try:
        made = make_estimator()
        started = time.perf_counter()
        inside = learner.inside(made, fold, kept)
        learner, estimator = inside.learner, inside.estimator
        learner.fit(estimator, inside.fold, inside.derived)
        contained: Sequence[int] = ()
        if rounds:
            contained = (
                [max(rounds)] if inside.alone else learner.contained(estimator, rounds, inside.fold, inside.derived)
            )
        fit_seconds = time.perf_counter() - started
        best_iteration = learner.best_iteration(estimator) if fold.evaluation is not None else None
        chosen = learner.chosen(estimator) if best_iteration is not None else {}
    except Exception as exc:  # noqa: BLE001 - any error of an estimator is this trial's result
        lost = FoldResult(
            test_scores=failed,
            train_scores=failed if return_train_score else {},
            fit_seconds=(time.perf_counter() - started) / max(1, len(rounds)),
            score_seconds=0.0,
            error=line_of(exc),
            trace=trace_of(exc),
            fitted=False,
        )
        return [lost] * max(1, len(rounds))

    def scores_on(part: Part, which: Which) -> tuple[dict[str, float], str]:
        asked, data = inside.scored_on(part, which)
        given = _WEIGHTED_SCORES and weigh_scores and data.weight is not None
        weights = {"sample_weight": data.weight} if given else {}
        try:
            found = score(asked, data.X, data.y, **weights)
        except Exception as exc:  # noqa: BLE001 - with several metrics: the estimator lacks a method that one of them needs
            found = dict.fromkeys(metrics, Failed(trace_of(exc)))
        return _checked(found, error_score)

    # Seconds to prepare the data to score, which each trial would spend if it were alone.
    preparing: list[float] = []

    def scored(share: float, saved: float) -> FoldResult:
        began, made_before, saved_before = time.perf_counter(), kept.made_seconds, kept.saved_seconds
        test_scores, trace = scores_on(fold.test, "test")
        score_seconds = time.perf_counter() - began
        train_scores: dict[str, float] = {}
        if return_train_score:
            train_scores, train_trace = scores_on(fold.train, "train")
            trace = trace or train_trace
        reused = kept.saved_seconds - saved_before
        saved += sum(preparing) + reused
        preparing.append(kept.made_seconds - made_before + reused)
        return FoldResult(
            test_scores=test_scores,
            train_scores=train_scores,
            fit_seconds=share,
            score_seconds=score_seconds,
            saved_seconds=saved,
            error=line(_message_of(trace)) if trace else None,
            trace=end_of(trace),
            best_iteration=best_iteration,
            chosen=chosen,
        )

    if not rounds:
        return [scored(fit_seconds, kept.saved_seconds)]
    # Alone, each trial would have prepared and binned the data, and then trained its own rounds.
    binning, training = kept.made_seconds + kept.saved_seconds, fit_seconds - kept.made_seconds
    by_rounds: dict[int, FoldResult] = {}
    try:
        for number in learner.prefixes(estimator, contained):
            share = fit_seconds * number / sum(contained)
            by_rounds[number] = scored(share, binning + training * number / max(contained) - share)
    except Exception:  # an unknown version of the library; the other trials are fitted alone
        which = {"estimator": type(estimator).__name__}
        logger.warning("can't score the first rounds of a fit: its trials are fitted alone", extra=which, exc_info=True)
        # Don't score the whole fit twice: the estimator may hold the model of fewer rounds by now.
        whole = by_rounds.get(max(rounds))
        alone = replace(whole, fit_seconds=fit_seconds, saved_seconds=kept.saved_seconds) if whole else None
        by_rounds = {max(rounds): alone or scored(fit_seconds, kept.saved_seconds)}
    return [by_rounds.get(number) for number in rounds]


def _message_of(trace: str) -> str:
    """Return the message of the exception at the end of a traceback, on any number of lines.

    Frames are indented.
    """
    lines = trace.rpartition("Traceback (most recent call last):")[2].splitlines()
    message = "\n".join(dropwhile(lambda line: not line.strip() or line.startswith(" "), lines))
    return message or trace.strip().rpartition("\n")[2]


def summary(folds: Sequence[FoldResult], metrics: Sequence[str], refit: str) -> dict[str, Any]:
    """Return scores, times and state of a trial, as fields of its document.

    Parameters
    ----------
    folds : sequence of FoldResult
        One per fold, in order.
    metrics : sequence of str
        In the user's order.
    refit : str
        The metric that ``mean_test_score`` repeats if there are several.

    Returns
    -------
    dict
        ``state``, ``mean_test_score``, ``split_test_<metric>`` (a list with one score per fold) and
        so on.
    """
    failed = [(number, fold) for number, fold in enumerate(folds) if fold.error]
    # The error of a failed fit is more useful than that of a failed scorer.
    problem = min(failed, key=lambda item: (item[1].fitted, item[0]), default=None)
    fields: dict[str, Any] = {
        "state": "FAILED" if problem else "COMPLETE",
        "error": f"fold {problem[0]}: {problem[1].error}" if problem else None,
        # Filled below; named here so that they come first in the document.
        "mean_test_score": math.nan,
        "std_test_score": math.nan,
    }
    parts = [("test", [fold.test_scores for fold in folds])]
    if folds[0].train_scores:
        parts.append(("train", [fold.train_scores for fold in folds]))
    for part, scores in parts:
        for metric in metrics:
            values = [by_metric[metric] for by_metric in scores]
            # Mean and standard deviation are computed as in scikit-learn's _format_results.
            mean = np.average(values)
            fields[f"mean_{part}_{metric}"] = float(mean)
            fields[f"std_{part}_{metric}"] = float(np.sqrt(np.average((np.asarray(values) - mean) ** 2)))
            fields[f"split_{part}_{metric}"] = values
    fields["mean_test_score"] = fields[f"mean_test_{refit}"]
    fields["std_test_score"] = fields[f"std_test_{refit}"]
    if problem:
        fields["failed_fits"] = sum(not fold.fitted for fold in folds)
        fields["traceback"] = problem[1].trace
    fields["fit_seconds"] = sum(fold.fit_seconds for fold in folds)
    fields["score_seconds"] = sum(fold.score_seconds for fold in folds)
    fields["saved_seconds"] = sum(fold.saved_seconds for fold in folds)
    fields["split_fit_seconds"] = [fold.fit_seconds for fold in folds]
    fields["split_score_seconds"] = [fold.score_seconds for fold in folds]
    kept = [fold.best_iteration for fold in folds if fold.best_iteration is not None]
    if kept:
        fields["mean_best_iteration"] = sum(kept) / len(kept)
        fields["split_best_iteration"] = [fold.best_iteration for fold in folds]
        if folds[0].chosen:  # chosen by rounds and data, which are nearly the same in all folds
            fields["chosen_params"] = dict(folds[0].chosen)
    if any(fold.epochs for fold in folds):
        fields["split_epochs"] = [dict(fold.epochs or {}) for fold in folds]
    if resumed := sum(fold.resumed_epochs for fold in folds):
        fields["resumed_epochs"] = resumed
    return fields
