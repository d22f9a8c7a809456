"""Scorers on a worker: scikit-learn's, by name or made of its metric functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    cohen_kappa_score,
    fbeta_score,
    get_scorer,
    hinge_loss,
    log_loss,
    make_scorer,
    mean_absolute_error,
    roc_auc_score,
)
from sklearn.tree import DecisionTreeClassifier

from producer.validation import check_scoring
from warren.errors import InputError
from warren.messages import MetricScorer
from warren.safety.scorers import metric_function, metric_name
from worker.training.scorers import make_scorer as worker_scorer

DRAW = np.random.default_rng(1)
X = DRAW.normal(size=(60, 3))
Y = (X[:, 0] + DRAW.normal(size=60) > 0).astype(int)
WEIGHTS = DRAW.uniform(0.1, 2.0, 60)
MODEL = LogisticRegression().fit(X, Y)

SCORERS = {
    "keywords": make_scorer(fbeta_score, beta=2, average="macro"),
    "a tuple": make_scorer(fbeta_score, beta=0.5, labels=(1, 0), average=None),
    "a loss": make_scorer(mean_absolute_error, greater_is_better=False),
    "probabilities": make_scorer(log_loss, greater_is_better=False, response_method="predict_proba"),
    "decisions": make_scorer(hinge_loss, response_method="decision_function"),
    "the first of two": make_scorer(roc_auc_score, response_method=("decision_function", "predict_proba"), max_fpr=0.5),
    "two raters": make_scorer(cohen_kappa_score, weights="quadratic"),
    "a number that is none": make_scorer(fbeta_score, beta=1, zero_division=math.nan),
}


def there(scoring: Any) -> Any:
    """Send scorers to a worker."""
    return worker_scorer(check_scoring(scoring, None, [MODEL])[0])


@pytest.mark.parametrize("weights", [{}, {"sample_weight": WEIGHTS}], ids=["without weights", "with weights"])
@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_a_scorer_made_of_a_metric_scores_as_where_it_was_made(scorer: Any, weights: dict[str, Any]) -> None:
    expected = scorer(MODEL, X, Y, **weights)
    for scoring in (scorer, {"one": scorer, "two": "accuracy"}):
        [found, *_] = there(scoring)(MODEL, X, Y, **weights).values()
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("metrics", [["own"], ["own", "accuracy", "fbeta"]])
def test_the_estimator_s_own_score_takes_weights_where_it_can(metrics: list[str]) -> None:
    class Unweighted(BaseEstimator):
        def predict(self, X: Any) -> Any:
            return np.zeros(len(X), dtype=int)

        def score(self, X: Any, y: Any = None) -> float:
            return 0.25

    every: dict[str, Any] = {"own": None, "accuracy": "accuracy", "fbeta": make_scorer(fbeta_score, beta=2)}
    score = there({metric: every[metric] for metric in metrics})
    tree = DecisionTreeClassifier(max_depth=1, random_state=0).fit(X, Y)
    found = score(tree, X, Y, sample_weight=WEIGHTS)
    assert list(found) == metrics
    assert found["own"] == tree.score(X, Y, sample_weight=WEIGHTS) != tree.score(X, Y)
    assert score(tree, X, Y)["own"] == tree.score(X, Y)
    assert score(Unweighted(), X, Y, sample_weight=WEIGHTS)["own"] == 0.25
    assert there(None)(Unweighted(), X, None) == {"score": 0.25}


def test_metrics_that_share_a_prediction_share_it() -> None:
    class Counts(LogisticRegression):
        asked = 0

        def predict(self, X: Any) -> Any:
            Counts.asked += 1
            return super().predict(X)

    there({"one": make_scorer(fbeta_score, beta=2), "two": "accuracy", "three": "f1"})(Counts().fit(X, Y), X, Y)
    assert Counts.asked == 1


def test_a_metric_that_fails_leaves_the_others() -> None:
    found = there({"bad": make_scorer(fbeta_score, beta=-1), "good": "accuracy"})(MODEL, X, Y)
    assert "InvalidParameterError" in found["bad"]
    assert found["good"] == MODEL.score(X, Y)
    assert "InvalidParameterError" in there(make_scorer(fbeta_score, beta=-1))(MODEL, X, Y)["score"]


def own_metric(y_true: Any, y_pred: Any, *, weight: float = 1.0) -> float:
    return weight * float((y_true == y_pred).mean())


def test_a_metric_of_the_operator_s_is_made_where_it_is_allowed() -> None:
    name = f"{__name__}.own_metric"
    scorers = {"score": MetricScorer(function=name, kwargs={"weight": 2.0})}
    assert worker_scorer(scorers, [name])(MODEL, X, Y) == {"score": 2.0 * MODEL.score(X, Y)}
    for allow in ([], ["own_metric"], [f"{__name__}.other"]):
        with pytest.raises(InputError, match=r"own_metric' is not on the allow-list.*WARREN_ALLOW"):
            worker_scorer(scorers, allow)


def test_an_allowed_name_must_lead_to_a_function() -> None:
    for name, reason in {
        "os.path": "is not a public function of os",
        "warren.errors.InputError": "is not a public function",
        "no_such_module.metric": "its module can't be imported here",
        f"{__name__}.nonsense": "is not a public function",
    }.items():
        with pytest.raises(InputError, match=reason):
            metric_function(name, allow=[name])


def test_every_metric_has_the_name_that_leads_back_to_it() -> None:
    for function in (fbeta_score, roc_auc_score, cohen_kappa_score, get_scorer("rand_score")._score_func):
        assert metric_function(metric_name(function)) is function
