"""Stacks of a test's own, and their servers stopped, started and troubled one by one.

A server that is started again has the same port and the same data. The stack ends it with the
others, and everything else that guards the first process (its lock on the folder, its end with this
process) guards the second too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from polling import until

from producer.stack import LocalStack, local_stack
from producer.stack.broker import DISK_FREE_LIMIT, find_server, node_environment
from producer.stack.broker import start_broker as _start_broker
from producer.stack.database import start_database as _start_database
from producer.stack.ports import free_ports
from producer.stack.providers import Server
from warren.broker import channel
from warren.queues import DEAD_QUEUE, GPU_QUEUE, LANES
from warren.settings import Settings, load_settings

URLS = ("AMQP_URL", "MONGO_URL")
# Seconds until a port that was left is free, and for a command to the broker.
_PORT_SECONDS = 10.0
_TOOL_SECONDS = 60.0

Resource = Literal["memory", "disk"]
# What raises and what ends the broker's alarm of a resource: no memory may be taken, a petabyte
# has to be free.
_ALARMS: dict[Resource, tuple[tuple[str, str], tuple[str, str]]] = {
    "memory": (("set_vm_memory_high_watermark", "0"), ("set_vm_memory_high_watermark", "0.4")),
    "disk": (("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", str(DISK_FREE_LIMIT))),
}


class Urls(NamedTuple):
    """Where a broker and a database serve."""

    amqp_url: str
    mongo_url: str


@contextmanager
def private_stack(
    workers: int, data_dir: Path | None = None, at: Urls | None = None, *, signed: bool = False
) -> Iterator[LocalStack]:
    """Bring up a stack that shares nothing, and leave the environment as it was: a test says which
    stack it uses.

    Unless it is to be `signed`, it has no key: tests write studies and messages by hand, and use
    several stacks.

    With a folder that it keeps, a write is on the disk when it is acknowledged; without one, a
    database that is killed may lose the last of them. With URLs, it is workers alone, for the
    servers `at` these.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in URLS or name.startswith("WARREN_"):
                patch.delenv(name)
        patch.setenv("WARREN_THREADS", "1")
        for name, url in zip(URLS, at or (), strict=False):
            patch.setenv(name, url)
        with ExitStack() as undo:
            with pytest.MonkeyPatch.context() as meanwhile:
                if not signed:
                    meanwhile.setattr("producer.stack.stack._key", lambda *_: None)
                stack = undo.enter_context(local_stack(workers=workers, data_dir=data_dir))
            for name in (*URLS, "WARREN_KEY"):
                os.environ.pop(name, None)
            yield stack


def on_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server, for the same user."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def with_option(url: str, option: str) -> str:
    """Return a URL with an option more."""
    return f"{url}{'&' if '?' in url else '?'}{option}"


def settings_of(stack: LocalStack | Urls, patch: pytest.MonkeyPatch) -> Settings:
    """Let the environment name a stack's servers, and a new database of the caller's own."""
    patch.setenv("AMQP_URL", stack.amqp_url)
    patch.setenv("MONGO_URL", on_database(stack.mongo_url, f"test-{uuid4().hex[:12]}"))
    return load_settings()


def empty_queues(settings: Settings) -> None:
    """Take away what a test has left in the queues."""
    with channel(settings) as open_channel:
        for queue in (*LANES, GPU_QUEUE, DEAD_QUEUE):
            open_channel.queue_purge(queue)


def _servers(stack: LocalStack) -> tuple[Server, Server]:
    up = stack._require_up()
    return up.broker, up.database


def _stop(server: Server, *, kill: bool) -> None:
    assert server.guarded is not None, f"{server.how} is not ours to stop"
    if kill:
        os.kill(server.guarded.pid, signal.SIGKILL)  # its guard then kills what is below it
    server.guarded.stop()


