"""Boosters come back from a worker as ``fit`` here would leave them, alone and inside other
estimators."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from alike import assert_alike
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from stored_models import brought_back
from xgboost import XGBClassifier, XGBRegressor

from warren.encoding.codec import decode, encode_estimator
from worker.training import build

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.random((80, 4)), columns=list("abcd"))
CODES = np.digitize(X["a"], [0.3, 0.6])
NAMES = np.array(["ash", "elm", "oak"])[CODES]
NUMBERS = X.to_numpy() @ [1.0, 2.0, 3.0, 4.0]

# What CatBoost's own file does not hold to the last bit, or at all, when it is copied or pickled
# too; and a cache.
LOST_BY_CATBOOST = frozenset(
    {
        *("best_score_", "get_best_score", "evals_result_", "get_evals_result", "get_n_features_in"),
        *("_canonized_params", "get_metadata", "calc_leaf_indexes"),
    }
)

BOOSTERS: dict[str, tuple[Any, Any]] = {
    "xgboost": (XGBClassifier(n_estimators=5, n_jobs=2), CODES),
    "xgboost, two metrics": (XGBClassifier(n_estimators=5, n_jobs=2, eval_metric=["mlogloss", "merror"]), CODES),
    "xgboost, linear": (XGBRegressor(n_estimators=5, booster="gblinear", updater="coord_descent"), NUMBERS),
    "xgboost, regression": (XGBRegressor(n_estimators=5, base_score=0.5, eval_metric=["rmse", "mae"]), NUMBERS),
    "lightgbm": (LGBMClassifier(n_estimators=5, n_jobs=2, min_child_samples=5, class_weight="balanced"), NAMES),
    "lightgbm, quantiles": (LGBMRegressor(n_estimators=5, objective="quantile", metric=["l1", "l2"]), NUMBERS),
    "catboost": (CatBoostClassifier(iterations=5, thread_count=2, silent=True, allow_writing_files=False), NAMES),
    "catboost, regression": (CatBoostRegressor(iterations=5, depth=3, silent=True, allow_writing_files=False), NUMBERS),
}


def pipeline(booster: Any) -> Any:
    return make_pipeline(StandardScaler().set_output(transform="pandas"), booster)


def voting(booster: Any) -> Any:
    if is_classifier(booster):
        return VotingClassifier([("booster", booster), ("line", LogisticRegression())], voting="soft")
    return VotingRegressor([("booster", booster), ("line", Ridge())])


def stacking(booster: Any) -> Any:
    stack = partial(StackingClassifier, cv=2) if is_classifier(booster) else partial(StackingRegressor, cv=2)
    return stack([("booster", booster)], passthrough=True)


def calibrated(booster: Any) -> Any:
    return CalibratedClassifierCV(booster, cv=2)


def many(booster: Any) -> Any:
    return MultiOutputClassifier(booster) if is_classifier(booster) else MultiOutputRegressor(booster)


def alone(booster: Any) -> Any:
    return booster


def from_worker(estimator: Any, y: Any) -> Any:
    """Return an estimator as it comes back: made of its message, fitted with one thread,
    packed and read."""
    made = decode(encode_estimator(estimator, "estimator"), build=lambda cls, given: build.build(cls, given, 1))
    return brought_back(made.fit(X, y), deepcopy(estimator))


@pytest.mark.filterwarnings("ignore:.*[Ff]eature names", "ignore:.*gblinear")
@pytest.mark.parametrize(
    "put",
    [alone, pipeline, *(pytest.param(one, marks=pytest.mark.slow) for one in (voting, stacking, calibrated, many))],
    ids=lambda put: put.__name__,
)
@pytest.mark.parametrize("name", BOOSTERS)
def test_a_booster_answers_as_one_that_is_fitted_here(name: str, put: Callable[[Any], Any]) -> None:
    booster, y = BOOSTERS[name]
    if put is calibrated and not is_classifier(booster):
        pytest.skip("calibrates classifiers alone")
    estimator = put(deepcopy(booster))
    y = np.column_stack([y, y]) if put is many else y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = from_worker(estimator, y), deepcopy(estimator).fit(X, y)
    assert_alike(ours, theirs, X, y, but=LOST_BY_CATBOOST if "catboost" in name else frozenset())
