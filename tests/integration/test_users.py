"""Users that may do what they need and no more, on a real broker and a real database."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
from polling import until
from pymongo.errors import OperationFailure
from servers import private_stack
from sklearn.tree import DecisionTreeClassifier

from producer import Study, submit, users
from producer.stack import LocalStack
from producer.stack import broker as stack_broker
from producer.stack.ports import HOST, free_ports
from producer.views.tensorboard.log_folder import Board
from warren import broker
from warren.errors import BrokerError, StoreError
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE
from warren.settings import Settings, load_settings
from warren.storage.store import Store, ping

X = [[float(number), float(number % 3)] for number in range(30)]
Y = [number % 2 for number in range(30)]
PASSWORDS = {
    f"{name.upper()}_{server}_PASSWORD": f"{name}-{server}" for name in users.ROLES for server in ("RABBITMQ", "MONGO")
}
STUCK_SECONDS = 60.0


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """Servers of the file's own, of which the broker has its management; the users are made."""
    (port,) = free_ports(1)
    write_config = stack_broker._write_config

    def with_management(home: Path, password: str) -> None:
        write_config(home, password)
        with (home / "rabbitmq.conf").open("a") as config:
            config.write(f"management.tcp.ip = {HOST}\nmanagement.tcp.port = {port}\n")
            config.write("default_user_tags.administrator = true\n")
        (home / "enabled_plugins").write_text("[rabbitmq_management].\n")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_broker, "_write_config", with_management)
        patch.setattr(users, "_API_PORT", port)
        with private_stack(workers=0) as up:
            found = Settings(AMQP_URL=up.amqp_url, MONGO_URL=up.mongo_url)
            made = users.make_users(found, PASSWORDS)
            assert sorted(made) == sorted(
                f"{name} in {server}"
                for name, role in users.ROLES.items()
                for server, has in (("RabbitMQ", role.broker), ("MongoDB", role.database))
                if has
            )
            yield up


def as_user(stack: LocalStack, name: str, passwords: dict[str, str] = PASSWORDS) -> dict[str, str]:
    """Return the URLs of a user."""

    def url(whole: str, password: str) -> str:
        parts = urlsplit(whole)
        return parts._replace(netloc=f"{name}:{password}@{parts.hostname}:{parts.port}").geturl()

    return {
        "AMQP_URL": url(stack.amqp_url, passwords[f"{name.upper()}_RABBITMQ_PASSWORD"]),
        "MONGO_URL": url(stack.mongo_url, passwords[f"{name.upper()}_MONGO_PASSWORD"]),
    }


@contextlib.contextmanager
def worker(stack: LocalStack, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker"],
            env={**os.environ, **as_user(stack, "worker"), "WARREN_THREADS": "1"},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_a_study_is_run_by_users_who_may_do_no_more(
    stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, url in as_user(stack, "producer").items():
        monkeypatch.setenv(name, url)
    study = submit(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3]}, X, Y, cv=2)
    study.pause()
    study.resume()
    with broker.channel(load_settings()) as channel:
        channel.basic_publish("", CHUNKS_QUEUE, b"no chunk")
    log = tmp_path / "log"
    with worker(stack, log):
        study.wait(timeout=STUCK_SECONDS, progress=False)
        with broker.channel(load_settings()) as channel:
            dead = lambda: channel.queue_declare(DEAD_QUEUE, passive=True).method.message_count  # noqa: E731
            until(lambda: dead() == 1, STUCK_SECONDS, "the worker sets aside what is no chunk")
            letters = [letter.body for letter in broker.dead_letters(channel)]
        assert letters == [b"no chunk"]
        model = study.best_model(timeout=STUCK_SECONDS)
        assert model.predict(X).shape == (30,)
    assert study.status().complete == 3
    assert study.retry_failed() == 0
    monkeypatch.setenv("MONGO_URL", as_user(stack, "viewer")["MONGO_URL"])
    assert [one.id for one in Study.list()] == [study.id]
    assert len(Study.attach(study.id).results()) == 3
    store = Store(load_settings())
    board = Board(store, tmp_path / "board")
    assert board.refresh().shown == 3
    board.close()
    store.close()
    for name, url in as_user(stack, "producer").items():
        monkeypatch.setenv(name, url)
    study.delete()


def declares(channel: Any) -> None:
    channel.queue_declare("chunks.mine", durable=True)


