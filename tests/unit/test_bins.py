"""Binned data that fits on one fold have in common, kept while there is room."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from blobs import Blobs
from catboost import CatBoostClassifier
from folds import MAKERS, MANY, ROUNDS, WEIGHT, Kept, X, Y, evaluate, fold, plain, scores, with_bins
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from xgboost import XGBClassifier, XGBRanker, XGBRFClassifier

from warren.messages import Objective
from warren.storage.dataset import Dataset
from worker.fitting import Learner, learner_of
from worker.fitting.catboost_fits import CatBoostLearner
from worker.fitting.learner import fingerprint
from worker.fitting.lightgbm_fits import LightGBMLearner
from worker.fitting.xgboost_fits import XGBoostLearner
from worker.training.data_cache import DataCache, KeptDerived

# ---------------------------------------------------------------------- who is whose


@pytest.mark.parametrize(
    ("cls", "learner"),
    [
        (XGBClassifier, XGBoostLearner),
        (LGBMClassifier, LightGBMLearner),
        (LGBMRegressor, LightGBMLearner),
        (CatBoostClassifier, CatBoostLearner),
        (XGBRFClassifier, Learner),
        (XGBRanker, Learner),
        (LGBMRanker, Learner),
        (RandomForestClassifier, Learner),
        (LogisticRegression, Learner),
    ],
)
def test_an_estimator_is_fitted_by_whoever_knows_it(cls: type, learner: type) -> None:
    assert type(learner_of(cls)) is learner
    assert learner_of(cls) is learner_of(cls)


class MyXGBClassifier(XGBClassifier):
    """Trains with labels turned round, which bins of the library's own would not show."""

    def fit(self, X: Any, y: Any, **how: Any) -> Any:
        return super().fit(X, 1 - y, **how)


class MyLGBMClassifier(LGBMClassifier):
    """Trains with labels turned round."""

    def fit(self, X: Any, y: Any, **how: Any) -> Any:
        return super().fit(X, 1 - y, **how)


class LGBMRegressorOfMine(LGBMRegressor):
    """Changes nothing."""


@pytest.mark.parametrize("cls", [MyXGBClassifier, MyLGBMClassifier, LGBMRegressorOfMine])
def test_a_class_that_inherits_from_a_library_is_fitted_by_itself(cls: type) -> None:
    assert type(learner_of(cls)) is Learner
    renamed = type(cls.__mro__[1].__name__, (cls,), {"__module__": __name__})  # its name is no proof either
    assert type(learner_of(renamed)) is Learner


def test_nothing_is_derived_for_a_class_of_one_s_own() -> None:
    kept = Kept()

    def make() -> Any:
        return MyXGBClassifier(n_estimators=5, n_jobs=1)

    assert with_bins(make, fold(), kept, {"a": "accuracy"}) == plain(make, fold(), {"a": "accuracy"})
    assert kept.number == 0


# ------------------------------------------------------------------- bins that are used again

REUSED: list[tuple[str, dict[str, Any]]] = [
    ("xgboost", {"max_depth": 5}),
    ("xgboost", {"n_estimators": 4}),
    ("xgboost", {"learning_rate": 0.1, "subsample": 0.5, "reg_lambda": 3.0, "random_state": 5}),
    ("xgboost", {"grow_policy": "lossguide", "max_leaves": 4}),
    ("xgboost", {"n_jobs": 2}),
    ("lightgbm", {"num_leaves": 4}),
    ("lightgbm", {"n_estimators": 4}),
    ("lightgbm", {"num_iterations": 4}),
    ("lightgbm", {"learning_rate": 0.1, "colsample_bytree": 0.5, "reg_alpha": 1.0, "extra_trees": True}),
    ("lightgbm", {"n_jobs": 2}),
    ("catboost", {"depth": 2}),
    ("catboost", {"iterations": 4}),
    ("catboost", {"learning_rate": 0.1, "l2_leaf_reg": 9.0}),
]


@pytest.mark.filterwarnings("ignore:Found `num_iterations` in params")
@pytest.mark.parametrize(("library", "params"), REUSED)
def test_what_does_not_touch_bins_finds_them_made(library: str, params: dict[str, Any]) -> None:
    kept, make = Kept(), MAKERS[library]
    with_bins(make, fold(), kept)
    spent = kept.made_seconds
    assert spent > 0 == kept.saved_seconds
    assert with_bins(lambda: make(**params), fold(), kept) == plain(lambda: make(**params), fold())
    assert with_bins(make, fold(), kept) == plain(make, fold())  # the fit before has not changed them
    assert kept.number == 1
    assert kept.made_seconds == spent
    assert kept.saved_seconds == pytest.approx(2 * spent)


