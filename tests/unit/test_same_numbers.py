"""The same numbers: what a worker computes against scikit-learn's ``GridSearchCV``, bit for bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from catboost import CatBoostClassifier, CatBoostRegressor
from in_process import IN_PROCESS
from lightgbm import LGBMClassifier, LGBMRegressor
from searches import Search, assert_same_numbers
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRegressor

from warren.errors import NoResultError

pytestmark = IN_PROCESS
ROWS = 160
BINARY_X, BINARY_Y = make_classification(ROWS, 8, n_informative=5, flip_y=0.2, random_state=1)
MANY_X, _codes = make_classification(ROWS, 8, n_informative=6, n_classes=3, flip_y=0.2, random_state=2)
MANY_Y = np.array(["elm", "ash", "oak"])[_codes]
LINE_X, LINE_Y = make_regression(ROWS, 8, noise=20.0, random_state=3)
WEIGHTS = np.random.default_rng(4).uniform(0.1, 3.0, ROWS)
GROUPS = np.random.default_rng(5).integers(0, 9, ROWS)
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
REGRESSORS = {
    "xgboost": (XGBRegressor(**_XGBOOST), BOOSTED_GRID),
    "lightgbm": (LGBMRegressor(**_LIGHTGBM), BOOSTED_GRID),
    "catboost": (CatBoostRegressor(depth=3, **_CATBOOST), BOOSTED_GRID),
    "forest": (RandomForestRegressor(n_jobs=1, random_state=7), FOREST_GRID),
}


# ----------------------------------------------------------------- libraries and tasks


def test_binary_classifiers_score_as_in_scikit_learn() -> None:
    assert_same_numbers(*(Search(*of_library, BINARY_X, BINARY_Y) for of_library in CLASSIFIERS.values()))


def test_regressors_score_as_in_scikit_learn() -> None:
    options = {"cv": 3, "scoring": {"mse": "neg_mean_squared_error", "r2": "r2"}, "refit": "r2"}
    assert_same_numbers(*(Search(*of_library, LINE_X, LINE_Y, options=options) for of_library in REGRESSORS.values()))


@pytest.mark.slow
def test_sample_weights_count_as_in_scikit_learn() -> None:
    weights = {"sample_weight": WEIGHTS}
    # CatBoost's own score takes no weights, the others' do.
    alone = [Search(*of_library, BINARY_X, BINARY_Y, weights) for of_library in CLASSIFIERS.values()]
    # Nor does the largest error.
    scoring = ["neg_mean_absolute_error", "r2", "neg_max_error"]
    options = {"cv": 3, "scoring": scoring, "return_train_score": True}
    several = [Search(*REGRESSORS[library], LINE_X, LINE_Y, weights, options) for library in ("xgboost", "forest")]
    assert_same_numbers(*alone, *several)


@pytest.mark.slow
def test_a_single_metric_in_a_list_has_its_name_in_the_columns() -> None:
    options = {"cv": 3, "scoring": ["roc_auc"], "refit": "roc_auc"}
    assert_same_numbers(Search(*CLASSIFIERS["forest"], BINARY_X, BINARY_Y, options=options))


def test_float32_and_fortran_order_reach_the_estimator_as_they_are() -> None:
    X = np.asfortranarray(LINE_X.astype(np.float32))
    assert_same_numbers(Search(*REGRESSORS["forest"], X, LINE_Y.astype(np.float32)))


# ------------------------------------------------------------------- kinds of data


def frame_with_text() -> pd.DataFrame:
    draw = np.random.default_rng(6)
    color = draw.choice(["red", "green", "blue", "none"], ROWS)
    frame = pd.DataFrame(BINARY_X, columns=[f"f{i}" for i in range(BINARY_X.shape[1])])
    frame = frame.mask(draw.random(frame.shape) < 0.1)
    return frame.assign(color=color, size=pd.Series(draw.choice(["S", "L"], ROWS), dtype=object))


def test_columns_of_text_are_learned_by_catboost_as_in_scikit_learn() -> None:
    # In the grid, for scikit-learn can't clone a CatBoost estimator that has them.
    grid = {**BOOSTED_GRID, "cat_features": [["color", "size"]]}
    assert_same_numbers(Search(CLASSIFIERS["catboost"][0], grid, frame_with_text(), BINARY_Y))


@pytest.mark.slow
def test_sparse_matrices_score_as_in_scikit_learn() -> None:
    X = scipy.sparse.csr_matrix(np.where(np.abs(BINARY_X) < 0.8, 0.0, BINARY_X))
    assert_same_numbers(*(Search(*of_library, X, BINARY_Y) for of_library in CLASSIFIERS.values()))


# ---------------------------------------------------------------------------- grids


def test_a_list_of_grids_masks_what_a_point_does_not_have() -> None:
    grids = [
        {"kernel": ["rbf"], "gamma": [0.1, 1, "scale"], "class_weight": [None, "balanced", {0: 1.0, 1: 2.5}]},
        {"kernel": ["linear"], "C": [0.5, 2.0]},
        {},
    ]
    assert_same_numbers(Search(SVC(), grids, BINARY_X, BINARY_Y))


@pytest.mark.slow
def test_parameters_of_every_kind_come_back_as_in_scikit_learn() -> None:
    grid = {
        "max_features": [None, "sqrt", 0.5, 3],
        "min_samples_leaf": np.array([1, 4]),
        "ccp_alpha": np.geomspace(1e-3, 1e-1, 2),
        "monotonic_cst": [None, [0] * BINARY_X.shape[1]],
        "splitter": ["best"],
    }
    assert_same_numbers(Search(DecisionTreeClassifier(random_state=7), grid, BINARY_X, BINARY_Y))


def test_steps_of_a_pipeline_may_change_from_point_to_point() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("model", LogisticRegression())])
    grids = [
        {"scale": ["passthrough", StandardScaler(with_mean=False)], "model__C": [0.01, 1.0]},
        {"model": [DecisionTreeClassifier(random_state=7)], "model__max_depth": [1, 3]},
    ]
    assert_same_numbers(Search(pipeline, grids, BINARY_X, BINARY_Y))


# --------------------------------------------------------------------------- splits


@pytest.mark.slow
def test_groups_stay_together_as_in_scikit_learn() -> None:
    options = {"cv": GroupKFold(4)}
    assert_same_numbers(Search(*CLASSIFIERS["forest"], BINARY_X, BINARY_Y, {"groups": GROUPS}, options))


@pytest.mark.slow
def test_splits_are_those_of_scikit_learn() -> None:
    tree = DecisionTreeClassifier(random_state=7), {"max_depth": [1, 2, 3, 9]}
    splits = [
        StratifiedKFold(11, shuffle=True, random_state=8),
        ShuffleSplit(9, test_size=0.3, random_state=9),
        [(range(0, 100), range(100, 130)), (range(30, 160), range(0, 30)), (range(0, 80), range(80, 160))],
    ]
    assert_same_numbers(*(Search(*tree, BINARY_X, BINARY_Y, options={"cv": cv}) for cv in splits))


WITHOUT_A_FIT = DecisionTreeClassifier(random_state=7), {"max_depth": [-1, -2]}, BINARY_X, BINARY_Y
ONE_CLASS_FIRST = [
    (np.flatnonzero(BINARY_Y == 0)[:50], np.arange(ROWS)),
    *((np.arange(start, ROWS, 2), np.arange(1 - start, ROWS, 2)) for start in (0, 1)),
]


def test_one_failed_fold_scores_what_was_asked_for() -> None:
    model = LogisticRegression(), {"C": [0.01, 1.0]}, BINARY_X, BINARY_Y
    searches = [Search(*model, options={"cv": ONE_CLASS_FIRST, "error_score": score}) for score in (np.nan, 0.25)]
    assert_same_numbers(*searches, warns=True)


def test_one_metric_that_can_not_be_computed_leaves_the_others() -> None:
    options = {"cv": 3, "scoring": ["accuracy", "roc_auc"]}  # the area is of two classes only
    assert_same_numbers(Search(*CLASSIFIERS["forest"], MANY_X, MANY_Y, options=options), warns=True)


def test_a_search_without_one_fit_is_an_error() -> None:
    searches = [Search(*WITHOUT_A_FIT, options={"cv": 3, "error_score": score}) for score in (np.nan, 0.0)]
    for search, study in [(search, search.there()) for search in searches]:
        with pytest.raises(ValueError, match="All the 6 fits failed"):
            search.here()
        study.wait(timeout=60, progress=False)
        with pytest.raises(ValueError, match="All the 6 fits failed"):
            _ = study.cv_results_
        with pytest.raises(NoResultError):
            _ = study.best_params_
