"""Shared fits and shared bins: the same bits as separate fits by the libraries' own classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from cachetools import LRUCache
from catboost import CatBoostClassifier, CatBoostRegressor
from folds import evaluate, plain, scores
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.datasets import make_classification, make_regression
from xgboost import XGBClassifier, XGBRegressor

from warren.encoding.codec import encode_estimator
from warren.libraries.resolve import resolve
from worker.fitting import Fold, learner_of
from worker.fitting.learner import Part
from worker.training.data_cache import KeptDerived

ROUNDS = (24, 5, 15, 24)  # in no order, one of them twice
DRAW = np.random.default_rng(0)
BINARY = {"a": "accuracy", "r": "roc_auc", "l": "neg_log_loss"}
MANY = {"a": "accuracy", "l": "neg_log_loss", "f": "f1_macro"}
NUMBERS = {"r2": "r2", "m": "neg_mean_absolute_error"}


def cut(X: Any, y: Any, weight: Any = None) -> Fold:
    rows = len(y)
    parts = []
    for side in (slice(0, rows * 2 // 3), slice(rows * 2 // 3, rows)):
        taken = X.iloc[side].reset_index(drop=True) if hasattr(X, "iloc") else X[side]
        parts.append(Part(taken, y[side], None if weight is None else weight[side]))
    return Fold(train=parts[0], test=parts[1])


def classes(number: int, rows: int = 600) -> tuple[Any, Any]:
    return make_classification(rows, 12, n_informative=8, n_classes=number, random_state=number)


def mixed_frame() -> tuple[Any, Any]:
    X, y = classes(2)
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(X.shape[1])])
    frame["kind"] = pd.Categorical(DRAW.choice(["a", "b", "c", "d", "e"], len(y)))
    frame.loc[::7, "c3"] = np.nan
    return frame, y


def sparse() -> tuple[Any, Any]:
    X, y = classes(2)
    return scipy.sparse.csr_matrix(np.where(np.abs(X) < 1, 0, X)), y


WEIGHT = DRAW.uniform(0.2, 3.0, 600)
FOLDS: dict[str, tuple[Fold, dict[str, str]]] = {
    "binary": (cut(*classes(2)), BINARY),
    "four classes": (cut(*classes(4)), MANY),
    "weights": (cut(*classes(2), WEIGHT), BINARY),
    "categories and NaN": (cut(*mixed_frame()), BINARY),
    "sparse": (cut(*sparse()), BINARY),
    "32 bits": (cut(classes(2)[0].astype(np.float32), classes(2)[1]), BINARY),
    "numbers": (cut(*make_regression(600, 12, noise=5.0, random_state=0)), NUMBERS),
    "weighted numbers": (cut(*make_regression(600, 12, noise=5.0, random_state=0), WEIGHT), NUMBERS),
}
SAMPLED = {"subsample": 0.7, "learning_rate": 0.2}
MAKERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "xgboost": (XGBClassifier, XGBRegressor, {"n_jobs": 1, "colsample_bytree": 0.7, **SAMPLED}),
    "xgboost deep": (XGBClassifier, XGBRegressor, {"n_jobs": 1, "max_bin": 37, "max_depth": 9, "gamma": 0.3}),
    "lightgbm": (
        LGBMClassifier,
        LGBMRegressor,
        {"n_jobs": 1, "verbosity": -1, "subsample_freq": 2, "colsample_bytree": 0.6, "min_child_samples": 5, **SAMPLED},
    ),
    "lightgbm goss": (
        LGBMClassifier,
        LGBMRegressor,
        {"n_jobs": 1, "verbosity": -1, "data_sample_strategy": "goss", "max_bin": 20, "learning_rate": 0.2},
    ),
    # Rounds that find nothing to split end the training: fewer trees than rounds.
    "lightgbm that ends": (LGBMClassifier, LGBMRegressor, {"n_jobs": 1, "verbosity": -1, "min_split_gain": 30.0}),
    "catboost": (
        CatBoostClassifier,
        CatBoostRegressor,
        {"thread_count": 1, "logging_level": "Silent", "allow_writing_files": False, "depth": 4, "rsm": 0.7}
        | {"bootstrap_type": "Bernoulli", **SAMPLED},
    ),
    "catboost lossguide": (
        CatBoostClassifier,
        CatBoostRegressor,
        {"thread_count": 1, "logging_level": "Silent", "allow_writing_files": False, "border_count": 40}
        | {"grow_policy": "Lossguide", "learning_rate": 0.3, "random_strength": 2},
    ),
}
Case = tuple[Callable[[int], Any], Fold, dict[str, str]]


def case(maker: str, data: str) -> Case:
    classifier, regressor, params = MAKERS[maker]
    fold, scorers = FOLDS[data]
    if data == "categories and NaN":
        params = params | {"xgboost": {"enable_categorical": True}, "catboost": {"cat_features": ["kind"]}}.get(
            maker.partition(" ")[0], {}
        )
    cls = regressor if "numbers" in data else classifier
    return lambda rounds: cls(n_estimators=rounds, **params), fold, scorers


def apart(make: Callable[[int], Any], fold: Fold, scorers: dict[str, str]) -> list[Any]:
    """What the libraries' own classes give, each trial fitted alone."""
    return [plain(partial(make, rounds), fold, scorers)[0] for rounds in ROUNDS]


