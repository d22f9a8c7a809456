"""The loop that lets idle workers go first, against an API server over TLS and
workers over HTTP."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from cluster_api import TOKEN, FakeCluster, now, pod
from polling import until

from producer.cluster.deletion_cost import (
    BUSY,
    COST,
    IDLE,
    LONG,
    IdleFirst,
    IdleSettings,
    PodApi,
    chunk_seconds,
    cost_of,
)
from warren.errors import ClusterError
from worker.monitoring.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """Something at an address of its own that tells its metrics, as Prometheus' client
    writes them."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.seconds: float | None = 0.0
        worker = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = Metrics().text().decode()
                page = "\n".join(line for line in page.splitlines() if "warren_chunk_seconds" not in line) + "\n"
                if worker.seconds is not None:
                    page += f"# TYPE warren_chunk_seconds gauge\nwarren_chunk_seconds {worker.seconds}\n"
                self.send_response(200)
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.address = address
        self.server = ThreadingHTTPServer((address, port), Pages)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    """Three, at different addresses and the same port, as pods have it."""
    made = [Worker("127.0.0.2")]
    made += [Worker(f"127.0.0.{number}", made[0].port) for number in (3, 4)]
    yield made
    for worker in made:
        worker.close()


@pytest.fixture
def fake(workers: list[Worker]) -> Iterator[FakeCluster]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FakeCluster(context) as server:
        server.users = {f"Bearer {TOKEN}": "system:serviceaccount:tuning:idle-first"}
        for number, worker in enumerate(workers):
            server.put("pods", pod(f"worker-{number}", podIP=worker.address))
        server.put("pods", pod("rabbitmq-0", "rabbitmq", podIP="127.0.0.1"))
        server.authority = authority  # type: ignore[attr-defined]
        yield server


@pytest.fixture
def settings(fake: FakeCluster, workers: list[Worker], tmp_path: Path) -> IdleSettings:
    account = tmp_path / "account"
    account.mkdir()
    fake.authority.cert_pem.write_to_path(str(account / "ca.crt"))  # type: ignore[attr-defined]
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text("tuning")
    return IdleSettings(
        period_seconds=0.05,
        api_host="127.0.0.1",
        api_port=fake.port,
        account=account,
        http_port=workers[0].port,
    )


def costs(fake: FakeCluster) -> list[str | None]:
    pods = [fake.get("pods", f"worker-{number}") for number in range(3)]
    return [(one["metadata"].get("annotations") or {}).get(COST) for one in pods]


def patches(fake: FakeCluster) -> int:
    return sum(method == "PATCH" for method, _ in fake.requests)


def test_costs_follow_the_chunks_and_are_written_only_when_they_change(
    fake: FakeCluster, workers: list[Worker], settings: IdleSettings
) -> None:
    idle_first = IdleFirst(PodApi(settings), settings.http_port)
    assert idle_first.turn() == {"idle": 3, "busy": 0, "unknown": 0, "changed": 0}
    assert costs(fake) == [None, None, None]
    workers[0].seconds, workers[1].seconds = 0.02, 61.0
    assert idle_first.turn() == {"idle": 1, "busy": 2, "unknown": 0, "changed": 2}
    assert costs(fake) == [str(BUSY), str(LONG), None]
    assert patches(fake) == 2
    assert idle_first.turn()["changed"] == 0
    workers[0].seconds = 0.0
    assert idle_first.turn()["changed"] == 1
    assert costs(fake) == [str(IDLE), str(LONG), None]
    assert patches(fake) == 3


def test_a_worker_that_does_not_say_keeps_what_it_has(
    fake: FakeCluster, workers: list[Worker], settings: IdleSettings
) -> None:
    idle_first = IdleFirst(PodApi(settings), settings.http_port)
    for worker in workers:
        worker.seconds = 5.0
    idle_first.turn()
    workers[0].close()
    workers[1].seconds = None
    workers[2].seconds = 0.0
    assert idle_first.turn() == {"idle": 1, "busy": 0, "unknown": 2, "changed": 1}
    assert costs(fake) == [str(BUSY), str(BUSY), str(IDLE)]


def test_pods_that_end_or_have_not_begun_are_left_alone(
    fake: FakeCluster, workers: list[Worker], settings: IdleSettings
) -> None:
    for worker in workers:
        worker.seconds = 5.0
    fake.get("pods", "worker-0")["metadata"]["deletionTimestamp"] = now()
    fake.put("pods", pod("worker-1", phase="Pending"))
    assert IdleFirst(PodApi(settings), settings.http_port).turn() == {"idle": 0, "busy": 1, "unknown": 0, "changed": 1}


