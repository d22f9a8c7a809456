"""Passwords and keys of a worker, kept out of the reach of what it trains.

The kernel shows the environment that a process was started with to every process of the same user, in
``/proc/<id>/environ``, and a training process is one. So a worker passes its secrets to itself through a pipe, which is
empty once it is read, and goes on with an environment that has none. Standard library only, for programs that are run
by path.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
from collections.abc import Mapping, Sequence
from typing import NoReturn

NAMES = ("AMQP_URL", "MONGO_URL", "WARREN_KEY")
"""Settings that hold a password or a key."""
# What the manifests put together URLs of.
_HIDDEN = frozenset({*NAMES, "RABBITMQ_PASSWORD", "MONGO_PASSWORD"})

# Names the file descriptor of the pipe.
_PIPE = "WARREN_SECRETS_FD"
# Bytes that a pipe takes without a reader (pipe(7)); macOS has 16 KiB.
_MOST_BYTES = 16_384


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without secrets, and without the way to them."""
    return {name: value for name, value in environ.items() if name not in _HIDDEN and name != _PIPE}


def must_hide(environ: Mapping[str, str]) -> bool:
    """Say whether an environment holds secrets."""
    return not _HIDDEN.isdisjoint(environ)


def begin_again(command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Become another program that has the secrets of an environment in a pipe, which `received` reads.

    Parameters
    ----------
    command : sequence of str
        The program, found as the shell finds it, and its arguments.
    environ : mapping of str to str
        An environment with secrets.

    Raises
    ------
    OSError
        There is no such program.
    ValueError
        The secrets are longer than a pipe takes.
    """
    content = json.dumps({name: environ[name] for name in NAMES if name in environ}).encode()
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{', '.join(NAMES)} have {len(content):,} bytes together: at most {_MOST_BYTES:,}")
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    # In nobody's way: where a standard stream is closed, the pipe got its number.
    inherited = fcntl.fcntl(reader, fcntl.F_DUPFD, 3)
    os.close(reader)
    os.execvpe(command[0], list(command), {**without_secrets(environ), _PIPE: str(inherited)})  # noqa: S606 - no shell


@functools.cache
def received() -> Mapping[str, str]:
    """Return the secrets that this process got from `begin_again`, by their names; nothing where it got none."""
    number = os.environ.pop(_PIPE, "")
    if not number:
        return {}
    with open(int(number), "rb") as pipe:  # noqa: PTH123 - a descriptor
        found: dict[str, str] = json.load(pipe)
    return found