NOT_REUSED: list[tuple[str, dict[str, Any]]] = [
    ("xgboost", {"max_bin": 8}),
    ("xgboost", {"missing": 0.0}),
    ("lightgbm", {"max_bin": 8}),
    ("lightgbm", {"max_bins": 8}),
    ("lightgbm", {"min_child_samples": 5}),
    ("lightgbm", {"min_data_in_leaf": 5}),
    ("lightgbm", {"min_data_in_bin": 40}),
    ("lightgbm", {"subsample_for_bin": 30}),
    ("lightgbm", {"random_state": 5}),
    ("catboost", {"border_count": 8}),
    ("catboost", {"feature_border_type": "Uniform"}),
]


@pytest.mark.filterwarnings("ignore:Found `")
@pytest.mark.parametrize("other_way_round", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("library", "params"), NOT_REUSED)
def test_bins_of_other_parameters_are_not_used(library: str, params: dict[str, Any], other_way_round: bool) -> None:
    kept, make = Kept(), MAKERS[library]
    first, second = (params, {}) if other_way_round else ({}, params)
    with_bins(lambda: make(**first), fold(), kept)
    assert with_bins(lambda: make(**second), fold(), kept) == plain(lambda: make(**second), fold())
    assert kept.number == 2
    assert kept.saved_seconds == 0


def test_these_parameters_do_change_the_numbers() -> None:
    """Otherwise the tests above would not see bins that are used wrongly."""
    for library, params in [NOT_REUSED[0], NOT_REUSED[2], NOT_REUSED[4], NOT_REUSED[-2]]:
        make = MAKERS[library]
        assert plain(lambda make=make, params=params: make(**params), fold()) != plain(make, fold())


@pytest.mark.parametrize("library", MAKERS)
def test_bins_of_other_weights_or_labels_are_not_used(library: str) -> None:
    kept, make = Kept(), MAKERS[library]
    others = [fold(), fold(weight=WEIGHT), fold(weight=WEIGHT[::-1].copy()), fold(y=Y[::-1].copy()), fold(y=MANY)]
    for number, one in enumerate(others, start=1):
        assert with_bins(make, one, kept) == plain(make, one)
        assert kept.number == number
    assert len({repr(plain(make, one)) for one in others}) == len(others)


def test_class_weights_of_lightgbm_make_other_bins() -> None:
    kept = Kept()
    for number, weights in enumerate([None, "balanced", {0: 1.0, 1: 5.0}], start=1):

        def make(weights: Any = weights) -> Any:
            return MAKERS["lightgbm"](class_weight=weights)

        assert with_bins(make, fold(), kept) == plain(make, fold())
        assert kept.number == number


@pytest.mark.parametrize("method", ["exact", "approx"])
def test_tree_methods_that_make_their_own_bins_keep_none(method: str) -> None:
    kept = Kept()
    assert with_bins(lambda: MAKERS["xgboost"](tree_method=method), fold(), kept) == plain(
        lambda: MAKERS["xgboost"](tree_method=method), fold()
    )
    assert kept.number == 0


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_fit_that_fails_leaves_no_trace(library: str) -> None:
    kept, make = Kept(), MAKERS[library]
    bad = {"xgboost": {"max_depth": -3}, "lightgbm": {"num_leaves": 1}}[library]
    [failed] = evaluate(lambda: make(**bad), fold(), learner=learner_of(type(make())), derived=kept)
    assert not failed.fitted
    assert with_bins(make, fold(), kept) == plain(make, fold())


@pytest.mark.parametrize("library", ["lightgbm", "catboost"])
def test_labels_may_be_text(library: str) -> None:
    text = np.array(["no", "perhaps", "yes"])[MANY]
    kept, make, of = Kept(), MAKERS[library], fold(y=text)
    rounds = "n_estimators" if library == "lightgbm" else "iterations"
    expected = [plain(lambda number=number: make(**{rounds: number}), of)[0] for number in ROUNDS]
    for _ in range(2):
        found = evaluate(make, of, learner=learner_of(type(make())), derived=kept, rounds=ROUNDS)
        assert scores(found) == expected
    assert kept.number == 1
    assert with_bins(make, fold(y=text[::-1].copy()), kept) == plain(make, fold(y=text[::-1].copy()))
    assert kept.number == 2


