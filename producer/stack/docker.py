"""Servers from container images, if a Docker engine runs on this machine."""

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

# The same major versions as in the Kubernetes manifests.
RABBITMQ_IMAGE = "rabbitmq:4-management"
MONGO_IMAGE = "mongo:8"
# The image sets 0, with which MongoDB's allocator has a cache per CPU: on Linux 6.19 to 7.0.13
# MongoDB then does not start, or crashes within half a minute (SERVER-121912). With 1 it has one
# per thread.
MONGO_ENV = {"GLIBC_TUNABLES": "glibc.pthread.rseq=1"}
# Seconds for requests that a working engine answers at once.
ENGINE_SECONDS = 5.0
# Seconds to pull an image of some 300 MB.
PULL_SECONDS = 900.0
# Seconds until a server in a container answers: a first start in a laptop's VM is slow.
START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Image:
    """A server's image."""

    role: str
    """``broker`` or ``database``."""
    name: str
    """Name and tag."""
    port: int
    """The server's port inside the container."""
    data: str
    """The data folder inside the container."""
    env: Mapping[str, str]
    """Environment inside the container. Its values are not in the list of processes."""
    arguments: Sequence[str] = ()
    """Arguments of the server."""
    causes: Sequence[Cause] = ()
    """Known log messages of failed starts."""


def engine(site: Site) -> str:
    """Find a Docker client whose engine works and runs on this machine.

    Parameters
    ----------
    site : Site
        The stack's folder and progress messages.

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
        # Ports are published on the engine's loopback interface, which is not this machine's.
        raise StackError(f"the engine at {host} is another machine")
    run_tool([client, "version", "--format", "{{.Server.Version}}"], seconds=ENGINE_SECONDS, cancelled=site.cancelled)
    return client


def _have_image(client: str, image: Image, site: Site) -> None:
    """Pull an image unless it exists."""
    try:
        run_tool([client, "image", "inspect", image.name], seconds=ENGINE_SECONDS, cancelled=site.cancelled)
        return
    except StackError:
        site.log(f"Fetching the image {image.name}: a few minutes, once")
    try:
        # The name before the option, because an error repeats the first words.
        run_tool([client, "pull", image.name, "--quiet"], seconds=PULL_SECONDS, cancelled=site.cancelled)
    except StackError as exc:
        # Report it here, too: if another way works, the errors of this one are not shown.
        site.log(f"Not to be had: {exc}")
        raise


def _volume(image: Image, site: Site) -> list[str]:
    """Return arguments that keep the data in a named volume.

    A volume, not a folder of the host: inside the container, the server is another user, and the
    notebook's user could not remove its files. The volume's name is stored in the folder, so that a
    copy of the folder, or a new one with the same path, never finds another one's data.
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
    """Return whether a server had a volume before, and may find its data."""
    return _volume_file(image, site).exists()


def _is_published(client: str, name: str, image: Image, site: Site) -> bool:
    """Return whether a container has its port on this machine."""
    try:
        run_tool([client, "port", name, str(image.port)], seconds=ENGINE_SECONDS, cancelled=site.cancelled)
    except StackError:
        return False
    return True


def serve(image: Image, site: Site, url: Callable[[int], str], answers: Callable[[int, str], bool]) -> Server:
    """Run a server in a container that ends with the stack.

    Parameters
    ----------
    image : Image
        The server.
    site : Site
        The stack's folder and progress messages.
    url : callable
        Returns the URL for a port on this machine.
    answers : callable
        Returns whether the server at a port, with a URL, answers.

    Returns
    -------
    Server

    Raises
    ------
    StackError
        There is no engine or no image, or the server does not start.
    """
    client = engine(site)
    _have_image(client, image, site)

    def start(ports: tuple[int, ...]) -> Server:
        name = f"warren-{image.role}-{secrets.token_hex(4)}"
        command = [client, "run", "--rm", "--name", name, "--pull", "never"]
        # RabbitMQ's data folder contains the host name: with another one it would find nothing.
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
            # A killed client leaves its container.
            last=[client, "rm", "--force", "--volumes", name],
        )
        published = False

        def is_up() -> bool:
            # If something answers before the port is ours, another stack's server took it first.
            nonlocal published
            published = published or _is_published(client, name, image, site)
            return published and answers(ports[0], url(ports[0]))

        wait_until_up(guarded, is_up, seconds=START_SECONDS, cancelled=site.cancelled, causes=image.causes)
        return Server(url=url(ports[0]), how=f"{image.name} in Docker", guarded=guarded)

    return with_free_ports(1, start, site.folder / f"{image.role}.ports")
