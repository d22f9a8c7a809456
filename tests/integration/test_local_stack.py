"""A local stack of real servers: it comes up, serves, keeps what it should, and leaves
nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pika
import psutil
import pymongo
import pytest
from polling import until
from servers import Urls, with_option
from sklearn.dummy import DummyClassifier

import producer
from producer import Study, submit
from producer.stack import LocalStack, database, local_stack
from producer.stack.providers import Site
from warren.errors import StackError, StoreError
from warren.queues import CHUNKS_QUEUE
from warren.storage.store import ping

ROOT = Path(producer.__file__).parents[1]
# Seconds until something that was asked for must have happened; a busy machine starts a
# broker in ten.
DEADLINE_SECONDS = 60.0

SCRIPT = """
import json, sys, time
from producer import local_stack
with local_stack(workers=int(sys.argv[1]), data_dir=sys.argv[2] or None) as stack:
    print(json.dumps([stack.amqp_url, stack.mongo_url, str(stack.data_dir)]), flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in {"AMQP_URL", "MONGO_URL"} or name.startswith("WARREN_"):
            monkeypatch.delenv(name)


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def names_below(pid: int) -> set[str]:
    names = set()
    for process in below(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            names.add(process.name())
    return names


def is_there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def still_there(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if is_there(process)]


def is_open(url: str) -> bool:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=1.0).close()
    except OSError:
        return False
    return True


def consumers(stack: LocalStack) -> int:
    """How many workers wait for chunks."""
    connection = pika.BlockingConnection(pika.URLParameters(stack.amqp_url))
    try:
        declared = connection.channel().queue_declare(CHUNKS_QUEUE, passive=True)
        return int(declared.method.consumer_count)
    finally:
        connection.close()


def test_private_servers_listen_locally_next_to_others_and_leave_nothing(private_servers: Urls) -> None:
    before = {process.pid for process in below(os.getpid())}
    with local_stack(workers=0) as stack:
        urls = stack.amqp_url, stack.mongo_url
        folder = stack.data_dir
        assert (os.environ["AMQP_URL"], os.environ["MONGO_URL"]) == urls
        assert all(map(is_open, (*urls, *private_servers)))
        assert not {*urls} & {*private_servers}
        started = [process for process in below(os.getpid()) if process.pid not in before]
        listening = {
            connection.laddr.ip
            for process in started
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening <= {"127.0.0.1", "::1"}  # epmd listens on both loopback addresses
        passwords = [str(urlsplit(url).password) for url in urls]
        said = str([process.cmdline() for process in started])
        said += "".join(path.read_text(errors="replace") for path in stack.logs.iterdir())
        assert not [password for password in passwords if password in said]
        assert "AMQP_URL" in os.environ
        assert sorted(path.name for path in stack.logs.iterdir()) == ["broker.log", "database.log"]
    assert still_there(started) == []
    assert not any(map(is_open, urls))
    assert all(map(is_open, private_servers)), "they are left alone"
    assert not folder.exists()
    assert "AMQP_URL" not in os.environ
    assert "MONGO_URL" not in os.environ


@pytest.fixture
def script() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Run a notebook's worth of code in a process of its own."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(workers: int, data_dir: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SCRIPT, str(workers), data_dir]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


# SIGHUP takes the way of SIGTERM, for a stack handles neither.
@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGINT, signal.SIGTERM))],
)
def test_a_notebook_that_is_interrupted_or_killed_leaves_nothing(
    script: Callable[..., subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    notebook = script(1)
    assert notebook.stdout is not None
    amqp_url, mongo_url, folder = json.loads(notebook.stdout.readline())
    started = below(notebook.pid)
    assert {"beam.smp", "epmd"} <= names_below(notebook.pid)
    notebook.send_signal(number)
    _, errors = notebook.communicate(timeout=DEADLINE_SECONDS)
    if number == signal.SIGINT:
        assert b"KeyboardInterrupt" in errors
        assert still_there(started) == []
    until(lambda: not still_there(started), DEADLINE_SECONDS, "no process is left")
    until(lambda: not Path(folder).exists(), DEADLINE_SECONDS, "the temporary folder is gone")
    assert not is_open(amqp_url)
    assert not is_open(mongo_url)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_notebook_that_ends_while_starting_leaves_nothing(
    script: Callable[..., subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    notebook = script(1)
    until(lambda: "beam.smp" in names_below(notebook.pid), DEADLINE_SECONDS, "the broker is starting")
    started = below(notebook.pid)
    notebook.send_signal(number)
    output, _ = notebook.communicate(timeout=DEADLINE_SECONDS)
    assert output == b""
    until(lambda: not still_there(started), DEADLINE_SECONDS, "no process is left")


@pytest.mark.slow
def test_a_named_folder_keeps_queue_and_results_and_serves_one_stack(
    script: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    # A shell, a pattern of files and a JSON would each read some of this.
    folder = tmp_path / 'it\'s a [näme] \\ with {spaces} "$HOME" 100% #1'
    with local_stack(workers=0, data_dir=folder) as stack:
        connection = pika.BlockingConnection(pika.URLParameters(stack.amqp_url))
        channel = connection.channel()
        channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        channel.confirm_delivery()
        channel.basic_publish("", "kept", b"a chunk", pika.BasicProperties(delivery_mode=2))
        connection.close()
        with pymongo.MongoClient(stack.mongo_url) as client:
            client.tuning.trials.insert_one({"_id": "a trial"})
        with (
            pytest.raises(StackError, match="another stack uses this folder"),
            local_stack(workers=0, data_dir=folder),
        ):
            pass
        first = [stack.amqp_url, stack.mongo_url, str(folder)]
    assert folder.exists()

    notebook = script(0, str(folder))
    assert notebook.stdout is not None
    assert json.loads(notebook.stdout.readline()) == first, "URLs noted down stay good"
    connection = pika.BlockingConnection(pika.URLParameters(first[0]))
    _, _, body = connection.channel().basic_get("kept", auto_ack=True)
    connection.close()
    assert body == b"a chunk"
    with pymongo.MongoClient(first[1]) as client:
        assert client.tuning.trials.find_one() == {"_id": "a trial"}
        client.tuning.trials.insert_one({"_id": "another"})
    notebook.kill()
    notebook.wait(DEADLINE_SECONDS)

    # At once: the servers of the one that was killed may still be going.
    with local_stack(workers=0, data_dir=folder) as stack, pymongo.MongoClient(stack.mongo_url) as client:
        assert {found["_id"] for found in client.tuning.trials.find()} == {"a trial", "another"}
    assert oct((folder / "broker" / "rabbitmq-server" / "password").stat().st_mode)[-3:] == "600"


def test_an_old_database_without_a_password_keeps_its_results_and_gets_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(site: Site) -> NoReturn:
        raise StackError("not here")

    monkeypatch.setattr(database, "private_mongod", nowhere)
    monkeypatch.setattr(database, "container", nowhere)
    for name in ("logs", "database"):
        (tmp_path / name).mkdir()
    (tmp_path / "database" / "kept-by").write_text("secantusdb\n")
    site = Site(folder=tmp_path, temporary=False, log=lambda _: None)
    with monkeypatch.context() as before:
        before.setattr(database, "_with_password", lambda site, serve: serve(None))
        server = database.start_database(site, {})
    assert server.guarded is not None
    with pymongo.MongoClient(server.url) as client:
        client.tuning.trials.insert_one({"_id": "a trial"})
    server.guarded.stop()
    for _ in range(2):
        server = database.start_database(site, {})
        try:
            with pymongo.MongoClient(server.url) as client:
                assert client.tuning.trials.find_one() == {"_id": "a trial"}
            parts = urlsplit(server.url)
            stranger = parts._replace(netloc=f"{parts.hostname}:{parts.port}").geturl()
            with pytest.raises(StoreError, match="asks for a user and a password"):
                ping(stranger, 5)
        finally:
            assert server.guarded is not None
            server.guarded.stop()


def test_a_stack_uses_servers_that_the_environment_names(
    private_servers: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = (private_servers.amqp_url, with_option(private_servers.mongo_url, "appName=theirs"))
    for name, url in zip(("AMQP_URL", "MONGO_URL"), theirs, strict=True):
        monkeypatch.setenv(name, url)
    before = below(os.getpid())
    with local_stack(workers=0) as stack:
        assert (stack.amqp_url, stack.mongo_url) == theirs
        assert (os.environ["AMQP_URL"], os.environ["MONGO_URL"]) == theirs
        assert not {"beam.smp", "epmd"} & {process.name() for process in below(os.getpid()) if process not in before}
    assert all(map(is_open, private_servers)), "they are left alone"


@pytest.mark.slow
def test_workers_wait_for_chunks_and_come_and_go() -> None:
    lines: list[str] = []
    with local_stack(workers=2, log=lines.append) as stack:
        until(lambda: consumers(stack) == 2, DEADLINE_SECONDS, "both workers wait for chunks")
        first, second = stack.workers
        assert first.name.endswith("-0")
        assert second.name.endswith("-1")
        said = (stack.logs / "worker-0.log").read_text()
        assert f'"worker": "{first.name}"' in said
        assert re.search('"threads": [1-9]', said)
        stack.stop_worker(second)
        assert not second.running
        assert second.exit_code == 0
        until(lambda: consumers(stack) == 1, DEADLINE_SECONDS, "one worker is left")
        third = stack.start_worker()
        assert third.name.endswith("-2")
        until(lambda: consumers(stack) == 2, DEADLINE_SECONDS, "the new worker waits for chunks")
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: any(f"Worker {first.name} ended" in line for line in lines), DEADLINE_SECONDS, "its end is told")
        assert third.running
        assert "waiting for chunks" in third.log.read_text()
        pids = [worker.pid for worker in stack.workers]
    assert not any(map(psutil.pid_exists, pids))


@pytest.mark.slow
def test_a_broker_s_folder_that_was_moved_costs_a_resume_and_no_result(tmp_path: Path) -> None:
    """What a user is told to do with data that another version of RabbitMQ wrote."""
    X, y = [[float(number)] for number in range(20)], [0, 1] * 10
    with local_stack(workers=0, data_dir=tmp_path / "kept"):
        study = submit(DummyClassifier(), {"random_state": [1, 2, 3]}, X, y, cv=2)
    (tmp_path / "kept" / "broker").rename(tmp_path / "kept" / "broker.old")
    with local_stack(workers=1, data_dir=tmp_path / "kept"):
        again = Study.attach(study.id)
        assert again.resume() == 3
        again.wait(timeout=DEADLINE_SECONDS, progress=False)
        assert set(again.results()["state"]) == {"COMPLETE"}
