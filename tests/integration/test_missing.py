"""What a broker removes by itself: the process that follows a study reports it, and reports nothing
without need."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from polling import until
from servers import Urls, rabbitmqctl
from sklearn.dummy import DummyClassifier
from submitting import finish, stored

from producer import Study, submit
from producer.results import missing_trials
from producer.results.follower import look
from producer.stack import LocalStack
from warren import broker
from warren.broker import channel
from warren.errors import StudyError
from warren.messages import decode_chunk
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE
from warren.settings import Settings, load_settings
from warren.storage.store import Store

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10) % 2


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same looks, closer together: a minute becomes two seconds."""
    for name, seconds in (("STILL_SECONDS", 0.2), ("LOOK_SECONDS", 0.2), ("SURE_SECONDS", 1.0)):
        monkeypatch.setattr(missing_trials, name, seconds)
        if name != "SURE_SECONDS":
            monkeypatch.setattr(f"producer.results.follower.{name}", seconds)


def submitted(trials: int = 6) -> Study:
    return submit(DummyClassifier(), {"random_state": range(trials)}, X, Y, cv=2, n_chunks=trials)


def purged(servers: Settings) -> None:
    with channel(servers) as opened:
        opened.queue_purge(CHUNKS_QUEUE)


def deleted(servers: Settings) -> None:
    with channel(servers) as opened:
        opened.queue_delete(CHUNKS_QUEUE)


@pytest.mark.parametrize("remove", [purged, deleted])
def test_trials_that_the_broker_removed_are_reported_and_resumed(
    servers: Settings, store: Store, remove: Callable[[Settings], None]
) -> None:
    study = submitted()
    finish(store, study, [0, 1])
    remove(servers)
    began = time.monotonic()
    with pytest.raises(StudyError, match=r"4 trials are neither done, nor in the queue, nor with a worker: .*resume"):
        study.wait(timeout=30, progress=False)
    assert time.monotonic() - began < 20
    assert study.status().lost == 4
    assert "4 trials are neither done" in repr(study)
    assert "4 neither queued nor with a worker" in str(study)
    assert "study.resume()" in study._repr_html_()
    assert study.resume() == 4
    assert study.status().lost == 0
    time.sleep(1.5)  # longer than it takes to be sure
    assert study.status().lost == 0


def test_the_status_alone_shows_lost_trials_too(servers: Settings, store: Store) -> None:
    study = submitted()
    purged(servers)
    until(lambda: study.status().lost == 6, what="the status says it")
    with channel(servers) as opened:
        opened.basic_publish("", CHUNKS_QUEUE, b"something waits")
    until(lambda: study.status().lost == 0, what="nothing can be said any more")


