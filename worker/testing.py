"""A worker in this process, for tests: a thread replaces the training process."""

from __future__ import annotations

import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, cast

from threadpoolctl import threadpool_limits

from warren.messages import Chunk
from warren.settings import Settings, load_settings, named_servers
from warren.storage.store import Store
from warren.testing.broker import StubBroker
from warren.testing.database import InMemoryStore
from worker.chunk.runner import ChunkRunner
from worker.consumer.consumer import Consumer
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics
from worker.process import protocol
from worker.process.database_access import DatabaseAccessServer, RemoteDatabaseAccess
from worker.process.main import serve
from worker.process.training_process import TrainingProcess, TrainingProcessLostError
from worker.training.guards import uninstall

# Seconds to wait for a thread to end after its connection was closed: a fit can't be interrupted.
_END_SECONDS = 30.0


class _UncapturedOutput:
    """Does not capture what a fit prints: it goes to this process's output."""

    part = 0

    def begin(self) -> None:
        """Do nothing: output is not split by trial."""

    def flush(self) -> None:
        """Do nothing: output is not buffered."""


class _TrainingThread:
    """The interface of `TrainingProcess`, as a thread; it can't enforce time and memory."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._settings = settings
        self._database = DatabaseAccessServer(store)
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None

    def begin(self, chunk: Chunk, order: protocol.EvaluateChunk) -> None:
        if self._connection is None:
            ours, theirs = socket.socketpair()
            self._connection = Connection(ours.detach())
            ends = Connection(theirs.detach()), Connection(self._database.begin().detach())
            self._thread = threading.Thread(target=self._serve, args=ends, name="training", daemon=True)
            self._thread.start()
        self._database.turn_to(chunk)
        protocol.send(self._connection, order)

    def _serve(self, connection: Connection, questions: Connection) -> None:
        # A worker logs the warnings of fits. Here, filters of the tests must not turn them into
        # errors.
        with (
            connection,
            questions,
            warnings.catch_warnings(),
            threadpool_limits(self._settings.threads),  # a training process has it in its environment
            suppress(EOFError, ConnectionError),
        ):
            warnings.simplefilter("ignore")
            serve(connection, RemoteDatabaseAccess(questions), self._settings, _UncapturedOutput())

    def receive(self, seconds: float) -> protocol.Message | None:
        if self._connection is None or not self._connection.poll(seconds):
            return None
        try:
            return protocol.receive(self._connection)
        except (EOFError, ConnectionError) as exc:  # a fit raised something that the evaluator does not catch
            self.kill()
            raise TrainingProcessLostError("the training thread has ended") from exc

    def has_more(self) -> bool:
        return self._connection is not None and self._connection.poll(0)

    def stop_after(self, what: protocol.StopPoint) -> None:
        if self._connection is not None:
            protocol.send(self._connection, protocol.StopAfter(what=what))

    def results_durable(self, *, given_up: bool) -> None:
        if self._connection is not None:
            protocol.send(self._connection, protocol.ResultsDurable(given_up=given_up))

    def output(self, part: int | None = None) -> str:  # noqa: ARG002 - output is not captured
        return ""

    def kill(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._database.end()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)


@contextmanager
def in_process_worker(**settings: Any) -> Iterator[Settings]:
    """Run broker, database and worker in this process inside a ``with`` block.

    See `warren.testing`.
    """
    broker, store = StubBroker(), InMemoryStore()
    with named_servers(broker.url, store.url, private=True):
        found = load_settings().model_copy(update={"threads": 1, "worker_name": "in-process", **settings})
        training = _TrainingThread(store, found)
        pulse, metrics = Pulse(found), Metrics()
        runner = ChunkRunner(store, found, cast("TrainingProcess", training), metrics, pulse)
        consumer = Consumer(found, runner, metrics, pulse)
        thread = threading.Thread(target=consumer.run, name="worker", daemon=True)
        thread.start()
        try:
            yield found
        finally:
            consumer.stop()
            thread.join(found.grace_seconds + _END_SECONDS)
            training.kill()
            store.close()
            uninstall()