ACTS: dict[str, Callable[[Any], object]] = {
    "take": lambda channel: channel.basic_get(CHUNKS_QUEUE),
    "consume": lambda channel: channel.basic_consume(CHUNKS_QUEUE, lambda *_: None),
    "purge": lambda channel: channel.queue_purge(CHUNKS_QUEUE),
    "read the dead": lambda channel: channel.basic_get(DEAD_QUEUE),
    "delete": lambda channel: channel.queue_delete("chunks.8"),
    "declare": declares,
    "declare another's": lambda channel: channel.queue_declare("other"),
    "bind": lambda channel: channel.exchange_declare("other"),
    "publish": lambda channel: channel.basic_publish("", CHUNKS_QUEUE, b"x", mandatory=True),
}
MAY = {
    "producer": {"read the dead", "publish"},
    "worker": {"take", "consume", "purge", "read the dead", "delete", "declare", "publish"},
    "watcher": set(),
}


@pytest.mark.parametrize("name", MAY)
def test_a_user_of_the_broker_may_do_what_it_needs_alone(stack: LocalStack, name: str) -> None:
    settings = Settings(**as_user(stack, name))
    allowed = set()
    for act, do in ACTS.items():
        with contextlib.suppress(BrokerError):
            with broker.channel(settings) as channel:
                channel.confirm_delivery()
                do(channel)
            allowed.add(act)
    broker.check(Settings(AMQP_URL=stack.amqp_url, MONGO_URL=stack.mongo_url))
    assert allowed == MAY[name]


@pytest.mark.parametrize(
    ("name", "writes"), [("worker", True), ("producer", True), ("backup", False), ("viewer", False)]
)
def test_a_user_of_the_database_may_use_that_one_alone(stack: LocalStack, name: str, writes: bool) -> None:
    with pymongo.MongoClient(as_user(stack, name)["MONGO_URL"]) as client:
        client.tuning.things.find_one()
        with contextlib.nullcontext() if writes else pytest.raises(OperationFailure, match="not authorized"):
            client.tuning.things.insert_one({})
        for refused in (
            lambda: client.other.things.find_one(),
            lambda: client.other.things.insert_one({}),
            lambda: client.admin.command("createUser", "mallory", pwd="x", roles=["root"]),
            lambda: client.admin.command("updateUser", "warren", pwd="x"),
            lambda: client.admin.command("grantRolesToUser", name, roles=["root"]),
        ):
            with pytest.raises(OperationFailure, match="not authorized"):
                refused()


def test_made_again_they_have_the_new_passwords_and_permissions(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    administrator = Settings(AMQP_URL=stack.amqp_url, MONGO_URL=stack.mongo_url)
    users.set_broker_user(administrator, "producer", "other", users.Permissions(read=".*"))
    changed = {**PASSWORDS, "PRODUCER_RABBITMQ_PASSWORD": "new", "PRODUCER_MONGO_PASSWORD": "new too"}
    try:
        assert (
            len(users.make_users(administrator, {name: value for name, value in changed.items() if "PRODUCER" in name}))
            == 2
        )
        broker.check(Settings(**as_user(stack, "producer", changed)))
        ping(as_user(stack, "producer", changed)["MONGO_URL"], 5)
        with pytest.raises(BrokerError, match="refused the user or password"):
            broker.check(Settings(**as_user(stack, "producer")))
        with pytest.raises(StoreError, match="refused the user or password"):
            ping(as_user(stack, "producer")["MONGO_URL"], 5)
        with (
            pytest.raises(BrokerError, match="refused an operation to this user"),
            broker.channel(Settings(**as_user(stack, "producer", changed))) as channel,
        ):
            channel.basic_get(CHUNKS_QUEUE)
    finally:
        users.make_users(administrator, PASSWORDS)


def test_who_is_no_administrator_is_told(stack: LocalStack) -> None:
    with pytest.raises(
        BrokerError, match=r"refused PUT /api/users/worker \(401\): is the user an administrator"
    ) as caught:
        users.make_users(Settings(**as_user(stack, "producer")), PASSWORDS)
    assert "producer-RABBITMQ" not in str(caught.value)
    with pytest.raises(StoreError, match="refused an operation to this user"):
        users.make_users(Settings(AMQP_URL=stack.amqp_url, MONGO_URL=as_user(stack, "worker")["MONGO_URL"]), PASSWORDS)