def test_lost_trials_are_reported_after_the_current_ones_have_ended(
    servers: Settings, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    study = submitted()
    store.unfinished.chunk_begins(f"{study.id}/1/0", 0, "busy", 60.0, again=False, trials=2)
    purged(servers)
    with pytest.raises(TimeoutError):
        study.wait(timeout=8, progress=False)
    assert study.status().lost == 4
    [said] = [one.getMessage() for one in caplog.records if one.name == "producer.results.follower"]
    assert "4 trials are neither done" in said
    finish(store, study, [0, 1])
    store.unfinished.chunk_ends(f"{study.id}/1/0", "busy")
    with pytest.raises(StudyError, match="4 trials are neither done"):
        study.wait(timeout=20, progress=False)


def test_current_trials_are_not_lost_however_long_they_take(servers: Settings, store: Store) -> None:
    study = submitted(1)
    with channel(servers) as opened:
        body = opened.basic_get(CHUNKS_QUEUE)[2]  # and not acknowledged: in a worker's hand
        chunk = f"{study.id}/{decode_chunk(body).generation}/0"
        store.unfinished.chunk_begins(chunk, 0, "busy", 60.0, again=False)
        with pytest.raises(TimeoutError):
            study.wait(timeout=3, progress=False)
        assert study.status().lost == 0
        store.unfinished.chunk_ends(chunk, "busy")  # it ends, and somebody purges what it gives back
        opened.basic_ack(1)
    with pytest.raises(StudyError, match="1 trial is neither done"):
        study.wait(timeout=20, progress=False)


def test_what_a_worker_got_that_has_just_vanished_is_told_and_waited_for(
    servers: Settings, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with channel(servers) as asleep:
        asleep.basic_qos(prefetch_count=1)
        asleep.basic_consume(CHUNKS_QUEUE, lambda *_: None)  # it listens, and has noted nothing
        study = submitted(1)
        with pytest.raises(TimeoutError):
            study.wait(timeout=4, progress=False)
        [said] = [one.getMessage() for one in caplog.records if one.name == "producer.results.follower"]
        assert "1 trial is neither done" in said
        assert "worker that has just vanished" in said
    until(lambda: study.status().lost == 0, what="the broker has taken it back")


def test_trials_that_no_worker_can_have_are_lost_though_workers_listen(servers: Settings, store: Store) -> None:
    quick = servers.model_copy(update={"heartbeat_seconds": 1})
    with channel(servers) as idle:
        study = submitted(1)
        purged(servers)
        idle.basic_consume(CHUNKS_QUEUE, lambda *_: None)

        def certain() -> bool:
            missing_trials._due.clear()
            return look(store, study.id, quick).lost_for_certain

        until(certain, 20, "the broker would have taken it back")


def test_a_broker_that_is_away_is_no_evidence(servers: Settings, store: Store) -> None:
    study = submitted()
    away = servers.model_copy(update={"amqp_url": "amqp://guest:guest@127.0.0.1:1/%2F"})
    for _ in range(3):
        missing_trials._due.clear()
        assert look(store, study.id, away).lost == 0
        time.sleep(0.5)
    assert "missing" not in stored(store, study)


@pytest.mark.slow
def test_chunks_that_the_broker_sets_aside_are_reported_and_resumed(
    fragile: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with policy(fragile, {"max-length": 4}):
        study = submitted()
        until(lambda: study.status().dead == 2, 30, "two are among the dead")
        with pytest.raises(TimeoutError):
            study.wait(timeout=2, progress=False)
    status = study.status()
    assert status.dead_numbers == (0, 1)
    assert status.dead_reasons == (f"RabbitMQ took it from {CHUNKS_QUEUE}: its queue was full (max-length)",)
    assert "retry_failed()" in status.dead_text
    assert study.retry_failed() == 6
    time.sleep(1.0)
    assert study.status().dead == 0, "what is there of the publication before is of no interest"
    with policy(fragile, {"message-ttl": 1}):
        until(lambda: expires(load_settings()), 30, "the policy is in force")
        study.resume()
        with pytest.raises(StudyError, match="message-ttl"):
            study.wait(timeout=30, progress=False)


def expires(settings: Settings) -> bool:
    """Say whether a message vanishes by itself."""
    with channel(settings) as opened:
        opened.confirm_delivery()
        opened.queue_purge(CHUNKS_QUEUE)
        opened.basic_publish("", CHUNKS_QUEUE, b"probe")
        time.sleep(0.1)  # a hundred times as long as it may wait
        return not opened.queue_declare(CHUNKS_QUEUE, passive=True).method.message_count


@contextmanager
def policy(stack: LocalStack, definition: dict[str, int]) -> Iterator[None]:
    rabbitmqctl(stack, "set_policy", "--apply-to", "queues", "test", f"^{CHUNKS_QUEUE}$", json.dumps(definition))
    try:
        yield
    finally:
        rabbitmqctl(stack, "clear_policy", "test")


def waiting(opened: BlockingChannel) -> int:
    return int(opened.queue_declare(DEAD_QUEUE, passive=True).method.message_count)


def test_dead_letters_are_read_as_often_as_one_likes(servers: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "_MOST_RETURNS", 2)
    with channel(servers) as opened:
        opened.confirm_delivery()
        for body in (b"1", b"2", b"3"):
            opened.basic_publish("", DEAD_QUEUE, body)
        for _ in range(9):
            assert sorted(letter.body for letter in broker.dead_letters(opened)) == [b"1", b"2", b"3"]
            until(lambda: waiting(opened) == 3, 20, "they are there again")
        # RabbitMQ 4 leaves the header out of what was never given back.
        headers = [opened.basic_get(DEAD_QUEUE)[1].headers or {} for _ in range(3)]
        returns = [one.get("x-delivery-count", 0) for one in headers]
    assert max(returns) <= 3, "a fresh copy begins from zero"


def test_dead_letters_of_another_database_are_none_of_ours(
    servers: Settings, store: Store, private_servers: Urls
) -> None:
    study = submitted(1)
    with channel(servers) as opened:
        _, properties, body = opened.basic_get(CHUNKS_QUEUE, auto_ack=True)
        properties.headers["x-warren-database"] = "b" * 32
        opened.basic_publish("", DEAD_QUEUE, body, properties)
    until(lambda: study.status().lost == 1, what="it is lost")
    assert study.status().dead == 0