def test_a_fingerprint_tells_contents_types_and_shapes_apart() -> None:
    assert len({fingerprint(one) for one in (np.arange(6), np.arange(6).copy(), np.arange(12)[::2] // 2)}) == 1
    others = [None, np.arange(6), np.arange(6)[::-1], np.arange(6.0), np.arange(6).reshape(2, 3), [*range(6)]]
    text = [np.array(["a", "b"]), np.array(["b", "a"]), np.array(["a", "bb"]), np.array([b"a", b"b"]), ["a", "b"]]
    objects = [np.array(["a", "b"], dtype=object), np.array(["b", "a"], dtype=object), np.array([1, "b"], dtype=object)]
    frames = [pd.Series(["a", "b"]), pd.Series(["a", "c"]), pd.DataFrame({"y": ["a", "b"]}), pd.Categorical(["a", "b"])]
    plain = [True, 1, 1.0, "1", (1,), [1], {"a": 1}, {"a": True}, {1: "a"}]
    several = [*others, *text, *objects, *frames, *plain]
    assert len({fingerprint(one) for one in several}) == len(several)
    assert fingerprint({"a": 1, "b": [np.arange(2)]}) == fingerprint({"b": [np.arange(2)], "a": 1})


def long_arrays() -> list[Any]:
    """Two arrays that are shown alike: they differ in the middle, which ``repr`` leaves out."""
    arrays = [np.delete(np.arange(1200), range(start, start + 100)) for start in (400, 500)]
    assert repr(arrays[0]) == repr(arrays[1])
    return arrays


def marked(columns: Any) -> Any:
    """A number for each of 1,200 columns."""
    return 4 + 4 * np.isin(np.arange(1200), columns) + 4 * (np.arange(1200) > 600)


WIDE = np.random.default_rng(5).normal(size=(240, 1200))
LONG: dict[str, Callable[[Any], Any]] = {
    "xgboost": lambda long: XGBClassifier(
        n_estimators=4, colsample_bytree=0.05, feature_weights=marked(long) - 4, random_state=0, n_jobs=1
    ),
    "lightgbm": lambda long: LGBMClassifier(n_estimators=4, max_bin_by_feature=marked(long), n_jobs=1, verbosity=-1),
    "catboost": lambda long: CatBoostClassifier(
        iterations=2, depth=2, cat_features=long, thread_count=1, logging_level="Silent"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("library", LONG)
def test_parameters_that_are_shown_alike_and_differ_have_bins_of_their_own(library: str) -> None:
    make, kept = LONG[library], Kept()
    of = fold(data=pd.DataFrame(np.round(WIDE).astype(int)) if library == "catboost" else WIDE)
    results = [with_bins(lambda long=long: make(long), of, kept) for long in long_arrays()]
    assert kept.number == 2
    assert results == [plain(lambda long=long: make(long), of) for long in long_arrays()]
    assert results[0] != results[1]


# ---------------------------------------------------------------------------- the bound


def get(kept: KeptDerived, key: Hashable, size: int) -> object:
    return kept.get(key, object, lambda _: size)


def test_what_was_not_used_for_longest_goes_first() -> None:
    kept = Kept(max_bytes=100)
    first, second = get(kept, "first", 40), get(kept, "second", 40)
    assert get(kept, "first", 40) is first  # used again, so the second is the older one now
    third = get(kept, "third", 40)
    assert kept.entries.currsize == 80
    assert get(kept, "first", 40) is first
    assert get(kept, "third", 40) is third
    assert get(kept, "second", 40) is not second
    assert get(kept, "first", 40) is not first


def test_what_is_larger_than_the_cache_is_used_and_not_kept() -> None:
    kept = Kept(max_bytes=100)
    small = get(kept, "small", 60)
    assert get(kept, "large", 101) is not get(kept, "large", 101)
    assert get(kept, "small", 60) is small
    assert get(kept, "just", 100) is get(kept, "just", 100)
    assert get(kept, "small", 60) is not small


@pytest.mark.parametrize("library", MAKERS)
def test_bins_that_fit_nowhere_change_no_number(library: str) -> None:
    kept, make = Kept(max_bytes=1), MAKERS[library]
    for _ in range(2):
        assert with_bins(make, fold(), kept) == plain(make, fold())
    assert kept.number == 0
    assert kept.saved_seconds == 0


def test_data_folds_and_bins_share_one_bound() -> None:
    blobs = Blobs()
    objective = Objective(
        estimator=None,
        dataset=blobs.keep_dataset(Dataset(X=X, y=Y)),
        splits=blobs.keep_splits(list(KFold(3).split(X))),
        n_splits=3,
        scorers={"l": "neg_log_loss"},
        refit="l",
        error_score=math.nan,
        return_train_score=False,
    )
    most = 60_000  # the data and three folds take 48,000; bins of one fold about 4,200
    cache = DataCache(blobs.supplies, most)
    make, seen = MAKERS["xgboost"], []

    def run(bins: int, number: int) -> KeptDerived:
        of, derived = cache.fold(objective, number)
        expected = plain(lambda: make(max_bin=bins), of)
        assert with_bins(lambda: make(max_bin=bins), of, derived) == expected
        seen.append(cache._entries.currsize)
        return derived

    assert run(16, 0).made_seconds > 0
    assert run(16, 0).saved_seconds > 0
    for bins in range(20, 24):
        for number in range(3):
            run(bins, number)
    assert max(seen) <= most
    assert min(seen[6:]) > most / 2  # the bound is used, and not by emptying everything
    assert run(16, 0).saved_seconds == 0
