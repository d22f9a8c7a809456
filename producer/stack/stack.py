"""Runs servers and workers on this machine for a notebook or a script."""

from __future__ import annotations

import contextlib
import itertools
import logging
import operator
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from producer.lifetime import Lasting
from producer.stack.broker import start_broker
from producer.stack.data_dir import Folder, path_of
from producer.stack.database import start_database
from producer.stack.private_files import secret
from producer.stack.providers import Server, Site
from producer.stack.workers import WorkerHandle, start_worker
from warren.errors import InputError, StackError
from warren.safety.signing import new_key
from warren.settings import named_by_others, named_servers

logger = logging.getLogger(__name__)

# Seconds between checks whether the workers still run.
WATCH_SECONDS = 1.0

# Stacks that `LocalStack.start` started in this process, by folder: another `start` replaces them.
_started: dict[Path, Lasting] = {}


def local_stack(
    workers: int = 2, *, data_dir: str | Path | None = None, log: Callable[[str], None] | None = None
) -> LocalStack:
    """Start RabbitMQ, a MongoDB-compatible server and workers on this machine.

    Parameters
    ----------
    workers : int, default=2
        Number of worker processes. The threads of the machine's cores are divided equally among
        them, at least one each, unless ``WARREN_THREADS`` sets the number. 0 starts only the
        servers.
    data_dir : str or Path, default=None
        Folder for the queue and the results: a later stack on the same folder finds them again.
        None uses a temporary folder, and **everything in it, including results, is deleted with the
        stack**. (Servers in Docker keep their data in volumes, whose names are in the folder.) Only
        one stack at a time can use a folder.
    log : callable, default=None
        Called with a line of text for each step, such as ``print``. None logs them.

    Returns
    -------
    LocalStack
        A context manager. Inside, ``AMQP_URL``, ``MONGO_URL`` and ``WARREN_KEY`` are set in
        ``os.environ``; afterwards they have their old values, also if several stacks end in any
        order. If both URLs are already set, the stack uses those servers and does not stop them;
        only one URL is an error. A stack next to another has its own servers. An existing
        ``WARREN_KEY`` stays.

    Raises
    ------
    InputError
        `workers` is not an integer of at least 0.

    Examples
    --------
    >>> with local_stack(workers=2) as stack:  # doctest: +SKIP
    ...     study = submit(estimator, param_grid, X, y)
    ...     study.wait()
    """
    return LocalStack(workers, data_dir=data_dir, log=log)


class LocalStack:
    """Servers and workers on this machine; made by `local_stack`, started by ``with`` or `start`.

    When this process ends, even by SIGKILL, everything that the stack started ends, too.

    Parameters
    ----------
    workers : int, default=2
        Number of worker processes, as in `local_stack`.
    data_dir : str or Path, default=None
        Folder for the queue and the results; None uses a temporary one.
    log : callable, default=None
        Called with a line of text for each step. None logs them.

    Raises
    ------
    InputError
        `workers` is not an integer of at least 0.
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
        self._lasting: Lasting | None = None
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
    def key(self) -> str | None:
        """The value of ``WARREN_KEY``: the path of the file with the key; None without signing."""
        return self._require_up().key

    @property
    def servers(self) -> str:
        """A description of the broker and the database."""
        up = self._require_up()
        return f"broker: {up.broker.how}; database: {up.database.how}"

    @property
    def data_dir(self) -> Path:
        """The folder for everything that the stack writes."""
        return self._require_up().site.folder

    @property
    def logs(self) -> Path:
        """Folder with ``broker.log``, ``database.log``, ``worker-0.log`` and so on."""
        return self._require_up().site.logs

    def start(self) -> Self:
        """Start everything; `stop` stops it. ``with`` does both.

        The stack runs until `stop`, or until this object is deleted or this process ends. A
        notebook cell may run `start` again: an earlier stack of this process on the same folder is
        stopped first, and the new one finds its queue, results and ports.

        Returns
        -------
        LocalStack
            This object: keep it in a variable.

        Raises
        ------
        StackError
            The stack already runs, the folder is in use, one of ``AMQP_URL`` and ``MONGO_URL`` is
            set without the other, or a server can't be started.
        """
        return self._start(replaces=True)

    def _start(self, *, replaces: bool) -> Self:
        if self._lasting is not None and not self._lasting.over:
            raise StackError("this stack already runs: stop it first, or make another one")
        environ = named_by_others()
        _refuse_half(environ)
        path = None if self._named is None else path_of(self._named)
        earlier = _started.get(path) if path else None
        if earlier is not None and (replaces or not earlier.has_owner):
            self._log(f"Stopping the stack that runs on {path}: this one replaces it")
            earlier.end()
        with contextlib.ExitStack() as undo:
            folder = Folder(path)
            if replaces:  # registered first, so undone last: the replacing stack waits for all the rest
                undo.callback(_started.pop, folder.path, None)
            undo.callback(folder.close)
            site = Site(folder=folder.path, temporary=folder.temporary, log=self._log)
            is_new = not (site.folder / "database" / "kept-by").exists()
            if is_new and not (environ.get("WARREN_KEY") or environ.get("AMQP_URL")):
                _key(site, is_new)  # made first, so that a failed first start also leaves a key
            broker, database = _start_servers(site, environ, undo)
            private = broker.guarded is not None
            # Servers that this stack did not start may hold others' studies, signed with another
            # key or none.
            key = environ.get("WARREN_KEY") or (_key(site, is_new) if private else None)
            undo.enter_context(named_servers(broker.url, database.url, key, private=private))
            up = _Up(site=site, broker=broker, database=database, key=key, count=self._count)
            undo.callback(_stop_workers, up.workers)
            for _ in range(self._count):
                up.start_worker()
            undo.enter_context(_watched(up.workers, self._warn))
            self._up, self.workers = up, up.workers
            self._lasting = Lasting(
                self, undo.pop_all(), self._warn, "Stopping a stack that no variable holds any more"
            )
            if replaces:
                _started[folder.path] = self._lasting
        return self

    def stop(self) -> None:
        """Stop the workers, then the servers. Does nothing if the stack is stopped."""
        if self._lasting is not None:
            self._lasting.end()

    def start_worker(self) -> WorkerHandle:
        """Start one more worker.

        Returns
        -------
        WorkerHandle
            The new worker, also in `workers`.

        Raises
        ------
        StackError
            The stack does not run, or the process can't be started.
        """
        return self._require_up().start_worker()

    def stop_worker(self, handle: WorkerHandle) -> None:
        """Stop one worker as a preemption does: with SIGTERM and some seconds of grace.

        Parameters
        ----------
        handle : WorkerHandle
            One of `workers`; it is removed from them.
        """
        if handle in self.workers:
            self.workers.remove(handle)
        handle.stop()

    def __enter__(self) -> Self:
        return self._start(replaces=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _require_up(self) -> _Up:
        if self._up is None or self._lasting is None or self._lasting.over:
            raise StackError("this stack does not run: use it inside `with local_stack() as stack:`")
        return self._up


@dataclass(frozen=True, kw_only=True)
class _Up:
    """The parts of a running stack."""

    site: Site
    broker: Server
    database: Server
    key: str | None
    """The value of ``WARREN_KEY``."""
    count: int
    """Number of workers that share the machine."""
    workers: list[WorkerHandle] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def start_worker(self) -> WorkerHandle:
        urls = {"AMQP_URL": self.broker.url, "MONGO_URL": self.database.url, "WARREN_KEY": self.key or ""}
        handle = start_worker(next(self.numbers), self.count, urls, self.site)
        self.workers.append(handle)
        return handle


def _key(site: Site, is_new: bool) -> str | None:
    """Return the path of the folder's key; None for a folder of a version without signing."""
    file = site.folder / "key"
    if not is_new and not file.exists():
        site.log(
            f"Studies are not signed: {site.folder} has studies of a version without signatures, which workers with a "
            "key would refuse. Another data_dir gets a key"
        )
        return None
    secret(file, new_key)
    return str(file)


