"""Splits: exactly those of GridSearchCV, made once."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    check_cv,
)

from producer.validation import make_splits
from warren.errors import InputError

ROWS = 60
X = np.random.default_rng(0).random((ROWS, 3))
CLASSES = np.array(["a", "b", "c"])[np.arange(ROWS) % 3]
NUMBERS = np.linspace(0.5, 9, ROWS)
GROUPS = np.arange(ROWS) // 6


def splits_of(cv, y=CLASSES, groups=None, *, classifier=True):
    return make_splits(cv, X, y, groups, classifier=classifier)


def same(left, right) -> bool:
    return len(left) == len(right) and all(
        np.array_equal(mine, theirs)
        for one, other in zip(left, right, strict=True)
        for mine, theirs in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("classifier", [True, False])
@pytest.mark.parametrize(
    ("cv", "groups"),
    [
        (None, None),
        (3, None),
        (np.int64(4), None),
        (KFold(4, shuffle=True, random_state=7), None),
        (StratifiedKFold(5, shuffle=True, random_state=1), None),
        (RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=3), None),
        (ShuffleSplit(1, test_size=0.2, random_state=5), None),
        (TimeSeriesSplit(3), None),
        (PredefinedSplit(np.arange(ROWS) % 4 - 1), None),
        (LeaveOneOut(), None),
        (GroupKFold(3), GROUPS),
        (GroupShuffleSplit(3, random_state=2), GROUPS),
        (LeaveOneGroupOut(), GROUPS),
        (StratifiedGroupKFold(2, shuffle=True, random_state=0), GROUPS),
    ],
)
def test_splits_are_those_of_scikit_learn(cv, groups, classifier: bool):
    y = NUMBERS if not classifier and not isinstance(cv, (StratifiedKFold, StratifiedGroupKFold)) else CLASSES
    if isinstance(cv, RepeatedStratifiedKFold):
        y = CLASSES
    found = splits_of(cv, y, groups, classifier=classifier)
    assert same(found, list(check_cv(cv, y, classifier=classifier).split(X, y, groups)))
    assert all(side.dtype == np.int64 and side.flags.c_contiguous for split in found for side in split)


class Recorder(DummyClassifier):
    """Keeps what it was trained on: the first column of X holds the row numbers."""

    seen: list[list[int]] = []  # noqa: RUF012 - GridSearchCV clones instances, not classes

    def fit(self, X, y):
        type(self).seen.append(X[:, 0].astype(int).tolist())
        return super().fit(X, y)


def test_grid_search_trains_on_the_same_rows():
    Recorder.seen = []
    rows = np.column_stack([np.arange(ROWS), X])
    labels = pd.Series(CLASSES, dtype="category")
    GridSearchCV(Recorder(), {"strategy": ["prior"]}, cv=4, refit=False).fit(rows, labels)
    assert Recorder.seen == [train.tolist() for train, _ in splits_of(4)]


def test_folds_of_a_regressor_are_not_stratified():
    assert same(splits_of(3, CLASSES, classifier=False), list(KFold(3).split(X)))


def test_pairs_of_indices_or_masks_are_taken():
    test = np.arange(ROWS) < 20
    [(train, held_out)] = splits_of([(~test, test)])
    assert train.tolist() == list(range(20, ROWS))
    assert held_out.tolist() == list(range(20))
    pairs = [([0, 1, 2], (3, 4)), (np.array([5, 6], dtype=np.uint8), np.array([7]))]
    assert [[side.tolist() for side in pair] for pair in splits_of(iter(pairs))] == [[[0, 1, 2], [3, 4]], [[5, 6], [7]]]


def test_a_splitter_is_asked_once():
    class Counting(KFold):
        asked = 0

        def split(self, X, y=None, groups=None):
            self.asked += 1
            return super().split(X, y, groups)

    splitter = Counting(3)
    splits_of(splitter)
    assert splitter.asked == 1


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (1, "cv=1: needs at least 2 splits"),
        (0, "cv=0: needs at least 2 splits"),
        (-3, "cv=-3: needs at least 2 splits"),
        (True, "cv=True: pass a number of splits"),
        ("5", "cv='5': pass a number of splits"),
        (2.5, "cv=2.5: "),
        (KFold, "is a class: pass an instance"),
        (KFold(61), "Cannot have number of splits n_splits=61"),
        ([], r"cv=\[\] makes no split"),
        ([1, 2], "cv="),
        ([([0], [1], [2])], "cv="),
        ([([0, 1], [60])], "fold 0, test: index 60 is out of range for 60 rows, 0 to 59"),
        ([([0], [1]), ([-1], [2])], "fold 1, train: index -1 is out of range"),
        ([([0], [])], "fold 0, test is empty"),
        ([([], [0])], "fold 0, train is empty"),
        ([([0.0], [1])], "fold 0, train: indices of dtype float64"),
        ([([[0]], [1])], r"fold 0, train: indices of shape \(1, 1\)"),
        ([([True, False], [1])], "fold 0, train: a mask of 2 entries for 60 rows"),
    ],
)
def test_what_makes_no_folds_is_refused_with_the_fold_named(cv, message: str):
    with pytest.raises(InputError, match=message):
        splits_of(cv)


@pytest.mark.parametrize(
    "cv", [5, None, StratifiedKFold(5), RepeatedStratifiedKFold(n_splits=5), StratifiedGroupKFold(5)]
)
def test_more_folds_than_the_smallest_class_has_members_are_refused(cv):
    y = np.array(["rare"] * 3 + ["common"] * (ROWS - 3))
    with pytest.raises(InputError, match="5 splits need 5 members of each class, and class 'rare' has 3; use cv=3"):
        splits_of(cv, y, GROUPS)


def test_a_regressor_may_have_rare_values():
    y = np.array([1] * 3 + [0] * (ROWS - 3))
    assert len(splits_of(5, y, classifier=False)) == 5


@pytest.mark.parametrize("cv", [GroupKFold(2), LeaveOneGroupOut(), GroupShuffleSplit(2), StratifiedGroupKFold(2)])
def test_a_group_splitter_without_groups_is_refused(cv):
    with pytest.raises(InputError, match=r"needs groups: pass groups=\.\.\."):
        splits_of(cv)


def test_an_error_of_a_splitter_keeps_its_text_and_cause():
    with pytest.raises(InputError, match="Supported target types are") as caught:
        splits_of(StratifiedKFold(3), NUMBERS)
    assert isinstance(caught.value.__cause__, ValueError)


def test_no_y_means_plain_folds():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(splits_of(3, None, classifier=False), list(KFold(3).split(X)))
    with pytest.raises(InputError, match="needs y"):
        splits_of(StratifiedKFold(3), None)


def test_a_splitter_that_draws_anew_each_time_is_pointed_out() -> None:
    X, y = np.zeros((12, 1)), np.arange(12) % 2
    with pytest.warns(UserWarning, match="set random_state"):
        make_splits(KFold(3, shuffle=True), X, y, None, classifier=True)
