"""A study through a cluster's forwarded ports, with a real broker and a real database behind a
faked API server."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pika
import pymongo
import pytest
import trustme
from cluster_api import FakeCluster, own, pod
from polling import until
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier

from producer import Cluster, Study, submit
from producer.cluster.connection import Connection
from producer.stack.ports import free_ports
from warren.broker import channel
from warren.errors import ClusterError
from warren.queues import CHUNKS_QUEUE
from warren.settings import Settings, load_settings
from warren.storage.store import Store

USER, PASSWORD = "warren", secrets.token_hex(8)


def encoded(**values: str) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


@pytest.fixture
def fake(servers: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A cluster whose broker and database are the test's own."""
    broker, database = urlsplit(servers.amqp_url), urlsplit(servers.mongo_url)
    with pymongo.MongoClient[Any](servers.mongo_url) as client:
        role = [{"role": "readWriteAnyDatabase", "db": "admin"}]
        name = f"{USER}-{uuid4().hex[:8]}"
        client.admin.command("createUser", name, pwd=PASSWORD, roles=role)
    with FakeCluster() as server:
        server.deploy()
        server.put("secrets", {"metadata": {"name": "mongodb"}, "data": encoded(username=name, password=PASSWORD)})
        data = encoded(username=unquote(str(broker.username)), password=unquote(str(broker.password)))
        server.put("secrets", {"metadata": {"name": "rabbitmq"}, "data": data})
        server.forwards["rabbitmq-0", 5672] = (str(broker.hostname), int(broker.port or 0))
        server.forwards["mongodb-0", 27017] = (str(database.hostname), int(database.port or 0))
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        yield server
    with pymongo.MongoClient[Any](servers.mongo_url) as client:
        client.drop_database("tuning")


@pytest.fixture
def start_worker() -> Iterator[Any]:
    """Worker processes on given settings, ended with the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(settings: Settings) -> None:
        environment = {**os.environ, "AMQP_URL": settings.amqp_url, "MONGO_URL": settings.mongo_url}
        environment["WARREN_THREADS"] = "1"
        running.append(subprocess.Popen([sys.executable, "-m", "worker"], env=environment, stderr=subprocess.DEVNULL))

    yield start
    for process in running:
        process.terminate()
    for process in running:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def submitted(name: str) -> Study:
    X, y = make_classification(60, 4, random_state=0)
    return submit(DummyClassifier(), {"random_state": list(range(12))}, X, y, cv=2, n_chunks=12, name=name)


def listens(port: int | None) -> bool:
    """Whether somebody does, without a connection that would be forwarded."""
    assert port is not None
    return free_ports(1, (port,)) != (port,)


def waiting_chunks() -> int:
    with channel(load_settings()) as opened:
        return int(opened.queue_declare(CHUNKS_QUEUE, passive=True).method.message_count)


@pytest.mark.slow
def test_a_study_is_followed_through_dropped_connections_to_a_cluster(
    fake: FakeCluster, servers: Settings, start_worker: Any
) -> None:
    before = {name: os.environ[name] for name in ("AMQP_URL", "MONGO_URL")}
    with Cluster().connect() as connection:
        assert os.environ["AMQP_URL"] == connection.amqp_url != before["AMQP_URL"]
        assert PASSWORD in connection.mongo_url
        assert PASSWORD not in repr(connection)
        study = submitted("through")
        assert waiting_chunks() == 12
        start_worker(load_settings())
        until(lambda: study.status().complete >= 1, 60)
        assert fake.drop_forwards() >= 1
        study.wait(timeout=100, progress=False)
        assert study.status().complete == 12
        assert fake.drop_forwards() >= 1
        results = study.results()
        assert (len(results), set(results["state"]), set(results["attempts"])) == (12, {"COMPLETE"}, {1})
    assert {name: os.environ[name] for name in before} == before
    assert {"rabbitmq-0", "mongodb-0"} == set(fake.dialled)


def test_connections_end_in_any_order_and_with_their_variable(fake: FakeCluster) -> None:
    before = {name: os.environ[name] for name in ("AMQP_URL", "MONGO_URL")}
    first = Cluster().connect()
    second = Cluster().connect()
    first.close()
    assert os.environ["AMQP_URL"] == second.amqp_url
    # The notebook's cell once more.
    lost = urlsplit(second.amqp_url).port
    second = Cluster().connect()
    until(lambda: not listens(lost), what="the one that no variable holds has ended")
    assert os.environ["AMQP_URL"] == second.amqp_url
    assert listens(urlsplit(second.amqp_url).port)
    second.close()
    assert {name: os.environ[name] for name in before} == before


def test_a_pod_that_is_replaced_is_found_by_the_next_connection(fake: FakeCluster) -> None:
    with Cluster().connect():
        study = submitted("replaced")
        fake.forwards["mongodb-1", 27017] = fake.forwards.pop(("mongodb-0", 27017))
        fake.remove("pods", "mongodb-0")
        fake.drop_forwards()
        threading.Timer(
            0.5,
            lambda: fake.put("pods", pod("mongodb-1", "mongodb", ports=[{"name": "mongodb", "containerPort": 27017}])),
        ).start()
        assert study.status().total == 12
        assert fake.dialled[-1] == "mongodb-1"


def test_a_heartbeat_passes_and_the_connection_stays(fake: FakeCluster) -> None:
    with Cluster().connect() as connection:
        parameters = pika.URLParameters(connection.amqp_url)
        parameters.heartbeat = 1
        with pika.BlockingConnection(parameters) as opened:
            dialled = len(fake.dialled)
            opened.process_data_events(time_limit=4)
            opened.channel().queue_declare(CHUNKS_QUEUE, passive=True)
        assert len(fake.dialled) == dialled


def test_closing_ends_every_connection_and_frees_the_ports(fake: FakeCluster) -> None:
    threads = threading.active_count()
    connection = Cluster().connect()
    port = urlsplit(connection.amqp_url).port
    client = socket.create_connection(("127.0.0.1", int(port or 0)), timeout=10)
    client.sendall(b"AMQP\x00\x00\x09\x01")
    assert client.recv(4)
    connection.close()
    connection.close()
    while client.recv(1 << 16):  # what was on its way, and the end
        pass
    client.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(port or 0)), timeout=1)
    until(lambda: threading.active_count() <= threads, 10, "its threads have ended")


# ---------------------------------------------------------- any bytes, any amount, TLS


class Echo:
    """Sends back what it gets, and stops reading when told to."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", self.server.getsockname()[1])
        self.reads = threading.Event()
        self.reads.set()
        self.read = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                client, _ = self.server.accept()
                threading.Thread(target=self._echo, args=(client,), daemon=True).start()
        except OSError:
            return

    def _echo(self, client: socket.socket) -> None:
        with client:
            try:
                while data := client.recv(65536):
                    self.read += len(data)
                    self.reads.wait()
                    client.sendall(data)
            except OSError:
                return


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.server.close()


