"""Servers from container images, where a Docker engine answers on this machine."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from producer.stack.ports import HOST, with_free_ports
from producer.stack.process import Guarded, run_tool, wait_until_up
from producer.stack.providers import Server, Site
from producer.stack.startup_errors import Cause
from warren.errors import StackError

# The same majors as the manifests run.
RABBITMQ_IMAGE = "rabbitmq:4-management"
MONGO_IMAGE = "mongo:8"
# The image has a 0 here, with which MongoDB's allocator keeps a cache for each CPU: on Linux 6.19 to 7.0.13 it does not
# start then, or dies in half a minute (SERVER-121912). With a 1 it keeps one for each thread.
MONGO_ENV = {"GLIBC_TUNABLES": "glibc.pthread.rseq=1"}
# Seconds for questions that a healthy engine answers at once.
ENGINE_SECONDS = 5.0
# Seconds for fetching an image of some 300 MB.
PULL_SECONDS = 900.0
# Seconds until a server in a container answers: its first start on a laptop's virtual machine takes its time.
START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Image:
    """A server as an image has it."""

    role: str
    """``broker`` or ``database``."""
    name: str
    """Name and tag."""
    port: int
    """Where the server listens inside the container."""
    data: str
    """The folder inside the container that holds the data."""
    env: Mapping[str, str]
    """Environment inside the container. Values don't show in the list of processes."""
    arguments: Sequence[str] = ()
    """For the server."""
    causes: Sequence[Cause] = ()
    """What its log may say when it does not start."""


def engine(site: Site) -> str:
    """Find a Docker client whose engine answers and runs on this machine.

    Parameters
    ----------
    site : Site
        Where the stack lives.

    Returns
    -------
    str
        Path of the client.

    Raises
    ------
    StackError
        There is none.
    """
    client = shutil.which("docker")
    if client is None:
        raise StackError("no docker command on the PATH")
    host = run_tool(
        [client, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
        seconds=ENGINE_SECONDS,
        cancelled=site.cancelled,
    ).strip()
    if host.startswith(("tcp://", "ssh://")):
        # Ports are published on the engine's loopback interface, which isn't ours.
        raise StackError(f"the engine at {host} is another machine")
    run_tool([client, "version", "--format", "{{.Server.Version}}"], seconds=ENGINE_SECONDS, cancelled=site.cancelled)
    return client


def _have_image(client: str, image: Image, site: Site) -> None:
    """Fetch an image unless it is there."""
    try:
        run_tool([client, "image", "inspect", image.name], seconds=ENGINE_SECONDS, cancelled=site.cancelled)
        return
    except StackError:
        site.log(f"Fetching the image {image.name}: a few minutes, once")
    try:
        # The name before the option: an error repeats the first words.
        run_tool([client, "pull", image.name, "--quiet"], seconds=PULL_SECONDS, cancelled=site.cancelled)
    except StackError as exc:
        # Said here too: when another way serves, nobody sees the errors of this one.
        site.log(f"Not to be had: {exc}")
        raise


def _volume(image: Image, site: Site) -> list[str]:
    """Arguments that keep the data of a named folder.

    A volume and not a folder of the host: inside, the server is a user of its own, and files of that user
    could not be removed by whoever runs the notebook. The volume's name stands in the folder, so that a copy
    of the folder or a new one under the old path never finds another one's data.
    """
    if site.temporary:
        return []
    file = _volume_file(image, site)
    if not file.exists():
        file.write_text(f"warren-{image.role}-{secrets.token_hex(6)}\n")
    return ["--volume", f"{file.read_text().strip()}:{image.data}"]


def _volume_file(image: Image, site: Site) -> Path:
    return site.folder / image.role / "docker-volume"


def has_volume(image: Image, site: Site) -> bool:
    """Say whether a server had a volume before, and may find what it left there."""
    return _volume_file(image, site).exists()


def _is_published(client: str, name: str, image: Image, site: Site) -> bool:
    """Whether a container has its port on this machine."""
    try:
        run_tool([client, "port", name, str(image.port)], seconds=ENGINE_SECONDS, cancelled=site.cancelled)
    except StackError:
        return False
    return True


def serve(image: Image, site: Site, url: Callable[[int], str], answers: Callable[[int, str], bool]) -> Server:
    """Run a server in a container that goes when the stack goes.

    Parameters
    ----------
    image : Image
        The server.
    site : Site
        Where the stack lives.
    url : callable
        Makes the URL from the port on this machine.
    answers : callable
        Says whether the server at a port, with a URL, answers.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        No engine, no image, or the server doesn't come up.
    """
    client = engine(site)
    _have_image(client, image, site)

    def start(ports: tuple[int, ...]) -> Server:
        name = f"warren-{image.role}-{secrets.token_hex(4)}"
        command = [client, "run", "--rm", "--name", name, "--pull", "never"]
        # RabbitMQ's data folder carries the host name: with another one it would find nothing.
        command += ["--hostname", f"warren-{image.role}", "--publish", f"{HOST}:{ports[0]}:{image.port}"]
        command += _volume(image, site)
        for key in image.env:
            command += ["--env", key]
        guarded = Guarded(
            [*command, image.name, *image.arguments],
            log=site.logs / f"{image.role}.log",
            env={**os.environ, **image.env},
            grace=site.grace,
            hold=site.hold,
            # A client that was killed leaves its container behind.
            last=[client, "rm", "--force", "--volumes", name],
        )
        published = False

        def is_up() -> bool:
            # Whatever answers before the port is ours is another stack's server, which was quicker to take it.
            nonlocal published
            published = published or _is_published(client, name, image, site)
            return published and answers(ports[0], url(ports[0]))

        try:
            wait_until_up(guarded, is_up, seconds=START_SECONDS, cancelled=site.cancelled, causes=image.causes)
        except BaseException:  # Ctrl-C too: nobody else ends the server
            guarded.stop()
            raise
        return Server(url=url(ports[0]), how=f"{image.name} in Docker", guarded=guarded)

    return with_free_ports(1, start, site.folder / f"{image.role}.ports")
