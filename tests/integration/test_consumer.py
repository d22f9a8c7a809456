"""A worker's side of the queue on a real broker, without training."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import pika
import pytest
from polling import until

from warren.broker import DELIVERY_LIMIT, channel, declare
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE, LANES
from warren.settings import Settings
from worker.chunk.outcome import Outcome, Verdict
from worker.chunk.runner import ChunkRunner
from worker.consumer import consumer as consumer_module
from worker.consumer.consumer import Consumer
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics


class Answers:
    """A runner that gives each chunk the verdict that a function has for it."""

    uncounted = False

    def __init__(self, verdict: Callable[[bytes, bool], Verdict]) -> None:
        self._verdict = verdict
        self.seen: list[tuple[bytes, bool]] = []

    def run(self, body: bytes, *, again: bool = False, **_: object) -> Outcome:
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
def consuming(settings: Settings, answers: Answers, pulse: Pulse | None = None) -> Iterator[Consumer]:
    """Run a consumer in this process; it ends in good order."""
    consumer = Consumer(settings, cast("ChunkRunner", answers), Metrics(), pulse or Pulse(settings))
    thread = threading.Thread(target=consumer.run)
    thread.start()
    try:
        yield consumer
    finally:
        consumer.stop()
        thread.join(20)
        assert not thread.is_alive()


def publish(settings: Settings, *bodies: bytes, queue: str = CHUNKS_QUEUE, **headers: str) -> None:
    properties = pika.BasicProperties(headers={name.replace("_", "-"): value for name, value in headers.items()})
    with channel(settings) as opened:
        for body in bodies:
            opened.basic_publish("", queue, body, properties)


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
    """The broker counts what is given back, and sets aside what came back too often: a fresh copy
    starts from zero."""
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
        assert properties.headers.get("x-delivery-count", 0) <= 6, "the broker counts from zero again"
        assert opened.basic_get(CHUNKS_QUEUE, auto_ack=True)[0] is None, "one copy, not two"


def test_what_no_worker_can_use_is_kept_with_its_reason(servers: Settings) -> None:
    publish(servers, b"nonsense")
    with consuming(servers, Answers(lambda *_: Verdict.DEAD_LETTER)):
        until(lambda: waiting(servers, DEAD_QUEUE) == 1, what="it is set aside")
    with channel(servers) as opened:
        _, properties, body = opened.basic_get(DEAD_QUEUE, auto_ack=True)
    assert (body, properties.headers["x-warren-reason"]) == (b"nonsense", "no chunk")


OURS, THEIRS = "a" * 32, "b" * 32
FOREIGN = {"x_warren_database": THEIRS, "x_warren_database_url": "mongodb://ann:***@there/tuning"}


class Reads(Answers):
    """A runner that gives back what names another database."""

    def run(self, body: bytes, *, again: bool = False, **named: object) -> Outcome:
        self.seen.append((body, again))
        if named["database"] == THEIRS:
            reason = f"of database {THEIRS} ({named['database_url']})"
            return Outcome(verdict=Verdict.FOREIGN, reason=reason, others_first=True)
        return Outcome(verdict=Verdict.ACKNOWLEDGE)


def test_messages_of_another_database_are_returned_and_block_no_others(
    servers: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = [f"theirs {number}".encode() for number in range(30)]
    publish(servers, *theirs, **FOREIGN)
    publish(servers, b"ours 0", b"ours 1", x_warren_database=OURS)
    answers, pulse = Reads(lambda *_: Verdict.ACKNOWLEDGE), Pulse(servers)
    with consuming(servers, answers, pulse):
        until(lambda: {b"ours 0", b"ours 1"} <= {body for body, _ in answers.seen}, what="ours have their turn")
        publish(servers, b"later", x_warren_database=OURS)
        until(lambda: answers.seen[-1][0] == b"later" or (b"later", False) in answers.seen, 40, "one that comes later")
    assert len(answers.seen) < 300, "it spins not"
    [line] = [one for one in caplog.records if one.message == "returned messages of another database"]
    assert THEIRS in vars(line)["whose"]
    assert "virtual host" in vars(line)["what_to_do"]
    assert "ann:***@there" in pulse.notes()["foreign"]
    found = {}
    with channel(servers) as opened:
        while (method := opened.basic_get(CHUNKS_QUEUE, auto_ack=True))[0]:
            _, properties, body = method
            found[body] = properties.headers
    assert sorted(found) == sorted(theirs), "every one of them, once"
    assert all(one["x-warren-database"] == THEIRS for one in found.values())
    assert all(one["x-warren-database-url"] == FOREIGN["x_warren_database_url"] for one in found.values())
    assert all(one.get("x-delivery-count", 0) <= 1 for one in found.values()), "the broker counts nearly no return"


@pytest.mark.parametrize("verdict", [Verdict.DEAD_LETTER, Verdict.HAND_ON])
def test_a_copy_says_whose_it_is(servers: Settings, verdict: Verdict) -> None:
    publish(servers, b"chunk", x_warren_database=OURS)
    queue = DEAD_QUEUE if verdict == Verdict.DEAD_LETTER else CHUNKS_QUEUE
    answers = Answers(lambda *_: verdict)
    with consuming(servers, answers):
        until(lambda: answers.seen, what="it was delivered")
    with channel(servers) as opened:
        _, properties, body = opened.basic_get(queue, auto_ack=True)
    assert (body, properties.headers["x-warren-database"]) == (b"chunk", OURS)


def test_dead_letters_that_somebody_looks_at_stay(servers: Settings) -> None:
    with channel(servers) as opened:
        opened.queue_delete(DEAD_QUEUE)
        declare(opened)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="x-delivery-limit"):
            opened.queue_declare(DEAD_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    publish(servers, b"dead", queue=DEAD_QUEUE)
    for _ in range(25):
        with channel(servers) as opened:
            assert opened.basic_get(DEAD_QUEUE)[2] == b"dead"


def test_a_dead_letter_queue_of_an_older_version_is_used_as_it_is(servers: Settings) -> None:
    with channel(servers) as opened:
        opened.queue_delete(DEAD_QUEUE)
        opened.queue_declare(DEAD_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    try:
        publish(servers, b"dead", queue=DEAD_QUEUE)
        assert waiting(servers, DEAD_QUEUE) == 1
    finally:
        with channel(servers) as opened:
            opened.queue_delete(DEAD_QUEUE)
