"""Early stopping: each library in its own name, watching what the study says, and what a refit
makes of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from catboost import CatBoostClassifier, Pool
from folds import evaluate
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier, XGBRegressor

from producer.models.refit import refit_estimator
from producer.space.space import Space
from producer.validation import check_early_stopping, check_estimators, make_splits, make_validation
from warren.encoding.codec import encode, encode_estimator
from warren.errors import InputError
from warren.libraries.resolve import resolve
from worker.fitting import Fold, learner_of
from worker.fitting.learner import Part
from worker.training.fit_and_score import FoldResult, summary

X, Y = make_classification(500, 10, n_informative=4, flip_y=0.3, random_state=0)
WEIGHT = np.random.default_rng(0).uniform(0.1, 2, 500)
TRAIN, TEST, APART = slice(0, 300), slice(300, 400), slice(400, 500)
QUIET: dict[str, Any] = {"thread_count": 1, "logging_level": "Silent", "allow_writing_files": False}


def part(rows: slice, weights: bool) -> Part:
    return Part(X[rows], Y[rows], WEIGHT[rows] if weights else None)


def xgboost(fold: Fold) -> tuple[Any, int]:
    model = XGBClassifier(n_estimators=300, n_jobs=1, learning_rate=0.3, early_stopping_rounds=5)
    watched = fold.evaluation
    assert watched is not None
    weights = {} if watched.weight is None else {"sample_weight_eval_set": [watched.weight]}
    train = fold.train
    model.fit(train.X, train.y, sample_weight=train.weight, eval_set=[(watched.X, watched.y)], verbose=False, **weights)
    return model, model.best_iteration + 1


def lightgbm(fold: Fold) -> tuple[Any, int]:
    model = LGBMClassifier(n_estimators=300, n_jobs=1, learning_rate=0.3, verbosity=-1, early_stopping_round=5)
    watched = fold.evaluation
    assert watched is not None
    weights = {} if watched.weight is None else {"eval_sample_weight": [watched.weight]}
    train = fold.train
    model.fit(train.X, train.y, sample_weight=train.weight, eval_X=(watched.X,), eval_y=(watched.y,), **weights)
    return model, model.best_iteration_


def catboost(fold: Fold) -> tuple[Any, int]:
    model = CatBoostClassifier(iterations=300, learning_rate=0.3, early_stopping_rounds=5, **QUIET)
    watched = fold.evaluation
    assert watched is not None
    train = fold.train
    model.fit(Pool(train.X, train.y, weight=train.weight), eval_set=Pool(watched.X, watched.y, weight=watched.weight))
    return model, model.get_best_iteration() + 1


@pytest.mark.parametrize("weights", [False, True], ids=["no weights", "weights"])
@pytest.mark.parametrize("watched", ["held out", "set apart"])
@pytest.mark.parametrize("library", [xgboost, lightgbm, catboost])
def test_a_trial_stops_where_its_library_does(library: Any, watched: str, weights: bool) -> None:
    fold = Fold(
        train=part(TRAIN, weights),
        test=part(TEST, weights),
        evaluation=part(TEST if watched == "held out" else APART, weights),
    )
    model, expected = library(fold)
    unfitted = type(model)(**model.get_params())
    [found] = evaluate(lambda: unfitted, fold, {"score": "neg_log_loss"}, learner=learner_of(type(model)))
    assert found.error is None
    assert found.best_iteration == expected
    assert 1 <= expected < 300
    loss = log_loss(fold.test.y, model.predict_proba(fold.test.X), sample_weight=fold.test.weight)
    assert found.test_scores == {"score": -loss}


def test_a_document_has_the_iteration_of_each_fold_and_their_mean() -> None:
    one = FoldResult(test_scores={"score": 1.0}, train_scores={}, fit_seconds=1, score_seconds=1, best_iteration=3)
    two = FoldResult(test_scores={"score": 1.0}, train_scores={}, fit_seconds=1, score_seconds=1, best_iteration=6)
    fields = summary([one, two], ["score"], "score")
    assert fields["split_best_iteration"] == [3, 6]
    assert fields["mean_best_iteration"] == 4.5
    none = FoldResult(test_scores={"score": 1.0}, train_scores={}, fit_seconds=1, score_seconds=1)
    assert "mean_best_iteration" not in summary([none, none], ["score"], "score")


@pytest.mark.parametrize(
    ("estimator", "params", "expected"),
    [
        (XGBClassifier(), {"early_stopping_rounds": 5}, True),
        (XGBClassifier(early_stopping_rounds=5), {}, True),
        (XGBClassifier(early_stopping_rounds=5), {"early_stopping_rounds": None}, False),
        (XGBClassifier(), {}, False),
        (XGBClassifier(early_stopping_rounds=0), {}, False),
        (LGBMClassifier(early_stopping_round=5), {}, True),
        (LGBMClassifier(), {"early_stopping_rounds": 5}, True),
        (LGBMClassifier(), {"n_iter_no_change": 5}, True),
        (LGBMClassifier(), {"early_stopping": 0}, False),
        (CatBoostClassifier(), {"early_stopping_rounds": 5}, True),
        (CatBoostClassifier(od_type="Iter"), {}, True),
        (CatBoostClassifier(od_wait=3), {}, True),
        (CatBoostClassifier(od_pval=0.01), {}, True),
        (CatBoostClassifier(use_best_model=True), {}, True),
        (CatBoostClassifier(od_pval=0.0, use_best_model=False), {}, False),
        (LogisticRegression(), {"early_stopping_rounds": 5}, False),
    ],
)
def test_early_stopping_is_seen_in_every_library_s_words(estimator: Any, params: Any, expected: bool) -> None:
    assert resolve(encode_estimator(estimator, "estimator"), params).stops_early is expected


@pytest.mark.parametrize(
    ("estimator", "point", "rounds"),
    [
        (XGBClassifier(early_stopping_rounds=5), {"n_estimators": 500, "max_depth": 4}, "n_estimators"),
        (LGBMClassifier(verbosity=-1), {"num_iterations": 500, "early_stopping_rounds": 5}, "num_iterations"),
        (CatBoostClassifier(iterations=500, od_wait=4, use_best_model=True, **QUIET), {"depth": 4}, "iterations"),
        (LGBMRegressor(early_stopping_round=4, verbosity=-1), {}, "n_estimators"),
    ],
)
def test_a_refit_takes_the_mean_of_the_rounds_and_stops_early_no_more(estimator: Any, point: Any, rounds: str) -> None:
    encoded = encode_estimator(estimator, "estimator")
    found = refit_estimator(encoded, {name: encode(value, name) for name, value in point.items()}, 12.4)
    params = found.get_params()
    assert params[rounds] == 12
    assert not resolve(encode_estimator(found, "estimator"), {}).stops_early
    for name, value in point.items():
        if name != rounds and "early" not in name:
            assert params[name] == value
    found.fit(X, Y)


def test_a_refit_keeps_what_catboost_chose_by_its_rounds() -> None:
    encoded = encode_estimator(CatBoostClassifier(iterations=400, od_wait=4, depth=2, **QUIET), "estimator")
    chosen = {"learning_rate": 0.03, "leaf_estimation_iterations": 10}
    params = refit_estimator(encoded, {}, 30.2, chosen).get_params()
    assert (params["iterations"], params["depth"]) == (30, 2)
    assert {name: params[name] for name in chosen} == chosen
    assert refit_estimator(encoded, {"learning_rate": 0.5}, 30.2, chosen).get_params()["learning_rate"] == 0.5


def test_a_trial_records_what_catboost_chose_by_its_rounds() -> None:
    fold = Fold(train=part(TRAIN, False), test=part(TEST, False), evaluation=part(TEST, False))

    def chosen(**params: Any) -> Any:
        make = partial(CatBoostClassifier, iterations=300, od_wait=4, **QUIET, **params)
        [found] = evaluate(make, fold, {"score": "accuracy"}, learner=learner_of(CatBoostClassifier))
        return summary([found], ["score"], "score")["chosen_params"]

    automatic = CatBoostClassifier(iterations=300, **QUIET).fit(X[TRAIN], Y[TRAIN], eval_set=(X[TEST], Y[TEST]))
    assert chosen()["learning_rate"] == automatic.get_all_params()["learning_rate"]
    assert "learning_rate" not in chosen(learning_rate=0.3)


@pytest.mark.parametrize("labels", [[1, 2], [-1, 1], ["no", "yes"]])
def test_labels_of_any_kind_are_watched_alike_by_lightgbm(labels: Any) -> None:
    named = np.array(labels)[Y]

    def best(y: Any) -> int | None:
        [found] = evaluate(
            partial(LGBMClassifier, n_estimators=300, n_jobs=1, verbosity=-1, early_stopping_round=5),
            Fold(train=Part(X[TRAIN], y[TRAIN]), test=Part(X[TEST], y[TEST]), evaluation=Part(X[TEST], y[TEST])),
            {"score": "accuracy"},
            learner=learner_of(LGBMClassifier),
        )
        assert found is not None
        assert found.error is None
        return found.best_iteration

    assert best(named) == best(Y)
    assert (best(Y) or 0) > 1


def test_a_refit_without_early_stopping_is_the_trial_itself() -> None:
    encoded = encode_estimator(XGBRegressor(max_depth=3), "estimator")
    params = refit_estimator(encoded, {"n_estimators": 7}, None).get_params()
    assert (params["n_estimators"], params["max_depth"]) == (7, 3)


def test_a_refit_takes_no_parameter_from_the_database_that_reaches_a_file() -> None:
    """Somebody else may have written the study's document; what a submission refuses is
    refused here too."""
    encoded = encode_estimator(CatBoostClassifier(iterations=5), "estimator")
    for estimator, params, chosen in (
        (encoded | {"params": {"train_dir": "/home"}}, {}, {}),
        (encoded, {"train_dir": "/home"}, {}),
        (encoded, {}, {"train_dir": "/home"}),
    ):
        with pytest.raises(InputError, match="names a file or folder"):
            refit_estimator(estimator, params, 3.0, chosen)


def test_a_refit_looks_at_what_its_parts_have_become() -> None:
    """A part that a trial puts in the place of another brings its own rules."""
    encoded = encode_estimator(Pipeline([("a", LogisticRegression())]), "estimator")
    steps = encode([("a", CatBoostClassifier())], "steps")
    smuggled = {"steps": steps, "a__output_borders": "/home/borders", "a__allow_writing_files": True}
    with pytest.raises(InputError, match="CatBoostClassifier|names a file or folder|lets CatBoost write"):
        refit_estimator(encoded, smuggled, None)
    grid = {"a": [encode_estimator(CatBoostClassifier(train_dir="/home"), "a")]}
    with pytest.raises(InputError, match=r"param_grid\['a'\].*names a file or folder"):
        Space.decode([grid])


@pytest.mark.parametrize(
    ("cv", "groups"),
    [(StratifiedKFold(3), None), (KFold(4, shuffle=True, random_state=1), None), (GroupKFold(3), np.arange(500) % 25)],
)
def test_what_is_set_apart_is_a_share_of_the_training_part(cv: Any, groups: Any) -> None:
    splits = make_splits(cv, X, Y, groups, classifier=True)
    apart = make_validation(0.2, splits, cv, Y, groups, classifier=True)
    again = make_validation(0.2, splits, cv, Y, groups, classifier=True)
    for (train, _), (fit, watched), (fit_again, watched_again) in zip(splits, apart, again, strict=True):
        assert sorted([*fit, *watched]) == sorted(train)
        assert 0.12 < len(watched) / len(train) < 0.28
        np.testing.assert_array_equal(fit, fit_again)
        np.testing.assert_array_equal(watched, watched_again)
        if groups is not None:
            assert not {*groups[fit]} & {*groups[watched]}
        else:
            assert abs(Y[watched].mean() - Y[train].mean()) < 0.02


def test_of_a_time_series_the_last_rows_are_set_apart() -> None:
    cv = TimeSeriesSplit(3)
    splits = make_splits(cv, X, Y, None, classifier=False)
    for fit, watched in make_validation(0.25, splits, cv, Y, None, classifier=False):
        assert fit.max() < watched.min()


def test_a_share_too_small_for_the_classes_names_the_fold() -> None:
    y = np.array([0] * 490 + [1] * 10)
    splits = make_splits(5, X, y, None, classifier=True)
    with pytest.raises(InputError, match=r"validation_fraction=0\.001: fold 0: "):
        make_validation(0.001, splits, 5, y, None, classifier=True)


def test_a_share_that_nothing_would_watch_is_refused() -> None:
    space = Space({"n_estimators": [10, 20]})
    with pytest.raises(InputError, match="no trial stops early"):
        check_early_stopping(0.1, check_estimators(XGBClassifier(), space), space)
    check_early_stopping(None, check_estimators(XGBClassifier(), space), space)
    stopping = Space([{"n_estimators": [10]}, {"early_stopping_rounds": [None, 5]}])
    check_early_stopping(0.1, check_estimators(XGBClassifier(), stopping), stopping)
    check_early_stopping(0.1, check_estimators(XGBClassifier(early_stopping_rounds=3), space), space)
