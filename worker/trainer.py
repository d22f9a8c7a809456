"""The training process seen from the worker: started when there is work, stopped, lost and replaced."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

from tuning.errors import WarrenError
from tuning.store import pack

logger = logging.getLogger(__name__)

# Seconds that a stopped process gets to be reaped; SIGKILL can't be refused.
_REAP_SECONDS = 10.0


class ChildLostError(WarrenError):
    """The training process ended in the middle of a chunk. The text says how."""


class TrialTimeoutError(WarrenError):
    """A trial took longer than its study allows; its training process was ended."""


class Trainer:
    """Owns one training process; not started before the first chunk, so an idle worker stays small.

    Parameters
    ----------
    worker_name : str
        Whose training process it is; it signs the trials with this name.
    """

    def __init__(self, worker_name: str) -> None:
        self._worker_name = worker_name
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the training process, or None while there is none."""
        return self._process.pid if self._process else None

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.child", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "WARREN_WORKER_NAME": self._worker_name},
            )
        self._connection = Connection(ours.detach())
        logger.info("started a training process: pid=%d", self._process.pid)
        return self._connection

    def begin(self, body: bytes, skip: set[int], attempts: dict[str, int], alone: set[int]) -> None:
        """Hand a chunk to the training process, starting one if need be.

        Parameters
        ----------
        body : bytes
            The message.
        skip : set of int
            Numbers that have a result.
        attempts : dict of str to int
            Which try this is, by number, where it is not the first.
        alone : set of int
            Numbers that share no fit, whatever the chunk says.

        Raises
        ------
        ChildLostError
            The process ended while it took the order.
        """
        if self._process is not None and self._process.poll() is not None:
            self.kill()  # it died while idle: nobody's trial is to blame
        order = b"C" + pack({"body": body, "skip": sorted(skip), "attempts": attempts, "alone": sorted(alone)})
        try:
            (self._connection or self._start()).send_bytes(order)
        except ConnectionError as exc:
            raise ChildLostError(self._post_mortem()) from exc

    def receive(self, seconds: float) -> tuple[str, bytes] | None:
        """Return the child's next message as its letter and content, or None after `seconds`.

        Raises
        ------
        ChildLostError
            The process has ended.
        """
        if self._connection is None:
            raise ChildLostError("the training process was stopped")
        try:
            if not self._connection.poll(max(0.0, seconds)):
                return None
            message = self._connection.recv_bytes()
        except (EOFError, ConnectionError) as exc:
            raise ChildLostError(self._post_mortem()) from exc
        return message[:1].decode(), message[1:]

    def stop_soon(self) -> None:
        """Ask the process to stop after the trial in hand; it answers as at the end of a chunk."""
        if self._connection is not None:
            try:
                self._connection.send_bytes(b"S")
            except ConnectionError:
                logger.debug("the training process is gone already")

    def _post_mortem(self) -> str:
        code = None
        if self._process is not None:
            # A process that closed its socket is about to end; one that hangs there gets no more time.
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(_REAP_SECONDS)
        self.kill()
        if code is not None and code < 0:
            return f"the training process was killed by signal {-code}" + (
                " (SIGKILL: out of memory, most likely)" if code == -9 else ""
            )
        return f"the training process exited with code {code}"

    def kill(self) -> None:
        """End the process at once, whatever it does; harmless when there is none."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait(_REAP_SECONDS)
            self._process = None
