"""Start, watch, stop and replace a training process, from the worker's side."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import psutil

from warren.errors import MessageError, WarrenError
from warren.host import oom_kills
from warren.launch import module_command, module_environment
from warren.messages import Chunk
from warren.safety.secrets import without_secrets
from warren.storage.store import Store
from worker.monitoring.metrics import Metrics
from worker.process import protocol
from worker.process.database_access import DatabaseAccessServer
from worker.process.gpus import GpuClaim
from worker.process.output import TAIL_BYTES, Forwarder, OutputReader
from worker.process.temp_folders import TempFolder, remove_abandoned

logger = logging.getLogger(__name__)

# Seconds to wait for a killed process and its descendants to end.
_REAP_SECONDS = 10.0
# The program that ends everything that a training process started.
_REAPER = Path(__file__).with_name("reaper.py")
# Standard output and error of the worker, to which the output of fits is forwarded.
_PRINTED = (1, 2)
# Length of the first message on a new connection: the process id, sent by the reaper.
_PID_BYTES = 8
# Seconds between two checks of a process that is about to end.
_LOOK_SECONDS = 0.01
# The unit of ru_maxrss (getrusage(2)): kilobytes, but bytes on macOS.
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024

_ON_CPU = GpuClaim()


class TrainingProcessLostError(WarrenError):
    """The training process ended during a chunk, by itself or because of a limit.

    The text tells how.

    Parameters
    ----------
    how : str
        For example ``"the training process was killed by signal 9"``.
    memory_bytes : int or None
        The most memory that it held, if known.
    timed_out : bool, default=False
        Whether it was ended because the current trial took too long.
    killed : bool, default=False
        Whether a person or another program killed it with SIGKILL; not the kernel because memory
        ran out.
    output : str, default=""
        The end of its output.
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


