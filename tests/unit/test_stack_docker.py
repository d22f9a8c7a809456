"""Servers in containers, with a stand-in for the Docker client that does what it is told."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from producer.stack import docker
from producer.stack.ports import HOST
from producer.stack.providers import Site
from warren.errors import StackError

# Writes down every call; "run" serves the published port until it is stopped, and "port" knows of
# it from then on.
CLIENT = """#!{python}
import json, os, pathlib, socket, sys
here = pathlib.Path({folder!r})
with (here / "calls").open("a") as calls:
    print(json.dumps([sys.argv[1:], os.environ.get("SECRET")]), file=calls)
match sys.argv[1:]:
    case ["context", *_]:
        print((here / "host").read_text())
    case ["version", *_] if (here / "down").exists():
        sys.exit("Cannot connect to the Docker daemon. Is the docker daemon running?")
    case ["image", "inspect", *_] if not (here / "image").exists():
        sys.exit("No such image")
    case ["pull", *_]:
        if (here / "offline").exists():
            sys.exit("dial tcp: lookup registry-1.docker.io: no such host")
        (here / "image").touch()
    case ["port", name, _] if not (here / name).exists():
        sys.exit("Error: No public port published")
    case ["run", *rest]:
        if (here / "taken").exists():
            (here / "taken").unlink()
            sys.exit("Bind for 127.0.0.1 failed: port is already allocated")
        host, port, _ = rest[rest.index("--publish") + 1].split(":")
        server = socket.create_server((host, int(port)))
        (here / rest[rest.index("--name") + 1]).touch()
        while True:
            server.accept()[0].close()
"""

IMAGE = docker.Image(role="broker", name="rabbitmq:4", port=5672, data="/data", env={"SECRET": "s3"}, arguments=("-x",))


class FakeDocker:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "host").write_text("unix:///var/run/docker.sock")
        (folder / "image").touch()
        client = folder / "docker"
        client.write_text(CLIENT.format(python=sys.executable, folder=str(folder)))
        client.chmod(0o755)

    def calls(self, verb: str) -> list[tuple[list[str], str | None]]:
        lines = (self.folder / "calls").read_text().splitlines()
        return [(words, secret) for words, secret in map(json.loads, lines) if words[0] == verb]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return FakeDocker(folder)


def site_in(folder: Path, *, temporary: bool) -> Site:
    for name in ("logs", "broker"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Site(folder=folder, temporary=temporary, log=[].append)


def connects(port: int, url: str) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def url(port: int) -> str:
    return f"amqp://{HOST}:{port}"


def test_a_container_is_published_here_only_and_removed_at_the_end(fake: FakeDocker, tmp_path: Path) -> None:
    served = docker.serve(IMAGE, site_in(tmp_path, temporary=True), url, connects)
    assert served.how == "rabbitmq:4 in Docker"
    ((words, secret),) = fake.calls("run")
    name = words[words.index("--name") + 1]
    port = served.url.rpartition(":")[2]
    assert words[words.index("--publish") + 1] == f"127.0.0.1:{port}:5672"
    assert words[words.index("--hostname") + 1] == "warren-broker"
    assert "--rm" in words
    assert words[-2:] == ["rabbitmq:4", "-x"]
    assert words[words.index("--env") + 1] == "SECRET"  # the value isn't for the list of processes
    assert secret == "s3"
    assert "--volume" not in words
    assert served.guarded is not None
    served.guarded.stop()
    assert fake.calls("rm") == [(["rm", "--force", "--volumes", name], "s3")]
    assert not connects(int(port), "")


def test_a_named_folder_finds_its_volume_again(fake: FakeDocker, tmp_path: Path) -> None:
    for folder in ("one", "one", "two"):
        served = docker.serve(IMAGE, site_in(tmp_path / folder, temporary=False), url, connects)
        assert served.guarded is not None
        served.guarded.stop()
    first, again, other = (words[words.index("--volume") + 1] for words, _ in fake.calls("run"))
    assert first == again != other
    assert first.startswith("warren-broker-")
    assert first.endswith(":/data")


def test_an_image_is_fetched_once(fake: FakeDocker, tmp_path: Path) -> None:
    (fake.folder / "image").unlink()
    for _ in range(2):
        served = docker.serve(IMAGE, site_in(tmp_path, temporary=True), url, connects)
        assert served.guarded is not None
        served.guarded.stop()
    assert [words for words, _ in fake.calls("pull")] == [["pull", "rabbitmq:4", "--quiet"]]


def test_another_port_is_tried_when_the_first_is_taken(fake: FakeDocker, tmp_path: Path) -> None:
    (fake.folder / "taken").touch()
    served = docker.serve(IMAGE, site_in(tmp_path, temporary=True), url, connects)
    assert served.guarded is not None
    served.guarded.stop()
    ports = [words[words.index("--publish") + 1] for words, _ in fake.calls("run")]
    assert len(set(ports)) == 2


def test_a_server_that_took_the_port_is_not_mistaken_for_the_container_s(fake: FakeDocker, tmp_path: Path) -> None:
    (fake.folder / "taken").touch()
    asked: list[int] = []

    def somebody_answers(port: int, url: str) -> bool:
        asked.append(port)
        return True

    served = docker.serve(IMAGE, site_in(tmp_path, temporary=True), url, somebody_answers)
    assert served.guarded is not None
    served.guarded.stop()
    _, last = (words[words.index("--publish") + 1].split(":")[1] for words, _ in fake.calls("run"))
    assert asked == [int(last)]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("down", "Is the docker daemon running?"),
        ("offline", "docker pull rabbitmq:4: dial tcp: lookup registry-1.docker.io: no such host"),
    ],
)
def test_an_engine_or_image_that_is_not_there_is_a_reason(
    fake: FakeDocker, tmp_path: Path, state: str, reason: str
) -> None:
    (fake.folder / "image").unlink()
    (fake.folder / state).touch()
    with pytest.raises(StackError) as caught:
        docker.serve(IMAGE, site_in(tmp_path, temporary=True), url, connects)
    assert reason in str(caught.value)


def test_an_image_that_can_not_be_fetched_is_always_told(fake: FakeDocker, tmp_path: Path) -> None:
    (fake.folder / "image").unlink()
    (fake.folder / "offline").touch()
    lines: list[str] = []
    site = replace(site_in(tmp_path, temporary=True), log=lines.append)
    with pytest.raises(StackError) as caught:
        docker.serve(IMAGE, site, url, connects)
    assert lines == ["Fetching the image rabbitmq:4: a few minutes, once", f"Not to be had: {caught.value}"]


def test_an_engine_on_another_machine_is_not_used(fake: FakeDocker, tmp_path: Path) -> None:
    (fake.folder / "host").write_text("tcp://docker.example:2375")
    with pytest.raises(StackError, match=r"the engine at tcp://docker\.example:2375 is another machine"):
        docker.serve(IMAGE, site_in(tmp_path, temporary=True), url, connects)
