"""`GridSearchCV` and `RandomizedSearchCV` next to scikit-learn's: every attribute and
method the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from catboost import CatBoostClassifier
from fitted import assert_same, both
from in_process import IN_PROCESS
from lightgbm import LGBMRegressor
from scipy.stats import loguniform, randint, uniform
from sklearn import model_selection
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_classification, make_multilabel_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import fbeta_score, make_scorer, mean_pinball_loss, roc_auc_score
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit
from sklearn.naive_bayes import ComplementNB
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from speed import slow_after
from xgboost import XGBClassifier

from producer import GridSearchCV

pytestmark = IN_PROCESS
X, Y = make_classification(120, 6, n_informative=4, flip_y=0.2, random_state=1)
NAMES = np.array(["ash", "oak"])[Y]
FRAME = pd.DataFrame(X, columns=[f"f{column}" for column in range(6)])
WEIGHTS = np.random.default_rng(4).uniform(0.1, 3.0, 120)
GROUPS = np.random.default_rng(5).integers(0, 9, 120)
TREE = DecisionTreeClassifier(random_state=0)
TREE_GRID = {"max_depth": [1, 3, None], "min_samples_leaf": [1, 5]}
# ---------------------------------------------------- names that users give, and what is inside

SCALED = Pipeline([("preprocessor", StandardScaler()), ("estimator", SVC())])
STACK = StackingClassifier(
    [("log", SVC()), ("memory_of_mine", TREE)],
    LogisticRegression(),
    cv=StratifiedKFold(3, shuffle=True, random_state=np.random.RandomState(4)),
)


@pytest.mark.parametrize(
    ("kind", "estimator", "candidates"),
    slow_after(
        2,
        [
            (
                "GridSearchCV",
                SCALED,
                {"estimator": [SVC(), SVC(C=0.1)], "preprocessor": [MinMaxScaler(), "passthrough"]},
            ),
            (
                "RandomizedSearchCV",
                SCALED,
                [{"estimator": [SVC(), TREE]}, {"estimator": [SVC()], "estimator__C": loguniform(0.1, 10)}],
            ),
            (
                "GridSearchCV",
                STACK,
                {"log": [SVC(C=0.1), "drop"], "cv": [KFold(2, shuffle=True, random_state=0), STACK.cv]},
            ),
            (
                "GridSearchCV",
                RandomForestClassifier(4, n_jobs=1, random_state=np.random.RandomState(3)),
                {"max_depth": [2, 3], "random_state": [np.random.RandomState(1), 5]},
            ),
            ("GridSearchCV", XGBClassifier(n_estimators=3, n_jobs=1, subsample=0.5), {"max_depth": [2, 3]}),
        ],
    ),
    ids=["a step", "a step that is drawn", "a stack", "a forest's generator", "XGBoost's generator"],
)
def test_what_users_name_and_nest_is_as_in_scikit_learn(kind: Any, estimator: Any, candidates: Any) -> None:
    if isinstance(estimator, XGBClassifier):  # it draws when it is asked for its parameters, so each side has its own
        ours, theirs = (clone(estimator).set_params(random_state=np.random.RandomState(0)) for _ in range(2))
        mine = GridSearchCV(ours, candidates, cv=3, name=uuid4().hex).fit(X, Y)
        other = model_selection.GridSearchCV(theirs, candidates, cv=3).fit(X, Y)
        np.testing.assert_array_equal(mine.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"])
        return
    options = {"n_iter": 4, "random_state": 0} if kind == "RandomizedSearchCV" else {}
    assert_same(both(estimator, candidates, X, Y, kind=kind, **options), X, Y)


# ------------------------------------------------------------------- estimators and data


@pytest.mark.parametrize(
    ("estimator", "grid", "data", "y"),
    slow_after(
        4,
        [
            (TREE, TREE_GRID, FRAME, NAMES),
            (
                SVC(),
                [{"kernel": ["rbf"], "C": [1, 10], "gamma": [0.1, 1]}, {"kernel": ["poly"], "degree": [1, 2]}],
                X,
                Y,
            ),
            (XGBClassifier(n_jobs=1, random_state=0), {"n_estimators": [3, 6], "max_depth": [2]}, X, Y),
            (LGBMRegressor(n_jobs=1, verbosity=-1), {"n_estimators": range(2, 5), "num_leaves": [4]}, X, X[:, 0]),
            (
                CatBoostClassifier(
                    iterations=5, thread_count=1, verbose=False, allow_writing_files=False, random_seed=0
                ),
                {"depth": [2, 3]},
                X,
                Y,
            ),
            (Pipeline([("model", LinearRegression())]), {"model": [LinearRegression(), Ridge()]}, X, X[:, 0]),
            (make_pipeline(StandardScaler(), PCA()), {"pca__n_components": np.array([1, 2])}, X, None),
            (make_pipeline(StandardScaler(), SVC()), {"svc__C": np.geomspace(0.1, 10, 3)}, X.tolist(), NAMES.tolist()),
            (KMeans(random_state=0, n_init=1), {"n_clusters": [2, 3]}, X, None),
            (KernelDensity(), {"bandwidth": [0.1, 1.0]}, X, None),
            (LinearSVC(random_state=0), {"C": [0.1, 1.0]}, scipy.sparse.coo_array(np.where(X > 0, X, 0)), Y),
            (SVC(kernel="precomputed"), {"C": [0.1, 1.0]}, X @ X.T, Y),
            (DecisionTreeRegressor(random_state=0), {"max_depth": [1, 2]}, X, X[:, :2]),
        ],
    ),
    ids=lambda value: type(value).__name__ if hasattr(value, "get_params") else "",
)
def test_every_attribute_is_that_of_scikit_learn(estimator: Any, grid: Any, data: Any, y: Any) -> None:
    assert_same(both(estimator, grid, data, y), data, y)


def test_labels_of_many_outputs_are_learned_as_in_scikit_learn() -> None:
    many, labels = make_multilabel_classification(60, random_state=0)
    assert_same(both(TREE, {"max_depth": [1, 2, 3]}, many, labels, cv=KFold()), many, labels)


def test_texts_are_documents() -> None:
    texts = [f"{one} {other}" for one in ("red", "green", "blue") for other in ("sky", "sea", "tree", "stone")]
    pipeline = make_pipeline(TfidfVectorizer(), ComplementNB())
    grid = {"tfidfvectorizer__ngram_range": ((1, 1), (1, 2)), "tfidfvectorizer__norm": ("l1", "l2")}
    y = [0, 1] * 6
    assert_same(both(pipeline, grid, texts, y), texts, y)


@pytest.mark.slow
def test_what_has_no_labels_is_scored_against_some() -> None:
    blobs, y = make_blobs(50, random_state=0)
    scoring = ["adjusted_rand_score", "fowlkes_mallows_score"]
    model = KMeans(random_state=0, init="random", n_init=1)
    assert_same(both(model, {"n_clusters": [2, 3, 4]}, blobs, y, scoring=scoring, refit=scoring[1]), blobs, y)
    outliers = LocalOutlierFactor(novelty=True)
    assert_same(both(outliers, {"n_neighbors": [5, 10]}, X, np.ones(120), scoring="precision"), X, np.ones(120))


# ---------------------------------------------------------------------------- random search


@pytest.mark.parametrize(
    "distributions",
    slow_after(
        2,
        [
            {"C": loguniform(1e-2, 1e2), "fit_intercept": [True, False]},
            [{"C": uniform(0.1, 2.0)}, {"C": [0.5, 1.5], "tol": [1e-3, 1e-4]}],
            {"C": np.geomspace(0.01, 10, 7), "max_iter": range(100, 140)},
            {"C": uniform(0.1, 2.0), "max_iter": randint(100, 200)},
        ],
    ),
    ids=["a distribution and a list", "a list of dicts", "lists alone", "whole numbers"],
)
def test_the_same_candidates_are_drawn_in_the_same_order(distributions: Any) -> None:
    pair = both(LogisticRegression(), distributions, X, Y, kind="RandomizedSearchCV", n_iter=8, random_state=3)
    assert_same(pair, X, Y)


@pytest.mark.slow
def test_a_random_state_that_lives_on_draws_others_the_next_time() -> None:
    states = [np.random.RandomState(7), np.random.RandomState(7)]
    pair = both(Ridge(), {"alpha": uniform(0, 1)}, X, X[:, 0], kind="RandomizedSearchCV", n_iter=3)
    for search, state in zip((pair.ours, pair.theirs), states, strict=True):
        search.set_params(random_state=state, n_iter=4).fit(X, X[:, 0])
        search.fit(X, X[:, 0])
    assert_same(pair, X, X[:, 0])
    assert states[0].random_sample() == states[1].random_sample()


# ---------------------------------------------------------------------------------- scoring


@pytest.mark.parametrize(
    "options",
    slow_after(
        3,
        [
            {"scoring": "roc_auc", "return_train_score": True},
            {"scoring": make_scorer(fbeta_score, beta=2)},
            {"scoring": ["accuracy", "roc_auc"], "refit": "roc_auc", "return_train_score": True},
            {"scoring": ("recall",), "refit": "recall"},
            {"scoring": {"f2": make_scorer(fbeta_score, beta=2), "own": None, "auc": "roc_auc"}, "refit": "f2"},
            {
                "scoring": {
                    "part": make_scorer(roc_auc_score, response_method="decision_function", max_fpr=0.3),
                    "loss": make_scorer(mean_pinball_loss, greater_is_better=False, alpha=0.2),
                },
                "refit": "loss",
            },
            {"scoring": ["accuracy", "roc_auc"], "refit": False},
            {"refit": False},
            {"refit": lambda results: int(np.argmin(results["mean_test_score"]))},
            {"scoring": ["accuracy", "recall"], "refit": lambda results: int(results["mean_test_recall"].argmin())},
        ],
    ),
    ids=lambda how: " ".join(f"{name}={'a callable' if callable(value) else value}" for name, value in how.items()),
)
def test_metrics_and_what_makes_the_best_are_as_in_scikit_learn(options: Any) -> None:
    assert_same(both(LinearSVC(random_state=0), {"C": [0.01, 0.1, 1.0]}, X, Y, **options), X, Y)


def test_the_best_may_be_trained_here() -> None:
    pair = both(TREE, TREE_GRID, FRAME, NAMES, fit={"sample_weight": WEIGHTS}, ours={"refit_on": "here"})
    assert_same(pair, FRAME, NAMES)


# ----------------------------------------------------------------------------------- splits


def once() -> Iterator[Any]:
    yield from KFold(4, shuffle=True, random_state=0).split(X, Y)


@pytest.mark.parametrize(
    "cv",
    slow_after(
        2,
        [
            None,
            4,
            KFold(3, shuffle=True, random_state=1),
            ShuffleSplit(3, random_state=2),
            StratifiedShuffleSplit(2, random_state=3),
            [(np.arange(0, 80), np.arange(80, 120)), (list(range(40, 120)), list(range(40)))],
            [[np.arange(120) < 60, np.arange(120) >= 60], [np.arange(120) >= 40, np.arange(120) < 40]],
        ],
    ),
    ids=["the default", "a number", "shuffled", "drawn", "drawn by class", "pairs of indices", "pairs of masks"],
)
def test_splits_of_every_kind_are_those_of_scikit_learn(cv: Any) -> None:
    assert_same(both(TREE, TREE_GRID, X, Y, cv=cv), X, Y)


def test_a_generator_of_splits_is_read_once() -> None:
    pair = both(TREE, TREE_GRID, X, Y, cv=4)
    for search in (pair.ours, pair.theirs):
        search.set_params(cv=once()).fit(X, Y)
    assert_same(pair, X, Y)


def test_groups_stay_together() -> None:
    assert_same(both(TREE, TREE_GRID, X, Y, cv=GroupKFold(3), fit={"groups": GROUPS}), X, Y)


def test_weights_for_the_last_step_of_a_pipeline_leave_scores_alone() -> None:
    inner = Pipeline([("scale", StandardScaler()), ("tree", DecisionTreeClassifier(random_state=0, max_depth=3))])
    for pipeline, name in ((inner, "tree"), (Pipeline([("pca", PCA(4)), ("inner", inner)]), "inner__tree")):
        grid = {f"{name}__min_samples_leaf": [1, 4, 9]}
        assert_same(both(pipeline, grid, X, Y, fit={f"{name}__sample_weight": WEIGHTS}), X, Y)