class TrainingProcess:
    """A worker's training process.

    It starts with the first chunk, so that an idle worker stays small.

    Parameters
    ----------
    worker_name : str
        The worker's name, which the process writes into its trials.
    store : Store
        The database that the process reads through this worker.
    metrics : Metrics
        Counts its starts.
    claim : GpuClaim, default=GpuClaim()
        The device on which it fits.
    log_format : {"text", "json"}, default="json"
        The format of its log lines, which are forwarded to the worker's log.
    """

    def __init__(
        self,
        worker_name: str,
        store: Store,
        metrics: Metrics,
        claim: GpuClaim = _ON_CPU,
        log_format: Literal["text", "json"] = "json",
    ) -> None:
        self._worker_name = worker_name
        self._database = DatabaseAccessServer(store)
        self._log_format = log_format
        self._claim = claim
        self._metrics = metrics
        # The reaper; closing its standard input ends the training process.
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        # How many processes the kernel had killed because memory ran out when this one started.
        self._oom_kills: int | None = None
        self._pid: int | None = None
        self._temp_folder: TempFolder | None = None
        self._forwarders: list[Forwarder] = []
        self._outputs: list[OutputReader] = []

    @property
    def pid(self) -> int | None:
        """Process id of the training process, or None while there is none."""
        return self._pid

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        questions = self._database.begin()
        try:
            remove_abandoned()
            self._temp_folder = TempFolder()
        except OSError as exc:
            logger.warning("no folder for temporary files of a training process", extra={"reason": str(exc)})
        pipes = [os.pipe() for _ in _PRINTED]
        try:
            with theirs, questions:
                # The GPU and the folder become free only when all processes that use them have
                # ended.
                locks = [self._claim.lock, self._temp_folder.lock if self._temp_folder else None]
                number = str(theirs.fileno())
                temp_folder = self._temp_folder.path if self._temp_folder else ""
                command = [sys.executable, "-I", "-S", str(_REAPER), number]
                self._process = subprocess.Popen(
                    [*command, *module_command("worker.process.main", number, str(questions.fileno()), temp_folder)],
                    pass_fds=[theirs.fileno(), questions.fileno(), *(lock for lock in locks if lock is not None)],
                    stdin=subprocess.PIPE,
                    stdout=pipes[0][1],
                    stderr=pipes[1][1],
                    env=self._environment(),
                    # So that Ctrl-C in the terminal does not reach it, and a kill of the group ends
                    # what outlived the reaper.
                    start_new_session=True,
                )
        finally:
            for _, writer in pipes:
                os.close(writer)
        self._forwarders = self._forwarders or [Forwarder(descriptor) for descriptor in _PRINTED]
        self._outputs = [
            OutputReader(source, forwarder) for (source, _), forwarder in zip(pipes, self._forwarders, strict=True)
        ]
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
            **self._claim.environment(os.environ),
            "WARREN_WORKER_NAME": self._worker_name,
            "WARREN_LOG_FORMAT": self._log_format,
            **({} if self._temp_folder is None else {"TMPDIR": self._temp_folder.path}),
        }

    def begin(self, chunk: Chunk, order: protocol.EvaluateChunk) -> None:
        """Send a chunk to the training process, and start one if there is none.

        Parameters
        ----------
        chunk : Chunk
            From now on the process may read its data and store its models.
        order : protocol.EvaluateChunk
            The message to send.

        Raises
        ------
        TrainingProcessLostError
            The process ended while it received the message.
        """
        if self._process is not None and self._process.poll() is not None:
            self.kill()  # it ended while idle: no trial is to blame
        self._database.turn_to(chunk)
        try:
            protocol.send(self._connection or self._start(), order)
        except ConnectionError as exc:
            raise self._lost() from exc

    def memory_bytes(self) -> int | None:
        """Return the memory that the process holds now; None while there is none.

        Safe in any thread.
        """
        pid = self._pid
        if pid is None:
            return None
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:  # it has just ended
            return None

    def receive(self, seconds: float) -> protocol.Message | None:
        """Return the process's next message, or None after `seconds`.

        Raises
        ------
        TrainingProcessLostError
            The process has ended, or was ended because of an invalid message.
        """
        if self._connection is None:
            raise TrainingProcessLostError("the training process was stopped")
        try:
            if not self._connection.poll(max(0.0, seconds)):
                if self._process is None or self._process.poll() is None or self.has_more():
                    return None
                raise EOFError  # a process that outlived it still has the connection open
            return protocol.receive(self._connection)
        except (EOFError, ConnectionError) as exc:
            raise self._lost() from exc
        except MessageError as exc:
            output = self.output()
            raise TrainingProcessLostError(f"the training process sent {exc}", self.kill(), output=output) from exc

    def has_more(self) -> bool:
        """Return whether a message of the process, or its end, is waiting."""
        return self._connection is not None and self._connection.poll(0)

    def stop_after(self, what: protocol.StopPoint) -> None:
        """Ask the process to stop after the current trial or fold.

        It answers as at the end of a chunk.
        """
        self._send(protocol.StopAfter(what=what))

    def results_durable(self, *, given_up: bool) -> None:
        """Report that every result of the last chunk is durable.

        Parameters
        ----------
        given_up : bool
            Whether the study no longer needs the rest of the chunk either.
        """
        self._send(protocol.ResultsDurable(given_up=given_up))

    def _send(self, message: protocol.Message) -> None:
        if self._connection is not None:
            try:
                protocol.send(self._connection, message)
            except ConnectionError:
                logger.debug("the training process is gone already")

    def output(self, part: int | None = None) -> str:
        """Return the end of what was printed in a part of the output.

        None means the current part.
        """
        ends = [output.tail(part) for output in self._outputs]
        return "\n".join(end for end in ends if end)[-TAIL_BYTES:]

    def _lost(self) -> TrainingProcessLostError:
        """Clean up after the process ended, and return an error that tells how it ended."""
        process, most = self._process, None
        if process is not None:
            # A process that closed its socket is about to end; if it hangs, it gets no more time.
            most = _reap(process, _REAP_SECONDS)
        code = process.returncode if process else None
        output = self.output()
        self.kill()
        if code is None:
            return TrainingProcessLostError("the training process closed its connection and hung", output=output)
        if code < 0:
            killed = code == -signal.SIGKILL and self._oom_kills is not None and oom_kills() == self._oom_kills
            cause = " (out of memory, most likely)" if code == -signal.SIGKILL and not killed else ""
            how = f"the training process was killed by signal {-code}{cause}"
            return TrainingProcessLostError(how, most, killed=killed, output=output)
        return TrainingProcessLostError(f"the training process exited with code {code}", most, output=output)

    def kill(self) -> int | None:
        """End the process and everything that it started at once; harmless when there is none.

        Returns
        -------
        int or None
            The most memory that it held, in bytes, if known.
        """
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._database.end()
        process, self._process = self._process, None
        self._pid, self._outputs = None, []
        most = None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            if process.returncode is None:
                most = _reap(process, _REAP_SECONDS)
            # No process is left now, unless the reaper hangs or was killed.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        if self._temp_folder is not None:
            self._temp_folder.remove()
            self._temp_folder = None
        return most


def _reap(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Wait for a process to end.

    Return the most memory that it held, in bytes, or None if it does not end.

    `subprocess` does not report the memory. So this function waits itself, and sets the exit code
    on `process`.
    """
    deadline = time.monotonic() + seconds
    while process.returncode is None:
        try:
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
        except ChildProcessError:  # `poll` has already waited
            process.wait(seconds)
            return None
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return used.ru_maxrss * _MAXRSS_BYTES
        if time.monotonic() > deadline:
            return None
        time.sleep(_LOOK_SECONDS)
    return None
