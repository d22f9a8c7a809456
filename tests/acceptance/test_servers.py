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


def sleeping(name: str, trials: int = 40, seconds: float = 0.1) -> Study:
    return submit(
        Sleeps(seconds=seconds), {"number": range(trials)}, X, Y, cv=ONE_SPLIT, name=name, n_chunks=trials // 4
    )


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
    study = sleeping("patience")
    study.wait(timeout=60, progress=False)
    stop_broker(fragile)
    process = psutil.Process(worker.pid)
    before, began = process.cpu_times(), time.monotonic()
    until(lambda: time.monotonic() - began > 4.0, 10, "four seconds have gone by")
    used = sum(process.cpu_times()[:2]) - sum(before[:2])
    start_broker(fragile)
    assert used < 1.0, f"{used:.1f} s of CPU time in four seconds of waiting"
    again = sleeping("afterwards")
    again.wait(timeout=60, progress=False)
    every_trial_once(again)


@pytest.mark.parametrize("which", ["AMQP_URL", "MONGO_URL"])
def test_a_network_that_is_cut_and_mended_loses_nothing(
    which: str, servers: Settings, start_worker: StartWorker
) -> None:
    url = servers.amqp_url if which == "AMQP_URL" else servers.mongo_url
    with Proxy.to(url) as proxy:
        # The worker alone is led through the proxy; two missed heartbeats are ten seconds.
        start_worker(**{which: proxy.url(url), "WARREN_HEARTBEAT_SECONDS": "5", "WARREN_CONNECT_SECONDS": "3"})
        study = sleeping(f"cut {which}", 120)
        until(lambda: study.status().done >= 4, what="it runs")
        proxy.cut()
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 13.0, 20, "thirteen seconds have gone by")
        proxy.mend()
        study.wait(timeout=60, progress=False)
    every_trial_once(study, 120)


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
    study = sleeping(f"alarm of {resource}")
    with alarm(fragile, resource):
        start_worker()
        study.wait(timeout=60, progress=False)
    every_trial_once(study)


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
    again = sleeping("afterwards")
    again.wait(timeout=60, progress=False)
    every_trial_once(again)
    assert worker.poll() is None


def test_a_queue_of_other_arguments_is_said_and_not_hammered(fragile: LocalStack, start_worker: StartWorker) -> None:
    rabbitmqctl(fragile, "delete_queue", GPU_QUEUE)
    settings = load_settings()
    with pika.BlockingConnection(parameters(settings, "test")) as connection:
        connection.channel().queue_declare(GPU_QUEUE, durable=True)
    worker = start_worker()
    process = psutil.Process(worker.pid)
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 4.0, 10, "four seconds have gone by")
    assert sum(process.cpu_times()[:2]) < 4.0, "it waits between its tries"
    assert worker.poll() is None
    rabbitmqctl(fragile, "delete_queue", GPU_QUEUE)
    with channel(settings):
        pass
    study = sleeping("healed")
    study.wait(timeout=60, progress=False)
    every_trial_once(study)
