"""A whole Warren on this machine, for as long as a notebook needs it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import operator
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from producer.environment import named_servers
from producer.stack.broker import start_broker
from producer.stack.database import start_database
from producer.stack.folder import Folder
from producer.stack.site import Server, Site
from producer.stack.workers import WorkerHandle, start_worker
from tuning.errors import InputError, StackError

logger = logging.getLogger(__name__)

# Seconds between two looks at whether the workers are still there.
WATCH_SECONDS = 1.0


def local_stack(
    workers: int = 2, *, data_dir: str | Path | None = None, log: Callable[[str], None] | None = None
) -> LocalStack:
    """Bring RabbitMQ, a MongoDB-compatible server and workers up on this machine.

    Parameters
    ----------
    workers : int, default=2
        Worker processes. Each gets an equal share of the machine's cores as its threads, at least one,
        unless ``WARREN_THREADS`` says how many. 0 starts the servers only.
    data_dir : str or Path, default=None
        Folder that keeps the queue and the results: a later stack on the same folder finds them again.
        None means a temporary folder, and **everything in it, results too, goes with the stack**. (Data of
        servers that run in Docker is in volumes, whose names the folder keeps.)
    log : callable, default=None
        Takes lines of text on what is being done, ``print`` for one. None logs them.

    Returns
    -------
    LocalStack
        A context manager. Inside, ``AMQP_URL`` and ``MONGO_URL`` are set in ``os.environ``, and afterwards
        as they were before. Where they are set already, those servers are used, and left alone at the end.

    Raises
    ------
    InputError
        `workers` is not a number from 0.

    Examples
    --------
    >>> with local_stack(workers=2) as stack:  # doctest: +SKIP
    ...     study = submit(estimator, param_grid, X, y)
    ...     study.wait()
    """
    return LocalStack(workers, data_dir=data_dir, log=log)


class LocalStack:
    """Servers and workers on this machine; made by `local_stack`, up from ``with`` or `start` on.

    Whatever ends this process, SIGKILL included, what the stack started ends too.

    Parameters
    ----------
    workers, data_dir, log
        As in `local_stack`.
    """

    def __init__(
        self, workers: int = 2, *, data_dir: str | Path | None = None, log: Callable[[str], None] | None = None
    ) -> None:
        try:
            count = -1 if isinstance(workers, bool) else operator.index(workers)
        except TypeError:
            count = -1
        if count < 0:
            raise InputError(f"workers={workers!r}: give a whole number, 0 (servers only) or more")
        self._count = count
        self._named = data_dir
        self._log = log or logger.info
        self._warn = log or logger.warning
        self._up: _Up | None = None
        self._undo = contextlib.ExitStack()
        self._numbers = itertools.count()
        self.workers: list[WorkerHandle] = []

    @property
    def amqp_url(self) -> str:
        """RabbitMQ's URL, password included."""
        return self._require_up().broker.url

    @property
    def mongo_url(self) -> str:
        """The database server's URL."""
        return self._require_up().database.url

    @property
    def servers(self) -> str:
        """Which broker and which database serve, for people."""
        up = self._require_up()
        return f"broker: {up.broker.how}; database: {up.database.how}"

    @property
    def data_dir(self) -> Path:
        """The folder that holds everything that the stack writes."""
        return self._require_up().site.folder

    @property
    def logs(self) -> Path:
        """Folder with ``broker.log``, ``database.log``, ``worker-0.log`` and so on."""
        return self._require_up().site.logs

    def start(self) -> Self:
        """Bring everything up; `stop` takes it down. ``with`` does both.

        Returns
        -------
        LocalStack
            Itself.

        Raises
        ------
        StackError
            It is up already, the folder is in use, or a server can't be had.
        """
        if self._up is not None:
            raise StackError("this stack is up already: stop it first, or make another one")
        with contextlib.ExitStack() as undo:
            folder = Folder(self._named)
            undo.callback(folder.close)
            site = Site(folder=folder.path, temporary=folder.temporary, log=self._log)
            broker, database = _start_servers(site, undo)
            self._up = _Up(site=site, broker=broker, database=database)
            undo.callback(self._forget)
            undo.enter_context(named_servers(self._up.broker.url, self._up.database.url))
            self.workers = []
            self._numbers = itertools.count()
            undo.callback(self._stop_workers)
            for _ in range(self._count):
                self.start_worker()
            undo.enter_context(_watched(self.workers, self._warn))
            self._undo = undo.pop_all()
        return self

    def stop(self) -> None:
        """Take everything down: workers first, then the servers. Harmless when it is down."""
        self._undo.close()

    def start_worker(self) -> WorkerHandle:
        """Start one more worker.

        Returns
        -------
        WorkerHandle

        Raises
        ------
        StackError
            The stack isn't up, or the process can't be started.
        """
        up = self._require_up()
        handle = start_worker(next(self._numbers), self._count, up.urls, up.site)
        self.workers.append(handle)
        return handle

    def stop_worker(self, handle: WorkerHandle) -> None:
        """Stop one worker, as a preempted node does: it gets SIGTERM and some seconds.

        Parameters
        ----------
        handle : WorkerHandle
            One of `workers`, which loses it.
        """
        if handle in self.workers:
            self.workers.remove(handle)
        handle.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _require_up(self) -> _Up:
        if self._up is None:
            raise StackError("this stack isn't up: use it inside `with local_stack() as stack:`")
        return self._up

    def _forget(self) -> None:
        self._up = None

    def _stop_workers(self) -> None:
        for worker in self.workers:
            worker.release()
        for worker in self.workers:
            worker.stop()


