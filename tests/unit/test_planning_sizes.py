"""How many trials a chunk has: as its user says, or by what they cost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.planning.blocks import Unit
from producer.planning.chunk_sizes import Planned, _by_cost, cut
from producer.planning.cost import Shape
from producer.planning.plan import Plan
from producer.space.space import Space
from warren.encoding.codec import Json

XGBOOST: Json = {"__estimator__": "xgboost.XGBClassifier", "params": {}}
TREE: Json = {"__estimator__": "sklearn.tree.DecisionTreeClassifier", "params": {}}


def plan(grid: dict[str, object], estimator: Json = XGBOOST, **options: object) -> Plan:
    return Plan(Space(grid), estimator, Shape(1000, 20, 2), 5, **options)


def numbers(chunks: list[list[Planned]]) -> list[int]:
    return [number for chunk in chunks for number, _ in chunk]


def seconds(chunk: list[Planned]) -> float:
    return sum(expected for _, expected in chunk)


def units(*costs: float, trials: int = 1, guess: bool = False) -> list[Unit]:
    return [
        Unit(tuple(range(i * trials, (i + 1) * trials)), (cost / trials,) * trials, cost, guess)
        for i, cost in enumerate(costs)
    ]


def by_cost(*costs: float, trials: int = 1, guess: bool = False) -> list[list[Planned]]:
    return list(_by_cost(units(*costs, trials=trials, guess=guess), sum(costs), trials * len(costs)))


# --------------------------------------------------------------------- as the user says


@settings(max_examples=150)
@given(n_others=st.integers(1, 30), n_rounds=st.integers(1, 7), n_chunks=st.integers(1, 300), data=st.data())
def test_the_number_of_chunks_is_honoured(n_others: int, n_rounds: int, n_chunks: int, data: st.DataObject) -> None:
    grid = {"learning_rate": range(1, n_others + 1), "n_estimators": range(1, n_rounds + 1)}
    finished = data.draw(st.sets(st.integers(0, n_others * n_rounds - 1)))
    planned = plan(grid, finished=finished)
    chunks = list(cut(planned, n_chunks))
    left = n_others * n_rounds - len(finished)
    assert len(chunks) == min(n_chunks, left)
    assert all(chunks)
    assert numbers(chunks) == [number for unit in planned.units() for number in unit.numbers]
    if planned.n_units >= n_chunks:
        together = [{number // n_rounds for number, _ in chunk} for chunk in chunks]
        assert sum(map(len, together)) == planned.n_units, "a unit is in two chunks"
    else:
        sizes = [len(chunk) for chunk in chunks]
        assert not sizes or max(sizes) - min(sizes) <= 1
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("n_units", "n_chunks"), [(12, 5), (7, 7), (100, 33), (20, 1)])
def test_units_that_cost_the_same_are_cut_evenly(n_units: int, n_chunks: int) -> None:
    chunks = list(cut(plan({"reg_lambda": range(n_units), "n_estimators": [10, 20]}), n_chunks))
    counts = [len(chunk) // 2 for chunk in chunks]
    assert len(counts) == n_chunks
    assert sum(counts) == n_units
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("n_chunks", [2, 4, 10])
def test_units_that_differ_are_cut_into_chunks_that_take_about_the_same(n_chunks: int) -> None:
    grid = {"max_depth": range(2, 11, 2), "learning_rate": [0.1, 0.2, 0.3, 0.4], "n_estimators": [100, 200, 300]}
    planned = plan(grid)
    longest = max(unit.seconds for unit in planned.units())
    expected = [seconds(chunk) for chunk in cut(planned, n_chunks)]
    assert len(expected) == n_chunks
    assert all(abs(one - planned.seconds / n_chunks) <= longest for one in expected)


def test_expected_seconds_go_with_their_trials() -> None:
    planned = plan({"max_depth": [3, 6], "n_estimators": [10, 40]})
    expected = {
        number: share for unit in planned.units() for number, share in zip(unit.numbers, unit.shares, strict=True)
    }
    for n_chunks in (None, 1, 2, 3, 4):
        assert {number: share for chunk in cut(planned, n_chunks) for number, share in chunk} == expected


# ---------------------------------------------------------------------------- by cost


@settings(max_examples=200)
@given(
    costs=st.lists(st.floats(0.0001, 500), max_size=300).map(lambda found: sorted(found, reverse=True)),
    trials=st.integers(1, 400),
)
def test_chunks_by_cost_hold_whole_units_within_both_bounds(costs: list[float], trials: int) -> None:
    chunks = by_cost(*costs, trials=trials)
    assert numbers(chunks) == list(range(len(costs) * trials))
    left = sum(costs)
    for chunk in chunks:
        assert len(chunk) % trials == 0
        assert len(chunk) <= 1000
        target = min(max(left / 80, 0.25), 60)
        assert len(chunk) == trials or seconds(chunk) <= target * (1 + 1e-9)
        left -= seconds(chunk)


def test_chunks_are_the_same_part_of_what_is_left_and_small_at_the_end() -> None:
    chunks = by_cost(*[0.1] * 20_000)
    sizes = [seconds(chunk) for chunk in chunks]
    assert sizes[0] == pytest.approx(2000 / 80, rel=0.01)
    assert all(after <= before + 1e-6 for before, after in itertools.pairwise(sizes))
    left = 2000.0
    for size in sizes:
        assert size <= max(left / 80, 0.25) + 1e-6
        left -= size
    assert sizes[-2] == pytest.approx(0.2)


def test_no_chunk_is_so_long_that_a_lost_worker_hurts() -> None:
    chunks = by_cost(*[10.0] * 10_000)
    assert max(map(seconds, chunks)) == pytest.approx(60)
    assert len(by_cost(*[3600.0] * 10)) == 10, "a longer unit is a chunk of its own"


def test_forty_workers_end_together() -> None:
    """Each takes the next chunk after one, and pays for the turn; no worker ends a
    tenth too late."""
    costs = sorted((0.05 * (1 + i % 40) for i in range(20_000)), reverse=True)
    ends = [0.0] * 40
    for chunk in by_cost(*costs):
        first = ends.index(min(ends))
        ends[first] += seconds(chunk) + 0.01
    assert max(ends) < 1.02 * sum(costs) / 40 + 0.5


def test_what_is_only_guessed_comes_in_small_chunks() -> None:
    chunks = by_cost(*[0.0005] * 5000, guess=True)
    sizes = [len(chunk) for chunk in chunks]
    assert sizes[0] == 20
    assert sizes == sorted(sizes, reverse=True)
    assert len(by_cost(*[0.0005] * 100, guess=True)) == 100, "a small grid keeps many workers busy"


def test_a_guess_among_known_costs_keeps_its_chunk_small() -> None:
    mixed = units(*[0.001] * 30) + units(*[0.0005] * 5000, guess=True)
    chunks = list(_by_cost(mixed, 2.53, 5030))
    assert len(chunks[0]) == 30, "known, and a quarter of a second may hold them"
    assert max(len(chunk) for chunk in chunks[1:]) == 20


def test_a_measured_correction_sizes_chunks_by_their_true_cost() -> None:
    grid = {"random_state": range(5000)}
    guessed = list(cut(plan(grid, TREE), None))
    measured = list(cut(plan(grid, TREE, corrections={"DecisionTreeClassifier": 0.5}), None))
    assert max(map(len, guessed)) == 20
    assert max(map(len, measured)) > 40
    assert sorted(numbers(measured)) == list(range(5000))


def test_a_study_of_seconds_is_not_cut_to_shreds() -> None:
    chunks = list(cut(plan({"learning_rate": range(1, 101), "n_estimators": [10, 20, 30]}), None))
    assert len(chunks) < 150
    assert all(len(chunk) % 3 == 0 for chunk in chunks)
