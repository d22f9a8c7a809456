"""Searches on worker processes: the same attributes, methods and warnings as scikit-learn's.

Warnings are compared here: a worker in the test's own process would share their filters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fitted import Pair, assert_same, both
from sklearn.datasets import make_classification
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

pytestmark = pytest.mark.usefixtures("stack")
X, Y = make_classification(120, 6, n_informative=4, flip_y=0.2, random_state=1)
WEIGHTS = np.random.default_rng(4).uniform(0.1, 3.0, 120)
TREE = DecisionTreeClassifier(random_state=0)
TREE_GRID = {"max_depth": [1, 3, None], "min_samples_leaf": [1, 5]}


def test_a_small_space_warns_and_is_searched_as_a_whole() -> None:
    pair = both(TREE, {"max_depth": [1, 2]}, X, Y, kind="RandomizedSearchCV", random_state=0)
    assert_same(pair, X, Y)
    assert pair.our_warnings == pair.their_warnings
    assert "The total space of parameters 2 is smaller than n_iter=10" in pair.our_warnings[0]


def test_a_splitter_without_a_seed_splits_all_candidates_alike() -> None:
    pair = both(TREE, {"max_depth": [2, 2, 3, 3]}, X, Y, ours={"name": "unseeded splits"}, cv=KFold(3, shuffle=True))
    assert pair.our_warnings == pair.their_warnings == []
    for fold in range(3):
        scores = pair.ours.cv_results_[f"split{fold}_test_score"]
        assert (scores[0], scores[2]) == (scores[1], scores[3])


def test_a_class_with_few_members_warns_as_in_scikit_learn() -> None:
    y = np.where(np.arange(120) < 2, 2, Y)
    pair = both(TREE, {"max_depth": [1, 2]}, X, y, cv=StratifiedKFold(3))
    assert "UserWarning: The least populated class in y has only 2 members" in pair.our_warnings[0]
    assert set(pair.our_warnings) == set(pair.their_warnings)
    assert_same(pair, X, y)


# --------------------------------------------------------------------------------- metadata


@pytest.mark.parametrize("scoring", [None, "roc_auc", ["accuracy", "roc_auc"]])
def test_sample_weights_count_in_fits_scores_and_the_model(scoring: Any) -> None:
    refit = "roc_auc" if isinstance(scoring, list) else True
    pair = both(TREE, TREE_GRID, X, Y, fit={"sample_weight": WEIGHTS}, scoring=scoring, refit=refit)
    assert_same(pair, X, Y)
    assert pair.our_warnings == pair.their_warnings


def test_a_scorer_without_weights_warns_as_in_scikit_learn() -> None:
    fit = {"sample_weight": WEIGHTS}
    pair = both(Ridge(), {"alpha": [0.1, 1.0]}, X, X[:, 0], fit=fit, scoring=["neg_max_error", "r2"], refit="r2")
    assert_same(pair, X, X[:, 0])
    assert ["does not support sample_weight" in one for one in pair.our_warnings] == [True]
    # Each names its own search.
    assert len(pair.our_warnings) == len(pair.their_warnings)


# --------------------------------------------------------------------------------- failures


def without_tracebacks(pair: Pair) -> tuple[list[str], list[str]]:
    """Return the warnings of both sides up to what failed."""
    ours, theirs = (
        [one.partition("Below are more details")[0] for one in told]
        for told in (pair.our_warnings, pair.their_warnings)
    )
    return ours, theirs


@pytest.mark.parametrize("error_score", [np.nan, 0.0, -3])
def test_fits_that_fail_are_scored_and_told_as_in_scikit_learn(error_score: float) -> None:
    pair = both(TREE, {"max_depth": [2, -1, 3]}, X, Y, error_score=error_score, return_train_score=True)
    ours, theirs = without_tracebacks(pair)
    assert [one.replace(f"{float(error_score)}.\n", f"{error_score}.\n") for one in ours] == theirs
    assert "3 fits failed out of a total of 9" in ours[0]
    assert "InvalidParameterError: The 'max_depth' parameter" in pair.our_warnings[0]
    assert_same(pair, X, Y)


def test_scores_that_fail_are_told_and_the_others_stay() -> None:
    three = np.where(np.arange(120) % 3 == 0, 2, Y)
    options = {"scoring": ["accuracy", "roc_auc"], "refit": "accuracy"}
    pair = both(LinearSVC(random_state=0), {"C": [0.1, 1.0]}, X, three, **options)
    assert_same(pair, X, three)
    assert pair.our_warnings[0].startswith("UserWarning: Scoring failed in 2 trials. The score on these train-test")
    assert "One or more of the test scores are non-finite: [nan nan]" in pair.our_warnings[-1]
    assert pair.our_warnings[-1] == pair.their_warnings[-1]
