"""The worker processes of a stack."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from producer.stack.process import Guarded
from producer.stack.providers import Site
from warren.host import available_threads
from warren.launch import module_command, module_environment
from warren.settings import load_settings, whole_folders

# Seconds that the current trial gets to end when a stack stops, unless WARREN_GRACE_SECONDS is set.
# Short, because a notebook cell waits for it; the chunk is requeued, so nothing is lost.
TRIAL_GRACE_SECONDS = 4.0
# Further seconds for a worker to write its results and requeue the chunk.
WRITE_SECONDS = 1.0


class WorkerHandle:
    """A worker process.

    Parameters
    ----------
    name : str
        Its name in trial documents.
    guarded : Guarded
        Its process.
    """

    def __init__(self, name: str, guarded: Guarded) -> None:
        self.name = name
        self._guarded = guarded

    def __repr__(self) -> str:
        state = "running" if self.running else f"ended with {self.exit_code}"
        return f"<worker {self.name}, pid {self.pid}, {state}>"

    @property
    def pid(self) -> int:
        """Process id of the worker; its child processes train."""
        return self._guarded.pid

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._guarded.running

    @property
    def exit_code(self) -> int | None:
        """Exit code, 128 + n if signal n ended it; None while it runs."""
        return self._guarded.exit_code

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self._guarded.log

    def release(self) -> None:
        """Tell the worker to end, and don't wait."""
        self._guarded.release()

    def stop(self) -> None:
        """End the worker: SIGTERM, then SIGKILL after the grace period."""
        self._guarded.stop()


def worker_environment(index: int, workers: int, urls: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of one worker.

    Parameters
    ----------
    index : int
        Its number.
    workers : int
        Number of workers that share the machine.
    urls : mapping of str to str
        ``AMQP_URL``, ``MONGO_URL`` and ``WARREN_KEY``.
    environ : mapping of str to str
        The caller's environment. Its threads, grace and ``WARREN_PATH`` have priority.

    Returns
    -------
    dict of str to str
    """
    folders = whole_folders(environ.get("WARREN_PATH", ""))
    return {
        "WARREN_THREADS": str(max(1, available_threads() // max(1, workers))),
        "WARREN_GRACE_SECONDS": str(TRIAL_GRACE_SECONDS),
        **module_environment(environ),
        **({"WARREN_PATH": os.pathsep.join(folders)} if folders else {}),
        **urls,
        "WARREN_WORKER_NAME": f"{socket.gethostname()}-{index}",
        # Users follow the log while the worker runs.
        "PYTHONUNBUFFERED": "1",
    }


def start_worker(index: int, workers: int, urls: Mapping[str, str], site: Site) -> WorkerHandle:
    """Start one worker process.

    Parameters
    ----------
    index : int
        Its number, which is part of its name and of its log file's.
    workers : int
        Number of workers that share the machine.
    urls : mapping of str to str
        ``AMQP_URL``, ``MONGO_URL`` and ``WARREN_KEY``.
    site : Site
        The stack's folder and settings.

    Returns
    -------
    WorkerHandle

    Raises
    ------
    StackError
        The process can't be started.
    """
    env = worker_environment(index, workers, urls, os.environ)
    grace = load_settings().grace_seconds if "WARREN_GRACE_SECONDS" in os.environ else TRIAL_GRACE_SECONDS
    guarded = Guarded(
        module_command("worker"),
        log=site.logs / f"worker-{index}.log",
        env=env,
        grace=grace + WRITE_SECONDS,
        hold=site.hold,
    )
    return WorkerHandle(env["WARREN_WORKER_NAME"], guarded)
