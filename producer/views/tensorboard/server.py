"""Starts TensorBoard as a process that listens on this machine only."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from producer.views.tensorboard.server_process import HOST
from warren.errors import InputError
from warren.launch import module_command, module_environment

# Seconds until it must answer: it reads every run first.
_START_SECONDS = 120.0
# Seconds between TensorBoard's reads of the folder: less than between our changes.
_RELOAD_SECONDS = 5
_STOP_SECONDS = 10.0


class BoardPage:
    """TensorBoard over a log folder.

    Parameters
    ----------
    folder : path-like
    port : int, default=6006
        0 chooses a free port.
    names : iterable of str, default=()
        Further host names to answer to, besides the names of this machine.

    Attributes
    ----------
    url : str
        Its address for a browser.

    Raises
    ------
    InputError
        The port is taken, or TensorBoard does not start.
    """

    def __init__(self, folder: Path, port: int = 6006, names: Iterable[str] = ()) -> None:
        self._port = _free(port)
        self.url = f"http://{HOST}:{self._port}/"
        self._stderr: TextIO = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed in stop
        arguments = {
            "logdir": folder,
            "host": HOST,
            "port": self._port,
            "reload_interval": _RELOAD_SECONDS,
        }
        self._process = subprocess.Popen(
            module_command(
                "producer.views.tensorboard.server_process",
                ",".join(names),
                *(f"--{name}={value}" for name, value in arguments.items()),
            ),
            env=module_environment(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            # Ctrl-C must only reach this process, which then stops TensorBoard.
            start_new_session=True,
        )
        try:
            self._wait_for_answer()
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Raise `InputError` if it has ended."""
        status = self._process.poll()
        if status is not None:
            raise InputError(f"TensorBoard has ended with status {status}: {self._last_line()}")

    def stop(self) -> None:
        """Stop TensorBoard; does nothing if it has ended."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._stderr.close()

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            if _answers(self._port):
                return
            time.sleep(0.1)
        raise InputError(f"TensorBoard has not answered at {self.url} for {_START_SECONDS:.0f} s: {self._last_line()}")

    def _last_line(self) -> str:
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr if line.strip()]
        return lines[-1] if lines else "it printed nothing"


def _free(port: int) -> int:
    """Return `port` if it is free, or any free port for 0."""
    try:
        with socket.create_server((HOST, port)) as listening:
            return int(listening.getsockname()[1])
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} of {HOST} is in use: stop the program that uses it, or pass another with --port"
            ) from exc
        raise InputError(f"can't listen on port {port} of {HOST} ({exc}): pass another with --port") from exc


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5.0)
    try:
        connection.request("GET", "/data/environment")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
