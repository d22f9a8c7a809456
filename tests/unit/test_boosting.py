"""Which trials may share a fit, and which stop early."""

from __future__ import annotations

import json
import math
from typing import Any

import catboost
import numpy as np
import pytest
import xgboost
from words import CLASS_OF, CLASSES, EARLY, NEEDED, QUIET, ROUNDS, THREADS, X, Y, encoded, share

from warren.encoding.codec import encode_estimator
from warren.libraries.registry import LIBRARIES, LibraryName, library_of, merged, shared_fit, stops_early

NEITHER: list[tuple[LibraryName, str]] = [
    (library, name)
    for library, words in LIBRARIES.items()
    for name in sorted(words.free | words.binning)
    if (library, name) != ("catboost", "monotone_constraints")
]


# ------------------------------------------------------------------- what is not shared


@pytest.mark.parametrize("name", CLASSES)
def test_classes_that_boost_round_by_round_may_share(name: str) -> None:
    estimator = {"__estimator__": name, "params": {}}
    assert library_of(estimator) is LIBRARIES[CLASSES[name]]
    assert shared_fit(estimator, {"learning_rate": 0.1, "n_estimators": 5}) is not None


def test_no_other_class_is_in_the_table() -> None:
    assert {name for words in LIBRARIES.values() for name in words.classes} == CLASSES.keys()


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
    assert library_of({"__estimator__": name, "params": {}}) is None
    assert shared_fit({"__estimator__": name, "params": params}, params) is None
    assert not stops_early({"__estimator__": name, "params": params}, params)


def test_what_is_no_estimator_is_fitted_alone() -> None:
    assert shared_fit({}, {"n_estimators": 5}) is None
    assert not stops_early({}, {"early_stopping_rounds": 5})


ALONE: list[tuple[LibraryName, str, Any]] = [
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
    *(("lightgbm", name, 5) for name in LIBRARIES["lightgbm"].early_stopping),
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
    *((library, name, 5) for library in LIBRARIES for name in ("nonsense", "estimator__max_depth", "max__depth", "")),
]


@pytest.mark.parametrize(("library", "name", "value"), ALONE)
def test_what_makes_rounds_depend_on_each_other_or_is_not_known_is_fitted_alone(
    library: LibraryName, name: str, value: Any
) -> None:
    assert share(library) is not None
    assert share(library, **{name: value}) is None
    assert shared_fit(encoded(library, **{name: value}), NEEDED[library]) is None


@pytest.mark.parametrize(
    ("library", "name", "value"),
    [
        *(("xgboost", name, None) for name in LIBRARIES["xgboost"].only),
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
        *(("lightgbm", name, off) for name in LIBRARIES["lightgbm"].early_stopping for off in (None, 0, -1)),
        ("catboost", "task_type", "CPU"),
        ("catboost", "use_best_model", False),
        ("catboost", "od_pval", 0),
        ("catboost", "early_stopping_rounds", None),
    ],
)
def test_what_only_says_the_usual_is_no_hindrance(library: LibraryName, name: str, value: Any) -> None:
    assert share(library, **{name: value}) is not None


def test_a_trial_that_takes_the_hindrance_away_may_share() -> None:
    dart = encoded("xgboost", booster="dart", early_stopping_rounds=5)
    assert shared_fit(dart, {"n_estimators": 5}) is None
    assert shared_fit(dart, {"n_estimators": 5, "booster": "gbtree"}) is None
    assert shared_fit(dart, {"n_estimators": 5, "booster": "gbtree", "early_stopping_rounds": None}) is not None


@pytest.mark.parametrize("name", ["learning_rate", "eta"])
def test_catboost_shares_only_with_a_learning_rate_of_its_own(name: str) -> None:
    plain = encoded("catboost", depth=4)
    assert shared_fit(plain, {"iterations": 5}) is None
    assert shared_fit(plain, {"iterations": 5, name: None}) is None
    assert shared_fit(plain, {"iterations": 5, name: 0.1}) is not None
    assert shared_fit(encoded("catboost", **{name: 0.1}), {"iterations": 5}) is not None
    assert shared_fit(encoded("catboost", **{name: 0.1}), {"iterations": 5, name: None}) is None


def test_catboost_has_other_defaults_from_200_rounds_on_which_its_learner_looks_at() -> None:
    def fitted_with(columns: Any, **params: Any) -> dict[str, Any]:
        made = catboost.CatBoostClassifier(**QUIET["catboost"], learning_rate=0.1, **params).fit(columns, Y)
        return {name: value for name, value in made.get_all_params().items() if name != "iterations"}

    kinds = np.where(X > 0, "a", "b").astype(object)
    for columns, more in ((X, {}), (kinds, {"cat_features": [0, 1], "leaf_estimation_iterations": 1})):
        assert fitted_with(columns, iterations=5, **more) == fitted_with(columns, iterations=199, **more)
        assert fitted_with(columns, iterations=199, **more) != fitted_with(columns, iterations=200, **more)
        assert fitted_with(columns, iterations=200, **more) == fitted_with(columns, iterations=900, **more)


