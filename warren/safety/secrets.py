"""Hide a worker's passwords and keys from the code that it trains.

The kernel shows the environment with which a process was started to every process of the same user,
in ``/proc/<id>/environ``, and a training process is such a process. So a worker passes its secrets
to itself through a pipe, which is empty after reading, and restarts itself with an environment
without secrets. Standard library only, for programs that are run by path.
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
# Variables from which the manifests build URLs.
_HIDDEN = frozenset({*NAMES, "RABBITMQ_PASSWORD", "MONGO_PASSWORD"})

# Variable with the file descriptor of the pipe.
_PIPE = "WARREN_SECRETS_FD"
# Bytes that fit into a pipe without a reader (pipe(7)); macOS has 16 KiB.
_MOST_BYTES = 16_384


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without secrets, and without the variable that leads to them."""
    return {name: value for name, value in environ.items() if name not in _HIDDEN and name != _PIPE}


def has_secrets(environ: Mapping[str, str]) -> bool:
    """Return whether an environment contains secrets."""
    return not _HIDDEN.isdisjoint(environ)


def restart_without_secrets(command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by a program that gets the secrets through a pipe (`received`).

    Parameters
    ----------
    command : sequence of str
        The program, found by the rules of a shell, and its arguments.
    environ : mapping of str to str
        An environment with secrets.

    Raises
    ------
    OSError
        The program does not exist.
    ValueError
        The secrets are too long for a pipe.
    """
    content = json.dumps({name: environ[name] for name in NAMES if name in environ}).encode()
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{', '.join(NAMES)} have {len(content):,} bytes together: at most {_MOST_BYTES:,}")
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    # Use a number above the standard streams: if one of those is closed, the pipe got its number.
    inherited = fcntl.fcntl(reader, fcntl.F_DUPFD, 3)
    os.close(reader)
    os.execvpe(command[0], list(command), {**without_secrets(environ), _PIPE: str(inherited)})  # noqa: S606 - no shell


@functools.cache
def received() -> Mapping[str, str]:
    """Return the secrets from `restart_without_secrets` by their names.

    Nothing if there are none.
    """
    number = os.environ.pop(_PIPE, "")
    if not number:
        return {}
    with open(int(number), "rb") as pipe:  # noqa: PTH123 - a descriptor
        found: dict[str, str] = json.load(pipe)
    return found
