"""The order of a study's trials, against one that writes everything out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from math import fsum
from typing import Any

import pytest
from catboost import CatBoostClassifier
from costs import fit_seconds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from producer.planning import plan as plan_module
from producer.planning import regions
from producer.planning.blocks import Unit
from producer.planning.chunk_sizes import cut
from producer.planning.cost import Shape, class_name
from producer.planning.plan import Plan
from producer.space.space import Space
from warren.encoding.codec import Json, encode_estimator
from warren.libraries.devices import wants_gpu
from warren.libraries.registry import library_of
from warren.libraries.resolve import resolve

SHAPE = Shape(rows=4000, columns=20, classes=3)
N_SPLITS = 5
ESTIMATORS = [
    XGBClassifier(subsample=0.5),
    LGBMClassifier(),
    CatBoostClassifier(learning_rate=0.1),
    CatBoostClassifier(),
    XGBClassifier(booster="dart"),
    DecisionTreeClassifier(),
    RandomForestClassifier(),
]
ENCODED: list[Json] = [encode_estimator(estimator, "estimator") for estimator in ESTIMATORS]
XGBOOST: Json = {"__estimator__": "xgboost.XGBClassifier", "params": {}}

VALUES: dict[str, list[Any]] = {
    "n_estimators": [10, 20, 20, 50, 300, None, 2.5, True],
    "iterations": [5, 500, 70],
    "max_depth": [3, 6, None, 9],
    "learning_rate": [0.1, 0.2, None],
    "max_bin": [63, 255],
    "booster": ["gbtree", "dart", None],
    "reg_lambda": [0, 1.0, 5.0],
    "rate_drop": [0.1, 0.2],
    "random_state": [0, 1],
    "device": ["cpu", "cuda"],
}
AXES = st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(1, 4), min_size=1, max_size=4).flatmap(
    lambda sizes: st.fixed_dictionaries(
        {name: st.lists(st.sampled_from(VALUES[name]), min_size=1, max_size=size) for name, size in sizes.items()}
    )
)
GRID = st.one_of(
    AXES,
    st.builds(
        lambda axes, estimators: axes | {"estimator": estimators},
        AXES,
        st.lists(st.sampled_from(ESTIMATORS), min_size=1, max_size=3),
    ),
)
POINT = st.dictionaries(st.sampled_from(["n_estimators", "max_depth", "learning_rate"]), st.just(0)).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: st.sampled_from(VALUES[name]).map(lambda value: [value]) for name in names}
    )
)
GRIDS = st.one_of(st.lists(GRID, min_size=1, max_size=3), st.lists(st.one_of(POINT, GRID), min_size=1, max_size=12))


def plan(space: Space, estimator: Json = XGBOOST, *, in_grid: bool = True, **options: Any) -> Plan:
    return Plan(space, estimator, SHAPE, N_SPLITS, estimator_in_grid=in_grid, **options)


def written_out(space: Space, estimator: Json) -> dict[int, tuple[Json, dict[str, Json]]]:
    """Estimator and parameters of every trial."""
    found = {}
    for number, params in space.encoded_points():
        found[number] = (params.pop("estimator", estimator), params)
    return found


def units_written_out(space: Space, estimator: Json) -> set[frozenset[int]]:
    """Trials of one grid that differ in the rounds alone, and of grids of one point any that
    share a key."""
    trials = written_out(space, estimator)
    groups: dict[Any, set[int]] = defaultdict(set)
    start = 0
    for position, grid in enumerate(space.encoded_grids()):
        for number in range(start, start + grid.size):
            its, params = trials[number]
            trial = resolve(its, params)
            shared, library = trial.shared_key, trial.library
            others = [size for name, size in zip(grid.names, grid.sizes, strict=True) if name != "estimator"]
            rounds = next((name for name in library.rounds if name in grid.names), None) if library else None
            digits = zip(grid.names, grid.digits(number - start), strict=True)
            place = tuple(digit for name, digit in digits if name != rounds)
            if shared is None:
                groups[number].add(number)
            elif all(size == 1 for size in others):
                groups[shared].add(number)
            else:
                groups[position, place, shared].add(number)
        start += grid.size
    return {frozenset(group) for group in groups.values()}


def rounds(trial: tuple[Json, dict[str, Json]]) -> int:
    resolved = resolve(*trial)
    assert resolved.library is not None
    return resolved.rounds


@pytest.mark.slow
@settings(max_examples=200)
@given(grids=GRIDS, base=st.sampled_from(ENCODED))
def test_units_are_those_that_share_a_fit_and_the_longest_come_first(grids: list[dict[str, Any]], base: Json) -> None:
    space = Space(grids)
    trials = written_out(space, base)
    planned = plan(space, base)
    units = list(planned.units())
    assert {frozenset(unit.numbers) for unit in units} == units_written_out(space, base)
    assert sum(len(unit.numbers) for unit in units) == planned.n_trials == space.size
    assert planned.n_units == len(units)
    assert planned.seconds == pytest.approx(fsum(unit.seconds for unit in units))
    turns = [(wants_gpu(*trials[unit.numbers[0]]), unit.seconds) for unit in units]
    assert turns == sorted(turns, reverse=True), "those for a GPU are before all others"
    for unit in units:
        first = trials[unit.numbers[0]]
        assert unit.seconds == pytest.approx(N_SPLITS * fit_seconds(*first, *SHAPE))
        assert fsum(unit.shares) == pytest.approx(unit.seconds, abs=1e-6 * len(unit.shares))
        assert unit.guess is (library_of(first[0]["__estimator__"]) is None)
        if len(unit.numbers) > 1:
            descending = [rounds(trials[number]) for number in unit.numbers]
            assert descending == sorted(descending, reverse=True)
            assert [share / unit.shares[0] for share in unit.shares] == pytest.approx(
                [one / descending[0] for one in descending], rel=1e-3
            )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    grids=GRIDS,
    base=st.sampled_from(ENCODED),
    share_fits=st.booleans(),
    most_blocks=st.sampled_from([1, 2, 5, 20, 10_000]),
    most_sharing=st.sampled_from([1, 2, 1000]),
    data=st.data(),
)
def test_what_is_not_finished_is_planned_once_whatever_is_told_apart(
    grids: list[dict[str, Any]],
    base: Json,
    share_fits: bool,
    most_blocks: int,
    most_sharing: int,
    data: st.DataObject,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (plan_module, regions):
        monkeypatch.setattr(module, "MOST_BLOCKS", most_blocks)
    monkeypatch.setattr(regions, "MOST_SHARING", most_sharing)
    space = Space(grids)
    trials = written_out(space, base)
    finished = data.draw(st.sets(st.integers(0, space.size - 1)))
    planned = plan(space, base, share_fits=share_fits, finished=finished)
    units = list(planned.units())
    numbers = [number for unit in units for number in unit.numbers]
    assert sorted(numbers) == sorted(set(range(space.size)) - finished)
    assert planned.n_trials == len(numbers)
    assert planned.n_units == len(units)
    assert planned.seconds == pytest.approx(fsum(unit.seconds for unit in units), abs=1e-9)
    for unit in units:
        assert 1 <= len(unit.numbers) == len(unit.shares) <= (most_sharing if share_fits else 1)
        if len(unit.numbers) > 1:
            keys = {resolve(*trials[number]).shared_key for number in unit.numbers}
            assert None not in keys
            assert len(keys) == 1
            descending = [rounds(trials[number]) for number in unit.numbers]
            assert descending == sorted(descending, reverse=True)


# ------------------------------------------------------------------------------- order


def walk(space: Mapping[str, Sequence[Any]] | list[dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
    grids = Space(space)
    return list(grids.at(number for unit in plan(grids, **options).units() for number in unit.numbers))


def test_deep_trees_come_before_shallow_ones_and_large_rounds_first() -> None:
    found = walk({"max_depth": [3, 9, 6], "learning_rate": [0.1, 0.2], "n_estimators": [10, 30, 20]})
    assert [(point["max_depth"], point["learning_rate"], point["n_estimators"]) for point in found] == [
        (depth, rate, n) for depth in (9, 6, 3) for rate in (0.1, 0.2) for n in (30, 20, 10)
    ]


def test_trials_of_equal_cost_that_can_use_the_same_bins_follow_each_other() -> None:
    grid = {"min_child_samples": [5, 50], "reg_lambda": [0, 1, 2], "learning_rate": [0.1, 0.2]}
    found = walk(grid, estimator=ENCODED[1])
    assert [point["min_child_samples"] for point in found] in ([5] * 6 + [50] * 6, [50] * 6 + [5] * 6)


def test_what_is_only_guessed_to_cost_the_same_keeps_the_order_of_the_grid() -> None:
    space = Space({"max_depth": [1, 2, 3, None], "min_samples_leaf": [1, 2, 5]})
    units = list(plan(space, ENCODED[5]).units())
    assert [unit.numbers for unit in units] == [(number,) for number in range(12)]
    assert all(unit.guess for unit in units)


def test_a_forest_s_trees_come_longest_first_too() -> None:
    found = walk({"n_estimators": [100, 1000, 300], "max_depth": [3, 5]}, estimator=ENCODED[6])
    assert [point["n_estimators"] for point in found] == [1000, 1000, 300, 300, 100, 100]


def test_the_dearer_library_comes_first() -> None:
    grid = {"estimator": [DecisionTreeClassifier(), CatBoostClassifier()], "max_depth": [2, 3]}
    found = walk(grid)
    assert [type(point["estimator"]).__name__ for point in found] == ["CatBoostClassifier"] * 2 + [
        "DecisionTreeClassifier"
    ] * 2


def test_without_sharing_rounds_are_a_cost_as_any_other() -> None:
    space = Space({"learning_rate": [0.1, 0.2], "n_estimators": [10, 30]})
    units = list(plan(space, share_fits=False).units())
    assert [unit.numbers for unit in units] == [(1,), (3,), (0,), (2,)]
    assert units[0].seconds > 2 * units[2].seconds


def test_a_random_search_is_grouped_across_its_points() -> None:
    points = [{"learning_rate": [rate], "n_estimators": [n]} for n in (10, 30, 20) for rate in (0.1, 0.2)]
    units = list(plan(Space(points)).units())
    assert {unit.numbers for unit in units} == {(2, 4, 0), (3, 5, 1)}


def test_corrections_change_order_estimate_and_confidence() -> None:
    grid = {"estimator": [DecisionTreeClassifier(), CatBoostClassifier()], "max_depth": [2, 3]}
    space = Space(grid)
    before = {class_of(unit, space): unit for unit in plan(space).units()}
    corrections = {"DecisionTreeClassifier": 1e6, "CatBoostClassifier": 0.5}
    units = list(plan(space, corrections=corrections).units())
    assert [class_of(unit, space) for unit in units] == ["DecisionTreeClassifier"] * 2 + ["CatBoostClassifier"] * 2
    assert not any(unit.guess for unit in units)
    assert before["DecisionTreeClassifier"].guess
    assert units[0].seconds == pytest.approx(1e6 * before["DecisionTreeClassifier"].seconds)


def class_of(unit: Unit, space: Space) -> str:
    return type(space[unit.numbers[0]]["estimator"]).__name__


def test_unshareable_values_of_the_rounds_are_by_themselves() -> None:
    space = Space({"n_estimators": [10, 2.5, 30, True]})
    assert {unit.numbers for unit in plan(space).units()} == {(2, 0), (1,), (3,)}


def test_trees_that_are_dropped_share_nothing_beside_others_that_do() -> None:
    space = Space({"booster": ["gbtree", "dart"], "n_estimators": [10, 30]})
    assert {unit.numbers for unit in plan(space).units()} == {(1, 0), (2,), (3,)}


# -------------------------------------------------------------------------------- size


def test_a_grid_without_end_is_planned_at_once() -> None:
    space = Space({"random_state": range(10**9), "max_depth": range(1, 10**6), "n_estimators": [10, 20]})
    # Both trials of one unit, and one of another.
    planned = plan(space, finished={0, 10**9, 7})
    assert planned.n_trials == space.size - 3
    assert planned.n_units == space.size // 2 - 1
    first = list(islice(planned.units(), 3))
    assert all(len(unit.numbers) == 2 for unit in first)
    for n_chunks in (None, 10**14):
        assert len(list(islice(cut(planned, n_chunks), 3))) == 3


def test_rounds_without_end_are_planned_too() -> None:
    space = Space({"n_estimators": range(1, 10**9), "max_depth": [3, 4]})
    planned = plan(space)
    assert planned.n_units == space.size
    assert next(planned.units()).numbers == (10**9 - 1,), "the first trial of the deeper trees"
    assert len(list(islice(cut(planned, None), 3))) == 3


def test_many_rounds_make_units_that_a_message_can_hold() -> None:
    space = Space({"n_estimators": range(1, 2501)})
    units = list(plan(space).units())
    assert [len(unit.numbers) for unit in units] == [1000, 1000, 500]
    assert units[0].numbers[0] == 2499


def test_the_same_study_is_planned_the_same_everywhere() -> None:
    space = Space([{"estimator": ESTIMATORS[:3], "max_depth": [3, 6], "n_estimators": [10, 20], "max_bin": [63, 255]}])
    again = Space.decode(json.loads(json.dumps(space.encode())))
    assert list(plan(space).units()) == list(plan(again).units())
    assert {class_name(one) for one in ENCODED[:3]} == {class_of(unit, space) for unit in plan(space).units()}
