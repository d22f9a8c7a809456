"""TLS to real servers: a listener of RabbitMQ and one of the database, with certificates made
for the test."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from acceptance.conftest import StartWorker, X, Y
from faulty import Sleeps
from polling import until
from servers import with_option

from producer import submit, users
from producer.stack import broker as stack_broker
from producer.stack.database import find_secantus
from producer.stack.ports import HOST, free_ports
from producer.stack.providers import Site
from warren import broker
from warren.errors import BrokerError, StoreError
from warren.queues import CHUNKS_QUEUE
from warren.settings import Settings, load_settings
from warren.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class Authority:
    """Files of a test's certificates: who signs, who is not asked, and what the servers show, for
    "localhost" only."""

    right: str
    wrong: str
    chain: str
    key: str


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    names = {name: str(folder / f"{name}.pem") for name in ("right", "wrong", "chain", "key")}
    ca = trustme.CA()
    ca.cert_pem.write_to_path(names["right"])
    trustme.CA().cert_pem.write_to_path(names["wrong"])
    shown = ca.issue_cert("localhost")
    for number, part in enumerate(shown.cert_chain_pems):
        part.write_to_path(names["chain"], append=number > 0)
    shown.private_key_pem.write_to_path(names["key"])
    return Authority(**names)


@pytest.fixture(scope="module")
def amqps(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a private node that listens for TLS too."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "logs").mkdir()
    port, api_port = free_ports(2)
    write_config = stack_broker._write_config

    def with_tls(home: Path, password: str) -> None:
        write_config(home, password)
        with (home / "rabbitmq.conf").open("a") as config:
            config.write(
                f"listeners.ssl.default = {HOST}:{port}\n"
                f"ssl_options.cacertfile = {authority.right}\n"
                f"ssl_options.certfile = {authority.chain}\n"
                f"ssl_options.keyfile = {authority.key}\n"
                "ssl_options.verify = verify_none\n"
                "ssl_options.fail_if_no_peer_cert = false\n"
                f"management.ssl.ip = {HOST}\n"
                f"management.ssl.port = {api_port}\n"
                f"management.ssl.cacertfile = {authority.right}\n"
                f"management.ssl.certfile = {authority.chain}\n"
                f"management.ssl.keyfile = {authority.key}\n"
                "default_user_tags.administrator = true\n"
            )
        (home / "enabled_plugins").write_text("[rabbitmq_management].\n")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_broker, "_write_config", with_tls)
        patch.setattr(users, "_API_TLS_PORT", api_port)
        site = Site(folder=folder, temporary=True, log=lambda _: None)
        server = stack_broker.private_node(site, stack_broker.find_server())
        try:
            parts = urlsplit(server.url)
            yield f"amqps://{parts.username}:{parts.password}@localhost:{port}/%2F"
        finally:
            assert server.guarded is not None
            server.guarded.stop()


@pytest.fixture(scope="module")
def mongodb_tls(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a database server that speaks nothing but TLS."""
    folder = tmp_path_factory.mktemp("database")
    (port,) = free_ports(1)
    (folder / "config.toml").touch()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                find_secantus(),
                *("--config", str(folder / "config.toml"), "--host", HOST, "--port", str(port)),
                *("--storage-path", str(folder / "data"), "--cache-size", "100M"),
                *("--tls-cert-file", authority.chain, "--tls-key-file", authority.key),
                "--standalone",  # a replica set would name its member as 127.0.0.1, and the certificate has "localhost"
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
        )

    def listens() -> bool:
        assert server.poll() is None, (folder / "log").read_text()
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return True
        return False

    try:
        until(listens, 60, "the database listens")
        yield f"mongodb://localhost:{port}/tuning?tls=true"
    finally:
        server.kill()
        server.wait(10)


def settings(**values: Any) -> Settings:
    return Settings(**{"WARREN_CONNECT_SECONDS": 5.0} | values)


def opened(found: Settings) -> contextlib.closing[Store]:
    return contextlib.closing(Store(found))


# ---------------------------------------------------------------------------- broker


def test_a_broker_is_used_over_tls(amqps: str, authority: Authority) -> None:
    with broker.channel(settings(AMQP_URL=amqps, WARREN_CA_FILE=authority.right)) as channel:
        channel.confirm_delivery()
        channel.basic_publish("", CHUNKS_QUEUE, b"x" * 300_000, mandatory=True)
        _, _, body = channel.basic_get(CHUNKS_QUEUE, auto_ack=True)
        assert body == b"x" * 300_000


def test_a_broker_of_an_unknown_authority_is_refused(amqps: str, authority: Authority) -> None:
    for ca_file, trusted in ((authority.wrong, authority.wrong), ("", "this machine's")):
        with pytest.raises(BrokerError, match="name the PEM file of its authority in WARREN_CA_FILE") as caught:
            broker.check(settings(AMQP_URL=amqps, WARREN_CA_FILE=ca_file))
        assert trusted in str(caught.value)