def _again(stack: LocalStack, server: Server, kind: str, start) -> None:
    """Start a server that was stopped, with its port and its data."""
    assert server.guarded is not None
    assert not server.guarded.running, f"{server.how} runs"
    site = stack._require_up().site
    # A port may be held for a moment: by a connection that chose it, while no server
    # listened there.
    wanted = tuple(int(port) for port in (site.folder / f"{kind}.ports").read_text().split())
    until(lambda: free_ports(len(wanted), wanted) == wanted, _PORT_SECONDS, f"the ports {wanted} are free")
    started = start(site, {})
    if started.url != server.url:
        started.guarded.stop()
        raise AssertionError(f"somebody else has taken the port of {server.url}")
    # In the place of the first, where the stack looks for what it has to end.
    object.__setattr__(server, "guarded", started.guarded)


def stop_broker(stack: LocalStack, *, kill: bool = False) -> None:
    """Stop the stack's broker: in good order where the stack keeps its folder, killed if asked for
    or where not."""
    _stop(_servers(stack)[0], kill=kill)


def start_broker(stack: LocalStack) -> None:
    """Start the broker that was stopped; return when it serves."""
    _again(stack, _servers(stack)[0], "broker", _start_broker)


def restart_broker(stack: LocalStack, *, kill: bool = False) -> None:
    """Stop the broker and start it again."""
    stop_broker(stack, kill=kill)
    start_broker(stack)


def stop_database(stack: LocalStack, *, kill: bool = False) -> None:
    """Stop the stack's database, as `stop_broker` does the broker."""
    _stop(_servers(stack)[1], kill=kill)


def start_database(stack: LocalStack) -> None:
    """Start the database that was stopped; return when it serves."""
    _again(stack, _servers(stack)[1], "database", _start_database)


def restart_database(stack: LocalStack, *, kill: bool = False) -> None:
    """Stop the database and start it again."""
    stop_database(stack, kill=kill)
    start_database(stack)


def bring_back(stack: LocalStack) -> None:
    """Start whatever a test has left stopped."""
    for server, start in zip(_servers(stack), (start_broker, start_database), strict=True):
        if server.guarded is not None and not server.guarded.running:
            start(stack)


def rabbitmqctl(stack: LocalStack, *arguments: str) -> str:
    """Run a command on the stack's broker, which must be a private node; return what it prints."""
    home = stack.data_dir / "broker" / "rabbitmq-server"
    amqp, distribution, epmd = (int(port) for port in (stack.data_dir / "broker.ports").read_text().split())
    assert urlsplit(stack.amqp_url).port == amqp
    environment = node_environment(home, (amqp, distribution, epmd))
    # The command's own port for Erlang's distribution is else reckoned from the node's,
    # beyond all ports.
    own = str(free_ports(1)[0])
    environment |= {"RABBITMQ_CTL_DIST_PORT_MIN": own, "RABBITMQ_CTL_DIST_PORT_MAX": own}
    done = subprocess.run(
        [str(find_server().with_name("rabbitmqctl")), "--quiet", *arguments],
        env=environment,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TOOL_SECONDS,
    )
    assert done.returncode == 0, f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def keep_queues(stack: LocalStack) -> None:
    """Declare every queue, and let the broker write down which there are.

    It does so half a second later by itself (Ra's directory, a DETS table). Killed before, it would
    know the queue but not its log, and close the connection of a client that uses the queue.
    """
    with channel(Settings(AMQP_URL=stack.amqp_url)):
        rabbitmqctl(stack, "eval", "[ok = dets:sync(Table) || Table <- dets:all()].")


@contextmanager
def alarm(stack: LocalStack, resource: Resource = "memory") -> Iterator[None]:
    """Let the broker block every publisher, as it does when its memory or its disk is full."""
    begin, end = _ALARMS[resource]
    rabbitmqctl(stack, *begin)
    try:
        until(lambda: alarms(stack) == [resource], _TOOL_SECONDS, f"the alarm of {resource} is raised")
        yield
    finally:
        rabbitmqctl(stack, *end)


def alarms(stack: LocalStack) -> list[str]:
    """Return what the stack's broker says it has too little of."""
    return [one["resource"] for one in json.loads(rabbitmqctl(stack, "status", "--formatter", "json"))["alarms"]]