def test_a_pod_that_goes_meanwhile_is_no_failure(
    fake: FakeCluster, workers: list[Worker], settings: IdleSettings
) -> None:
    def read(address: str, port: int) -> str:
        fake.objects.pop(("pods", "tuning", "worker-0"), None)
        return "warren_chunk_seconds 3.0\n"

    assert IdleFirst(PodApi(settings), settings.http_port, read).turn()["busy"] == 3
    assert costs_of(fake, "worker-1") == str(BUSY)


def costs_of(fake: FakeCluster, name: str) -> str | None:
    return (fake.get("pods", name)["metadata"].get("annotations") or {}).get(COST)


def test_it_goes_on_after_an_outage_and_takes_a_token_that_was_replaced(
    fake: FakeCluster,
    workers: list[Worker],
    settings: IdleSettings,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    caplog.set_level("INFO")
    alive = tmp_path / "alive"
    workers[0].seconds = 5.0
    fake.failing = 2
    fake.users = {"Bearer next": "system:serviceaccount:tuning:idle-first"}
    over = threading.Event()
    loop = IdleFirst(PodApi(settings), settings.http_port)
    thread = threading.Thread(target=loop.run, args=(settings.period_seconds, over, alive), daemon=True)
    thread.start()
    try:
        until(lambda: any("may not list pods" in getattr(one, "reason", "") for one in caplog.records), 20)
        assert alive.exists(), "a probe ends one that only waits for the API"
        alive.unlink()
        (settings.account / "token").write_text("next\n")
        until(lambda: costs(fake) == [str(BUSY), None, None], 20)
        assert alive.exists()
    finally:
        over.set()
        thread.join(10)
    assert not thread.is_alive()
    assert any("etcdserver: leader changed" in getattr(one, "reason", "") for one in caplog.records)
    assert any(one.message == "the API responds again" for one in caplog.records)


def test_a_real_worker_says_whether_it_has_a_chunk() -> None:
    metrics = Metrics()
    assert chunk_seconds(metrics.text().decode()) == 0
    metrics.has_chunk(True)
    assert cost_of(chunk_seconds(metrics.text().decode()) or 0) == BUSY
    metrics.has_chunk(False)
    assert chunk_seconds(metrics.text().decode()) == 0


def test_what_a_worker_says_is_read_as_prometheus_would() -> None:
    assert (
        chunk_seconds("# HELP warren_chunk_seconds x\n# TYPE warren_chunk_seconds gauge\nwarren_chunk_seconds 0.0") == 0
    )
    assert chunk_seconds("a 1\nwarren_chunk_seconds 1.5e-05\nb 2\n") == 1.5e-05
    assert chunk_seconds("warren_chunk_seconds nonsense") is None
    assert chunk_seconds("warren_chunk_seconds_total 4\n") is None
    assert [cost_of(seconds) for seconds in (0, 1e-6, 59, 60, 4000)] == [IDLE, BUSY, BUSY, LONG, LONG]


def test_outside_of_a_pod_it_says_what_is_missing(tmp_path: Path, settings: IdleSettings) -> None:
    with pytest.raises(ClusterError, match=f"no service account in {tmp_path}"):
        PodApi(IdleSettings(account=tmp_path, api_host="127.0.0.1"))
    with pytest.raises(ClusterError, match="KUBERNETES_SERVICE_HOST is not set"):
        PodApi(settings.model_copy(update={"api_host": ""}))


def test_the_process_logs_json_stays_small_and_ends_with_sigterm(
    fake: FakeCluster, workers: list[Worker], settings: IdleSettings
) -> None:
    workers[1].seconds = 5.0
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "WARREN_IDLE_SECONDS": "0.05",
        "WARREN_HTTP_PORT": str(settings.http_port),
        "WARREN_SERVICE_ACCOUNT": str(settings.account),
        "WARREN_LOG_FORMAT": "json",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(fake.port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "producer.cluster.deletion_cost"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    try:
        until(lambda: costs(fake) == [None, str(BUSY), None], 30)
        memory = Path(f"/proc/{process.pid}/status")
        if memory.exists():
            [resident] = [line.split()[1] for line in memory.read_text().splitlines() if line.startswith("VmHWM")]
            assert int(resident) < 80 * 1024, "KiB"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    lines = [json.loads(line) for line in errors.splitlines()]
    assert lines[0]["event"] == "marking idle workers for removal first"
    assert lines[-1]["event"] == "stopped"
    [asked] = [line for line in lines if line["event"] == "updated deletion costs"]
    assert (asked["busy"], asked["idle"], asked["changed"]) == (1, 2, 1)
