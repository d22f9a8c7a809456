"""Whose turn it is: studies that wait in lanes of their own share a worker's time by
their priority."""

from __future__ import annotations

from collections import Counter

from worker.consumer.fair_queueing import Lanes


def served(
    lanes: Lanes, waiting: dict[str, int], chunks: int, seconds: dict[str, float] | None = None, since: float = 0.0
) -> list[str]:
    """Take chunks from lanes that never run dry, each of a study of that priority; return whose
    turn it was."""
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


def test_trials_for_a_gpu_come_first_whatever_they_had() -> None:
    lanes = Lanes("gab", before={"g"})
    assert served(lanes, {"g": 1, "a": 9, "b": 9}, 20, {"g": 100.0}) == ["g"] * 20
    assert served(lanes, {"a": 1, "b": 1}, 4, since=100.0) == ["a", "b", "a", "b"], "the others share what is left"


def test_a_gpu_queue_that_was_just_empty_is_looked_at_last_for_a_moment() -> None:
    lanes = Lanes("gab", before={"g"})
    lanes.empty("g", 10.0)
    assert lanes.order(10.1) == ["a", "b", "g"]
    assert lanes.order(11.0) == ["g", "a", "b"]


def test_time_for_gpu_trials_changes_nothing_between_the_others() -> None:
    lanes = Lanes("gab", before={"g"})
    lanes.begin("a", 1)
    lanes.end("a", 50.0)
    lanes.begin("g", 1)
    lanes.end("g", 1000.0)
    lanes.begin("b", 1)
    lanes.end("b", 10.0)
    assert lanes.order(0.0) == ["g", "b", "a"], "b has had less"


def test_a_lane_rests_after_all_its_messages_for_others() -> None:
    lanes = Lanes("ab")
    for left in (2, 2):
        lanes.pass_over("a", left, 10.0)
        assert "a" in lanes.order(10.0), "ours may lie behind it"
    lanes.pass_over("a", 2, 10.0)
    assert lanes.order(10.9) == ["b"], "all that were there are seen"
    assert "a" in lanes.order(11.0)


def test_a_lane_of_messages_for_others_rests_longer_each_time() -> None:
    lanes, moment, rests = Lanes("a"), 0.0, []
    for _ in range(8):
        lanes.pass_over("a", 0, moment)
        began = moment
        while not lanes.order(moment):
            moment += 0.5
        rests.append(moment - began)
    assert rests == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    lanes.begin("a", 1)
    lanes.end("a", 5.0)
    lanes.pass_over("a", 0, moment)
    assert lanes.order(moment + 1.0) == ["a"]


def test_passing_over_takes_a_small_part_of_the_time() -> None:
    lanes = Lanes("a")
    for number in range(201):
        assert lanes.order(number * 0.01), "no rest before two hundred are passed"
        lanes.pass_over("a", 10_000, number * 0.01)
    assert lanes.order(2.0 + 19.9) == []
    assert lanes.order(2.0 + 20.0) == ["a"]
