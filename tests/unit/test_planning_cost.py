"""The expected cost of a fit: near what was measured, and never less for more work."""

from __future__ import annotations

import time
from typing import Any

import pytest
from costs import fit_seconds
from hypothesis import example, given, settings
from hypothesis import strategies as st

from producer.planning.cost import (
    Shape,
    changes_cost,
    class_name,
    fit_cost,
    is_guess,
)
from warren.encoding.codec import Json
from warren.libraries.resolve import resolve

XGBOOST: Json = {"__estimator__": "xgboost.XGBClassifier", "params": {}}
LIGHTGBM: Json = {"__estimator__": "lightgbm.LGBMClassifier", "params": {}}
CATBOOST: Json = {"__estimator__": "catboost.CatBoostClassifier", "params": {}}
TREE: Json = {"__estimator__": "sklearn.tree.DecisionTreeClassifier", "params": {}}
FOREST: Json = {"__estimator__": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 50}}
BOOSTERS = (XGBOOST, LIGHTGBM, CATBOOST)


# Seconds on one thread of 10,000 rows, 28 columns and 500 rounds, depths and leaves left to the
# library; and some of the runs that the constants come from.
@pytest.mark.parametrize(
    ("estimator", "params", "rows", "columns", "classes", "measured"),
    [
        (XGBOOST, {"n_estimators": 500}, 10_000, 28, 2, 2.6),
        (LIGHTGBM, {"n_estimators": 500}, 10_000, 28, 2, 2.35),
        (CATBOOST, {"n_estimators": 500}, 10_000, 28, 2, 4.1),
        (XGBOOST, {"n_estimators": 500}, 10_000, 28, 4, 9.75),
        (LIGHTGBM, {"n_estimators": 500}, 10_000, 28, 4, 8.8),
        (CATBOOST, {"iterations": 500}, 10_000, 28, 4, 11.8),
        (LIGHTGBM, {"n_estimators": 300, "num_leaves": 63, "max_depth": 4}, 5000, 28, 2, 0.379),
        (CATBOOST, {"iterations": 50, "depth": 2}, 30_000, 60, 2, 0.717),
    ],
)
def test_an_estimate_is_within_a_factor_of_what_was_measured(
    estimator: Json, params: dict[str, Json], rows: int, columns: int, classes: int, measured: float
) -> None:
    assert measured / 1.7 < fit_seconds(estimator, params, rows, columns, classes) < measured * 1.7


@pytest.mark.parametrize("estimator", BOOSTERS, ids=class_name)
@pytest.mark.parametrize(
    "grow", ["rounds", "depth", "leaves", "rows", "columns", "classes", "share of the columns", "bins"]
)
def test_more_work_never_costs_less(estimator: Json, grow: str) -> None:
    names = {
        XGBOOST["__estimator__"]: ("n_estimators", "max_depth", "max_leaves", "colsample_bytree", "max_bin"),
        LIGHTGBM["__estimator__"]: ("num_iterations", "max_depth", "num_leaves", "feature_fraction", "max_bin"),
        CATBOOST["__estimator__"]: ("iterations", "depth", "max_leaves", "rsm", "border_count"),
    }[estimator["__estimator__"]]
    rounds, depth, leaves, share, bins = names
    base = {"rows": 20_000, "columns": 20, "classes": 2}
    steps: list[tuple[dict[str, Json], dict[str, int]]] = {
        "rounds": [({rounds: n}, {}) for n in (1, 10, 100, 1000)],
        "depth": [({depth: n}, {}) for n in (1, 2, 4, 8, 16)],
        "leaves": [({leaves: n, "grow_policy": "lossguide", depth: 12}, {}) for n in (2, 8, 31, 127)],
        "rows": [({}, {"rows": n}) for n in (10, 1000, 100_000, 10**8)],
        "columns": [({}, {"columns": n}) for n in (1, 10, 1000)],
        "classes": [({}, {"classes": n}) for n in (2, 3, 10)],
        "share of the columns": [({share: part}, {}) for part in (0.1, 0.5, 1)],
        "bins": [({bins: n}, {}) for n in (16, 64, 250)],
    }[grow]
    found = [fit_seconds(estimator, params, **(base | shape)) for params, shape in steps]
    assert found == sorted(found)
    assert found[-1] > 1.05 * found[0]


