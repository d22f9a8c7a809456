"""Scorers, by name and made of metric functions."""

from functools import partial

import pytest
from lightgbm import LGBMRanker
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    f1_score,
    fbeta_score,
    get_scorer,
    get_scorer_names,
    make_scorer,
    mean_squared_error,
    pairwise_distances,
    roc_auc_score,
)

from producer.validation import check_scoring
from warren.errors import InputError
from warren.messages import MetricScorer

MODELS = [LogisticRegression()]


@pytest.mark.parametrize(
    ("scoring", "scorers"),
    [
        (None, {"score": None}),
        ("roc_auc", {"score": "roc_auc"}),
        (["roc_auc", "accuracy"], {"roc_auc": "roc_auc", "accuracy": "accuracy"}),
        (("roc_auc",), {"roc_auc": "roc_auc"}),
        ({"roc_auc", "accuracy"}, {"accuracy": "accuracy", "roc_auc": "roc_auc"}),
        ({"AUC": "roc_auc", "my-f1": "f1"}, {"AUC": "roc_auc", "my-f1": "f1"}),
        ({"score": "f1", "auc": "roc_auc"}, {"score": "f1", "auc": "roc_auc"}),
        ({"own": None, "f1": "f1"}, {"own": None, "f1": "f1"}),
    ],
)
def test_scorers_keep_the_users_order_and_the_first_makes_the_best(scoring, scorers):
    found, refit = check_scoring(scoring, None, MODELS)
    assert list(found.items()) == list(scorers.items())
    assert refit == next(iter(scorers))


@pytest.mark.parametrize(
    ("scoring", "refit", "best"),
    [
        (None, True, "score"),
        ("f1", "score", "score"),
        ("f1", "f1", "score"),
        ("f1", False, "score"),
        (["f1", "roc_auc"], "roc_auc", "roc_auc"),
        (["f1"], True, "f1"),
    ],
)
def test_refit_says_which_metric_makes_the_best(scoring, refit, best: str):
    assert check_scoring(scoring, refit, MODELS)[1] == best


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ("accurracy", r"scoring='accurracy' is not a scorer; the closest name is 'accuracy'"),
        (["f1", "roc"], r"scoring\[1\]='roc' is not a scorer; the closest name is 'roc_auc"),
        ({"a": "rmse"}, r"scoring\['a'\]='rmse' is not a scorer"),
        ({"a": 3}, r"scoring\['a'\]=3: int is not a scorer; pass a scorer's name.*make_scorer\(fbeta_score, beta=2\)"),
        (lambda estimator, X, y: 0.0, "a callable can't be sent.*pass a scorer's name"),
        (accuracy_score, "a callable can't be sent.*make_scorer"),
        ({"a": len}, r"scoring\['a'\]=<built-in function len>: a callable can't be sent, because a message"),
        ([len], r"scoring\[0\]=.*a metric without a name; pass the scorer's name, or a dict of metric to scorer"),
        (make_scorer(lambda y, z: 0.0), "<lambda> can't be sent.*a function of sklearn.metrics, or .* WARREN_ALLOW"),
        (make_scorer(pairwise_distances), "does not compare true with predicted values"),
        (make_scorer(fbeta_score, gamma=1), "'sklearn.metrics.fbeta_score' takes no keyword 'gamma'; it takes beta, "),
        (make_scorer(accuracy_score, y_pred=1), "takes no keyword 'y_pred'"),
        (make_scorer(f1_score, labels=len), r"scoring: labels = <built-in function len>: a callable can't be sent"),
        (make_scorer(f1_score, labels=[Ridge()]), "no estimator"),
        (["f1", "f1"], "scoring names 'f1' twice"),
        ([], r"scoring=\[\] is empty"),
        ({}, r"scoring=\{\} is empty"),
        (3, "scoring=3: pass a scorer's name"),
        ({"a.b": "f1"}, "'a.b' can't be a metric's name"),
        ({"$a": "f1"}, "can't be a metric's name"),
        ({"__a": "f1"}, "'__a' can't be a metric's name"),
        ({"a b": "f1"}, "can't be a metric's name"),
        ({"": "f1"}, "'' can't be a metric's name"),
        ({1: "f1"}, "1 can't be a metric's name"),
        ({"auc": "roc_auc", "score": "f1"}, "metric 'score' would share its column mean_test_score with 'auc'"),
    ],
)
def test_what_can_not_score_is_refused_before_anything_is_published(scoring, message: str):
    with pytest.raises(InputError, match=message):
        check_scoring(scoring, None, MODELS)


