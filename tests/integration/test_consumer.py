"""A worker's side of the queue on a real broker, without training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from polling import until

from tuning.broker import DELIVERY_LIMIT, channel
from tuning.names import CHUNKS_QUEUE, DEAD_QUEUE, LANES
from tuning.settings import Settings
from worker import consumer as consumer_module
from worker.consumer import Consumer
from worker.runner import ChunkRunner, Outcome, Verdict
from worker.watching.metrics import Metrics
from worker.watching.pulse import Pulse


class Answers:
    """A runner that gives each chunk the verdict that a function has for it."""

    uncounted = False

    def __init__(self, verdict: Callable[[bytes, bool], Verdict]) -> None:
        self._verdict = verdict
        self.seen: list[tuple[bytes, bool]] = []

    def run(self, body: bytes, *, again: bool = False) -> Outcome:
        self.seen.append((body, again))
        return Outcome(verdict=self._verdict(body, again), reason="no chunk")

    def settle(self, *, idle: bool = False) -> None:
        pass

    def stop(self, grace_seconds: float) -> None:
        pass

    def let_go(self) -> None:
        pass

    def ready_again(self) -> None:
        pass


@contextmanager
def consuming(settings: Settings, answers: Answers) -> Iterator[Consumer]:
    """Run a consumer in this process; it ends in good order."""
    consumer = Consumer(settings, cast("ChunkRunner", answers), Metrics(), Pulse(settings))
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        yield consumer
    finally:
        consumer.stop()
        thread.join(20)
        assert not thread.is_alive()


def publish(settings: Settings, *bodies: bytes, queue: str = CHUNKS_QUEUE) -> None:
    with channel(settings) as opened:
        for body in bodies:
            opened.basic_publish("", queue, body)


def waiting(settings: Settings, queue: str) -> int:
    with channel(settings) as opened:
        return int(opened.queue_declare(queue, passive=True).method.message_count)


def test_every_lane_is_served(servers: Settings) -> None:
    answers = Answers(lambda *_: Verdict.ACKNOWLEDGE)
    with consuming(servers, answers):
        for lane in LANES:
            publish(servers, lane.encode(), queue=lane)
        until(lambda: len(answers.seen) == len(LANES), what="each has given its chunk")
    assert {body.decode() for body, _ in answers.seen} == set(LANES)
    assert sum(waiting(servers, lane) for lane in LANES) == 0


def test_a_worker_holds_one_chunk_at_a_time(servers: Settings) -> None:
    hold = threading.Event()

    def wait(*_: object) -> Verdict:
        assert hold.wait(20)
        return Verdict.ACKNOWLEDGE

    answers = Answers(wait)
    publish(servers, b"1", b"2", b"3")
    publish(servers, b"4", queue=LANES[3])
    with consuming(servers, answers):
        until(lambda: answers.seen, what="it has taken one")
        until(lambda: sum(waiting(servers, lane) for lane in LANES) == 3, what="the others are free for other workers")
        hold.set()
        until(lambda: len(answers.seen) >= 4, what="all had their turn")
    assert {body for body, _ in answers.seen} == {b"1", b"2", b"3", b"4"}


def test_a_chunk_that_came_back_says_so(servers: Settings) -> None:
    publish(servers, b"chunk")
    answers = Answers(lambda _, again: Verdict.ACKNOWLEDGE if again else Verdict.REQUEUE)
    with consuming(servers, answers):
        until(lambda: len(answers.seen) == 2, what="it was delivered twice")
    assert answers.seen == [(b"chunk", False), (b"chunk", True)]


def test_evictions_alone_never_bring_a_chunk_among_the_dead(servers: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker counts what is given back, and sets aside what came back too often: a fresh copy starts anew."""
    monkeypatch.setattr(consumer_module, "_SPARE_RETURNS", DELIVERY_LIMIT - 5)
    publish(servers, b"chunk")
    answers = Answers(lambda *_: Verdict.REQUEUE)
    with consuming(servers, answers):
        until(lambda: len(answers.seen) >= 15, what="it went round and round")
    assert [again for _, again in answers.seen[:15]] == [False] + [True] * 14, "a fresh copy says that it is one"
    assert waiting(servers, DEAD_QUEUE) == 0
    with channel(servers) as opened:
        _, properties, body = opened.basic_get(CHUNKS_QUEUE, auto_ack=True)
        assert body == b"chunk"
        assert properties.headers["x-warren-again"] is True
        assert properties.headers.get("x-delivery-count", 0) <= 6, "the broker counts anew"
        assert opened.basic_get(CHUNKS_QUEUE, auto_ack=True)[0] is None, "one copy, not two"


def test_what_no_worker_can_use_is_kept_with_its_reason(servers: Settings) -> None:
    publish(servers, b"nonsense")
    with consuming(servers, Answers(lambda *_: Verdict.DEAD_LETTER)):
        until(lambda: waiting(servers, DEAD_QUEUE) == 1, what="it is set aside")
    with channel(servers) as opened:
        _, properties, body = opened.basic_get(DEAD_QUEUE, auto_ack=True)
    assert (body, properties.headers["x-warren-reason"]) == (b"nonsense", "no chunk")
