"""Ports for servers: free ones, and the same ones again for a folder that is used again."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from warren.errors import StackError

# Everything in a stack listens on this address only: a laptop's queue is nobody else's business.
HOST = "127.0.0.1"
# How often to try other ports. Two in a row are bad luck, three are a fault that retrying won't mend.
PORT_ATTEMPTS = 3

_T = TypeVar("_T")


class PortTakenError(StackError):
    """Another process was quicker to listen on a port that had been free: try again with another."""


def free_ports(count: int, wanted: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Pick ports on which nobody listens now.

    Parameters
    ----------
    count : int
        How many.
    wanted : tuple of int, default=()
        These, if they are that many and all of them are free.

    Returns
    -------
    tuple of int
        Different ones. Somebody may take one before it is used: see `with_free_ports`.
    """
    for ports in (wanted, (0,) * count):
        if len(ports) != count:
            continue
        with contextlib.ExitStack() as sockets, contextlib.suppress(OSError):
            found = []
            for port in ports:
                held = sockets.enter_context(socket.socket())
                # A server that has just ended leaves its port lingering, which is no listener.
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held.bind((HOST, port))
                found.append(int(held.getsockname()[1]))
            return tuple(found)
    raise StackError(f"no {count} free ports on {HOST}")


def with_free_ports(count: int, start: Callable[[tuple[int, ...]], _T], memory: Path | None = None) -> _T:
    """Start something on free ports, again on others when somebody was quicker.

    Parameters
    ----------
    count : int
        How many ports.
    start : callable
        Gets them; raises `PortTakenError` when one is taken after all.
    memory : Path, default=None
        File with the ports of the last time, which are tried first, so that URLs noted down stay good.

    Returns
    -------
    object
        What `start` returns.

    Raises
    ------
    PortTakenError
        It happened `PORT_ATTEMPTS` times in a row.
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
