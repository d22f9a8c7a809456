"""Which lane a study's chunks go to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from study_documents import plan

from producer.publishing import lane_choice
from producer.publishing.lane_choice import choose_lane
from warren.queues import LANES
from warren.settings import Settings
from warren.storage.store import Store


class Broker:
    """Tells how many messages wait in a lane, and remembers the lanes that it was asked for."""

    def __init__(self, waiting: dict[str, int]) -> None:
        self.waiting = waiting
        self.asked: list[str] = []

    @contextmanager
    def channel(self, settings: Settings, name: str) -> Iterator[Broker]:
        yield self

    def queue_declare(self, queue: str, passive: bool) -> Any:
        assert passive
        self.asked.append(queue)
        return SimpleNamespace(method=SimpleNamespace(message_count=self.waiting.get(queue, 0)))


def choose(monkeypatch: pytest.MonkeyPatch, waiting: dict[str, int], *, shared: bool = False, **study: Any) -> str:
    broker = Broker(waiting)
    monkeypatch.setattr(lane_choice, "broker", broker)
    store = SimpleNamespace(queue_shared=lambda study_id, queue: shared)
    return choose_lane(cast("Store", store), Settings(), plan(**study))


def test_a_study_alone_is_in_the_first_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, {}) == LANES[0] == "chunks"


def test_a_study_beside_others_is_in_the_first_lane_where_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, {LANES[0]: 10, LANES[1]: 1, LANES[3]: 1}) == LANES[2]


def test_a_study_more_than_there_are_lanes_is_where_the_fewest_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, dict.fromkeys(LANES, 10) | {LANES[4]: 3, LANES[6]: 3}) == LANES[4]


def test_a_study_stays_in_its_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, {LANES[3]: 7}, queue=LANES[3]) == LANES[3]


@pytest.mark.parametrize("waiting", [0, 5])
def test_a_study_leaves_a_lane_that_another_runs_in(monkeypatch: pytest.MonkeyPatch, waiting: int) -> None:
    assert choose(monkeypatch, {LANES[3]: waiting, LANES[0]: 1}, shared=True, queue=LANES[3]) == LANES[1]


def test_a_lane_that_is_none_any_more_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, {}, queue="chunks.99") == "chunks"
