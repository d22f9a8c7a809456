"""Whose turn it is: studies that wait in lanes of their own share a worker's time by their priority."""

from __future__ import annotations

from collections import Counter

from worker.lanes import Lanes


def served(
    lanes: Lanes, waiting: dict[str, int], chunks: int, seconds: dict[str, float] | None = None, since: float = 0.0
) -> list[str]:
    """Take chunks from lanes that never run dry, each of a study of that priority; return whose turn it was."""
    turns = []
    for turn in range(chunks):
        moment = since + turn
        for name in lanes.order(moment):
            if name in waiting:
                lanes.begin(name, waiting[name])
                lanes.end(name, (seconds or {}).get(name, 1.0))
                turns.append(name)
                break
            lanes.empty(name, moment)
    return turns


def test_the_first_lane_comes_first() -> None:
    assert Lanes(["a", "b", "c"]).order(0.0) == ["a", "b", "c"]


def test_two_studies_take_turns() -> None:
    assert Counter(served(Lanes("abc"), {"a": 1, "c": 1}, 100)) == {"a": 50, "c": 50}


def test_time_is_shared_not_chunks() -> None:
    turns = Counter(served(Lanes("abc"), {"a": 1, "b": 1}, 110, {"a": 10.0, "b": 1.0}))
    assert turns == {"a": 10, "b": 100}


def test_a_study_of_four_times_the_priority_has_four_times_the_time() -> None:
    assert Counter(served(Lanes("abc"), {"a": 1, "b": 4}, 100)) == {"a": 20, "b": 80}


def test_a_study_that_comes_late_begins_at_once_and_gains_nothing_by_it() -> None:
    lanes = Lanes("ab")
    served(lanes, {"a": 1}, 1000)
    turns = served(lanes, {"a": 1, "b": 1}, 20, since=1000.0)
    assert turns[0] == "b"
    assert Counter(turns) == {"a": 10, "b": 10}


def test_a_lane_that_was_just_empty_is_looked_at_last() -> None:
    lanes = Lanes("abc")
    lanes.begin("c", 1)
    lanes.end("c", 5.0)
    lanes.empty("a", 10.0)
    assert lanes.order(10.1) == ["b", "c", "a"]
    assert lanes.order(11.0) == ["a", "b", "c"]
