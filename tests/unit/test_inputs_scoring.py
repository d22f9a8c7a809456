"""Scorers by name."""

import pytest
from lightgbm import LGBMRanker
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, mean_squared_error

from producer.inputs import check_scoring
from tuning.errors import InputError

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
        ("accurracy", r"scoring='accurracy' is no scorer; the nearest that exists is 'accuracy'"),
        (["f1", "roc"], r"scoring\[1\]='roc' is no scorer; the nearest that exists is 'roc_auc"),
        ({"a": "rmse"}, r"scoring\['a'\]='rmse' is no scorer"),
        ({"a": None}, r"scoring\['a'\]=None: NoneType is no scorer"),
        (make_scorer(mean_squared_error), "a callable can't travel.*pass the scorer's name"),
        ({"a": len}, r"scoring\['a'\]=<built-in function len>: a callable can't travel; pass the scorer's name"),
        ([len], r"scoring\[0\]=.*a callable can't travel; pass the scorer's name"),
        (["f1", "f1"], "scoring names 'f1' twice"),
        ([], r"scoring=\[\] is empty"),
        ({}, r"scoring=\{\} is empty"),
        (3, "scoring=3: pass a scorer's name"),
        ({"a.b": "f1"}, "a metric can't be called 'a.b'"),
        ({"$a": "f1"}, "a metric can't be called"),
        ({"__a": "f1"}, "a metric can't be called '__a'"),
        ({"a b": "f1"}, "a metric can't be called"),
        ({"": "f1"}, "a metric can't be called ''"),
        ({1: "f1"}, "a metric can't be called 1"),
        ({"auc": "roc_auc", "score": "f1"}, "metric 'score' would share its column mean_test_score with 'auc'"),
    ],
)
def test_what_can_not_score_is_refused_before_anything_is_published(scoring, message: str):
    with pytest.raises(InputError, match=message):
        check_scoring(scoring, None, MODELS)


@pytest.mark.parametrize(
    ("scoring", "refit", "message"),
    [
        (["f1", "roc_auc"], "auc", "refit='auc' is not among the metrics: pass one of 'f1', 'roc_auc'"),
        (["f1", "roc_auc"], True, "refit=True: with several metrics it must say"),
        ("f1", "roc_auc", "refit='roc_auc' is not among the metrics"),
        ("f1", max, "a callable can't travel"),
        ("f1", 3, "refit=3 is not among"),
    ],
)
def test_a_refit_that_is_no_metric_is_refused(scoring, refit, message: str):
    with pytest.raises(InputError, match=message):
        check_scoring(scoring, refit, MODELS)


def test_an_estimator_without_a_score_needs_a_scorer():
    with pytest.raises(InputError, match="LGBMRanker has no score method of its own"):
        check_scoring(None, None, [*MODELS, LGBMRanker()])
