"""Servers that come and go under workers and under who follows a study: nothing is lost, and everybody goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

import pika
import psutil
import pytest
from acceptance.conftest import StartWorker, X, Y
from faulty import Sleeps
from polling import until
from proxy import Proxy
from servers import (
    Resource,
    alarm,
    bring_back,
    rabbitmqctl,
    restart_broker,
    restart_database,
    start_broker,
    stop_broker,
    stop_database,
)

from producer import Study, submit
from producer.stack import LocalStack
from tuning.broker import channel, parameters
from tuning.names import CHUNKS_QUEUE, GPU_QUEUE
from tuning.settings import Settings, load_settings

ONE_SPLIT = [(range(10), range(10, 20))]


@pytest.fixture
def servers(fragile: LocalStack) -> Settings:
    """Where workers look for work: servers that these tests may stop, in the place of those that all share."""
    return load_settings()


def sleeping(name: str, trials: int = 40) -> Study:
    """Submit trials of a tenth of a second, four to a chunk."""
    return submit(Sleeps(seconds=0.1), {"number": range(trials)}, X, Y, cv=ONE_SPLIT, name=name, n_chunks=trials // 4)


def every_trial_once(study: Study, trials: int = 40) -> None:
    frame = study.results()
    assert list(frame["number"]) == list(range(trials))
    assert set(frame["state"]) == {"COMPLETE"}
    assert set(frame["attempts"]) == {1}, "servers that go away are no trial's fault"
    assert study.status().complete == trials


def both(stack: LocalStack) -> None:
    stop_database(stack)
    restart_broker(stack)
    bring_back(stack)


def listeners(settings: Settings) -> int:
    """Return how many workers wait for chunks."""
    with channel(settings) as open_channel:
        return int(open_channel.queue_declare(CHUNKS_QUEUE, passive=True).method.consumer_count)


def both_have(study: Study, trials: int) -> bool:
    """Say whether each of two workers has evaluated so many."""
    counts = study.results()["worker"].value_counts()
    return len(counts) == 2 and counts.min() >= trials


@pytest.mark.parametrize("restart", [restart_broker, restart_database, both])
def test_a_restart_loses_nothing_and_the_follower_rides_over_it(
    restart: Callable[[LocalStack], None], fragile: LocalStack, start_worker: StartWorker
) -> None:
    for _ in range(2):
        start_worker()
    study = sleeping(restart.__name__, 80)
    until(lambda: study.status().done >= 8, what="it runs")
    restart(fragile)
    study.wait(timeout=90, progress=False)
    every_trial_once(study, 80)


def test_a_worker_waits_for_a_broker_without_spinning(fragile: LocalStack, start_worker: StartWorker) -> None:
    worker = start_worker()
    study = sleeping("patience", 4)
    study.wait(timeout=60, progress=False)
    stop_broker(fragile)
    process = psutil.Process(worker.pid)
    before, began = process.cpu_times(), time.monotonic()
    until(lambda: time.monotonic() - began > 4.0, 10, "four seconds have gone by")
    used = sum(process.cpu_times()[:2]) - sum(before[:2])
    start_broker(fragile)
    assert used < 1.0, f"{used:.1f} s of CPU time in four seconds of waiting"
    again = sleeping("afterwards", 8)
    again.wait(timeout=60, progress=False)
    every_trial_once(again, 8)


def test_a_network_that_is_cut_and_mended_loses_nothing(servers: Settings, start_worker: StartWorker) -> None:
    with Proxy.to(servers.amqp_url) as queue, Proxy.to(servers.mongo_url) as database:
        # The way to the queue is cut for one worker, that to the database for another.
        quick = {"WARREN_HEARTBEAT_SECONDS": "5", "WARREN_CONNECT_SECONDS": "3"}
        start_worker(AMQP_URL=queue.url(servers.amqp_url), **quick)
        start_worker(MONGO_URL=database.url(servers.mongo_url), **quick)
        study = sleeping("cut", 80)
        until(lambda: both_have(study, 4), what="both work on it")
        queue.cut()
        database.cut()
        # Two missed heartbeats are ten seconds.
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 13.0, 20, "thirteen seconds have gone by")
        assert study.status().done <= 40, "nobody goes on without what is away"
        queue.mend()
        database.mend()
        study.wait(timeout=60, progress=False)
        every_trial_once(study, 80)
        # A connection may have outlived it all; else its worker is back within its longest pause.
        until(lambda: listeners(servers) == 2, what="both listen")
        again = sleeping("afterwards", 16)
        again.wait(timeout=60, progress=False)
    every_trial_once(again, 16)
    assert both_have(again, 4), "both work again"


def test_connections_that_are_torn_down_again_and_again_lose_nothing(
    servers: Settings, start_worker: StartWorker
) -> None:
    with Proxy.to(servers.amqp_url) as queue, Proxy.to(servers.mongo_url) as database:
        start_worker(AMQP_URL=queue.url(servers.amqp_url), MONGO_URL=database.url(servers.mongo_url))
        study = sleeping("torn")
        for done in (2, 8, 14, 20):
            until(lambda done=done: study.status().done >= done, what="it comes along")
            queue.drop()
            database.drop()
        study.wait(timeout=60, progress=False)
    every_trial_once(study)


@pytest.mark.parametrize("resource", ["memory", "disk"])
def test_a_broker_that_blocks_publishers_does_not_keep_workers_from_working(
    resource: Resource, fragile: LocalStack, start_worker: StartWorker
) -> None:
    study = sleeping(f"alarm of {resource}", 12)
    with alarm(fragile, resource):
        start_worker()
        study.wait(timeout=60, progress=False)
    every_trial_once(study, 12)


def test_a_consumer_that_the_broker_cancels_is_a_fault_that_heals(
    fragile: LocalStack, start_worker: StartWorker
) -> None:
    worker = start_worker()
    study = sleeping("cancelled")
    until(lambda: study.status().done >= 4, what="it runs")
    study.pause()
    rabbitmqctl(fragile, "delete_queue", CHUNKS_QUEUE)
    study.resume()
    study.wait(timeout=60, progress=False)
    every_trial_once(study)
    # Idle now, so that it listens.
    rabbitmqctl(fragile, "delete_queue", CHUNKS_QUEUE)
    again = sleeping("afterwards", 8)
    again.wait(timeout=60, progress=False)
    every_trial_once(again, 8)
    assert worker.poll() is None


def test_a_queue_of_other_arguments_is_said_and_not_hammered(servers: Settings, start_worker: StartWorker) -> None:
    with pika.BlockingConnection(parameters(servers, "test")) as connection:
        connection.channel().queue_delete(GPU_QUEUE)
        connection.channel().queue_declare(GPU_QUEUE, durable=True)
    worker = start_worker()
    process = psutil.Process(worker.pid)
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 4.0, 10, "four seconds have gone by")
    assert sum(process.cpu_times()[:2]) < 4.0, "it waits between its tries"
    assert worker.poll() is None
    with pika.BlockingConnection(parameters(servers, "test")) as connection:
        connection.channel().queue_delete(GPU_QUEUE)
    with channel(servers):
        pass
    study = sleeping("healed", 8)
    study.wait(timeout=60, progress=False)
    every_trial_once(study, 8)
