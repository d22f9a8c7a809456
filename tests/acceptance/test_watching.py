"""What a worker says of itself: log lines, health, metrics; seen on real worker processes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from acceptance.conftest import StartWorker, X, Y
from faulty import Exits, Raises, Sleeps
from polling import until
from prometheus_client.parser import text_string_to_metric_families
from proxy import Proxy
from xgboost import XGBClassifier

from producer import submit
from warren.broker import channel
from warren.queues import CHUNKS_QUEUE
from warren.settings import Settings

_SERVING = "serving /healthz, /readyz and /metrics"
_FORGOTTEN = "the broker does not count this worker among its listeners: it looks for chunks and listens again"


class Watched:
    """A worker, its log, and its pages."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        until(lambda: _SERVING in self.events(), what="the worker serves its health")
        self._port = next(line["port"] for line in self.log() if line["event"] == _SERVING)

    def log(self) -> list[dict[str, Any]]:
        """Every line; each must be an object of its own."""
        lines = self._log.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(self) -> list[str]:
        return [line["event"] for line in self.log()]

    def ask(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ready(self) -> bool:
        return self.ask("/readyz")[0] == 200

    def reasons(self) -> dict[str, str]:
        """Return why it is not ready."""
        found: dict[str, str] = json.loads(self.ask("/readyz")[1]).get("reasons", {})
        return found

    def alive(self) -> bool:
        return self.ask("/healthz")[0] == 200

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all series of a metric that have these labels."""
        page = self.ask("/metrics")[1].decode()
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


WatchWorker = Callable[..., Watched]


@pytest.fixture
def watch_worker(start_worker: StartWorker, tmp_path: Path) -> WatchWorker:
    """Start a worker that serves its health on any free port."""
    count = iter(range(100))

    def start(*module: str, **environment: str) -> Watched:
        process = start_worker(*module, WARREN_HTTP_PORT="0", **environment)
        return Watched(process, tmp_path / f"worker-{next(count)}.log")

    return start


@pytest.fixture
def network(servers: Settings) -> Iterator[Proxy]:
    """The way to the test's broker."""
    with Proxy.to(servers.amqp_url) as proxy:
        yield proxy


# ----------------------------------------------------------------- metrics


def test_the_counters_of_a_worker_match_its_study_and_count_redeliveries(
    watch_worker: WatchWorker, tmp_path: Path
) -> None:
    grid = [
        {"estimator": [XGBClassifier(max_depth=1)], "n_estimators": [2, 4, 8]},
        {"estimator": [Raises()], "fails": [True, False]},
    ]
    study = submit(None, grid, X, Y, cv=2, n_chunks=2)
    worker = watch_worker()
    study.wait(timeout=60, progress=False)
    until(lambda: worker.total("warren_chunks_total", outcome="acknowledged") == 2, what="both chunks are counted")
    status, frame = study.status(), study.results()
    assert (status.complete, status.failed) == (4, 1)
    assert worker.total("warren_trials_total", library="xgboost", state="COMPLETE") == 3
    assert worker.total("warren_trials_total", library="faulty", state="COMPLETE") == 1
    assert worker.total("warren_trials_total", library="faulty", state="FAILED") == 1
    assert worker.total("warren_trials_total") == 5
    assert worker.total("warren_fit_seconds_total") == pytest.approx(frame["fit_seconds"].sum())
    assert worker.total("warren_saved_seconds_total") == pytest.approx(frame["saved_seconds"].sum())
    assert worker.total("warren_saved_seconds_total") > 0
    assert worker.total("warren_queue_wait_seconds_count") == 2
    assert worker.total("warren_queue_wait_seconds_sum") < 60
    assert worker.total("warren_chunks_total") == 2
    assert worker.total("warren_redeliveries_total") == 0
    assert worker.total("warren_wasted_seconds_total") == 0
    assert worker.total("warren_trainer_restarts_total") == 0
    assert worker.total("warren_trainer_memory_bytes") > 1e6
    assert worker.total("warren_results_waiting") == 0
    assert worker.total("warren_chunk_seconds") == 0
    assert worker.total("warren_info") == 1

    gate, diary = tmp_path / "gate", tmp_path / "diary"
    gate.touch()
    more = submit(Sleeps(diary=str(diary), gate=str(gate)), {"number": range(3)}, X, Y, cv=2, n_chunks=1)
    until(diary.exists, what="the first trial waits")
    worker.process.send_signal(signal.SIGKILL)
    gate.unlink()
    heir = watch_worker()
    more.wait(timeout=60, progress=False)
    until(lambda: heir.total("warren_chunks_total", outcome="acknowledged") == 1, what="the chunk is counted")
    assert heir.total("warren_redeliveries_total") == 1
    assert heir.total("warren_queue_wait_seconds_count") == 0


@pytest.mark.slow
def test_crashes_and_time_outs_are_counted_apart_and_logged_as_json(
    servers: Settings, watch_worker: WatchWorker
) -> None:
    worker = watch_worker(WARREN_MAX_ATTEMPTS="1", WARREN_LOG_LEVEL="DEBUG")
    crash = submit(Exits(seconds=0.4), {"when": [True, False]}, X, Y, cv=2, n_chunks=1)
    crash.wait(timeout=60, progress=False)
    assert worker.total("warren_trials_total", state="FAILED") == 1
    crashed = worker.total("warren_wasted_seconds_total", cause="crashed")
    assert crashed > 0.3
    assert worker.total("warren_trainer_restarts_total") == 1
    assert worker.total("warren_wasted_seconds_total", cause="timed_out") == 0

    with channel(servers) as open_channel:
        open_channel.basic_publish("", CHUNKS_QUEUE, b"two\nlines, and no chunk")
    until(lambda: "dead-lettered a message" in worker.events(), what="what is no chunk is set aside")

    hangs = submit(Sleeps(), {"seconds": [60.0, 0.0]}, X, Y, cv=2, n_chunks=1, trial_timeout=1.0)
    hangs.wait(timeout=60, progress=False)
    assert worker.total("warren_wasted_seconds_total", cause="timed_out") >= 1
    assert worker.total("warren_wasted_seconds_total", cause="crashed") == crashed

    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(20) == 0
    lines = worker.log()
    for line in lines:
        assert line.keys() >= {"time", "level", "logger", "process", "event"}
        assert line["time"].endswith("Z")
    ended = next(line for line in lines if line["event"] == "chunk ended")
    assert (ended["study"], ended["trials"], ended["left"]) == (crash.id, 2, 0)
    waits = next(line for line in lines if line["event"] == "waiting for chunks")
    assert ":***@" in waits["broker"]
    assert lines[-1]["event"] == "stopped"
    password = servers.amqp_url.partition("@")[0].rpartition(":")[2]
    assert password not in json.dumps(lines)


# ----------------------------------------------------------------- health


def test_a_worker_is_ready_until_it_is_told_to_stop(servers: Settings, watch_worker: WatchWorker) -> None:
    worker = watch_worker(WARREN_GRACE_SECONDS="60")
    until(worker.ready, what="the worker listens")
    with channel(servers) as open_channel:
        open_channel.queue_delete(CHUNKS_QUEUE)
    until(lambda: worker.total("warren_reconnects_total", server="broker") == 1, what="the worker noticed")
    until(worker.ready, what="the worker listens again")

    study = submit(Sleeps(seconds=1.5), {"number": range(3)}, X, Y, cv=2, n_chunks=1)
    until(lambda: study.status().done >= 1, what="a trial has ended")
    assert worker.ready()
    assert worker.alive()
    worker.process.send_signal(signal.SIGTERM)
    until(lambda: "worker" in worker.reasons(), 2, "the worker is not ready")
    assert worker.alive()
    assert worker.process.wait(20) == 0


@pytest.mark.slow
def test_a_worker_whose_connection_is_cut_is_not_ready_until_it_is_back(
    servers: Settings, watch_worker: WatchWorker, network: Proxy
) -> None:
    worker = watch_worker(AMQP_URL=network.url(servers.amqp_url), WARREN_CONNECT_SECONDS="2")
    until(worker.ready, what="the worker listens")
    assert worker.total("warren_reconnects_total") == 0
    network.cut()
    network.drop()
    until(lambda: "broker" in worker.reasons(), 10, "the worker is not ready")
    assert worker.alive(), "a broker that is away is no reason to end a worker"
    until(lambda: "no chunks until the broker is back" in worker.events(), what="the consequence is said")
    network.mend()
    until(worker.ready, what="the worker listens again")
    assert worker.total("warren_reconnects_total", server="broker") == 1
    assert worker.events().count("the broker is back") == 1


@pytest.mark.slow
def test_a_worker_whose_connection_went_dead_without_a_word_is_not_ready(
    servers: Settings, watch_worker: WatchWorker, network: Proxy
) -> None:
    """No message says so: missing heartbeats are the only sign."""
    url = network.url(servers.amqp_url)
    worker = watch_worker(AMQP_URL=url, WARREN_HEARTBEAT_SECONDS="5", WARREN_CONNECT_SECONDS="2")
    until(worker.ready, what="the worker listens")
    network.cut()
    until(lambda: not worker.ready(), 40, "the worker is not ready")
    assert worker.alive()
    network.mend()
    until(worker.ready, 40, what="the worker listens again")


@pytest.mark.slow
def test_a_worker_that_the_broker_forgot_is_ready_once_it_listens_again(watch_worker: WatchWorker) -> None:
    """Connected, consumers in the driver's books, and not one at the broker; others listen, and
    nothing waits."""
    other = watch_worker()
    until(other.ready, what="another worker listens")
    forgotten = watch_worker("forgotten_worker")
    until(lambda: "does not count" in forgotten.reasons().get("broker", ""), what="the worker is not ready")
    assert forgotten.alive()
    until(forgotten.ready, what="the worker listens again")
    assert forgotten.events().count(_FORGOTTEN) == 1
    assert other.ready()
    other.process.send_signal(signal.SIGKILL)
    study = submit(Sleeps(), {"number": range(2)}, X, Y, cv=2, n_chunks=1)
    assert study.wait(timeout=30, progress=False).status().complete == 2


def test_a_worker_is_not_ready_where_there_is_no_database(watch_worker: WatchWorker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    worker = watch_worker(MONGO_URL=f"mongodb://127.0.0.1:{port}/nothing")
    until(lambda: set(worker.reasons()) == {"database"}, what="only the database is missing")
    assert worker.alive()


def test_a_port_in_use_ends_a_worker_with_one_line(start_worker: StartWorker, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = start_worker(WARREN_HTTP_PORT=str(port))
        assert worker.wait(20) == 2
    (line,) = (tmp_path / "worker-0.log").read_text().splitlines()
    said = json.loads(line)
    assert said["event"] == "can't start"
    assert f"WARREN_HTTP_PORT={port}: can't listen there: the port is in use" in said["reason"]


def test_a_worker_that_was_not_asked_to_opens_no_port(start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker()
    until(lambda: "waiting for chunks" in (tmp_path / "worker-0.log").read_text(), what="the worker listens")
    log = (tmp_path / "worker-0.log").read_text()
    assert "serving" not in log
    if os.geteuid() == 0:  # it shows its connections to no other user
        connections = psutil.Process(worker.pid).net_connections("tcp")
        assert connections
        assert [one for one in connections if one.status == psutil.CONN_LISTEN] == []


# ----------------------------------------------------------------- logs


def test_text_is_written_where_it_is_asked_for(start_worker: StartWorker, tmp_path: Path) -> None:
    start_worker(WARREN_LOG_FORMAT="text")
    log = tmp_path / "worker-0.log"
    until(lambda: " waiting for chunks: broker=" in log.read_text(), what="the worker listens")
