"""Servers that are stopped, started and blocked while a study is submitted and followed. They are
these tests' own."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from polling import until
from proxy import Proxy
from servers import (
    alarm,
    bring_back,
    restart_database,
    start_database,
    stop_broker,
    stop_database,
)
from sklearn.dummy import DummyClassifier
from submitting import finish

from producer import Study, submit
from producer.publishing import publication
from producer.stack import LocalStack
from warren.broker import channel
from warren.errors import BrokerError, StoreError
from warren.messages import Chunk, decode_chunk, encode_chunk
from warren.queues import CHUNKS_QUEUE
from warren.settings import Settings, load_settings
from warren.storage.store import Store

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10) % 2
# Trials, a chunk each: a second of publishing.
MANY = 3000
# Seconds in which something that was set off must have happened.
DEADLINE_SECONDS = 30.0


class InTheMiddle:
    """Does something on another thread when a certain chunk of a submission is made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self._number = number
        self._made = 0
        self._asked = threading.Event()
        self._under_way = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        monkeypatch.setattr(publication, "encode_chunk", self._encode)

    def _encode(self, chunk: Chunk) -> bytes:
        self._made += 1
        if self._made == self._number:
            self._asked.set()
            assert self._under_way.wait(DEADLINE_SECONDS)
        return encode_chunk(chunk)

    def do(self, first: Callable[[], object], then: Callable[[], object] = lambda: None) -> None:
        """Make the submission wait for `first`, and do `then` while it goes on."""

        def work() -> None:
            assert self._asked.wait(DEADLINE_SECONDS)
            try:
                first()
            finally:
                self._under_way.set()
            then()

        self._done = self._pool.submit(work)

    def end(self) -> None:
        """Wait for all that; raise what it raised."""
        self._done.result(DEADLINE_SECONDS)
        self._pool.shutdown()


