"""Encoded pipelines: what they end with, which trials share a fit, and what a plan
makes of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from words import shared
from xgboost import XGBClassifier

from producer.models.refit import refit_estimator
from producer.planning.cost import Shape, changes_cost, fit_cost
from producer.planning.plan import Plan
from producer.space.space import Space
from producer.validation import check_early_stopping, check_estimators, prepare
from warren.encoding.codec import decode, encode, encode_estimator
from warren.encoding.estimators import tail_of, with_tail
from warren.errors import InputError
from warren.libraries.registry import library_of
from warren.libraries.resolve import resolve

SHAPE = Shape(1000, 10, 2)


def piped(last: Any, **steps: Any) -> Pipeline:
    return Pipeline([*({"scale": StandardScaler()} | steps).items(), ("clf", last)])


def encoded(estimator: Any) -> Any:
    return encode_estimator(estimator, "estimator")


def point(**params: Any) -> dict[str, Any]:
    return {name: encode(value, name) for name, value in params.items()}


NESTED = Pipeline([("first", MinMaxScaler()), ("rest", piped(XGBClassifier()))])


@pytest.mark.parametrize(
    ("estimator", "params", "name", "prefix", "own"),
    [
        (XGBClassifier(), {"max_depth": 3}, "XGBClassifier", "", {"max_depth": 3}),
        (
            piped(XGBClassifier()),
            {"clf__max_depth": 3, "scale__copy": True},
            "XGBClassifier",
            "clf__",
            {"max_depth": 3},
        ),
        (piped(XGBClassifier()), {"clf": LGBMClassifier(), "clf__n": 3}, "LGBMClassifier", "clf__", {"n": 3}),
        (piped("passthrough"), {"clf": LGBMClassifier()}, "LGBMClassifier", "clf__", {}),
        (NESTED, {"rest__clf__max_depth": 3, "first": None}, "XGBClassifier", "rest__clf__", {"max_depth": 3}),
        (NESTED, {"rest": LGBMClassifier(), "rest__eta": 1}, "LGBMClassifier", "rest__", {"eta": 1}),
        (NESTED, {"rest__clf": CatBoostClassifier()}, "CatBoostClassifier", "rest__clf__", {}),
        (piped(XGBClassifier()), {"steps": [("only", LGBMClassifier())]}, "LGBMClassifier", "only__", {}),
        (piped("passthrough"), {"clf__x": 1}, "Pipeline", "", {"clf__x": 1}),
        (piped(XGBClassifier()), {"clf": None}, "Pipeline", "", {"clf": None}),
        (Pipeline([("a", StandardScaler()), ("a", XGBClassifier())]), {}, "Pipeline", "", {}),
        (Pipeline([("a__b", XGBClassifier())]), {}, "Pipeline", "", {}),
        (Pipeline([("memory", XGBClassifier())]), {}, "Pipeline", "", {}),
        (
            ColumnTransformer([("clf", StandardScaler(), [0])]),
            {"clf__with_mean": 1},
            "ColumnTransformer",
            "",
            {"clf__with_mean": 1},
        ),
    ],
)
def test_a_trial_ends_with_the_last_step_of_its_pipeline(
    estimator: Any, params: dict[str, Any], name: str, prefix: str, own: dict[str, Any]
) -> None:
    tail = tail_of(encoded(estimator), point(**params))
    assert tail.estimator["__estimator__"].endswith(f".{name}")
    assert (tail.prefix, dict(tail.params)) == (prefix, point(**own))
    assert (tail.before is None) == (not prefix)


@pytest.mark.parametrize(
    "steps", [None, 3, "ab", [], [1], [["a"]], [[1, 2]], {"__tuple__": 3}, [["a", {"__estimator__": 3}]]]
)
def test_steps_that_are_none_end_with_nothing(steps: Any) -> None:
    found = {"__estimator__": "sklearn.pipeline.Pipeline", "params": {"steps": steps}}
    assert tail_of(found, {"a": 1}).estimator is found
    assert resolve(found, {"n_estimators": 3}).shared_key is None
    assert not resolve(found, {}).stops_early


def test_trials_of_a_pipeline_that_differ_in_rounds_alone_share_a_fit() -> None:
    pipeline = encoded(piped(XGBClassifier(max_depth=3)))
    keys = [
        shared(pipeline, point(**params))
        for params in (
            {"clf__n_estimators": 5},
            {"clf__n_estimators": 50},
            {"clf__n_estimators": 5, "clf__max_depth": 4},
            {"clf__n_estimators": 5, "scale__with_mean": False},
            {"clf__n_estimators": 5, "scale": "passthrough"},
            {"clf__n_estimators": 5, "clf": XGBClassifier(max_depth=3)},
        )
    ]
    assert [key and key.rounds for key in keys] == [5, 50, 5, 5, 5, 5]
    assert [key and key.key == keys[0].key for key in keys if keys[0]] == [True, True, False, False, False, True]


def test_a_booster_in_a_pipeline_is_not_shared_with_one_that_stands_alone() -> None:
    alone, piped_one = (resolve(encoded(one), {}).shared_key for one in (XGBClassifier(), piped(XGBClassifier())))
    assert alone is not None
    assert piped_one is not None
    assert alone != piped_one


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (piped(LogisticRegression()), {"clf__max_iter": 5}),
        (piped(CatBoostClassifier()), {"clf__iterations": 5}),  # no learning rate
        (piped(XGBClassifier(booster="dart")), {}),
        (piped(XGBClassifier()), {"clf__early_stopping_rounds": 5}),
        (piped(XGBClassifier()), {"clf__base_score": np.array([0.5, 0.5])}),
        (Pipeline([("clf", XGBClassifier()), ("last", "passthrough")]), {"clf__n_estimators": 5}),
    ],
)
def test_what_is_fitted_alone_by_itself_is_so_in_a_pipeline(estimator: Any, params: dict[str, Any]) -> None:
    assert resolve(encoded(estimator), point(**params)).shared_key is None


def test_early_stopping_is_seen_in_the_last_step() -> None:
    pipeline = piped(XGBClassifier())
    assert resolve(encoded(pipeline), point(clf__early_stopping_rounds=5)).stops_early
    assert resolve(encoded(pipeline), point(clf=LGBMClassifier(early_stopping_round=5))).stops_early
    assert resolve(encoded(NESTED), point(rest__clf__early_stopping_rounds=5)).stops_early
    assert not resolve(encoded(pipeline), point(scale__early_stopping_rounds=5)).stops_early
    for grid in ({"clf__early_stopping_rounds": [5]}, {"clf": [XGBClassifier(early_stopping_rounds=5)]}):
        space = Space(grid)
        check_early_stopping(0.1, check_estimators(pipeline, space), space)
    space = Space({"clf__max_depth": [3]})
    with pytest.raises(InputError, match="no trial stops early"):
        check_early_stopping(0.1, check_estimators(pipeline, space), space)


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        (
            piped(XGBClassifier(n_estimators=90, early_stopping_rounds=3)),
            {"clf__max_depth": 2, "scale__with_mean": False},
        ),
        (
            piped("passthrough"),
            {"clf": XGBClassifier(), "clf__early_stopping_rounds": 3, "clf__max_depth": 2, "scale__with_mean": False},
        ),
        (NESTED, {"rest__clf__early_stopping_rounds": 3, "rest__clf__max_depth": 2, "rest__scale__with_mean": False}),
        (NESTED, {"rest": piped(XGBClassifier()), "rest__clf__max_depth": 2, "rest__scale__with_mean": False}),
        (
            piped(LogisticRegression()),
            {"steps": [("scale", StandardScaler(with_mean=False)), ("clf", XGBClassifier())], "clf__max_depth": 2},
        ),
    ],
)
def test_a_refit_of_a_pipeline_has_the_mean_of_the_rounds(estimator: Any, params: dict[str, Any]) -> None:
    found = refit_estimator(encoded(estimator), point(**params), 12.4)
    while isinstance(found[-1], Pipeline):
        found = found[-1]
    assert type(found[-1]) is XGBClassifier
    assert (found[-1].n_estimators, found[-1].max_depth, found[-1].early_stopping_rounds) == (12, 2, None)
    assert found[0].with_mean is False


def test_a_tail_is_put_where_it_was() -> None:
    estimator, params = with_tail(
        encoded(NESTED), point(rest__clf__max_depth=3, first="passthrough"), encoded(LGBMClassifier())
    )
    assert params == {"first": "passthrough"}
    assert repr(decode(estimator)) == repr(Pipeline([("first", MinMaxScaler()), ("rest", piped(LGBMClassifier()))]))
    alone = with_tail(encoded(XGBClassifier()), point(max_depth=3), encoded(LGBMClassifier()))
    assert alone == (encoded(LGBMClassifier()), {})


# -------------------------------------------------------------------------------- plans


def planned(estimator: Any, grid: Any, **how: Any) -> tuple[Plan, list[tuple[int, ...]], Space]:
    space = Space(grid)
    plan = Plan(space, None if estimator is None else encoded(estimator), SHAPE, 3, **how)
    return plan, [unit.numbers for unit in plan.units()], space


GRIDS: list[tuple[Any, Any, int]] = [
    (
        piped(XGBClassifier()),
        {"clf__n_estimators": [5, 50, 20], "clf__max_depth": [3, 6], "scale__with_mean": [True, False]},
        4,
    ),
    (
        NESTED,
        {"rest__clf__n_estimators": [5, 50], "rest__scale": [None, StandardScaler()], "first__clip": [True, False]},
        4,
    ),
    (
        piped("passthrough"),
        [
            {
                "clf": [XGBClassifier(), LGBMClassifier()],
                "clf__n_estimators": [5, 50],
                "scale": ["passthrough", MinMaxScaler()],
            },
            {"clf": [LogisticRegression()], "clf__C": [0.1, 1.0]},
            {"clf": [CatBoostClassifier(learning_rate=0.1)], "clf__iterations": range(10, 40, 10)},
        ],
        4 + 2 + 1,
    ),
    (NESTED, {"rest": [piped(XGBClassifier()), XGBClassifier(), None], "first__clip": [True, False]}, 6),
    (
        NESTED,
        {
            "rest": [piped(LGBMClassifier())],
            "rest__clf": [XGBClassifier(), LGBMClassifier()],
            "rest__clf__n_estimators": [5, 9],
        },
        2,
    ),
    (piped(XGBClassifier()), {"clf__n_estimators": [5, 9], "clf__booster": ["gbtree", "dart"]}, 3),
]


@pytest.mark.parametrize(("estimator", "grid", "units"), GRIDS)
def test_a_plan_holds_every_trial_once_and_those_that_share_together(estimator: Any, grid: Any, units: int) -> None:
    plan, found, space = planned(estimator, grid)
    trials = dict(space.encoded_points())
    assert sorted(number for unit in found for number in unit) == [*range(space.size)]
    assert len(found) == plan.n_units == units
    for unit in found:
        keys = [resolve(encoded(estimator), trials[number]).shared_key for number in unit]
        rounds = [resolve(encoded(estimator), trials[number]).rounds for number in unit]
        assert rounds == sorted(rounds, reverse=True)
        if len(unit) > 1:
            assert len({*keys}) == 1
            assert all(keys)
    groups = {key for number in trials if (key := resolve(encoded(estimator), trials[number]).shared_key)}
    alone = sum(resolve(encoded(estimator), params).shared_key is None for params in trials.values())
    assert len(found) == len(groups) + alone


@pytest.mark.parametrize(("estimator", "grid", "units"), GRIDS)
def test_finished_trials_of_a_pipeline_are_left_out_of_a_plan(estimator: Any, grid: Any, units: int) -> None:
    size = Space(grid).size
    for finished in ({0}, {size - 1}, set(range(0, size, 2)), set(range(size))):
        plan, found, _ = planned(estimator, grid, finished=frozenset(finished))
        assert sorted(number for unit in found for number in unit) == sorted(set(range(size)) - finished)
        assert plan.n_units == len(found)
        assert plan.n_trials == size - len(finished)


def test_an_estimator_in_the_grid_may_be_a_pipeline() -> None:
    grid = [
        {"estimator": [piped(XGBClassifier())], "clf__n_estimators": [5, 9]},
        {"estimator": [piped(LGBMClassifier()), NESTED], "memory": [None]},
    ]
    plan, found, _ = planned(None, grid, estimator_in_grid=True)
    assert sorted(map(len, found)) == [1, 1, 2]
    assert plan.n_trials == 4


def test_trials_that_prepare_their_data_alike_are_neighbours() -> None:
    grid = {"clf__C": [0.1, 1.0, 10.0], "reduce__n_components": [2, 3], "scale": ["passthrough", StandardScaler()]}
    _, found, space = planned(piped(LogisticRegression(), reduce=PCA()), grid)
    trials = dict(space.encoded_points())
    order = [repr((trials[number]["reduce__n_components"], trials[number]["scale"])) for [number] in found]
    assert len(order) == 12
    assert sum(one != other for one, other in pairwise(order)) == 3


def test_the_last_step_has_its_library_s_cost() -> None:
    pipeline = encoded(piped(XGBClassifier()))
    cost = fit_cost(resolve(pipeline, point(clf__max_depth=8)), SHAPE)
    alone = fit_cost(resolve(encoded(XGBClassifier()), point(max_depth=8)), SHAPE)
    assert cost.per_round == alone.per_round
    assert cost.fixed > alone.fixed
    assert resolve(pipeline, point(clf__n_estimators=7)).rounds == 7
    base = resolve(pipeline, {})
    assert changes_cost(base, "clf__max_depth")
    assert not changes_cost(base, "clf__eta")
    assert not changes_cost(base, "scale__max_depth")
    assert library_of(pipeline["__estimator__"]) is None


# ------------------------------------------------------------------------------- inputs


def test_labels_and_weights_are_checked_for_what_is_trained_in_the_end() -> None:
    X, words = np.arange(20.0).reshape(10, 2), np.array(["a", "b"] * 5)
    for estimator, grid in ((piped(XGBClassifier()), [{}]), (piped(LogisticRegression()), {"clf": [XGBClassifier()]})):
        with pytest.raises(InputError, match="XGBClassifier accepts only 0 to 1"):
            prepare(X, words, candidates=check_estimators(estimator, Space(grid)))
    swapped = check_estimators(piped(XGBClassifier()), Space({"clf": [LogisticRegression()]}))
    prepare(X, words, sample_weight=np.ones(10), candidates=swapped)
    with pytest.raises(InputError, match=r"sample_weight: PCA.fit accepts none"):
        prepare(X, words, sample_weight=np.ones(10), candidates=check_estimators(piped(PCA()), Space([{}])))
