"""The results of a trial's folds become the fields of its document."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from worker.training.fit_and_score import FoldResult, summary


def result(test: dict[str, float], train: dict[str, float] | None = None, **fields: Any) -> FoldResult:
    return FoldResult(test_scores=test, train_scores=train or {}, fit_seconds=0.5, score_seconds=0.25, **fields)


def test_a_trial_s_document_has_scores_times_and_state() -> None:
    folds = [
        result({"auc": 0.5, "acc": 1.0}, saved_seconds=0.25),
        result({"auc": 1.0, "acc": 0.0}, saved_seconds=0.125),
    ]
    assert summary(folds, ["auc", "acc"], "acc") == {
        "state": "COMPLETE",
        "error": None,
        "mean_test_score": 0.5,
        "std_test_score": 0.5,
        "mean_test_auc": 0.75,
        "std_test_auc": 0.25,
        "split_test_auc": [0.5, 1.0],
        "mean_test_acc": 0.5,
        "std_test_acc": 0.5,
        "split_test_acc": [1.0, 0.0],
        "fit_seconds": 1.0,
        "score_seconds": 0.5,
        "saved_seconds": 0.375,
        "split_fit_seconds": [0.5, 0.5],
        "split_score_seconds": [0.25, 0.25],
    }


def test_a_single_metric_is_called_score() -> None:
    found = summary([result({"score": 0.25}, {"score": 1.0})], ["score"], "score")
    assert (found["mean_test_score"], found["split_test_score"]) == (0.25, [0.25])
    assert (found["mean_train_score"], found["split_train_score"]) == (1.0, [1.0])


def test_rounds_that_early_stopping_kept_are_told_a_fold_and_in_the_mean() -> None:
    found = summary([result({"score": 0.5}, best_iteration=n) for n in (10, 25)], ["score"], "score")
    assert (found["mean_best_iteration"], found["split_best_iteration"]) == (17.5, [10, 25])
    lost = result({"score": math.nan}, error="ValueError: no", trace="the trace", fitted=False)
    found = summary([result({"score": 0.5}, best_iteration=10), lost], ["score"], "score")
    assert (found["mean_best_iteration"], found["split_best_iteration"]) == (10.0, [10, None])
    assert not {"mean_best_iteration", "split_best_iteration"} & summary([lost], ["score"], "score").keys()


def test_the_first_fold_that_failed_says_why() -> None:
    folds = [
        result({"score": 0.5}),
        result({"score": math.nan}, error="ValueError: no", trace="the trace", fitted=False),
        result({"score": math.nan}, error="ValueError: later", trace="another"),
    ]
    found = summary(folds, ["score"], "score")
    assert (found["state"], found["error"]) == ("FAILED", "fold 1: ValueError: no")
    assert (found["traceback"], found["failed_fits"]) == ("the trace", 1)
    assert math.isnan(found["mean_test_score"])
    assert repr(found["split_test_score"]) == "[0.5, nan, nan]"


def test_mean_and_deviation_are_computed_as_scikit_learn_does() -> None:
    for seed in range(50):
        draw = np.random.default_rng(seed)
        values = draw.normal(size=draw.integers(1, 30)).tolist()
        found = summary([result({"score": value}) for value in values], ["score"], "score")
        matrix = np.array([values, values])
        means = np.average(matrix, axis=1)
        assert found["mean_test_score"] == means[0]
        assert found["std_test_score"] == np.sqrt(np.average((matrix - means[:, np.newaxis]) ** 2, axis=1))[0]


def test_scores_without_end_make_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = summary([result({"score": math.nan}), result({"score": 0.5})], ["score"], "score")
    assert math.isnan(found["mean_test_score"])


def test_a_fit_that_failed_is_the_reason_before_a_score_that_did() -> None:
    scored = replace(result({"score": 0.0}), error="ValueError: scored")
    lost = replace(result({"score": 0.0}), error="ValueError: fitted", fitted=False)
    assert summary([scored, lost], ["score"], "score")["error"] == "fold 1: ValueError: fitted"
    assert summary([scored, scored], ["score"], "score")["error"] == "fold 0: ValueError: scored"