@dataclass(frozen=True, kw_only=True)
class _Up:
    """What a stack that is up consists of, besides its workers."""

    site: Site
    broker: Server
    database: Server

    @property
    def urls(self) -> dict[str, str]:
        return {"AMQP_URL": self.broker.url, "MONGO_URL": self.database.url}


def _stop_servers(servers: Iterable[Server]) -> None:
    """Stop servers side by side."""
    guarded = [server.guarded for server in servers if server.guarded is not None]
    for process in guarded:
        process.release()
    for process in guarded:
        process.stop()


def _start_servers(site: Site, undo: contextlib.ExitStack) -> tuple[Server, Server]:
    """Start broker and database side by side; `undo` learns how to stop them."""
    environ = dict(os.environ)
    up: list[Server] = []
    undo.callback(lambda: _stop_servers(up))

    def start(what: Callable[[Site, Mapping[str, str]], Server]) -> Server:
        began = time.monotonic()
        server = what(site, environ)
        if site.cancelled.is_set():
            # Nobody waits for it any more.
            _stop_servers([server])
            raise StackError("start-up was interrupted")
        up.append(server)
        site.log(f"{server.how}: up after {time.monotonic() - began:.1f} s")
        return server

    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="warren-stack") as pool:
        try:
            starts = [pool.submit(start, what) for what in (start_broker, start_database)]
            wait(starts)
        except BaseException:  # Ctrl-C above all
            # Before the pool waits for its threads, which look at this.
            site.cancelled.set()
            raise
    errors = [error for one in starts if (error := one.exception()) is not None]
    for error in errors:
        if not isinstance(error, StackError):
            raise error
    if errors:
        raise StackError("\n".join(str(error) for error in errors))
    broker, database = (one.result() for one in starts)
    return broker, database


@contextlib.contextmanager
def _watched(workers: list[WorkerHandle], warn: Callable[[str], None]) -> Iterator[None]:
    """Say so when a worker ends that nobody stopped: otherwise its study would just stand still."""
    over = threading.Event()

    def watch() -> None:
        told: set[int] = set()
        while not over.wait(WATCH_SECONDS):
            for worker in list(workers):
                if not worker.running and worker.pid not in told and not over.is_set():
                    told.add(worker.pid)
                    warn(f"Worker {worker.name} ended with exit code {worker.exit_code}; its log is {worker.log}")

    thread = threading.Thread(target=watch, name="warren-stack-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