@pytest.mark.parametrize(
    ("scoring", "refit", "message"),
    [
        (["f1", "roc_auc"], "auc", "refit='auc' is not a metric: pass one of 'f1', 'roc_auc'"),
        (["f1", "roc_auc"], True, "refit=True: with several metrics, pass the one"),
        ("f1", "roc_auc", "refit='roc_auc' is not a metric"),
        ("f1", max, "a callable can't be sent"),
        ("f1", 3, "refit=3 is not a metric"),
    ],
)
def test_a_refit_that_is_no_metric_is_refused(scoring, refit, message: str):
    with pytest.raises(InputError, match=message):
        check_scoring(scoring, refit, MODELS)


def test_an_estimator_without_a_score_needs_a_scorer():
    with pytest.raises(InputError, match="LGBMRanker has no score method"):
        check_scoring(None, None, [*MODELS, LGBMRanker()])


@pytest.mark.parametrize(
    ("scorer", "parts"),
    [
        (make_scorer(fbeta_score, beta=2), {"function": "fbeta_score", "kwargs": {"beta": 2}}),
        (make_scorer(partial(fbeta_score, beta=2)), {"function": "fbeta_score", "kwargs": {"beta": 2}}),
        (
            make_scorer(mean_squared_error, greater_is_better=False, multioutput=[0.25, 0.75]),
            {
                "function": "mean_squared_error",
                "greater_is_better": False,
                "kwargs": {"multioutput": [0.25, 0.75]},
            },
        ),
        (
            make_scorer(roc_auc_score, response_method=("decision_function", "predict_proba"), max_fpr=0.5),
            {
                "function": "roc_auc_score",
                "response_method": ("decision_function", "predict_proba"),
                "kwargs": {"max_fpr": 0.5},
            },
        ),
        (
            make_scorer(cohen_kappa_score, weights="quadratic"),
            {"function": "cohen_kappa_score", "kwargs": {"weights": "quadratic"}},
        ),
        (
            make_scorer(f1_score, average="macro", zero_division=float("nan")),
            {"function": "f1_score", "kwargs": {"average": "macro", "zero_division": {"__float__": "nan"}}},
        ),
    ],
    ids=["keywords", "a partial", "a loss", "two responses", "two raters", "NaN"],
)
def test_a_scorer_made_of_a_metric_travels_in_parts(scorer, parts):
    found, refit = check_scoring({"one": scorer}, None, MODELS)
    assert found == {"one": MetricScorer(**parts | {"function": f"sklearn.metrics.{parts['function']}"})}
    assert refit == "one"
    assert check_scoring(scorer, True, MODELS)[0]["score"] == found["one"]


@pytest.mark.parametrize("name", get_scorer_names())
def test_a_scorer_that_scikit_learn_has_under_a_name_travels_as_the_name(name: str):
    assert check_scoring(get_scorer(name), None, MODELS)[0] == {"score": name}


def test_a_metric_that_the_operator_named_is_taken():
    scorer = make_scorer(own_metric, weight=2.0)
    name = f"{own_metric.__module__}.own_metric"
    found, _ = check_scoring(scorer, None, MODELS, allow=[name])
    assert found == {"score": MetricScorer(function=name, kwargs={"weight": 2.0})}
    with pytest.raises(InputError, match="own_metric can't be sent.*name it in WARREN_ALLOW"):
        check_scoring(scorer, None, MODELS, allow=["own_metric"])


def own_metric(y_true, y_pred, weight=1.0):
    return weight * float((y_true == y_pred).mean())
