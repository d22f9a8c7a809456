"""Which trials may share a fit, and which stop early."""

from __future__ import annotations

import json
import math
from typing import Any

import catboost
import numpy as np
import pytest
import xgboost
from words import CLASS_OF, CLASSES, EARLY, NEEDED, QUIET, ROUNDS, THREADS, X, Y, encoded, share, shared

from warren.encoding.codec import encode_estimator
from warren.libraries.registry import BOOSTING, library_of
from warren.libraries.resolve import resolve

NEITHER: list[tuple[str, str]] = [
    (library, name)
    for library, words in BOOSTING.items()
    for name in sorted(words.free | words.binning)
    if (library, name) != ("catboost", "monotone_constraints")
]


# ------------------------------------------------------------------- what is not shared


@pytest.mark.parametrize("name", CLASSES)
def test_classes_that_boost_round_by_round_may_share(name: str) -> None:
    estimator = {"__estimator__": name, "params": {}}
    assert library_of(name) is BOOSTING[CLASSES[name]]
    assert resolve(estimator, {"learning_rate": 0.1, "n_estimators": 5}).shared_key is not None


def test_no_other_class_is_in_the_table() -> None:
    assert {name for words in BOOSTING.values() for name in words.classes} == CLASSES.keys()


@pytest.mark.parametrize(
    "name",
    [
        *("xgboost.XGBRFClassifier", "xgboost.XGBRFRegressor", "xgboost.XGBRanker", "xgboost.sklearn.XGBClassifier"),
        *("lightgbm.LGBMRanker", "lightgbm.LGBMModel", "catboost.CatBoostRanker", "catboost.CatBoost"),
        *("sklearn.ensemble.RandomForestClassifier", "sklearn.ensemble.GradientBoostingClassifier"),
        *("sklearn.pipeline.Pipeline", "mine.XGBClassifier", "mine.xgboost.XGBClassifier", "xgboost", ""),
    ],
)
def test_other_classes_are_fitted_alone(name: str) -> None:
    params = {"learning_rate": 0.1, "n_estimators": 5, "early_stopping_rounds": 3}
    assert library_of(name) is None
    assert resolve({"__estimator__": name, "params": params}, params).shared_key is None
    assert not resolve({"__estimator__": name, "params": params}, params).stops_early


def test_what_is_no_estimator_is_fitted_alone() -> None:
    assert resolve({}, {"n_estimators": 5}).shared_key is None
    assert not resolve({}, {"early_stopping_rounds": 5}).stops_early


ALONE: list[tuple[str, str, Any]] = [
    ("xgboost", "booster", "dart"),
    ("xgboost", "booster", "gblinear"),
    ("xgboost", "num_parallel_tree", 2),
    ("xgboost", "multi_strategy", "multi_output_tree"),
    ("xgboost", "process_type", "update"),
    ("xgboost", "device", "cuda"),
    ("xgboost", "device", "cuda:0"),
    ("xgboost", "callbacks", []),
    ("xgboost", "early_stopping_rounds", 5),
    ("xgboost", "updater", "refresh"),
    ("xgboost", "rate_drop", 0.1),
    ("xgboost", "feature_weights", [1.0, 2.0]),
    ("xgboost", "num_boost_round", 5),
    *(
        ("lightgbm", name, kind)
        for name in ("boosting_type", "boosting", "boost")
        for kind in ("dart", "rf", "random_forest", None)
    ),
    ("lightgbm", "data_sample_strategy", "other"),
    ("lightgbm", "linear_tree", True),
    ("lightgbm", "linear_trees", True),
    *(("lightgbm", name, kind) for name in ("device", "device_type") for kind in ("gpu", "cuda")),
    *(("lightgbm", name, 5) for name in BOOSTING["lightgbm"].early_stopping),
    ("lightgbm", "drop_rate", 0.1),
    ("lightgbm", "callbacks", []),
    ("lightgbm", "refit_decay_rate", 0.5),
    ("lightgbm", "reg_sqrt", True),
    ("lightgbm", "num_class", 3),
    ("catboost", "monotone_constraints", [1, 0]),  # made to hold when all trees are there: every leaf changes
    ("catboost", "task_type", "GPU"),
    ("catboost", "callback", "x"),
    ("catboost", "callbacks", []),
    ("catboost", "early_stopping_rounds", 5),
    ("catboost", "od_wait", 5),
    ("catboost", "od_type", "Iter"),
    ("catboost", "od_pval", 0.01),
    ("catboost", "use_best_model", True),
    ("catboost", "langevin", True),
    ("catboost", "posterior_sampling", True),
    ("catboost", "model_shrink_rate", 0.1),
    ("catboost", "snapshot_file", "x"),
    *((library, name, 5) for library in BOOSTING for name in ("nonsense", "estimator__max_depth", "max__depth", "")),
]


