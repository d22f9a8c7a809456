"""A worker that listens: what the broker's count of its listeners says, and what chance does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from worker.consumer import listener as listener_module
from worker.consumer.fair_queueing import Lanes
from worker.consumer.listener import Delivery, Listener

LANES = ["first", "second", "third"]


class Broker:
    """A connection to a broker without messages, and each of its channels.

    It counts its consumers; in `newcomers` others come in between.
    """

    def __init__(self) -> None:
        self.consumers: dict[str, str] = {}
        self.others = dict.fromkeys(LANES, 5)
        self.newcomers: set[str] = set()
        self.opened = self.closed = 0

    def channel(self) -> Broker:
        self.opened += 1
        return self

    def confirm_delivery(self) -> None: ...

    def basic_qos(self, *, prefetch_count: int) -> None:
        assert prefetch_count == 1

    def close(self) -> None:
        assert not self.consumers, "the channel that is given up listens"
        self.closed += 1

    @property
    def consumer_tags(self) -> list[str]:
        return list(self.consumers)

    def basic_get(self, _lane: str) -> tuple[None, None, None]:
        return None, None, None

    def basic_consume(self, lane: str, _on_message: Any) -> str:
        self.consumers[f"mine in {lane}"] = lane
        return f"mine in {lane}"

    def basic_cancel(self, tag: str) -> None:
        self.others[self.consumers.pop(tag)] += tag.endswith(tuple(self.newcomers)) if self.newcomers else 0

    def queue_declare(self, lane: str, *, passive: bool) -> Any:
        assert passive
        count = self.others[lane] + list(self.consumers.values()).count(lane)
        return SimpleNamespace(method=SimpleNamespace(consumer_count=count))


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def listener(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Listener:
    monkeypatch.setattr(listener_module, "_PROBE_SECONDS", 0.0)
    monkeypatch.setattr(listener_module, "_DOUBT_SECONDS", 0.0)
    connection: Any = broker

    def take(_: Delivery) -> None: ...

    made = Listener(connection, Lanes(LANES), take)
    made.turn()
    return made


def test_a_worker_that_is_counted_is_known(listener: Listener, broker: Broker) -> None:
    before = broker.opened
    for _ in range(3):
        listener.turn()
        assert listener.known
        assert not listener.cancelled
        assert sorted(broker.consumers.values()) == sorted(LANES)
    assert broker.opened == broker.closed + 1 == before + 3, "each time over another channel"


def test_a_worker_that_never_waits_changes_its_channel_too(listener: Listener, broker: Broker) -> None:
    for _ in range(2):
        before = broker.opened
        listener.stop()  # a chunk is being worked on
        assert broker.opened == before
        listener.turn()
        assert broker.opened == broker.closed + 1 == before + 1


def test_a_worker_that_comes_while_counting_makes_none_unready(
    listener: Listener, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    for newcomers in ({"second"}, {"first", "third"}, set(), {"second"}, set()):
        broker.newcomers = newcomers
        listener.turn()
        assert listener.known
    assert not caplog.records


def test_a_lane_that_does_not_count_a_worker_twice_in_a_row_has_lost_it(
    listener: Listener, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.newcomers = {"second"}
    listener.turn()
    listener.turn()
    assert not listener.known
    assert caplog.records[-1].__dict__["lanes"] == ["second"]
    broker.newcomers = set()
    listener.turn()
    assert listener.known


def test_a_worker_that_no_lane_counts_is_lost_at_once(listener: Listener, broker: Broker) -> None:
    broker.newcomers = set(LANES)
    listener.turn()
    assert not listener.known
    broker.newcomers = set()
    listener.turn()
    assert listener.known
