"""What a training process keeps of its data, and for how long."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from blobs import Blobs
from sklearn.model_selection import KFold

from warren.errors import InputError
from warren.messages import Objective
from warren.storage.dataset import Dataset, Split
from worker.fitting.learner import Part
from worker.training.data_cache import DataCache

DRAW = np.random.default_rng(1)
X = DRAW.normal(size=(40, 4))
Y = (X[:, 0] + DRAW.normal(size=40) > 0).astype(int)
WEIGHTS = DRAW.uniform(0.1, 2.0, 40)
SPLITS: list[Split] = list(KFold(2).split(X))
# Of each fold's training part, the rows that are fitted on and those that early stopping watches.
APART: list[Split] = [(train[5:], train[:5]) for train, _ in SPLITS]


def cache_of(blobs: Blobs, max_bytes: int = 10**6, data: Any = X) -> tuple[DataCache, Objective]:
    objective = Objective(
        estimator=None,
        dataset=blobs.keep_dataset(Dataset(X=data, y=Y, sample_weight=WEIGHTS)),
        splits=blobs.keep_splits(SPLITS),
        validation=blobs.keep_splits(APART),
        n_splits=2,
        scorers={"score": None},
        refit="score",
        error_score=math.nan,
        return_train_score=False,
    )
    return DataCache(blobs.supplies, max_bytes), objective


def is_of(part: Part | None, rows: Any, data: Any = X) -> bool:
    assert part is not None
    expected = (data[rows], Y[rows], WEIGHTS[rows])
    return all(np.array_equal(ours, theirs) for ours, theirs in zip(part, expected, strict=True))


@pytest.mark.parametrize(("max_bytes", "fetches"), [(10**6, 2), (0, 8)])
def test_data_is_fetched_once_while_there_is_room(max_bytes: int, fetches: int) -> None:
    blobs = Blobs()
    cache, objective = cache_of(blobs, max_bytes)
    for number in (0, 1, 0, 1):
        fold, _ = cache.fold(objective, number)
        train, test = SPLITS[number]
        assert is_of(fold.train, train)
        assert is_of(fold.test, test)
        assert fold.evaluation is None
    assert len(blobs.asked) == fetches


def test_early_stopping_watches_the_part_that_is_held_out() -> None:
    cache, objective = cache_of(Blobs())
    train, test = SPLITS[1]
    fold, _ = cache.fold(objective, 1, watched="held out")
    assert is_of(fold.train, train)
    assert is_of(fold.test, test)
    assert fold.evaluation is fold.test


def test_early_stopping_watches_rows_that_are_set_apart() -> None:
    cache, objective = cache_of(Blobs())
    for number in (0, 1):
        fold, _ = cache.fold(objective, number, watched="set apart")
        train, rows = APART[number]
        assert is_of(fold.train, train)
        assert is_of(fold.test, SPLITS[number][1])
        assert is_of(fold.evaluation, rows)


def test_folds_that_are_watched_in_other_ways_do_not_meet() -> None:
    cache, objective = cache_of(Blobs())
    cut = [cache.fold(objective, 0, watched=way)[0] for way in ("nothing", "held out", "set apart", "nothing")]
    assert cut[0] is cut[3]
    assert [len(fold.train.y) for fold in cut] == [20, 20, 15, 20]
    assert [None if fold.evaluation is None else len(fold.evaluation.y) for fold in cut] == [None, 20, 5, None]


def test_of_a_matrix_of_distances_columns_are_cut_too() -> None:
    square = X @ X.T
    cache, objective = cache_of(Blobs(), data=square)
    train, test = SPLITS[0]
    fold, _ = cache.fold(objective, 0, pairwise=True)
    assert np.array_equal(fold.train.X, square[np.ix_(train, train)])
    assert np.array_equal(fold.test.X, square[np.ix_(test, train)])
    kept, rows = APART[0]
    fold, _ = cache.fold(objective, 0, pairwise=True, watched="set apart")
    assert fold.evaluation is not None
    assert np.array_equal(fold.train.X, square[np.ix_(kept, kept)])
    assert np.array_equal(fold.test.X, square[np.ix_(test, kept)])
    assert np.array_equal(fold.evaluation.X, square[np.ix_(rows, kept)])
    assert cache.fold(objective, 0)[0].train.X.shape == (20, 40)


def test_what_is_derived_belongs_to_the_rows_that_are_fitted_on() -> None:
    cache, objective = cache_of(Blobs(), data=X @ X.T)

    def made(number: int, **how: Any) -> object:
        return cache.fold(objective, number, **how)[1].get("bins", object, lambda _: 1)

    first = made(0)
    assert made(0) is made(0, watched="held out") is first  # the same rows
    others = [made(1), made(0, watched="set apart"), made(1, watched="set apart"), made(0, pairwise=True)]
    assert len({id(one) for one in [first, *others]}) == 5
    other_data = objective.model_copy(update={"dataset": "f" * 64})
    cache._entries["dataset", "f" * 64] = cache.dataset(objective.dataset)
    assert cache.fold(other_data, 0)[1].get("bins", object, lambda _: 1) is not first


def test_data_and_splits_that_do_not_belong_together_are_refused() -> None:
    cache, objective = cache_of(Blobs())
    for changes, reason in (
        ({"n_splits": 3}, "n_splits=3: blob .* has 2 splits"),
        ({"n_splits": 1}, "n_splits=1: blob .* has 2 splits"),
        ({"dataset": objective.splits}, "can't be read as what the chunk calls it"),
        ({"splits": objective.dataset}, "can't be read as what the chunk calls it"),
    ):
        with pytest.raises(InputError, match=reason):
            cache.fold(objective.model_copy(update=changes), 0)
    few, objective = cache_of(Blobs(), data=X[:30])
    with pytest.raises(InputError, match="the splits in blob .* are not of data in blob"):
        few.fold(objective, 0)
