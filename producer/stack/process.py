"""The processes of a stack: guarded servers and workers, and short commands."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from producer.stack.ports import PortTakenError
from producer.stack.startup_errors import Cause, find
from warren.errors import StackError

# Seconds between checks of a starting server: little compared with its start.
POLL_SECONDS = 0.05
# Seconds that a guard may need beyond its grace: for killing, and for Docker to remove a container.
GUARD_SLACK_SECONDS = 40.0
# Seconds for a server to write its data, and for a command to give up. RabbitMQ needs 1, the
# databases 2.
GRACE_SECONDS = 15.0
# Last lines of a server's log in an error: enough to show a cause, short enough to read.
TAIL_LINES = 12
# Most characters of such a line: Erlang writes whole call stacks on one line.
TAIL_WIDTH = 200
# Messages of servers, Erlang's distribution and Docker if another process listens on their port.
_PORT_TAKEN = re.compile(
    r"eaddrinuse|address already in use|dist_port_already_used|nodistribution|port is already allocated", re.IGNORECASE
)

# Colour codes of terminals.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_GUARD = Path(__file__).with_name("guard.py")


class Guarded:
    """A command under a guard: it ends by `stop`, and always when this process ends.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    log : Path
        File for the output; it is overwritten.
    env : mapping of str to str, default=None
        The whole environment; None uses this process's own.
    grace : float, seconds
        Between SIGTERM and SIGKILL; 0 kills at once.
    cwd : Path, default=None
        Working folder; None uses this process's own.
    hold : Path, default=None
        File that stays locked until the command and its descendants have ended.
    beside : sequence of str, default=()
        A second command that runs next to the first and ends after it.
    last : sequence of str, default=()
        A command that always runs after the end.

    Raises
    ------
    StackError
        The command can't be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        grace: float,
        cwd: Path | None = None,
        hold: Path | None = None,
        beside: Sequence[str] = (),
        last: Sequence[str] = (),
    ) -> None:
        self.log = log
        self._grace = grace
        reader, writer = os.pipe()
        arguments = ["--grace", str(grace), "--pid-fd", str(writer)]
        arguments += ["--beside", json.dumps(list(beside)), "--finally", json.dumps(list(last))]
        if hold is not None:
            arguments += ["--hold", str(hold)]
        try:
            with log.open("wb") as output:
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_GUARD), *arguments, "--", *command],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=env,
                    cwd=cwd,
                    pass_fds=(writer,),
                    # A terminal sends Ctrl-C to the whole foreground group, but only the guard may
                    # end the command.
                    start_new_session=True,
                )
        except OSError as exc:
            os.close(reader)
            raise StackError(f"{command[0]} can't be started: {exc}") from exc
        finally:
            os.close(writer)
        with os.fdopen(reader) as answer:
            pid = answer.read()
        if not pid:
            self.stop()
            raise StackError(self.tail() or f"{command[0]} can't be started")
        self.pid = int(pid)

    @property
    def running(self) -> bool:
        """Whether the command still runs."""
        return self._guard.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code of the command, 128 + n if signal n ended it; None while it runs."""
        return self._guard.poll()

    def release(self) -> None:
        """Tell the guard to end the command, and don't wait for it."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()

    def stop(self) -> None:
        """End the command and its descendants, and wait for their end."""
        self.release()
        try:
            self._guard.wait(self._grace + GUARD_SLACK_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(psutil.NoSuchProcess):
                guard = psutil.Process(self._guard.pid)
                for process in [*guard.children(recursive=True), guard]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            self._guard.wait()

    def tail(self) -> str:
        """Return the last lines of the command's output."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        lines = _COLOUR.sub("", text).splitlines()
        return "\n".join(line[:TAIL_WIDTH] for line in lines[-TAIL_LINES:] if line.strip())

    def listens_on(self, port: int) -> bool:
        """Return whether the command or a descendant listens on a port.

        A server that answers there may be another stack's, which took the port first.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            guard = psutil.Process(self._guard.pid)
            for process in guard.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    for connection in process.net_connections("tcp"):
                        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                            return True
        return False


def wait_until_up(
    server: Guarded,
    answers: Callable[[], bool],
    *,
    seconds: float,
    cancelled: threading.Event,
    causes: Sequence[Cause] = (),
) -> None:
    """Wait until a server answers.

    Parameters
    ----------
    server : Guarded
        The server.
    answers : callable
        Returns whether the server answers; called repeatedly.
    seconds : float, seconds
        The longest wait.
    cancelled : threading.Event
        Ends the wait.
    causes : sequence of (pattern, str), default=()
        Known log messages and their meanings: `producer.stack.startup_errors`.

    Raises
    ------
    PortTakenError
        Another process has the port.
    StackError
        The server ended, or did not answer in time; the message has the cause if known, else the
        last lines of its log.
    """
    deadline = time.monotonic() + seconds
    while server.running:
        if answers():
            return
        if cancelled.wait(POLL_SECONDS):
            raise StackError("start-up was interrupted")
        if time.monotonic() > deadline:
            raise StackError(f"no answer within {seconds:g} s; the end of its log:\n{server.tail()}")
    text = f"it ended with exit code {server.exit_code} while starting; the end of its log:\n{server.tail()}"
    log = server.log.read_text(errors="replace")
    if _PORT_TAKEN.search(log):
        raise PortTakenError(text)
    if meaning := find(log, causes):
        raise StackError(f"{meaning}. Its log is {server.log}")
    raise StackError(text)


def run_tool(
    command: Sequence[str], *, seconds: float, cancelled: threading.Event, env: Mapping[str, str] | None = None
) -> str:
    """Run a short command to its end.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    seconds : float, seconds
        The longest run.
    cancelled : threading.Event
        Ends it with SIGINT, as Ctrl-C in a terminal does.
    env : mapping of str to str, default=None
        The whole environment; None uses this process's own.

    Returns
    -------
    str
        Its standard output.

    Raises
    ------
    StackError
        It can't be run, failed, or took too long; the message has its last lines.
    """
    shown = " ".join(command[:3])
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=env, start_new_session=True
            )
        except OSError as exc:
            raise StackError(f"{shown}: {exc.strerror}") from exc
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            if cancelled.wait(POLL_SECONDS) or time.monotonic() > deadline:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                raise StackError(
                    "start-up was interrupted" if cancelled.is_set() else f"{shown}: not done after {seconds:g} s"
                )
        errors.seek(0)
        output.seek(0)
        text = output.read().decode(errors="replace")
        if process.returncode != 0:
            lines = errors.read().decode(errors="replace").strip().splitlines() or text.strip().splitlines()
            raise StackError(f"{shown}: " + " / ".join(lines[-2:] or [f"exit code {process.returncode}"]))
        return text