@pytest.fixture
def middle(monkeypatch: pytest.MonkeyPatch) -> InTheMiddle:
    return InTheMiddle(monkeypatch, MANY // 2)


def submit_many(**options: object) -> Study:
    grid = {"random_state": range(MANY)}
    return submit(DummyClassifier(), grid, X, Y, **({"cv": 2, "n_chunks": MANY} | options))


def submit_few() -> Study:
    return submit(DummyClassifier(), {"random_state": range(20)}, X, Y, cv=2)


def drain(settings: Settings, at_least: int) -> list[Chunk]:
    """Take every message of the first lane; a broker that has just been started knows a little
    later of them all."""
    found: list[Chunk] = []
    with channel(settings) as open_channel:

        def waiting() -> int:
            return int(open_channel.queue_declare(CHUNKS_QUEUE, passive=True).method.message_count)

        until(lambda: waiting() >= at_least, what=f"{at_least} messages are in the queue")
        left = waiting()
        for _, _, body in open_channel.consume(CHUNKS_QUEUE, auto_ack=True, inactivity_timeout=10) if left else ():
            assert body is not None, f"{left - len(found)} messages did not come"
            found.append(decode_chunk(body))
            if len(found) == left:
                break
    return found


def deliveries(chunks: list[Chunk]) -> Counter[int]:
    return Counter(trial.number for chunk in chunks for trial in chunk.trials)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def away_and_back(lines: list[str], away: str, server: str) -> bool:
    """Whether two lines tell of one outage."""
    return (
        len(lines) == 2 and lines[0].startswith(away) and bool(re.match(rf"{server} is back after [\d.]+ s", lines[1]))
    )


# ------------------------------------------------------------------------------ broker


def test_a_submission_survives_a_broker_that_is_killed_and_started(
    fragile: LocalStack, middle: InTheMiddle, caplog: pytest.LogCaptureFixture
) -> None:
    middle.do(lambda: stop_broker(fragile, kill=True), then=lambda: bring_back(fragile))
    study = submit_many()
    middle.end()
    found = deliveries(drain(load_settings(), MANY))
    assert set(found) == set(range(MANY)), "every trial is in the queue"
    assert found.total() - MANY <= 500, "only what was on its way is there twice"
    assert away_and_back(told(caplog), "publishing waits for the broker, which has ", "the broker"), told(caplog)
    status = study.status()
    assert (status.state, status.submitted_at is not None) == ("RUNNING", True)


@pytest.mark.slow
def test_a_submission_survives_a_restart_of_the_broker(fragile: LocalStack, middle: InTheMiddle) -> None:
    middle.do(lambda: stop_broker(fragile), then=lambda: bring_back(fragile))
    submit_many()
    middle.end()
    assert set(deliveries(drain(load_settings(), MANY))) == set(range(MANY))


@pytest.mark.slow
def test_a_submission_waits_while_the_broker_takes_no_messages(
    fragile: LocalStack, middle: InTheMiddle, caplog: pytest.LogCaptureFixture
) -> None:
    raised = alarm(fragile)

    def lower() -> None:
        try:
            until(lambda: "memory or disk alarm" in caplog.text, what="the submission says that it waits")
        finally:
            raised.__exit__(None, None, None)

    middle.do(raised.__enter__, then=lower)
    submit_many()
    middle.end()
    assert deliveries(drain(load_settings(), MANY)) == Counter(range(MANY)), "the connection stayed: nothing twice"
    assert away_and_back(told(caplog), "publishing waits for the broker, which has ", "the broker"), told(caplog)


def test_a_submission_whose_broker_stays_away_says_exactly_what_is_left(
    fragile: LocalStack, middle: InTheMiddle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARREN_PATIENCE_SECONDS", "2")
    middle.do(lambda: stop_broker(fragile, kill=True))
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        submit_many(name="left")
    assert time.monotonic() - began < 15
    middle.end()
    said = re.search(
        r"can't be reached .* Gave up after 2 s .*\. ([\d,]+) of 3,000 trials of study '(left-\w+)' are in the queue; "
        r"study.resume\(\) or the same submit\(\) publishes the rest$",
        str(caught.value),
    )
    assert said, caught.value
    safe, study = int(said[1].replace(",", "")), Study.attach(said[2])
    # As many are noted together, and on their way at once.
    assert MANY // 2 - 1000 <= safe < MANY // 2 + 500
    status = study.status()
    assert (status.state, status.submitted_at, status.done) == ("RUNNING", None, 0)
    with pytest.raises(BrokerError, match="can't be reached"):
        study.resume()
    bring_back(fragile)
    there = drain(load_settings(), safe)
    assert safe <= len(there) <= safe + 500
    assert {chunk.generation for chunk in there} == {1}
    assert study.resume() == MANY
    assert deliveries(drain(load_settings(), MANY)) == Counter(range(MANY))
    assert study.status().submitted_at is not None


# ---------------------------------------------------------------------------- database


def test_a_submission_survives_a_restart_of_the_database(
    fragile: LocalStack, middle: InTheMiddle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "0.5")

    def come_back() -> None:
        until(lambda: "waits for the database" in caplog.text, what="the submission says that it waits")
        start_database(fragile)

    middle.do(lambda: stop_database(fragile, kill=True), then=come_back)
    study = submit_many()
    middle.end()
    assert deliveries(drain(load_settings(), MANY)) == Counter(range(MANY))
    assert study.status().submitted_at is not None
    assert away_and_back(told(caplog), f"publishing study {study.id} waits for the database: ", "the database")


@pytest.mark.slow
def test_a_submission_that_lost_its_database_says_that_all_is_queued(
    fragile: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "0.5")
    monkeypatch.setenv("WARREN_PATIENCE_SECONDS", "1")
    publish = publication.publish

    def last_of_all(*given: Any, **options: Any) -> int:
        count = publish(*given, **options)
        stop_database(fragile, kill=True)
        return count

    monkeypatch.setattr(publication, "publish", last_of_all)
    with pytest.raises(StoreError, match="All 3,000 trials of study 'noted-.*' are in the queue, and workers evaluate"):
        submit_many(name="noted")
    monkeypatch.setattr(publication, "publish", publish)
    assert deliveries(drain(load_settings(), MANY)) == Counter(range(MANY))
    bring_back(fragile)
    # A worker takes them: the study's generation is still the one before.
    [study] = Study.list()
    assert (study.status().state, study.status().submitted_at) == ("RUNNING", None)
    assert study.resume() == MANY


@pytest.mark.slow
def test_a_submission_that_lost_its_database_midway_says_what_is_left(
    fragile: LocalStack, middle: InTheMiddle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "0.5")
    monkeypatch.setenv("WARREN_PATIENCE_SECONDS", "1")
    middle.do(lambda: stop_database(fragile, kill=True))
    with pytest.raises(StoreError, match=r"[\d,]+ of 3,000 trials of study 'left-.*' are in the queue; ") as caught:
        submit_many(name="left")
    middle.end()
    bring_back(fragile)
    said = re.search(r"([\d,]+) of 3,000 trials of study '(left-\w+)'", str(caught.value))
    assert said
    # What is in the queue was noted before, and workers take it.
    published = drain(load_settings(), int(said[1].replace(",", "")))
    store = Store(load_settings())
    assert published
    for chunk in published:
        assert store.published.has(said[2], 1, chunk.index, encode_chunk(chunk))
    store.close()
    assert Study.attach(said[2]).resume() == MANY


class Looks:
    """Counts how often a study's document is asked for."""

    def __init__(self, study: Study) -> None:
        self._made = 0
        self._real = study.store.study
        study.store.study = self._look

    def _look(self, *arguments: object) -> object:
        self._made += 1
        return self._real(*arguments)

    def wait(self) -> None:
        """Return once the study is followed."""
        # The first is not a follower's: there, a database that is away is an error.
        until(lambda: self._made >= 3, what="the study is followed")


def wait_for(study: Study, pool: ThreadPoolExecutor) -> Future[Study]:
    """Follow a study on another thread; return the future of its end once it is under way."""
    looks = Looks(study)
    ended = pool.submit(study.wait, timeout=60, progress=False)
    looks.wait()
    return ended


def wait_in_vain(study: Study, trouble: Callable[[], object]) -> None:
    """Follow a study for three seconds, which are three seconds though something happens on
    another thread."""
    looks = Looks(study)

    def make_trouble() -> None:
        looks.wait()
        trouble()

    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(make_trouble)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="0 trials have ended within the timeout; the study goes on"):
            study.wait(timeout=3, progress=False)
        assert 2.9 < time.monotonic() - began < 5.5
        made.result(DEADLINE_SECONDS)


def test_a_study_is_followed_over_a_restart_of_the_database(
    fragile: LocalStack, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "0.5")
    study = submit_few()
    with ThreadPoolExecutor(1) as pool:
        ended = wait_for(study, pool)
        stop_database(fragile, kill=True)
        until(lambda: "can't read study" in caplog.text, what="the outage is told")
        with pytest.raises(StoreError, match="can't be reached"):
            study.status()
        assert not ended.done()
        start_database(fragile)
        store = Store(load_settings())
        finish(store, study, range(20))
        store.close()
        assert ended.result(DEADLINE_SECONDS) is study
    assert away_and_back(
        told(caplog), f"can't read study {study.id} for now; the study goes on: MongoDB at ", "the database"
    )
    assert study.status().state == "COMPLETE"


def test_the_time_of_a_wait_is_over_on_time_while_the_database_is_away(fragile: LocalStack) -> None:
    wait_in_vain(submit_few(), lambda: stop_database(fragile, kill=True))


@pytest.mark.slow
def test_a_study_is_followed_over_a_restart_in_good_order(fragile: LocalStack) -> None:
    study = submit_few()
    with ThreadPoolExecutor(1) as pool:
        ended = wait_for(study, pool)
        restart_database(fragile)
        store = Store(load_settings())
        finish(store, study, range(20))
        store.close()
        assert ended.result(DEADLINE_SECONDS) is study


@pytest.mark.slow
def test_the_time_of_a_wait_is_over_on_time_though_the_network_is_cut(
    fragile: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings()
    with Proxy.to(settings.mongo_url) as proxy:
        monkeypatch.setenv("MONGO_URL", proxy.url(settings.mongo_url))
        study = submit_few()
        wait_in_vain(study, proxy.cut)
        proxy.mend()
        assert study.status().state == "RUNNING"
        study.store.close()