@pytest.mark.parametrize(("library", "name", "value"), ALONE)
def test_an_unknown_or_dependent_parameter_is_fitted_alone(library: str, name: str, value: Any) -> None:
    assert share(library) is not None
    assert share(library, **{name: value}) is None
    assert resolve(encoded(library, **{name: value}), NEEDED[library]).shared_key is None


@pytest.mark.parametrize(
    ("library", "name", "value"),
    [
        *(("xgboost", name, None) for name in BOOSTING["xgboost"].only),
        ("xgboost", "booster", "gbtree"),
        ("xgboost", "num_parallel_tree", 1),
        ("xgboost", "multi_strategy", "one_output_per_tree"),
        ("xgboost", "process_type", "default"),
        ("xgboost", "device", "cpu"),
        ("xgboost", "early_stopping_rounds", None),
        ("xgboost", "early_stopping_rounds", 0),
        *(("lightgbm", name, "gbdt") for name in ("boosting_type", "boosting", "boost")),
        ("lightgbm", "boosting_type", "goss"),
        ("lightgbm", "data_sample_strategy", "goss"),
        ("lightgbm", "linear_tree", False),
        *(("lightgbm", name, off) for name in BOOSTING["lightgbm"].early_stopping for off in (None, 0, -1)),
        ("catboost", "task_type", "CPU"),
        ("catboost", "use_best_model", False),
        ("catboost", "od_pval", 0),
        ("catboost", "early_stopping_rounds", None),
    ],
)
def test_what_only_says_the_usual_is_no_hindrance(library: str, name: str, value: Any) -> None:
    assert share(library, **{name: value}) is not None


def test_a_trial_that_takes_the_hindrance_away_may_share() -> None:
    dart = encoded("xgboost", booster="dart", early_stopping_rounds=5)
    assert resolve(dart, {"n_estimators": 5}).shared_key is None
    assert resolve(dart, {"n_estimators": 5, "booster": "gbtree"}).shared_key is None
    assert resolve(dart, {"n_estimators": 5, "booster": "gbtree", "early_stopping_rounds": None}).shared_key is not None


@pytest.mark.parametrize("name", ["learning_rate", "eta"])
def test_catboost_shares_only_with_a_learning_rate_of_its_own(name: str) -> None:
    plain = encoded("catboost", depth=4)
    assert resolve(plain, {"iterations": 5}).shared_key is None
    assert resolve(plain, {"iterations": 5, name: None}).shared_key is None
    assert resolve(plain, {"iterations": 5, name: 0.1}).shared_key is not None
    assert resolve(encoded("catboost", **{name: 0.1}), {"iterations": 5}).shared_key is not None
    assert resolve(encoded("catboost", **{name: 0.1}), {"iterations": 5, name: None}).shared_key is None


def test_catboost_has_other_defaults_from_200_rounds_on() -> None:
    def fitted_with(columns: Any, **params: Any) -> dict[str, Any]:
        made = catboost.CatBoostClassifier(**QUIET["catboost"], learning_rate=0.1, **params).fit(columns, Y)
        return {name: value for name, value in made.get_all_params().items() if name != "iterations"}

    kinds = np.where(X > 0, "a", "b").astype(object)
    for columns, more in ((X, {}), (kinds, {"cat_features": [0, 1], "leaf_estimation_iterations": 1})):
        assert fitted_with(columns, iterations=5, **more) == fitted_with(columns, iterations=199, **more)
        assert fitted_with(columns, iterations=199, **more) != fitted_with(columns, iterations=200, **more)
        assert fitted_with(columns, iterations=200, **more) == fitted_with(columns, iterations=900, **more)


