"""Free ports for servers; a folder that is used again gets the same ports again."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from warren.errors import StackError

# All servers of a stack listen on this address only: other machines must not reach them.
HOST = "127.0.0.1"
# How often to try other ports. After three failures in a row, retrying does not help.
PORT_ATTEMPTS = 3

_T = TypeVar("_T")


class PortTakenError(StackError):
    """Another process took a free port first: try again with another."""


def free_ports(count: int, wanted: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Return ports on which no process listens now.

    Parameters
    ----------
    count : int
        Number of ports.
    wanted : tuple of int, default=()
        Preferred ports, used if there are `count` and all are free.

    Returns
    -------
    tuple of int
        Distinct ports. Another process may take one before it is used: see `with_free_ports`.

    Raises
    ------
    StackError
        There are not so many free ports.
    """
    for ports in (wanted, (0,) * count):
        if len(ports) != count:
            continue
        with contextlib.ExitStack() as sockets, contextlib.suppress(OSError):
            found = []
            for port in ports:
                probe = sockets.enter_context(socket.socket())
                # A server that has just ended leaves its port in TIME_WAIT, which does not block a
                # new one.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((HOST, port))
                found.append(int(probe.getsockname()[1]))
            return tuple(found)
    raise StackError(f"fewer than {count} free ports on {HOST}")


def with_free_ports(count: int, start: Callable[[tuple[int, ...]], _T], memory: Path | None = None) -> _T:
    """Start something on free ports; try others if another process took one.

    Parameters
    ----------
    count : int
        Number of ports.
    start : callable
        Called with the ports; raises `PortTakenError` if one has been taken.
    memory : Path, default=None
        File with the last used ports, which are tried first, so that URLs stay valid.

    Returns
    -------
    object
        What `start` returns.

    Raises
    ------
    PortTakenError
        `start` raised it `PORT_ATTEMPTS` times in a row.
    """
    wanted = _recall(memory)
    for attempt in range(1, PORT_ATTEMPTS + 1):
        ports = free_ports(count, wanted)
        try:
            started = start(ports)
        except PortTakenError:
            if attempt == PORT_ATTEMPTS:
                raise
            wanted = ()
            continue
        if memory is not None:
            memory.write_text(" ".join(map(str, ports)))
        return started
    raise AssertionError("the last attempt returns or raises")


def _recall(memory: Path | None) -> tuple[int, ...]:
    if memory is None or not memory.exists():
        return ()
    words = memory.read_text().split()
    return tuple(int(word) for word in words) if all(word.isdecimal() for word in words) else ()
