"""One broker, one database and two workers for all processes of ``pytest -n``.

Each process has a virtual host of its own, where no worker listens. The workers listen on one
virtual host that all processes share, and start when the first test asks for them. The process that
hands the tests out starts the servers while the others collect, and stops all of it at the end. A
node of RabbitMQ takes seconds of a core to start, and some of every minute to idle; a worker takes
seconds to import its libraries.

Run as a script, this is those servers and workers, for as long as its standard input is open.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from polling import until
from servers import Urls, on_database, private_stack, rabbitmqctl

from producer.stack import LocalStack
from producer.stack.broker import USER
from warren.errors import StackError

# How a process is told which folder says where the servers are.
_INPUT = "warren_servers"
# Files of that folder: where the servers and the workers are, and that a process asks for
# the workers.
_SERVERS, _WORKERS, _WANTED = "servers.json", "workers.json", "workers.wanted"
# The virtual host and the database of the shared workers.
_SHARED = "workers"
# Seconds until the servers are up, on a machine where several processes collect; and until
# they are gone.
_UP_SECONDS = 120.0
_DOWN_SECONDS = 60.0
# Seconds between looks for a process that asks for the workers.
_LOOK_SECONDS = 0.2
# Processes that xdist may start in the place of others that died.
_SPARE = 4


class SharedServers:
    """Servers for some processes, which xdist calls gw0, gw1 and so on; they come up in the
    background."""

    def __init__(self, processes: int) -> None:
        self._folder = TemporaryDirectory(prefix="warren-tests-")
        # In a session of its own: Ctrl-C is for the tests, which then close its standard input.
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._folder.name, str(processes + _SPARE)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def tell(self, given: dict[str, Any]) -> None:
        """Put into what a process is given at its start where `shared_servers` looks."""
        given[_INPUT] = self._folder.name

    def close(self) -> None:
        """Take the servers down."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_DOWN_SECONDS)
        self._folder.cleanup()


def shared_servers(config: pytest.Config) -> Urls | None:
    """Return where this process, and no worker, uses the shared servers.

    None for a process that runs all the tests by itself, and where a broker can't be shared.
    """
    folder = _folder(config)
    if folder is None or (found := _read(folder / _SERVERS)) is None:
        return None
    return _at(found, _host_of(config.workerinput["workerid"]))  # type: ignore[attr-defined]


def shared_workers(config: pytest.Config) -> Urls | None:
    """Return where the shared workers listen, once they do; None as for `shared_servers`."""
    folder = _folder(config)
    if folder is None or _read(folder / _SERVERS) is None:
        return None
    (folder / _WANTED).touch()
    return _read(folder / _WORKERS)


def _folder(config: pytest.Config) -> Path | None:
    given = getattr(config, "workerinput", {})
    return Path(given[_INPUT]) if _INPUT in given else None


def _read(file: Path) -> Urls | None:
    until(file.exists, _UP_SECONDS, f"{file.stem} for all processes are up")
    found = json.loads(file.read_text())
    assert "error" not in found, found["error"]
    return Urls(**found) if found else None


def _at(urls: Urls, host: str) -> Urls:
    """Return another virtual host of the same broker, and the database of the same name."""
    return Urls(*(on_database(url, host) for url in urls))


def _host_of(process: str) -> str:
    return f"{process}-alone"


def _add_hosts(stack: LocalStack, hosts: Iterable[str], file: Path) -> None:
    """Make virtual hosts that the stack's user may use."""
    everything = dict.fromkeys(("configure", "write", "read"), ".*")
    definitions = {
        "vhosts": [{"name": host} for host in hosts],
        "permissions": [{"user": USER, "vhost": host} | everything for host in hosts],
    }
    file.write_text(json.dumps(definitions))
    rabbitmqctl(stack, "import_definitions", str(file))


def _tell(file: Path, found: dict[str, str]) -> None:
    """Write a file at once: a process that sees it reads all of it."""
    begun = file.with_suffix(".begun")
    begun.write_text(json.dumps(found))
    begun.rename(file)


def _closed(seconds: float | None) -> bool:
    """Return whether the standard input is closed, after waiting for that for some seconds."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def _serve(folder: Path, processes: int) -> None:
    coming = folder / _SERVERS
    try:
        with ExitStack() as undo:
            stack = undo.enter_context(private_stack(workers=0))
            if not (stack.data_dir / "broker" / "rabbitmq-server").is_dir():
                _tell(coming, {})  # in a container, where our rabbitmqctl reaches nothing
                return
            hosts = [_SHARED, *(_host_of(f"gw{number}") for number in range(processes))]
            _add_hosts(stack, hosts, folder / "definitions.json")
            urls = Urls(stack.amqp_url, stack.mongo_url)
            _tell(coming, urls._asdict())
            while not (folder / _WANTED).exists():
                if _closed(_LOOK_SECONDS):
                    return
            coming = folder / _WORKERS
            undo.enter_context(private_stack(workers=2, at=_at(urls, _SHARED)))
            _tell(coming, _at(urls, _SHARED)._asdict())
            _closed(None)
    except (StackError, AssertionError) as exc:
        _tell(coming, {"error": str(exc)})


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
