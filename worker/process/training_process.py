"""The training process seen from the worker: started when there is work, stopped, lost and replaced."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import psutil

from warren.errors import WarrenError
from warren.host import oom_kills
from warren.launch import module_command, module_environment
from warren.messages import Chunk
from warren.safety.secrets import without_secrets
from warren.storage.documents import pack
from warren.storage.store import Store
from worker.monitoring.metrics import Metrics
from worker.process.database_access import Supplier
from worker.process.gpus import Place
from worker.process.output import TAIL_BYTES, Output, Sink
from worker.process.temp_folders import Scratch, remove_abandoned

logger = logging.getLogger(__name__)

# Seconds that a stopped process gets to be reaped, and all below it; SIGKILL can't be refused.
_REAP_SECONDS = 10.0
# Ends whatever a training process started.
_REAPER = Path(__file__).with_name("reaper.py")
# Standard output and error: where what a fit writes to its own goes.
_PRINTED = (1, 2)
# Bytes of the first word on a new connection: the process id.
_PID_BYTES = 8


# Seconds between two looks at a process that is about to end.
_LOOK_SECONDS = 0.01
# What ru_maxrss counts in (getrusage(2)): kilobytes, and bytes on macOS.
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


_ON_CPU = Place()


class ChildLostError(WarrenError):
    """The training process ended in the middle of a chunk, by itself or for a limit. The text says how.

    Parameters
    ----------
    how : str
        ``"the training process was killed by signal 9"``.
    memory_bytes : int or None
        The most that it held, as far as it is known.
    timed_out : bool, default=False
        It was ended because the trial in hand took too long.
    killed : bool, default=False
        Somebody killed it: it was SIGKILL, and not for want of memory.
    output : str, default=""
        The end of what it printed.
    """

    def __init__(
        self,
        how: str,
        memory_bytes: int | None = None,
        *,
        timed_out: bool = False,
        killed: bool = False,
        output: str = "",
    ) -> None:
        super().__init__(how)
        self.memory_bytes = memory_bytes
        self.timed_out = timed_out
        self.killed = killed
        self.output = output


@dataclass(frozen=True, kw_only=True)
class Order:
    """A chunk for the training process, and what is known of its trials.

    Attributes
    ----------
    body : bytes
        The message.
    chunk : Chunk
        What it says.
    skip : set of int
        Numbers that have a result.
    attempts : dict of int to int
        Which try this is, by number, where it is not the first.
    alone : set of int
        Numbers that share no fit, whatever the chunk says.
    folds : dict of int to (dict of str to dict)
        Folds that are done, by number and fold, as `worker.training.fit_and_score.FoldResult` holds them.
    left_behind : bool, default=True
        Somebody may have left checkpoints of its trials.
    """

    body: bytes
    chunk: Chunk
    skip: set[int]
    attempts: dict[int, int]
    alone: set[int]
    folds: dict[int, dict[str, Any]]
    left_behind: bool = True

    def pack(self) -> bytes:
        """Return the order as BSON."""
        return pack(
            {
                "body": self.body,
                "skip": sorted(self.skip),
                "attempts": {str(number): tries for number, tries in self.attempts.items()},
                "alone": sorted(self.alone),
                "folds": {str(number): folds for number, folds in self.folds.items()},
                "left_behind": self.left_behind,
            }
        )


class Trainer:
    """Owns one training process; not started before the first chunk, so an idle worker stays small.

    Parameters
    ----------
    worker_name : str
        Whose training process it is; it signs the trials with this name.
    store : Store
        Where it gets data from, by way of this process.
    metrics : Metrics
    place : Place, default=Place()
        Where it fits.
    log_format : {"text", "json"}, default="json"
        How it logs; its lines go where the worker's go.
    """

    def __init__(
        self,
        worker_name: str,
        store: Store,
        metrics: Metrics,
        place: Place = _ON_CPU,
        log_format: Literal["text", "json"] = "json",
    ) -> None:
        self._worker_name = worker_name
        self._supplier = Supplier(store)
        self._log_format = log_format
        self._place = place
        self._metrics = metrics
        # The reaper, which has standard input open for as long as its training process is to live.
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        # Processes that the kernel had ended for want of memory when this one started.
        self._oom_kills: int | None = None
        self._pid: int | None = None
        self._scratch: Scratch | None = None
        self._sinks: list[Sink] = []
        self._outputs: list[Output] = []

    @property
    def pid(self) -> int | None:
        """Process id of the training process, or None while there is none."""
        return self._pid

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        supplies = self._supplier.begin()
        # What it leaves there goes with it, however it ends.
        try:
            remove_abandoned()
            self._scratch = Scratch()
        except OSError as exc:
            logger.warning("no folder for temporary files of a training process", extra={"reason": str(exc)})
        pipes = [os.pipe() for _ in _PRINTED]
        try:
            with theirs, supplies:
                # The GPU and the folder are another's only when all that use them are gone.
                locks = [self._place.lock, self._scratch.lock if self._scratch else None]
                number = str(theirs.fileno())
                scratch = self._scratch.path if self._scratch else ""
                command = [sys.executable, "-I", "-S", str(_REAPER), number]
                self._process = subprocess.Popen(
                    [*command, *module_command("worker.process.main", number, str(supplies.fileno()), scratch)],
                    pass_fds=[theirs.fileno(), supplies.fileno(), *(lock for lock in locks if lock is not None)],
                    stdin=subprocess.PIPE,
                    stdout=pipes[0][1],
                    stderr=pipes[1][1],
                    env=self._environment(),
                    # Ctrl-C reaches the whole terminal, and a kill of this group all that outlived its reaper.
                    start_new_session=True,
                )
        finally:
            for _, writer in pipes:
                os.close(writer)
        self._sinks = self._sinks or [Sink(descriptor) for descriptor in _PRINTED]
        self._outputs = [Output(source, sink) for (source, _), sink in zip(pipes, self._sinks, strict=True)]
        try:
            self._pid = int.from_bytes(ours.recv(_PID_BYTES, socket.MSG_WAITALL), "little") or None
        finally:
            self._connection = Connection(ours.detach())
        self._oom_kills = oom_kills()
        self._metrics.trainer_started()
        logger.info("started a training process", extra={"pid": self._pid})
        return self._connection

    def _environment(self) -> dict[str, str]:
        """Return the environment of a training process."""
        return {
            **module_environment(without_secrets(os.environ)),
            **self._place.environment(os.environ),
            "WARREN_WORKER_NAME": self._worker_name,
            "WARREN_LOG_FORMAT": self._log_format,
            **({} if self._scratch is None else {"TMPDIR": self._scratch.path}),
        }

    def begin(self, order: Order) -> None:
        """Hand a chunk to the training process, starting one if need be.

        Parameters
        ----------
        order : Order

        Raises
        ------
        ChildLostError
            The process ended while it took the order.
        """
        if self._process is not None and self._process.poll() is not None:
            self.kill()  # it died while idle: nobody's trial is to blame
        self._supplier.turn_to(order.chunk)
        try:
            (self._connection or self._start()).send_bytes(b"C" + order.pack())
        except ConnectionError as exc:
            raise self._lost() from exc

    def memory_bytes(self) -> int | None:
        """Return the memory that the process holds now; None while there is none. Safe in any thread."""
        pid = self._pid
        if pid is None:
            return None
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:  # it has just ended
            return None

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
                if self._process is None or self._process.poll() is None or self.has_more():
                    return None
                raise EOFError  # a process that it left has the connection open
            message = self._connection.recv_bytes()
        except (EOFError, ConnectionError) as exc:
            raise self._lost() from exc
        return message[:1].decode(), message[1:]

    def has_more(self) -> bool:
        """Say whether a message of the child's waits to be received, or its end does."""
        return self._connection is not None and self._connection.poll(0)

    def stop_soon(self, after: Literal["trial", "fold"]) -> None:
        """Ask the process to stop after the trial or the fold in hand; it answers as at the end of a chunk."""
        if self._connection is not None:
            try:
                self._connection.send_bytes(b"S" if after == "trial" else b"F")
            except ConnectionError:
                logger.debug("the training process is gone already")

    def results_durable(self, *, given_up: bool) -> None:
        """Tell the process that every result of its last chunk is durable: it may delete what it kept until then.

        Parameters
        ----------
        given_up : bool
            Nobody waits for the rest of the chunk either.
        """
        if self._connection is not None:
            try:
                self._connection.send_bytes(b"Kg" if given_up else b"K")
            except ConnectionError:
                logger.debug("the training process is gone already")

    def output(self, part: int | None = None) -> str:
        """Return the end of what was printed in a part of the training process's work; None is the one in hand."""
        ends = [output.tail(part) for output in self._outputs]
        return "\n".join(end for end in ends if end)[-TAIL_BYTES:]

    def _lost(self) -> ChildLostError:
        """Say how the process ended, and clear up."""
        process, most = self._process, None
        if process is not None:
            # One that closed its socket is about to end; one that hangs there gets no more time.
            most = _reap(process, _REAP_SECONDS)
        code = process.returncode if process else None
        output = self.output()
        self.kill()
        if code is None:
            return ChildLostError("the training process closed its connection and hung", output=output)
        if code < 0:
            killed = code == -signal.SIGKILL and self._oom_kills is not None and oom_kills() == self._oom_kills
            unasked = " (out of memory, most likely)" if code == -signal.SIGKILL and not killed else ""
            how = f"the training process was killed by signal {-code}{unasked}"
            return ChildLostError(how, most, killed=killed, output=output)
        return ChildLostError(f"the training process exited with code {code}", most, output=output)

    def kill(self) -> int | None:
        """End the process and all that it started at once, whatever they do; harmless when there is none.

        Returns
        -------
        int or None
            The most memory that it held, in bytes, as far as it is known.
        """
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._supplier.end()
        process, self._process = self._process, None
        self._pid, self._outputs = None, []
        most = None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            if process.returncode is None:
                most = _reap(process, _REAP_SECONDS)
            # Nothing, unless the reaper hangs, or was killed and left somebody.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None
        return most


def _reap(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Wait for a process to end; return the most memory that it held, in bytes, or None where it does not end.

    `subprocess` waits without asking for the memory: so it is waited for here, and told the outcome.
    """
    deadline = time.monotonic() + seconds
    while process.returncode is None:
        try:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
        except ChildProcessError:  # `poll` was there first
            process.wait(seconds)
            return None
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return used.ru_maxrss * _MAXRSS_BYTES
        if time.monotonic() > deadline:
            return None
        time.sleep(_LOOK_SECONDS)
    return None
