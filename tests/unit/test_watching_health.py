"""A worker's health: what its threads say, and what HTTP makes of it."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from warren.errors import InputError
from warren.settings import Settings
from worker.monitoring.http_server import HealthServer
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics

SETTINGS = Settings(WARREN_HTTP_PORT=0, WARREN_CONNECT_SECONDS=10, WARREN_HEARTBEAT_SECONDS=60)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pulse(clock: Clock) -> Pulse:
    return Pulse(SETTINGS, clock)


@pytest.fixture
def server(pulse: Pulse, monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthServer]:
    monkeypatch.setattr("worker.monitoring.http_server._TURN_SECONDS", 0.02)  # its end takes a turn
    running = HealthServer(SETTINGS, pulse, Metrics())
    running.start()
    yield running
    running.stop()


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def verdict(server: HealthServer, path: str) -> tuple[int, dict[str, Any]]:
    status, headers, body = ask(server, path)
    assert headers["content-type"] == "application/json"
    return status, json.loads(body)


# ----------------------------------------------------------------- pulse


def test_a_worker_lives_from_the_start_and_is_ready_once_it_is_connected(pulse: Pulse) -> None:
    assert pulse.faults() == {}
    assert pulse.missing() == {"broker": "not connected yet"}
    pulse.ready("broker")
    assert pulse.missing() == {}


def test_everything_that_is_missing_is_said(pulse: Pulse) -> None:
    pulse.unready("broker", "gone")
    pulse.unready("database", "away")
    pulse.ready("worker")
    assert pulse.missing() == {"broker": "gone", "database": "away"}
    pulse.ready("broker")
    assert pulse.missing() == {"database": "away"}
    assert pulse.faults() == {}, "a server that is away is no fault of the worker's"


def test_who_knows_is_asked(pulse: Pulse) -> None:
    answers = [None, "no server answers"]
    pulse.ready("broker")
    pulse.ask("database", lambda: answers.pop(0))
    assert pulse.missing() == {}
    assert pulse.missing() == {"database": "no server answers"}


def test_a_silent_connection_is_not_ready_first_and_dead_later(pulse: Pulse, clock: Clock) -> None:
    pulse.ready("broker")
    clock.now = 14.0
    assert pulse.missing() == {}
    clock.now = 16.0
    assert pulse.missing() == {"connection": "its thread has not turned for 16 s"}
    assert pulse.faults() == {}
    # A broker that blocks us may hold the thread for 300 s, and be fine again.
    clock.now = 309.0
    assert pulse.faults() == {}
    clock.now = 311.0
    assert pulse.faults() == {"connection": "its thread has not turned for 311 s"}
    pulse.beat()
    assert pulse.missing() == pulse.faults() == {}


def test_a_worker_without_its_runner_is_dead(pulse: Pulse) -> None:
    end = threading.Event()
    runner = threading.Thread(target=end.wait, name="runner")
    runner.start()
    pulse.ready("broker")
    pulse.guard(runner)
    assert pulse.faults() == {}
    end.set()
    runner.join()
    assert pulse.faults() == pulse.missing() == {"runner": "the thread has ended"}


# ----------------------------------------------------------------- HTTP


def test_health_and_readiness_answer_with_their_reasons(server: HealthServer, pulse: Pulse, clock: Clock) -> None:
    assert verdict(server, "/healthz") == (200, {"alive": True})
    not_yet = {"ready": False, "reasons": {"broker": "not connected yet"}}
    assert verdict(server, "/readyz") == (503, not_yet)
    pulse.ready("broker")
    assert verdict(server, "/readyz?verbose=1") == (200, {"ready": True})
    clock.now = 1000.0
    late = {"connection": "its thread has not turned for 1000 s"}
    assert verdict(server, "/healthz") == (503, {"alive": False, "reasons": late})
    assert verdict(server, "/readyz") == (503, {"ready": False, "reasons": late})


def test_metrics_are_what_prometheus_reads(server: HealthServer) -> None:
    server.metrics.chunk_ended("acknowledged")
    status, headers, body = ask(server, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {one.name: one for one in text_string_to_metric_families(body.decode())}
    assert {"outcome": "acknowledged"} in [one.labels for one in families["warren_chunks"].samples if one.value == 1]


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz/x", "/../etc/passwd", "*"])
def test_there_is_nothing_else(server: HealthServer, path: str) -> None:
    status, _, body = ask(server, path)
    assert status == 404
    assert b"passwd" not in body


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/nothing"])
def test_head_is_get_without_its_body(server: HealthServer, path: str) -> None:
    status, headers, body = ask(server, path, "HEAD")
    assert body == b""
    assert int(headers["content-length"]) > 0
    assert status == ask(server, path)[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_only_get_and_head_are_answered(server: HealthServer, method: str) -> None:
    status, headers, _ = ask(server, "/metrics", method)
    assert status == 405
    assert headers["allow"] == "GET, HEAD"


def test_a_body_that_is_announced_is_not_waited_for(server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        began = time.monotonic()
        assert b" 405 " in client.recv(1000)
        assert time.monotonic() - began < 4


def test_a_page_that_lets_its_name_lead_here_reads_nothing(pulse: Pulse) -> None:
    made = HealthServer(
        Settings(WARREN_HTTP_HOST="0.0.0.0", WARREN_HTTP_PORT=0, WARREN_HTTP_NAMES="worker.example"), pulse, Metrics()
    )
    made.start()
    try:
        for host, status in (("evil.example", 403), ("worker.example", 200), ("10.1.2.3:8080", 200)):
            connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=10)
            connection.request("GET", "/metrics", headers={"Host": host})
            answer = connection.getresponse()
            assert answer.status == status, host
            assert (b"WARREN_HTTP_NAMES" in answer.read()) == (status == 403)
            connection.close()
    finally:
        made.stop()


def test_a_client_that_dawdles_is_cut_off_and_keeps_nobody_waiting(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.monitoring.http_server._CLIENT_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(b"GET /hea")
        assert verdict(server, "/healthz")[0] == 200
        assert client.recv(1000) == b""


def test_clients_too_many_are_hung_up_on_and_places_come_free(server: HealthServer) -> None:
    crowd = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(16)]
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as late:
            assert late.recv(1000) == b""
    finally:
        for client in crowd:
            client.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert verdict(server, "/healthz")[0] == 200
            break
        except (ConnectionError, http.client.RemoteDisconnected):
            assert time.monotonic() < deadline


@pytest.mark.parametrize("request_", [b"\x16\x03\x01 no HTTP\r\n\r\n", b"\r\n", b"GET\r\n\r\n", b"G" * 70_000])
def test_what_is_no_request_harms_nobody(
    server: HealthServer, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(request_)
        client.shutdown(socket.SHUT_WR)
        try:
            while client.recv(1000):
                pass
        except ConnectionError:
            pass
    assert verdict(server, "/healthz")[0] == 200
    assert not [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


def test_a_port_in_use_is_said_in_one_line(server: HealthServer, pulse: Pulse) -> None:
    taken = Settings(WARREN_HTTP_PORT=server.port)
    with pytest.raises(InputError) as caught:
        HealthServer(taken, pulse, Metrics())
    assert str(caught.value) == (
        f"WARREN_HTTP_HOST=127.0.0.1 WARREN_HTTP_PORT={server.port}: can't listen there: the port is in use; "
        "choose another, or port 0 for any free one"
    )


def test_a_host_that_is_not_ours_is_said_too(pulse: Pulse) -> None:
    # 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
    with pytest.raises(InputError, match=r"WARREN_HTTP_HOST=192\.0\.2\.1 .*: can't listen there: "):
        HealthServer(Settings(WARREN_HTTP_HOST="192.0.2.1", WARREN_HTTP_PORT=0), pulse, Metrics())
