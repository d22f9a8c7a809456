"""A local stack of containers: needs a Docker engine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pymongo
import pytest

import producer
from producer.stack import docker

ROOT = Path(producer.__file__).parents[1]
# Seconds until something that was asked for must have happened; a broker in a container
# starts in ten.
DEADLINE_SECONDS = 60.0

# Docker is the only way to a server there. A line on standard input is the fault.
SCRIPT = """
import json, sys
from producer.stack import broker, database, local_stack
from warren.errors import StackError
def nowhere(*_):
    raise StackError("not on this machine")
broker.find_server = broker.installed_node = database.private_mongod = database.secantus = nowhere
with local_stack(workers=0, data_dir=sys.argv[1] or None) as stack:
    print(json.dumps([stack.amqp_url, stack.mongo_url, stack.servers]), flush=True)
    sys.stdin.readline()
    raise ZeroDivisionError("a fault in the notebook")
"""


def client(*words: str) -> list[str]:
    """Lines that the Docker client answers; none when it is not there or refuses."""
    if shutil.which("docker") is None:
        return []
    answer = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    return answer.stdout.splitlines() if answer.returncode == 0 else []


# Not among `make test`: fetching images is no test's business. `make test-docker` runs it, and
# fails without an engine.
pytestmark = pytest.mark.docker


class Notebook:
    """A notebook's worth of code with a stack of containers, in a process of its own."""

    def __init__(self, folder: str) -> None:
        ours = ("AMQP_URL", "MONGO_URL", "WARREN_")
        own = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.containers: list[str] = []
        self.volumes: list[str] = []
        self.process = subprocess.Popen([sys.executable, "-c", SCRIPT, folder], cwd=ROOT, env=own, text=True, **pipes)

    def read(self) -> None:
        """Wait until its stack is up."""
        assert self.process.stdout is not None
        self.amqp_url, self.mongo_url, self.servers = json.loads(self.process.stdout.readline())
        ports = [urlsplit(url).port for url in (self.amqp_url, self.mongo_url)]
        self.containers = [client("ps", "-q", "--no-trunc", "--filter", f"publish={port}")[0] for port in ports]
        mounts = [json.loads(client("inspect", "--format", "{{json .Mounts}}", one)[0]) for one in self.containers]
        self.volumes = [mount["Name"] for some in mounts for mount in some]

    def end(self, number: signal.Signals | None = None) -> str:
        """End it by a signal or by its own fault, and return what it wrote on standard error."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.communicate(None if number else "\n", timeout=DEADLINE_SECONDS)[1]


def there(containers: list[str], volumes: list[str]) -> set[str]:
    """Those of some containers and volumes that are there."""
    found = {*client("ps", "--all", "-q", "--no-trunc"), *client("volume", "ls", "-q")}
    return found & {*containers, *volumes}


def await_end(containers: list[str], volumes: list[str]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while left := there(containers, volumes):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)  # between two looks, each of which starts a client of the engine twice


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Callable[..., Notebook]]:
    notebooks: list[Notebook] = []

    def run(folder: str = "") -> Notebook:
        notebooks.append(Notebook(folder))
        notebooks[-1].read()
        return notebooks[-1]

    yield run
    for one in notebooks:
        with one.process:
            one.process.kill()
        await_end(one.containers, [])
    if kept := [file.read_text().strip() for file in tmp_path.glob("*/docker-volume")]:
        client("volume", "rm", *kept)


@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_notebook_that_ends_in_any_way_leaves_no_container_and_no_volume(
    notebook: Callable[..., Notebook], number: signal.Signals | None
) -> None:
    up = notebook()
    assert up.servers == f"broker: {docker.RABBITMQ_IMAGE} in Docker; database: {docker.MONGO_IMAGE} in Docker"
    for container in up.containers:
        assert {line.split(" -> ")[1].rpartition(":")[0] for line in client("port", container)} == {"127.0.0.1"}
    assert there(up.containers, up.volumes) == {*up.containers, *up.volumes}
    errors = up.end(number)
    assert ("ZeroDivisionError" in errors) == (number is None)
    await_end(up.containers, up.volumes)


def test_volumes_keep_queue_and_results_of_a_notebook_that_is_killed(
    notebook: Callable[..., Notebook], tmp_path: Path
) -> None:
    first = notebook(str(tmp_path))
    connection = pika.BlockingConnection(pika.URLParameters(first.amqp_url))
    channel = connection.channel()
    channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
    channel.confirm_delivery()
    channel.basic_publish("", "kept", b"a chunk", pika.BasicProperties(delivery_mode=2))
    connection.close()
    with pymongo.MongoClient(first.mongo_url) as store:
        store.tuning.trials.insert_one({"_id": "a trial"})
    first.end(signal.SIGKILL)
    again = notebook(str(tmp_path))
    assert there(first.containers, []) == set()
    assert (again.amqp_url, again.mongo_url) == (first.amqp_url, first.mongo_url), "URLs noted down stay good"
    connection = pika.BlockingConnection(pika.URLParameters(again.amqp_url))
    _, _, body = connection.channel().basic_get("kept", auto_ack=True)
    connection.close()
    assert body == b"a chunk"
    with pymongo.MongoClient(again.mongo_url) as store:
        assert store.tuning.trials.find_one() == {"_id": "a trial"}
