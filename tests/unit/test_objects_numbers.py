"""Sets, splitters, scorers, distributions and generators inside estimators: the same numbers as
scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from beside import X, assert_as_scikit_learn, on_worker
from lightgbm import LGBMClassifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import RFECV
from sklearn.linear_model import LassoCV, LogisticRegression
from sklearn.metrics import fbeta_score, get_scorer, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    PredefinedSplit,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from warren.encoding.codec import decode, encode_estimator
from warren.safety.parameter_checks import check_estimator

TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
FRAME = pd.DataFrame(X, columns=list("abcde")).rename_axis(columns="sensor")


def used(draws: int) -> np.random.RandomState:
    """Return a generator that has drawn, an odd number of Gaussians, so that it keeps one."""
    made = np.random.RandomState(7)
    made.normal(size=draws)
    return made


def members() -> list[tuple[str, Any]]:
    return [("tree", TREE), ("svc", SVC(C=0.5))]


RECALL = make_scorer(fbeta_score, beta=3)
ONE = np.random.RandomState(5)
SEARCHES: dict[str, tuple[Any, Any]] = {
    "a stack's splitter": (
        StackingClassifier(members(), LogisticRegression(), cv=StratifiedKFold(3)),
        {"tree__max_depth": [1, 3]},
    ),
    "splitters in a grid": (
        StackingClassifier(members(), LogisticRegression()),
        {"cv": [StratifiedKFold(3), KFold(3, shuffle=True, random_state=0), 2]},
    ),
    "a calibration's splits": (CalibratedClassifierCV(TREE), {"cv": [ShuffleSplit(3, random_state=1), KFold(2)]}),
    "an elimination's scorer": (
        RFECV(TREE, cv=3, scoring=make_scorer(fbeta_score, beta=2)),
        {"step": [1, 2], "scoring": [make_scorer(fbeta_score, beta=0.5), "accuracy", get_scorer("roc_auc")]},
    ),
    "a threshold's scorer": (
        TunedThresholdClassifierCV(SVC(), scoring=RECALL, cv=StratifiedKFold(2), thresholds=5),
        {"estimator__C": [0.1, 1.0]},
    ),
    "distributions of a search inside": (
        RandomizedSearchCV(SVC(), {"C": scipy.stats.loguniform(0.1, 10)}, n_iter=3, cv=2, random_state=3),
        {"param_distributions": [{"C": scipy.stats.uniform(0.1, 5)}, {"gamma": scipy.stats.loguniform(0.01, 1)}]},
    ),
    "scorers and splits of a search inside": (
        GridSearchCV(SVC(), {"C": [0.1, 1]}, scoring={"f": make_scorer(fbeta_score, beta=2)}, refit="f", cv=KFold(2)),
        {"cv": [KFold(2), TimeSeriesSplit(2)]},
    ),
    "sets of features": (
        HistGradientBoostingClassifier(max_iter=5, random_state=0, interaction_cst=[{0, 1}, {2, 3, 4}]),
        {"interaction_cst": [None, [{0, 1, 2}, {3}], "pairwise"]},
    ),
    "a forest's generator": (
        RandomForestClassifier(5, random_state=np.random.RandomState(3)),
        {"max_depth": [2, 3], "max_features": [1, 2]},
    ),
    "generators in a grid": (
        RandomForestClassifier(5),
        {"random_state": [np.random.RandomState(3), used(3), 7], "max_depth": [2, 3]},
    ),
    "a generator of steps": (
        Pipeline(
            [
                ("bag", ColumnTransformer([("all", StandardScaler(), [0, 1, 2])])),
                ("clf", BaggingClassifier(TREE, 4, random_state=used(1))),
            ]
        ),
        {"clf__max_samples": [0.5, 0.9]},
    ),
    "a generator of splits": (
        StackingClassifier(members(), TREE, cv=KFold(2, shuffle=True, random_state=np.random.RandomState(0))),
        {"tree__max_depth": [1, 2], "svc__C": [0.1, 2.0]},
    ),
    "one generator in two steps": (
        StackingClassifier(
            [(name, RandomForestClassifier(3, random_state=ONE)) for name in ("a", "b")], TREE, cv=2
        ),
        {"a__max_depth": [1, 2]},
    ),
    "LightGBM's generator": (
        LGBMClassifier(n_estimators=4, subsample=0.5, subsample_freq=1, verbosity=-1, n_jobs=1, random_state=used(2)),
        {"num_leaves": [3, 5], "n_estimators": [2, 4]},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=pytest.mark.slow) if one == "an elimination's scorer" else one for one in SEARCHES],
)
def test_what_is_inside_an_estimator_gives_the_numbers_of_scikit_learn(name: str) -> None:
    estimator, grid = SEARCHES[name]
    assert_as_scikit_learn(estimator, grid)


@pytest.mark.slow
def test_a_regressor_s_own_splits_give_the_numbers_of_scikit_learn() -> None:
    y = X[:, 0] * 3 + X[:, 1]
    shuffled, listed = KFold(4, shuffle=True, random_state=2), PredefinedSplit(np.arange(60) % 3)
    assert_as_scikit_learn(LassoCV(cv=shuffled, eps=0.1), {"cv": [3, TimeSeriesSplit(3)]}, y=y)
    # For the sixty rows of a fold: the whole of the data has more.
    _, _, documents = on_worker(LassoCV(cv=listed, eps=0.1), {"tol": [0.1, 0.01]}, y=y)
    assert [document["error"] for document in documents] == [None, None]


def test_an_index_with_a_name_chooses_columns() -> None:
    columns = FRAME.select_dtypes("number").columns[:3]
    assert columns.name == "sensor"
    prepare = ColumnTransformer([("num", StandardScaler(), columns)])
    assert_as_scikit_learn(Pipeline([("prepare", prepare), ("clf", SVC())]), {"clf__C": [0.1, 1.0]}, x=FRAME)


def test_words_may_be_a_set() -> None:
    texts = np.array(["the ash and the oak", "an oak or a beech", "elm"] * 10, dtype=object)
    model = Pipeline([("words", CountVectorizer(vocabulary={"oak", "ash", "elm"})), ("clf", SVC())])
    encoded = encode_estimator(model, "estimator")
    check_estimator(encoded, "estimator")
    again = decode(encoded).fit(texts, np.arange(30) % 3)
    assert again["words"].get_feature_names_out().tolist() == ["ash", "elm", "oak"]