def test_classes_cost_a_classifier_only() -> None:
    regressor = {"__estimator__": "xgboost.XGBRegressor", "params": {}}
    assert fit_seconds(regressor, {}, 1000, 10, 7) == fit_seconds(regressor, {}, 1000, 10, 0)


def test_a_parameter_of_the_estimator_counts_as_a_trial_s_does() -> None:
    fixed = {"__estimator__": "xgboost.XGBClassifier", "params": {"max_depth": 9, "n_estimators": 7}}
    assert fit_seconds(fixed, {}, 1000, 10, 2) == fit_seconds(XGBOOST, {"max_depth": 9, "n_estimators": 7}, 1000, 10, 2)
    assert fit_seconds(fixed, {"max_depth": 3}, 1000, 10, 2) < fit_seconds(fixed, {}, 1000, 10, 2)


def test_a_sample_of_the_rows_is_less_work_where_one_is_drawn() -> None:
    half = {"subsample": 0.5}
    for estimator, params, whole in (
        (XGBOOST, half, {}),
        (LIGHTGBM, {"bagging_fraction": 0.5, "bagging_freq": 1}, {}),
        (XGBOOST, {"tree_method": "hist"}, {"tree_method": "exact"}),
    ):
        assert fit_seconds(estimator, params, 50_000, 20, 2) < fit_seconds(estimator, whole, 50_000, 20, 2)
    assert fit_seconds(LIGHTGBM, half, 50_000, 20, 2) == fit_seconds(LIGHTGBM, {}, 50_000, 20, 2)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.just({"__float__": "nan"}),
    st.lists(st.integers(), max_size=2),
)


@pytest.mark.slow
@example(estimator=CATBOOST, params={"max_bin": -28})
@settings(max_examples=1000)
@given(
    estimator=st.sampled_from([*BOOSTERS, TREE, FOREST]),
    params=st.dictionaries(
        st.sampled_from(
            [
                *("n_estimators", "iterations", "max_depth", "depth", "num_leaves", "max_leaves", "max_bin"),
                *("border_count", "grow_policy", "tree_method", "num_parallel_tree", "subsample"),
                *("subsample_freq", "colsample_bytree", "rsm", "max_iter"),
            ]
        ),
        ODD,
    ),
)
def test_whatever_a_parameter_is_an_estimate_is_a_number(estimator: Json, params: dict[str, Any]) -> None:
    assert resolve(estimator, params).rounds >= 1
    assert 0 < fit_seconds(estimator, params, 100, 5, 3) <= 1e9


def test_of_other_estimators_one_guesses() -> None:
    assert is_guess(resolve(TREE, {}))
    assert not any(is_guess(resolve(estimator, {})) for estimator in BOOSTERS)
    assert fit_seconds(TREE, {}, 20, 3, 2) == 5e-4
    assert fit_seconds(TREE, {}, 10**6, 30, 2) > 1
    assert fit_seconds(FOREST, {"n_estimators": 400}, 10**5, 30, 2) == pytest.approx(
        8 * fit_seconds(FOREST, {}, 10**5, 30, 2)
    )
    assert resolve(FOREST, {}).rounds == 1


@pytest.mark.parametrize(
    ("estimator", "name", "changes"),
    [
        (XGBOOST, "max_depth", True),
        (XGBOOST, "n_estimators", True),
        (XGBOOST, "learning_rate", False),
        (XGBOOST, "num_leaves", False),
        (LIGHTGBM, "num_leaves", True),
        (LIGHTGBM, "num_round", True),
        (CATBOOST, "border_count", True),
        (CATBOOST, "subsample", False),
        (TREE, "max_depth", False),
        (FOREST, "n_estimators", True),
        (FOREST, "clf__max_iter", True),
    ],
)
def test_some_parameters_change_the_cost(estimator: Json, name: str, changes: bool) -> None:
    assert changes_cost(resolve(estimator, {}), name) is changes


def test_an_estimate_is_quick() -> None:
    """A plan has up to ten thousand of them; a tenth of a millisecond each leaves room for a
    busy machine."""
    params = {"n_estimators": 500, "max_depth": 5, "learning_rate": 0.1, "reg_lambda": 2}
    began = time.process_time()
    for _ in range(2000):
        fit_cost(resolve(XGBOOST, params), Shape(10_000, 28, 2))
    assert (time.process_time() - began) / 2000 < 1e-4
