"""Worker processes score what scikit-learn's ``GridSearchCV`` scores, bit for bit: a few cases
of each kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from searches import Search, assert_same_numbers, assert_same_results
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from warren.errors import TrialError

pytestmark = pytest.mark.usefixtures("stack")
ROWS = 160
BINARY_X, BINARY_Y = make_classification(ROWS, 8, n_informative=5, flip_y=0.2, random_state=1)
MANY_X, _codes = make_classification(ROWS, 8, n_informative=6, n_classes=3, flip_y=0.2, random_state=2)
MANY_CODES = _codes
MANY_Y = np.array(["elm", "ash", "oak"])[_codes]
_CATBOOST = {"thread_count": 1, "verbose": False, "allow_writing_files": False, "random_seed": 7}
_LIGHTGBM = {"n_jobs": 1, "verbosity": -1, "random_state": 7, "subsample": 0.8, "subsample_freq": 1}
_XGBOOST = {"n_jobs": 1, "random_state": 7, "subsample": 0.8, "colsample_bytree": 0.7}
BOOSTED_GRID = {"learning_rate": [0.1, 0.4], "n_estimators": [5, 9]}
FOREST_GRID = {"max_depth": [2, 5], "n_estimators": [5, 9]}
CLASSIFIERS = {
    "xgboost": (XGBClassifier(**_XGBOOST), BOOSTED_GRID),
    "lightgbm": (LGBMClassifier(**_LIGHTGBM), BOOSTED_GRID),
    "catboost": (CatBoostClassifier(depth=3, **_CATBOOST), BOOSTED_GRID),
    "forest": (RandomForestClassifier(n_jobs=1, random_state=7), FOREST_GRID),
}


def test_metrics_and_train_scores_of_many_classes_are_scikit_learn_s() -> None:
    options = {"cv": 3, "scoring": ["neg_log_loss", "accuracy", "f1_macro"], "return_train_score": True}
    assert_same_numbers(
        *(
            # XGBoost takes numbers only.
            Search(*of_library, MANY_X, MANY_CODES if library == "xgboost" else MANY_Y, options=options)
            for library, of_library in CLASSIFIERS.items()
        )
    )


# ------------------------------------------------------------------- kinds of data


def frame_with_categories() -> pd.DataFrame:
    draw = np.random.default_rng(6)
    color = draw.choice(["red", "green", "blue", "none"], ROWS)
    frame = pd.DataFrame(BINARY_X, columns=[f"f{i}" for i in range(BINARY_X.shape[1])])
    frame = frame.mask(draw.random(frame.shape) < 0.1)
    sizes = pd.CategoricalDtype(["S", "M", "L", "never seen"], ordered=True)
    return frame.assign(
        color=pd.Series(color).where(color != "none").astype("category"),
        size=pd.Series(draw.choice(["S", "M", "L"], ROWS)).astype(sizes),
    )


def test_categories_with_missing_values_are_learned_as_in_scikit_learn() -> None:
    X = frame_with_categories()
    assert X["color"].isna().any()
    estimators = [
        XGBClassifier(enable_categorical=True, max_cat_to_onehot=2, **_XGBOOST),
        LGBMClassifier(min_data_per_group=5, cat_smooth=1.0, **_LIGHTGBM),
    ]
    assert_same_numbers(*(Search(estimator, BOOSTED_GRID, X, BINARY_Y) for estimator in estimators))


def test_a_kernel_matrix_is_cut_on_both_sides() -> None:
    assert_same_numbers(Search(SVC(kernel="precomputed"), {"C": [0.1, 1.0, 10.0]}, BINARY_X @ BINARY_X.T, BINARY_Y))


def test_grids_of_different_estimators_make_one_search() -> None:
    def grids(prefix: str) -> list[dict[str, list[Any]]]:
        return [
            {
                "estimator": [XGBClassifier(**_XGBOOST), LGBMClassifier(**_LIGHTGBM)],
                f"{prefix}max_depth": [2, 3],
                f"{prefix}n_estimators": [6],
            },
            {"estimator": [LogisticRegression()], f"{prefix}C": [0.1, 1.0]},
            {"estimator": [CatBoostClassifier(iterations=4, depth=2, **_CATBOOST)]},
        ]

    study = Search(None, grids(""), BINARY_X, BINARY_Y).there()
    # A pipeline of one step is how scikit-learn says it.
    search = Search(Pipeline([("estimator", LogisticRegression())]), grids("estimator__"), BINARY_X, BINARY_Y).here()
    study.wait(timeout=60, progress=False)
    theirs = {name.replace("estimator__", ""): values for name, values in search.cv_results_.items()}
    theirs["params"] = [
        {name.replace("estimator__", ""): value for name, value in params.items()} for params in theirs["params"]
    ]
    assert_same_results(study.cv_results_, theirs)
    assert study.best_index_ == search.best_index_
    assert study.best_score_ == search.best_score_


# ------------------------------------------------------------------------- failures

# A tree of negative depth raises at its fit.
FAILING = DecisionTreeClassifier(random_state=7), {"max_depth": [2, -1, 3, -2]}, BINARY_X, BINARY_Y


@pytest.mark.parametrize("scoring", [None, ["accuracy", "roc_auc"]], ids=["one metric", "two metrics"])
def test_failed_fits_score_what_was_asked_for(scoring: list[str] | None) -> None:
    options = {"cv": 3, "scoring": scoring, "return_train_score": True}
    scores = (np.nan, 0.0, -3)
    assert_same_numbers(*(Search(*FAILING, options=options | {"error_score": one}) for one in scores), warns=True)


def test_a_failure_raises_where_that_was_asked_for() -> None:
    search = Search(*FAILING, options={"cv": 3, "error_score": "raise"})
    study = search.there().wait(timeout=60, progress=False)
    with pytest.raises(TrialError, match='2 of 4 trials failed and error_score="raise"; the first is trial 1'):
        _ = study.cv_results_
    with pytest.raises(ValueError, match="max_depth"):
        search.here()
