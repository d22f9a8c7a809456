"""Stacks of a test's own, and their servers stopped, started and troubled one by one.

A server that is started again has the same port and the same data. The stack ends it with the others, and everything
else that guards the first process (its lock on the folder, its end with this process) guards the second too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from producer.stack import LocalStack, local_stack
from producer.stack.broker import find_server, node_environment
from producer.stack.broker import start_broker as _start_broker
from producer.stack.database import start_database as _start_database
from producer.stack.ports import free_ports
from producer.stack.site import Server

URLS = ("AMQP_URL", "MONGO_URL")
# Seconds until a port that was left is free, and for a command to the broker.
_PORT_SECONDS = 10.0
_TOOL_SECONDS = 60.0


@contextmanager
def private_stack(workers: int, data_dir: Path | None = None) -> Iterator[LocalStack]:
    """Bring up a stack that shares nothing, and leave the environment as it was: a test says which stack it uses.

    With a folder that it keeps, a write is on the disk when it is acknowledged; without one, a database that is killed
    may lose the last of them.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in URLS or name.startswith("WARREN_"):
                patch.delenv(name)
        patch.setenv("WARREN_THREADS", "1")
        with local_stack(workers=workers, data_dir=data_dir) as stack:
            for name in URLS:
                os.environ.pop(name)
            yield stack


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
    # A port may be held for a moment: by a connection that chose it, while nobody listened there.
    wanted = tuple(int(port) for port in (site.folder / f"{kind}.ports").read_text().split())
    deadline = time.monotonic() + _PORT_SECONDS
    while free_ports(len(wanted), wanted) != wanted:
        assert time.monotonic() < deadline, f"somebody else has taken a port of {wanted}"
        time.sleep(0.05)
    started = start(site, {})
    if started.url != server.url:
        started.guarded.stop()
        raise AssertionError(f"somebody else has taken the port of {server.url}")
    # In the place of the first, where the stack looks for what it has to end.
    object.__setattr__(server, "guarded", started.guarded)


def stop_broker(stack: LocalStack, *, kill: bool = False) -> None:
    """Stop the stack's broker: in good order where the stack keeps its folder, killed if asked for or where not."""
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
    # The command's own port for Erlang's distribution is else reckoned from the node's, beyond all ports.
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


@contextmanager
def alarm(stack: LocalStack) -> Iterator[None]:
    """Let the broker block every publisher, as it does when its memory is full."""
    rabbitmqctl(stack, "set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        rabbitmqctl(stack, "set_vm_memory_high_watermark", "0.4")
