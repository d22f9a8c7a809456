"""Servers that come and go under workers and under who follows a study: nothing is lost, and
everybody goes on."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pika
import psutil
import pytest
from acceptance.conftest import StartWorker, X, Y
from faulty import Sleeps
from polling import until
from proxy import Proxy
from servers import alarm, bring_back, restart_broker, restart_database, start_broker, stop_broker, stop_database

from producer import Study, submit
from producer.stack import LocalStack
from warren.broker import channel, parameters
from warren.queues import CHUNKS_QUEUE, GPU_QUEUE
from warren.settings import Settings, load_settings

ONE_SPLIT = [(range(10), range(10, 20))]


@pytest.fixture
def servers(fragile: LocalStack) -> Settings:
    """Where workers look for work: servers that these tests may stop, in the place of those
    that all share."""
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


def listeners(settings: Settings) -> int:
    """Return how many workers wait for chunks."""
    with channel(settings) as open_channel:
        return int(open_channel.queue_declare(CHUNKS_QUEUE, passive=True).method.consumer_count)


def both_have(study: Study, trials: int) -> bool:
    """Say whether each of two workers has evaluated so many."""
    counts = study.results()["worker"].value_counts()
    return len(counts) == 2 and counts.min() >= trials


@pytest.mark.slow
def test_restarts_of_servers_lose_nothing_and_no_process_spins(fragile: LocalStack, start_worker: StartWorker) -> None:
    workers = [psutil.Process(start_worker().pid) for _ in range(2)]
    trials = 160
    study = sleeping("restarts", trials)

    def runs(done: int) -> None:
        until(lambda: study.status().done >= done, what="it runs")
        assert study.status().done < trials - 8, "what comes now comes in its middle"

    def spent() -> list[float]:
        """Seconds of the processor that each worker has used, without its training process."""
        return [sum(worker.cpu_times()[:2]) for worker in workers]

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(study.wait, timeout=150, progress=False)
        runs(8)
        stop_broker(fragile)
        before, began = spent(), time.monotonic()
        until(lambda: time.monotonic() - began > 4.0, 10, "four seconds have gone by")
        used = [now - then for now, then in zip(spent(), before, strict=True)]
        start_broker(fragile)
        assert max(used) < 1.0, f"{max(used):.1f} s of CPU time in four seconds of waiting for a broker"
        runs(40)
        restart_database(fragile)
        runs(72)
        stop_database(fragile)
        restart_broker(fragile)
        bring_back(fragile)
        ended.result(150)
    every_trial_once(study, trials)


@pytest.mark.slow
def test_a_network_that_is_torn_cut_and_mended_loses_nothing(servers: Settings, start_worker: StartWorker) -> None:
    with (
        Proxy.to(servers.amqp_url) as queue,
        Proxy.to(servers.mongo_url) as database,
        Proxy.to(servers.mongo_url) as other_database,
    ):
        # The way to the queue is cut for one worker, that to the database for another; before, all
        # of both are torn.
        quick = {"WARREN_HEARTBEAT_SECONDS": "5", "WARREN_CONNECT_SECONDS": "3"}
        urls = {"AMQP_URL": queue.url(servers.amqp_url), "MONGO_URL": database.url(servers.mongo_url)}
        start_worker(**(urls | {"MONGO_URL": other_database.url(servers.mongo_url)}), **quick)
        start_worker(MONGO_URL=urls["MONGO_URL"], **quick)
        torn = sleeping("torn", 80)
        until(lambda: both_have(torn, 4), what="both work on it")
        begun = torn.status().done
        for done in (2, 8, 14, 20):
            until(lambda done=done: torn.status().done >= begun + done, what="it comes along")
            for way in (queue, database, other_database):
                way.drop()
        torn.wait(timeout=60, progress=False)
        every_trial_once(torn, 80)

        study = sleeping("cut", 80)
        until(lambda: both_have(study, 4), what="both work on it")
        queue.cut()
        database.cut()
        # Two missed heartbeats are ten seconds.
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 13.0, 20, "thirteen seconds have gone by")
        assert study.status().done <= 40, "no worker goes on without what is away"
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


def test_workers_go_on_while_the_broker_blocks_publishers(fragile: LocalStack, start_worker: StartWorker) -> None:
    """That of the memory blocks as that of the disk does: a submission is tried with it, in
    `test_faults.py`."""
    study = sleeping("alarm of disk", 12)
    with alarm(fragile, "disk"):
        start_worker()
        study.wait(timeout=60, progress=False)
    every_trial_once(study, 12)


def test_a_worker_recovers_from_a_deleted_or_differently_declared_queue(
    servers: Settings, start_worker: StartWorker
) -> None:
    with pika.BlockingConnection(parameters(servers, "test")) as connection:
        connection.channel().queue_delete(GPU_QUEUE)
        connection.channel().queue_declare(GPU_QUEUE, durable=True)
    worker = start_worker()
    process = psutil.Process(worker.pid)
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 4.0, 10, "four seconds have gone by")
    assert sum(process.cpu_times()[:2]) < 4.0, "it waits between its tries"
    assert worker.poll() is None

    def delete(queue: str) -> None:
        with pika.BlockingConnection(parameters(servers, "test")) as connection:
            connection.channel().queue_delete(queue)

    delete(GPU_QUEUE)
    with channel(servers):
        pass
    study = sleeping("healed")
    until(lambda: study.status().done >= 4, what="it runs")
    # The broker cancels the worker's consumer.
    study.pause()
    delete(CHUNKS_QUEUE)
    study.resume()
    study.wait(timeout=60, progress=False)
    every_trial_once(study)
    # Idle now, so that it listens.
    delete(CHUNKS_QUEUE)
    again = sleeping("afterwards", 8)
    again.wait(timeout=60, progress=False)
    every_trial_once(again, 8)
    assert worker.poll() is None