@pytest.fixture
def secure(echo: Echo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """An API server with TLS and an authority of its own; behind both ports sits the echo."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FakeCluster(context) as server:
        server.deploy()
        for name, port in (("rabbitmq", 5672), ("mongodb", 27017)):
            server.forwards[f"{name}-0", port] = echo.address
        path = server.kubeconfig(tmp_path / "config")
        document = json.loads(path.read_text())
        authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
        document["clusters"][0]["cluster"]["certificate-authority"] = str(tmp_path / "ca.crt")
        path.write_text(json.dumps(document))
        monkeypatch.setenv("KUBECONFIG", str(path))
        yield server


def dial(connection: Connection) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(urlsplit(connection.amqp_url).port or 0)), timeout=60)


def test_any_bytes_come_through_unchanged_over_tls_on_many_connections(secure: FakeCluster) -> None:
    sent = secrets.token_bytes(3 << 20)
    with Cluster().connect() as connection:
        found: list[str] = []

        def exchange() -> None:
            with dial(connection) as client:
                writer = threading.Thread(target=client.sendall, args=(sent,))
                writer.start()
                digest, left = hashlib.sha256(), len(sent)
                while left:
                    data = client.recv(65536)
                    assert data
                    digest.update(data)
                    left -= len(data)
                writer.join()
                found.append(digest.hexdigest())

        threads = [threading.Thread(target=exchange) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert found == [hashlib.sha256(sent).hexdigest()] * 5


def test_a_server_that_stops_reading_is_not_written_to_from_memory(secure: FakeCluster, echo: Echo) -> None:
    echo.reads.clear()
    with Cluster().connect() as connection, dial(connection) as client:
        client.settimeout(1.0)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 256 << 20:
                sent += client.send(bytes(1 << 20))
        # What the buffers of a dozen sockets hold, and no more.
        assert 0 < sent < 64 << 20
        client.settimeout(60)
        echo.reads.set()
        left = sent
        while left:
            left -= len(client.recv(1 << 20))


def test_a_certificate_of_somebody_else_is_refused(
    secure: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    with pytest.raises(ClusterError, match="CERTIFICATE_VERIFY_FAILED"):
        Cluster().status()


def test_a_port_on_which_nobody_listens_is_said_in_the_log(
    secure: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    with Cluster().connect() as connection:
        secure.forwards["rabbitmq-0", 5672] = ("127.0.0.1", 1)
        with dial(connection) as client:
            assert client.recv(1) == b""
        until(lambda: any("failed to connect to localhost:5672" in getattr(r, "reason", "") for r in caplog.records))


def test_a_service_goes_to_a_ready_pod_only(secure: FakeCluster, echo: Echo) -> None:
    ports = [{"name": "rabbitmq", "containerPort": 5672}]
    secure.put("pods", pod("rabbitmq-1", "rabbitmq", ports=ports))
    secure.forwards["rabbitmq-1", 5672] = echo.address
    secure.get("pods", "rabbitmq-0")["status"]["conditions"] = [{"type": "Ready", "status": "False"}]
    assert secure.get("services", "rabbitmq")["spec"]["selector"] == own("rabbitmq")
    with Cluster().connect():
        assert secure.dialled == ["rabbitmq-1", "mongodb-0"]


def test_the_store_goes_through_it_too(fake: FakeCluster) -> None:
    with Cluster().connect():
        store = Store(load_settings())
        try:
            store.ping()
            assert store.database == "tuning"
            assert str(PASSWORD) not in store.url
        finally:
            store.close()
