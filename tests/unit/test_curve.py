"""The best score so far: what is read for it, and how it is drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.views.card.curve import Curve, Point, draw
from warren.storage.documents import Document, now
from warren.storage.own_trials import OwnTrials

BEGAN = now()


def ended(number: int, score: float | None, at: float, **fields: Any) -> Document:
    return {"number": number, "mean_test_score": score, "finished_at": BEGAN + timedelta(seconds=at), **fields}


class Results:
    """As much of a store as a curve needs; counts what is read of it."""

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.read = 0
        self.trials = self

    def ended_since(self, moment: datetime, limit: int, fields: object) -> list[Document]:
        found = sorted((one for one in self.documents if one["finished_at"] >= moment), key=lambda o: o["finished_at"])
        found = found[: limit or None]
        self.read += len(found)
        return found

    def finished_numbers(self) -> set[int]:
        return {one["number"] for one in self.documents}

    def at(self, numbers: set[int], fields: object) -> list[Document]:
        found = [one for one in self.documents if one["number"] in numbers]
        self.read += len(found)
        return found


class Seen:
    def __init__(self, done: int, state: str = "RUNNING") -> None:
        self.done = done
        self.state = state


def look(curve: Curve, results: Results, state: str = "RUNNING") -> list[tuple[int, float]]:
    curve.look(cast("Any", Seen(len(results.documents), state)))
    return [(point.ended, point.score) for point in curve.points]


@pytest.fixture
def results() -> Results:
    return Results()


@pytest.fixture
def curve(results: Results) -> Curve:
    return Curve(lambda: cast("OwnTrials", results))


def test_only_what_ended_since_the_last_look_is_read_again(curve: Curve, results: Results) -> None:
    results.documents = [ended(number, 0.5, number / 10) for number in range(1000)]
    look(curve, results)
    assert results.read == 1000
    results.documents.append(ended(1000, 0.75, 101))
    assert look(curve, results)[-1] == (1001, 0.75)
    assert results.read < 1100


def test_a_result_that_was_written_late_is_seen(curve: Curve, results: Results) -> None:
    results.documents = [ended(0, 0.5, 0), ended(2, 0.6, 10)]
    look(curve, results)
    results.documents.append(ended(1, 0.7, 8))
    assert look(curve, results)[-1] == (3, 0.7)


def test_a_clock_that_is_minutes_ahead_freezes_nothing(curve: Curve, results: Results) -> None:
    results.documents = [ended(0, 0.5, 0), ended(1, 0.6, 300)]
    look(curve, results)
    curve._may_compare_at = 0.0
    for number in range(2, 5):
        results.documents.append(ended(number, 0.5 + number / 10, number))
        assert look(curve, results)[-1] == (number + 1, 0.5 + number / 10)
        curve._may_compare_at = 0.0
    assert results.read < 20
    expected = [(1, 0.5), (2, 0.6), (3, 0.7), (4, 0.8), (5, 0.9)]
    assert look(curve, results, "COMPLETE") == expected


def test_comparing_has_a_small_part_of_the_time(
    curve: Curve, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 0.0
    monkeypatch.setattr("producer.views.card.curve.time.monotonic", lambda: moment)
    numbers = results.finished_numbers

    def slow() -> set[int]:
        nonlocal moment
        moment += 2.0
        return numbers()

    monkeypatch.setattr(results, "finished_numbers", slow)
    results.documents = [ended(0, 0.5, 0), ended(1, 0.6, 300)]
    look(curve, results)
    results.documents.append(ended(2, 0.7, 5))
    assert len(look(curve, results)) == 3
    results.documents.append(ended(3, 0.7, 6))
    assert len(look(curve, results)) == 3
    moment += 20.0
    assert len(look(curve, results)) == 4


def test_failures_count_as_ended_and_have_no_score(curve: Curve, results: Results) -> None:
    results.documents = [
        ended(0, float("nan"), 0, state="FAILED"),
        ended(1, 0.0, 1, failed_fits=3),
        ended(2, 0.5, 2),
        ended(3, float("inf"), 3),
    ]
    assert look(curve, results) == [(3, 0.5)]


def test_a_study_whose_failures_were_taken_back_is_read_anew(curve: Curve, results: Results) -> None:
    results.documents = [ended(0, 0.5, 0), ended(1, float("nan"), 1)]
    look(curve, results)
    results.documents = results.documents[:1]
    assert look(curve, results) == [(1, 0.5)]


def test_there_is_no_picture_of_less_than_two_scores(curve: Curve, results: Results) -> None:
    assert curve.svg("score") == ""
    results.documents = [ended(0, 0.5, 0)]
    look(curve, results)
    assert curve.svg("score") == ""


@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=60), st.text(st.characters(exclude_categories=["C"])))
def test_every_picture_can_be_read_and_stays_in_its_frame(scores: list[float], metric: str) -> None:
    points = [Point(place, score) for place, score in enumerate(scores, 1)]
    root = ET.fromstring(draw(points, len(points), metric))
    for circle in root.iter("circle"):
        assert 0 <= float(circle.attrib["cx"]) <= 700
        assert 0 <= float(circle.attrib["cy"]) <= 170


def test_a_picture_of_many_trials_stays_small() -> None:
    points = [Point(place, 0.5 + place % 997 / 2000) for place in range(1, 30_000)]
    assert len(draw(points, 30_000, "score")) < 40_000


def test_one_bad_corner_does_not_flatten_the_picture() -> None:
    points = [Point(place, 0.0 if place % 20 == 0 else 0.9 + place / 10_000) for place in range(1, 200)]
    root = ET.fromstring(draw(points, 200, "score"))
    ticks = [float(found.text or "") for found in root.iter("text") if found.get("text-anchor") == "end"][:-1]
    assert len(ticks) >= 2
    assert min(ticks) > 0.88
