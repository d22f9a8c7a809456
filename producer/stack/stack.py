"""A whole Warren on this machine, for as long as a notebook needs it."""

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

# Seconds between two looks at whether the workers are still there.
WATCH_SECONDS = 1.0

# Stacks of this process that `LocalStack.start` brought up, by folder: another `start` takes their place.
_started: dict[Path, Lasting] = {}


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
        servers that run in Docker is in volumes, whose names the folder keeps.) A folder serves one stack at a
        time.
    log : callable, default=None
        Takes lines of text on what is being done, ``print`` for one. None logs them.

    Returns
    -------
    LocalStack
        A context manager. Inside, ``AMQP_URL``, ``MONGO_URL`` and ``WARREN_KEY`` are set in ``os.environ``, and
        afterwards as they were before, in whatever order several stacks end. Where both URLs are set already, those
        servers are used, and left alone at the end; one alone is refused. A stack beside another has servers of its
        own. A ``WARREN_KEY`` that is set already stays.

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
        """What ``WARREN_KEY`` is while it lasts: the path of the file with its key. None signs nothing."""
        return self._require_up().key

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

        The stack lasts until `stop`, and not longer than this object or this process. So a notebook's cell may be run
        again: a stack that `start` brought up in this process on the same folder ends first, and the new one finds
        its queue, its results and its ports.

        Returns
        -------
        LocalStack
            Itself: keep it in a variable.

        Raises
        ------
        StackError
            It is up already, the folder is in use, one of ``AMQP_URL`` and ``MONGO_URL`` is set without the other,
            or a server can't be had.
        """
        return self._start(takes_over=True)

    def _start(self, *, takes_over: bool) -> Self:
        if self._lasting is not None and not self._lasting.over:
            raise StackError("this stack is up already: stop it first, or make another one")
        environ = named_by_others()
        _refuse_half(environ)
        path = None if self._named is None else path_of(self._named)
        earlier = _started.get(path) if path else None
        if earlier is not None and (takes_over or not earlier.has_owner):
            self._log(f"This stack takes the place of the one that is up on {path}, which ends first")
            earlier.end()
        with contextlib.ExitStack() as undo:
            folder = Folder(path)
            if takes_over:  # forgotten last: who takes over waits for all the rest
                undo.callback(_started.pop, folder.path, None)
            undo.callback(folder.close)
            site = Site(folder=folder.path, temporary=folder.temporary, log=self._log)
            is_new = not (site.folder / "database" / "kept-by").exists()
            if is_new and not (environ.get("WARREN_KEY") or environ.get("AMQP_URL")):
                _key(site, is_new)  # a first start that fails leaves a folder with a key
            broker, database = _start_servers(site, environ, undo)
            private = broker.guarded is not None
            # Somebody's servers have somebody's studies, signed with a key of theirs if with any.
            key = environ.get("WARREN_KEY") or (_key(site, is_new) if private else None)
            undo.enter_context(named_servers(broker.url, database.url, key, private=private))
            up = _Up(site=site, broker=broker, database=database, key=key, count=self._count)
            undo.callback(_stop_workers, up.workers)
            for _ in range(self._count):
                up.start_worker()
            undo.enter_context(_watched(up.workers, self._warn))
            self._up, self.workers = up, up.workers
            self._lasting = Lasting(self, undo.pop_all(), self._warn, "A stack that no variable holds any more ends")
            if takes_over:
                _started[folder.path] = self._lasting
        return self

    def stop(self) -> None:
        """Take everything down: workers first, then the servers. Harmless when it is down."""
        if self._lasting is not None:
            self._lasting.end()

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
        return self._require_up().start_worker()

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
        return self._start(takes_over=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _require_up(self) -> _Up:
        if self._up is None or self._lasting is None or self._lasting.over:
            raise StackError("this stack isn't up: use it inside `with local_stack() as stack:`")
        return self._up


@dataclass(frozen=True, kw_only=True)
class _Up:
    """What a stack that is up consists of."""

    site: Site
    broker: Server
    database: Server
    key: str | None
    """As ``WARREN_KEY`` has it."""
    count: int
    """Workers that share the machine."""
    workers: list[WorkerHandle] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def start_worker(self) -> WorkerHandle:
        urls = {"AMQP_URL": self.broker.url, "MONGO_URL": self.database.url, "WARREN_KEY": self.key or ""}
        handle = start_worker(next(self.numbers), self.count, urls, self.site)
        self.workers.append(handle)
        return handle


def _key(site: Site, is_new: bool) -> str | None:
    """Return the path of the folder's key; a folder of an earlier version, whose studies are not signed, has none."""
    file = site.folder / "key"
    if not is_new and not file.exists():
        site.log(
            f"Nothing is signed: {site.folder} has studies from before there were signatures, which a key would "
            "refuse. Another data_dir has a key of its own"
        )
        return None
    secret(file, new_key)
    return str(file)


def _refuse_half(environ: Mapping[str, str]) -> None:
    """Refuse a broker that is somebody's with a database that is new, or the reverse.

    The workers would take chunks of studies that their database does not know, and keep those of ours waiting.
    """
    named = [name for name in ("AMQP_URL", "MONGO_URL") if environ.get(name)]
    if len(named) != 1:
        return
    (given,) = named
    missing, what = ("MONGO_URL", "database") if given == "AMQP_URL" else ("AMQP_URL", "broker")
    raise StackError(
        f"{given} is set and {missing} is not: a stack with a {what} of its own would mix up its studies with those of "
        f"others there. Unset {given} to have both servers to yourself, or set {missing} to the {what} that belongs to "
        f"it; where it has none and is yours alone, start one and name it in {missing}"
    )


def _stop_workers(workers: Iterable[WorkerHandle]) -> None:
    """Stop workers side by side."""
    running = list(workers)
    for worker in running:
        worker.release()
    for worker in running:
        worker.stop()


def _stop_servers(servers: Iterable[Server]) -> None:
    """Stop servers side by side."""
    guarded = [server.guarded for server in servers if server.guarded is not None]
    for process in guarded:
        process.release()
    for process in guarded:
        process.stop()


def _start_servers(site: Site, environ: Mapping[str, str], undo: contextlib.ExitStack) -> tuple[Server, Server]:
    """Start broker and database side by side; `undo` learns how to stop them."""
    up: list[Server] = []
    undo.callback(lambda: _stop_servers(up))

    def start(what: Callable[[Site, Mapping[str, str]], Server]) -> Server:
        began = time.monotonic()
        try:
            server = what(site, environ)
        except OSError as exc:  # its files can't be read or written
            raise StackError(f"{exc}: are files in {site.folder} another user's? Name a data_dir of your own") from exc
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