def _refuse_half(environ: Mapping[str, str]) -> None:
    """Refuse to combine an existing broker with a new database, or the reverse.

    The workers would receive chunks of studies that their database does not know, and delay ours.
    """
    named = [name for name in ("AMQP_URL", "MONGO_URL") if environ.get(name)]
    if len(named) != 1:
        return
    (given,) = named
    missing, what = ("MONGO_URL", "database") if given == "AMQP_URL" else ("AMQP_URL", "broker")
    raise StackError(
        f"{given} is set and {missing} is not: a stack with its own {what} would mix its studies with those of others "
        f"there. Unset {given} to get your own servers, or set {missing} to the {what} that belongs to it; if none "
        f"does and only you use it, start one and set {missing} to it"
    )


def _stop_workers(workers: Iterable[WorkerHandle]) -> None:
    """Stop workers in parallel."""
    running = list(workers)
    for worker in running:
        worker.release()
    for worker in running:
        worker.stop()


def _stop_servers(servers: Iterable[Server]) -> None:
    """Stop servers in parallel."""
    guarded = [server.guarded for server in servers if server.guarded is not None]
    for process in guarded:
        process.release()
    for process in guarded:
        process.stop()


def _start_servers(site: Site, environ: Mapping[str, str], undo: contextlib.ExitStack) -> tuple[Server, Server]:
    """Start the broker and the database in parallel; `undo` will stop them."""
    up: list[Server] = []
    undo.callback(lambda: _stop_servers(up))

    def start(what: Callable[[Site, Mapping[str, str]], Server]) -> Server:
        began = time.monotonic()
        try:
            server = what(site, environ)
        except OSError as exc:  # its files can't be read or written
            raise StackError(f"{exc}: does another user own files in {site.folder}? Pass your own data_dir") from exc
        if site.cancelled.is_set():
            # The start was cancelled: no one else stops this server.
            _stop_servers([server])
            raise StackError("start-up was interrupted")
        up.append(server)
        site.log(f"{server.how}: up after {time.monotonic() - began:.1f} s")
        return server

    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="warren-stack") as pool:
        try:
            starts = [pool.submit(start, what) for what in (start_broker, start_database)]
            wait(starts)
        except BaseException:  # mainly Ctrl-C
            # Set before the pool waits for its threads, which check it.
            site.cancelled.set()
            raise
    errors = [error for future in starts if (error := future.exception()) is not None]
    for error in errors:
        if not isinstance(error, StackError):
            raise error
    if errors:
        raise StackError("\n".join(str(error) for error in errors))
    broker, database = (future.result() for future in starts)
    return broker, database


@contextlib.contextmanager
def _watched(workers: list[WorkerHandle], warn: Callable[[str], None]) -> Iterator[None]:
    """Warn if a worker ends by itself: otherwise its study would stall without a message."""
    over = threading.Event()

    def watch() -> None:
        reported: set[int] = set()
        while not over.wait(WATCH_SECONDS):
            for worker in list(workers):
                if not worker.running and worker.pid not in reported and not over.is_set():
                    reported.add(worker.pid)
                    warn(f"Worker {worker.name} ended with exit code {worker.exit_code}; its log is {worker.log}")

    thread = threading.Thread(target=watch, name="warren-stack-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
