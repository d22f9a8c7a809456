"""One broker and one database for all processes of ``pytest -n``: each works in virtual hosts of its own.

The process that hands the tests out starts them while the others collect, and takes them down at the end. A node of
RabbitMQ takes seconds of a core to start, and some of every minute to idle: with one for all, `make test` is a minute
shorter.

Run as a script, this is that broker and database, for as long as its standard input is open.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from polling import until
from servers import Urls, on_database, private_stack, rabbitmqctl

from producer.stack import LocalStack
from producer.stack.broker import USER
from warren.errors import StackError

# How a process is told which file has the URLs.
_INPUT = "warren_servers"
# Seconds until the servers are up, on a machine where several processes collect; and until they are gone.
_UP_SECONDS = 120.0
_DOWN_SECONDS = 60.0
# Processes that xdist may start in the place of others that died.
_SPARE = 4


class SharedServers:
    """Servers for some processes, which xdist calls gw0, gw1 and so on; they come up in the background."""

    def __init__(self, processes: int) -> None:
        self._folder = TemporaryDirectory(prefix="warren-tests-")
        self._file = Path(self._folder.name) / "urls.json"
        # In a session of its own: Ctrl-C is for the tests, which then close its standard input.
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._file), str(processes + _SPARE)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def tell(self, given: dict[str, Any]) -> None:
        """Put into what a process is given at its start where `shared_with` looks."""
        given[_INPUT] = str(self._file)

    def close(self) -> None:
        """Take the servers down."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_DOWN_SECONDS)
        self._folder.cleanup()


def shared_with(config: pytest.Config) -> tuple[Urls, Urls] | None:
    """Return where this process works on shared servers: where no process listens, and where workers may be started.

    None for a process that runs all the tests by itself, and where a broker can't be shared.
    """
    given = getattr(config, "workerinput", {})
    if _INPUT not in given:
        return None
    file = Path(given[_INPUT])
    until(file.exists, _UP_SECONDS, "the servers for all processes are up")
    found = json.loads(file.read_text())
    assert "error" not in found, found["error"]
    if not found:
        return None
    alone, workers = (
        Urls(on_database(found["amqp_url"], host), on_database(found["mongo_url"], host))
        for host in _hosts_of(given["workerid"])
    )
    return alone, workers


def _hosts_of(process: str) -> tuple[str, str]:
    return f"{process}-alone", f"{process}-workers"


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


def _serve(file: Path, processes: int) -> None:
    try:
        with private_stack(workers=0) as stack:
            if not (stack.data_dir / "broker" / "rabbitmq-server").is_dir():
                _tell(file, {})  # in a container, where our rabbitmqctl reaches nothing
                return
            hosts = [host for number in range(processes) for host in _hosts_of(f"gw{number}")]
            _add_hosts(stack, hosts, file.with_name("definitions.json"))
            _tell(file, Urls(stack.amqp_url, stack.mongo_url)._asdict())
            sys.stdin.read()
    except (StackError, AssertionError) as exc:
        _tell(file, {"error": str(exc)})


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]))