def test_a_broker_by_a_name_that_its_certificate_has_not_is_refused(amqps: str, authority: Authority) -> None:
    url = amqps.replace("@localhost:", f"@{HOST}:")
    with pytest.raises(BrokerError, match=rf"not for this name .*'{HOST}'.*use a name of the certificate in the URL"):
        broker.check(settings(AMQP_URL=url, WARREN_CA_FILE=authority.right))


def test_users_of_a_broker_with_tls_are_made_over_tls(amqps: str, authority: Authority) -> None:
    found = settings(AMQP_URL=amqps, WARREN_CA_FILE=authority.right)
    users.set_broker_user(found, "producer", "a word", users.ROLES["producer"].broker or users.Permissions())
    own = urlsplit(amqps)
    as_producer = own._replace(netloc=f"producer:a%20word@localhost:{own.port}").geturl()
    with broker.channel(settings(AMQP_URL=as_producer, WARREN_CA_FILE=authority.right)) as channel:
        assert channel.is_open
    with pytest.raises(BrokerError, match=r"management of RabbitMQ .* an authority that is not trusted"):
        users.set_broker_user(
            settings(AMQP_URL=amqps, WARREN_CA_FILE=authority.wrong), "producer", "another", users.Permissions()
        )


def test_plain_amqp_at_the_port_for_tls_is_said(amqps: str) -> None:
    with pytest.raises(BrokerError, match="its port for TLS, which needs amqps://"):
        broker.check(settings(AMQP_URL=amqps.replace("amqps://", "amqp://")))


def test_tls_at_the_port_for_plain_amqp_is_said(servers: Settings, authority: Authority) -> None:
    url = servers.amqp_url.replace("amqp://", "amqps://")
    with pytest.raises(BrokerError, match="that port does not use TLS"):
        broker.check(settings(AMQP_URL=url, WARREN_CA_FILE=authority.right))


# -------------------------------------------------------------------------- database


def test_a_database_is_used_over_tls(mongodb_tls: str, authority: Authority) -> None:
    for found in (
        settings(MONGO_URL=mongodb_tls, WARREN_CA_FILE=authority.right),
        settings(MONGO_URL=f"{mongodb_tls}&tlsCAFile={authority.right}"),
        settings(MONGO_URL=f"{mongodb_tls}&tlsCAFile={authority.right}", WARREN_CA_FILE=authority.wrong),
    ):
        with opened(found) as database:
            database.ping()


def test_a_database_of_an_unknown_authority_is_refused(mongodb_tls: str, authority: Authority) -> None:
    for ca_file in (authority.wrong, ""):
        found = settings(MONGO_URL=mongodb_tls, WARREN_CA_FILE=ca_file, WARREN_CONNECT_SECONDS=1.0)
        with (
            opened(found) as database,
            pytest.raises(StoreError, match="name the PEM file of its authority in WARREN_CA_FILE"),
        ):
            database.ping()


def test_a_database_by_a_name_that_its_certificate_has_not_is_refused(mongodb_tls: str, authority: Authority) -> None:
    url = mongodb_tls.replace("//localhost:", f"//{HOST}:")
    found = settings(MONGO_URL=url, WARREN_CA_FILE=authority.right, WARREN_CONNECT_SECONDS=1.0)
    with opened(found) as database, pytest.raises(StoreError, match=f"not for this name .*'{HOST}'"):
        database.ping()


def test_tls_at_a_database_that_speaks_none_is_said(servers: Settings, authority: Authority) -> None:
    found = settings(
        MONGO_URL=with_option(servers.mongo_url, "tls=true"), WARREN_CA_FILE=authority.right, WARREN_CONNECT_SECONDS=1.0
    )
    with opened(found) as database, pytest.raises(StoreError):
        database.ping()


# ------------------------------------------------------------------------------ both


@pytest.mark.slow
def test_a_study_is_run_over_tls_alone(
    start_worker: StartWorker, amqps: str, mongodb_tls: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMQP_URL", amqps)
    monkeypatch.setenv("MONGO_URL", mongodb_tls)
    monkeypatch.setenv("WARREN_CA_FILE", authority.right)
    assert load_settings().amqp_url == amqps
    start_worker()
    study = submit(Sleeps(), {"number": range(4)}, X, Y, cv=2, n_chunks=2).wait(timeout=60, progress=False)
    assert study.status().complete == 4


@pytest.mark.slow
def test_a_worker_that_can_not_verify_its_broker_takes_no_chunk(
    start_worker: StartWorker, amqps: str, authority: Authority, tmp_path: Path
) -> None:
    worker = start_worker(AMQP_URL=amqps, WARREN_CA_FILE=authority.wrong)
    log = tmp_path / "worker-0.log"
    until(lambda: "name the PEM file of its authority in WARREN_CA_FILE" in log.read_text(), what="it says why")
    assert worker.poll() is None
    assert str(urlsplit(amqps).password) not in log.read_text()