# -------------------------------------------------------------------------------- keys


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_order_of_parameters_and_who_says_them_are_no_matter(library: LibraryName) -> None:
    name = next(name for one, name in ROUNDS if one == library)
    params = {name: 5, "max_depth": 3, "learning_rate": 0.1, "objective": "x"}
    first = shared_fit(encoded(library, **params), {})
    assert first is not None
    assert shared_fit(encoded(library), dict(reversed(params.items()))) == first
    assert shared_fit(encoded(library, max_depth=9, objective="x"), params) == first
    assert json.loads(first.key)[0] == CLASS_OF[library]


@pytest.mark.parametrize(("library", "name"), NEITHER)
def test_any_other_parameter_that_differs_is_another_fit(library: LibraryName, name: str) -> None:
    needed = {"learning_rate": 0.1} if name == "eta" else {"eta": 0.1} if library == "catboost" else {}
    keys = [shared_fit(encoded(library, **needed), params) for params in ({}, {name: 0.25}, {name: 0.5}, {name: "a"})]
    assert len({found.key for found in keys if found}) == 4


@pytest.mark.parametrize(("library", "name"), THREADS)
def test_threads_are_the_worker_s_and_no_other_fit(library: LibraryName, name: str) -> None:
    assert share(library, **{name: 8}) == share(library) is not None


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_name_for_threads_is_left_out_or_made_up(library: LibraryName) -> None:
    assert LIBRARIES[library].threads == {name for one, name in THREADS if one == library}


def test_other_classes_of_a_library_are_other_fits() -> None:
    params = {"learning_rate": 0.1, "n_estimators": 5}
    found = [shared_fit({"__estimator__": name, "params": {}}, params) for name in CLASSES]
    assert len({one.key for one in found if one}) == len(CLASSES)


def test_values_of_other_types_are_other_fits() -> None:
    values = [1, 1.5, "1", True, None, [1], {"__tuple__": [1]}, {"__float__": "nan"}]
    found = [share("xgboost", monotone_constraints=value) for value in values]
    assert len({one.key for one in found if one}) == len(values)


def test_encoded_estimators_of_the_libraries_share() -> None:
    made = xgboost.XGBClassifier(n_estimators=50, max_depth=3, missing=math.inf, n_jobs=4)
    found = shared_fit(encode_estimator(made, "it"), {"n_estimators": 20})
    again = shared_fit(encode_estimator(made.set_params(n_jobs=1), "it"), {"n_estimators": 40})
    assert found is not None
    assert again is not None
    assert (found.rounds, again.rounds) == (20, 40)
    assert found.key == again.key


# ------------------------------------------------------------------------ early stopping


@pytest.mark.parametrize(("library", "name", "value"), EARLY)
def test_early_stopping_is_seen_in_every_name(library: LibraryName, name: str, value: Any) -> None:
    assert stops_early(encoded(library), {name: value})
    assert stops_early(encoded(library, **{name: value}), {})
    assert not stops_early(encoded(library), {})
    assert not stops_early(encoded(library, **{name: value}), {name: None})


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_name_for_early_stopping_is_left_out_or_made_up(library: LibraryName) -> None:
    assert LIBRARIES[library].early_stopping.keys() == {name for one, name, _ in EARLY if one == library}


@pytest.mark.parametrize(
    ("library", "name", "value"),
    [
        *(("lightgbm", name, off) for name in LIBRARIES["lightgbm"].early_stopping for off in (0, -1)),
        ("catboost", "od_pval", 0),
        ("catboost", "od_pval", 0.0),
        ("catboost", "use_best_model", False),
    ],
)
def test_early_stopping_that_is_off_asks_for_nothing(library: LibraryName, name: str, value: Any) -> None:
    assert not stops_early(encoded(library), {name: value})


def test_a_trial_s_parameters_lie_over_the_estimator_s() -> None:
    estimator = encoded("xgboost", max_depth=3, eta=0.1)
    assert merged(estimator, {"eta": 0.5, "gamma": 1}) == {"max_depth": 3, "eta": 0.5, "gamma": 1}
    assert merged({}, {"eta": 0.5}) == {"eta": 0.5}
    assert estimator["params"] == {"max_depth": 3, "eta": 0.1}