# -------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("library", BOOSTING)
def test_the_order_of_parameters_and_who_says_them_are_no_matter(library: str) -> None:
    name = next(name for one, name in ROUNDS if one == library)
    params = {name: 5, "max_depth": 3, "learning_rate": 0.1, "objective": "x"}
    first = resolve(encoded(library, **params), {}).shared_key
    assert first is not None
    assert resolve(encoded(library), dict(reversed(params.items()))).shared_key == first
    assert resolve(encoded(library, max_depth=9, objective="x"), params).shared_key == first
    assert json.loads(first)[0] == CLASS_OF[library]


@pytest.mark.parametrize(("library", "name"), NEITHER)
def test_any_other_parameter_that_differs_is_another_fit(library: str, name: str) -> None:
    needed = {"learning_rate": 0.1} if name == "eta" else {"eta": 0.1} if library == "catboost" else {}
    keys = [
        resolve(encoded(library, **needed), params).shared_key
        for params in ({}, {name: 0.25}, {name: 0.5}, {name: "a"})
    ]
    assert len({*keys} - {None}) == 4


@pytest.mark.parametrize(("library", "name"), THREADS)
def test_threads_are_the_worker_s_and_no_other_fit(library: str, name: str) -> None:
    assert share(library, **{name: 8}) == share(library) is not None


@pytest.mark.parametrize("library", BOOSTING)
def test_no_name_for_threads_is_left_out_or_made_up(library: str) -> None:
    assert {*BOOSTING[library].threads} == {name for one, name in THREADS if one == library}


def test_other_classes_of_a_library_are_other_fits() -> None:
    params = {"learning_rate": 0.1, "n_estimators": 5}
    found = {resolve({"__estimator__": name, "params": {}}, params).shared_key for name in CLASSES}
    assert len(found - {None}) == len(CLASSES)


def test_values_of_other_types_are_other_fits() -> None:
    values = [1, 1.5, "1", True, None, [1], {"__tuple__": [1]}, {"__float__": "nan"}]
    found = [share("xgboost", monotone_constraints=value) for value in values]
    assert len({one.key for one in found if one}) == len(values)


def test_encoded_estimators_of_the_libraries_share() -> None:
    made = xgboost.XGBClassifier(n_estimators=50, max_depth=3, missing=math.inf, n_jobs=4)
    found = shared(encode_estimator(made, "it"), {"n_estimators": 20})
    again = shared(encode_estimator(made.set_params(n_jobs=1), "it"), {"n_estimators": 40})
    assert found is not None
    assert again is not None
    assert (found.rounds, again.rounds) == (20, 40)
    assert found.key == again.key


# ------------------------------------------------------------------------ early stopping


@pytest.mark.parametrize(("library", "name", "value"), EARLY)
def test_early_stopping_is_seen_in_every_name(library: str, name: str, value: Any) -> None:
    assert resolve(encoded(library), {name: value}).stops_early
    assert resolve(encoded(library, **{name: value}), {}).stops_early
    assert not resolve(encoded(library), {}).stops_early
    assert not resolve(encoded(library, **{name: value}), {name: None}).stops_early


@pytest.mark.parametrize("library", BOOSTING)
def test_no_name_for_early_stopping_is_left_out_or_made_up(library: str) -> None:
    assert BOOSTING[library].early_stopping.keys() == {name for one, name, _ in EARLY if one == library}


@pytest.mark.parametrize(
    ("library", "name", "value"),
    [
        *(("lightgbm", name, off) for name in BOOSTING["lightgbm"].early_stopping for off in (0, -1)),
        ("catboost", "od_pval", 0),
        ("catboost", "od_pval", 0.0),
        ("catboost", "use_best_model", False),
    ],
)
def test_early_stopping_that_is_off_asks_for_nothing(library: str, name: str, value: Any) -> None:
    assert not resolve(encoded(library), {name: value}).stops_early


def test_a_trial_s_parameters_lie_over_the_estimator_s() -> None:
    estimator = encoded("xgboost", max_depth=3, eta=0.1)
    assert resolve(estimator, {"eta": 0.5, "gamma": 1}).params == {"max_depth": 3, "eta": 0.5, "gamma": 1}
    assert resolve({}, {"eta": 0.5}).params == {"eta": 0.5}
    assert estimator["params"] == {"max_depth": 3, "eta": 0.1}