EVERY = [
    pytest.param(maker, data, marks=[] if data == "binary" else pytest.mark.slow)
    for maker in MAKERS
    for data in FOLDS
    if not (maker == "lightgbm that ends" and data not in {"binary", "four classes", "numbers"})
]


@pytest.mark.parametrize(("maker", "data"), EVERY)
def test_trials_that_share_a_fit_and_bins_score_as_trials_apart(maker: str, data: str) -> None:
    make, fold, scorers = case(maker, data)
    if "categories" not in data:  # cat_features are sent, but sharing with them is not the subject here
        assert resolve(encode_estimator(make(24), "estimator"), {}).shared_key is not None
    learner, largest = learner_of(type(make(1))), partial(make, max(ROUNDS))
    cache: LRUCache[Any, Any] = LRUCache(10**9, getsizeof=lambda made: made.nbytes)
    expected = apart(make, fold, scorers)
    first, second = KeptDerived(cache, (maker, data)), KeptDerived(cache, (maker, data))
    assert scores(evaluate(largest, fold, scorers, learner=learner, derived=first, rounds=ROUNDS)) == expected
    assert scores(evaluate(largest, fold, scorers, learner=learner, derived=second, rounds=ROUNDS)) == expected
    assert len(cache) == 1
    assert cache.currsize > 0
    assert first.made_seconds == second.saved_seconds > 0
    assert first.saved_seconds == second.made_seconds == 0


@pytest.mark.parametrize("data", ["binary", "four classes"])
@pytest.mark.parametrize("sampled", [{"subsample": 0.5, "subsample_freq": 1}, {"colsample_bytree": 0.3}])
def test_rounds_of_lightgbm_that_find_no_split_are_rounds_all_the_same(data: str, sampled: dict[str, Any]) -> None:
    fold, scorers = FOLDS[data]
    params = {"n_jobs": 1, "verbosity": -1, "learning_rate": 0.3, "min_split_gain": 6.0, "random_state": 0, **sampled}

    def make(rounds: int) -> Any:
        return LGBMClassifier(n_estimators=rounds, **params)

    trees = make(max(ROUNDS)).fit(fold.train.X, fold.train.y).booster_.current_iteration()
    assert trees < max(ROUNDS)
    found = evaluate(partial(make, max(ROUNDS)), fold, scorers, learner=learner_of(LGBMClassifier), rounds=ROUNDS)
    assert scores(found) == apart(make, fold, scorers)
