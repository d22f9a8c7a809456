"""RabbitMQ seen from a worker: one thread owns the connection and keeps it alive while another trains."""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
from collections.abc import Callable

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tuning.broker import DRIVER_ERRORS, declare, explain, parameters
from tuning.errors import BrokerError
from tuning.names import CHUNKS_QUEUE, DEAD_QUEUE
from tuning.retry import patiently
from tuning.settings import Settings, redact
from worker.runner import ChunkRunner, Outcome, Verdict

logger = logging.getLogger(__name__)

# Seconds that the connection's thread sleeps at most before it looks at the stop flag; messages and outcomes wake it.
_TICK_SECONDS = 0.5


class Consumer:
    """Takes chunks, one at a time, until it is stopped.

    Parameters
    ----------
    settings : Settings
    runner : ChunkRunner
        Runs on a thread of the consumer's.

    Notes
    -----
    Only the thread that calls `run` touches the connection. The runner's thread hands an outcome over by
    ``add_callback_threadsafe``, the one call of pika that another thread may make.
    """

    def __init__(self, settings: Settings, runner: ChunkRunner) -> None:
        self._settings = settings
        self._runner = runner
        self._stopping = threading.Event()
        # Set while the runner's thread holds no chunk.
        self._free = threading.Event()
        self._free.set()
        # Whether a chunk waits for its acknowledgement; the connection's thread alone reads and writes it.
        self._unsettled = False
        self._jobs: queue.SimpleQueue[tuple[bytes, Callable[[Outcome], None]] | None] = queue.SimpleQueue()
        self._crash: BaseException | None = None

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Take no new chunk, finish as the grace allows, and let `run` return. Safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Consume until stopped, reconnecting with back-off whenever the broker goes away.

        Raises
        ------
        Exception
            What the runner's thread died of: a bug. The message goes back to the queue with the process.
        """
        thread = threading.Thread(target=self._work, name="runner", daemon=True)
        thread.start()
        retry = patiently(
            BrokerError,
            "no chunks until the broker is back",
            logger,
            stop=lambda _: self._stopping.is_set(),
            wait=self._sleep,
        )
        while not self._stopping.is_set():
            with contextlib.suppress(BrokerError):  # only when stopped: it was logged, and nothing is left to try
                retry(self._session)
        self._runner.stop(self._settings.grace_seconds)
        self._jobs.put(None)
        thread.join()
        if self._crash:
            raise self._crash

    def _sleep(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _session(self) -> None:
        """Consume on one connection until stopped.

        Raises
        ------
        BrokerError
            The connection or the consumer is gone. Its chunk will be delivered again, to whomever.
        """
        if self._stopping.is_set():
            return
        self._unsettled = False
        try:
            connection = pika.BlockingConnection(parameters(self._settings, self._settings.worker_name))
            try:
                self._consume(connection)
            finally:
                if connection.is_open:
                    connection.close()
        except DRIVER_ERRORS as exc:
            raise explain(self._settings, exc) from exc
        finally:
            # What the runner still holds belongs to the connection that is gone: it ends with its trial.
            while not self._free.wait(_TICK_SECONDS):
                self._runner.stop(self._settings.grace_seconds if self._stopping.is_set() else float("inf"))
            if not self._stopping.is_set():
                self._runner.ready_again()

    def _consume(self, connection: pika.BlockingConnection) -> None:
        channel = connection.channel()
        declare(channel)
        channel.confirm_delivery()  # for dead letters
        channel.basic_qos(prefetch_count=1)
        consumer_tag = channel.basic_consume(CHUNKS_QUEUE, functools.partial(self._on_message, connection))
        logger.info("waiting for chunks: broker=%s threads=%d", redact(self._settings.amqp_url), self._settings.threads)
        while not self._stopping.is_set():
            connection.process_data_events(time_limit=_TICK_SECONDS)
            if not channel.consumer_tags:
                # The broker cancelled it: the queue was deleted, or an acknowledgement came too late for it.
                raise BrokerError(f"the broker cancelled the consumer of {CHUNKS_QUEUE!r}")
        channel.basic_cancel(consumer_tag)
        self._runner.stop(self._settings.grace_seconds)
        while self._unsettled and self._crash is None:
            connection.process_data_events(time_limit=_TICK_SECONDS)
        connection.process_data_events(time_limit=0)  # the last acknowledgement leaves

    def _on_message(
        self,
        connection: pika.BlockingConnection,
        channel: BlockingChannel,
        method: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,  # noqa: ARG002 - pika's signature
        body: bytes,
    ) -> None:
        if self._stopping.is_set():
            channel.basic_nack(method.delivery_tag, requeue=True)
            return
        self._unsettled = True
        self._free.clear()

        def finish(outcome: Outcome) -> None:
            """Hand the outcome to the connection's thread; runs on the runner's."""
            settle = functools.partial(self._settle, channel, method.delivery_tag, body, outcome)
            try:
                connection.add_callback_threadsafe(settle)
            except pika.exceptions.ConnectionWrongStateError:
                logger.warning("the connection is gone, the chunk will be delivered again: its results are skipped")

        self._jobs.put((body, finish))

    def _settle(self, channel: BlockingChannel, tag: int, body: bytes, outcome: Outcome) -> None:
        """Acknowledge, give back or dead-letter; runs on the connection's thread."""
        match outcome.verdict:
            case Verdict.ACKNOWLEDGE:
                channel.basic_ack(tag)
            case Verdict.REQUEUE:
                # nack, not reject: from RabbitMQ 4.3 an eviction then does not count against the chunk.
                channel.basic_nack(tag, requeue=True)
            case Verdict.DEAD_LETTER:
                logger.error("dead-lettered a message: reason=%s", outcome.reason)
                reason = pika.BasicProperties(delivery_mode=2, headers={"x-warren-reason": outcome.reason[:1000]})
                channel.basic_publish("", DEAD_QUEUE, body, reason, mandatory=True)
                # Acknowledge after the broker has the copy: a crash in between leaves two, never none.
                channel.basic_ack(tag)
        self._unsettled = False

    def _work(self) -> None:
        """Run chunks until there are no more to come; the runner's thread."""
        try:
            while self._work_once():
                pass
        except BaseException as exc:  # noqa: BLE001 - carried to the main thread, which raises it
            self._crash = exc
            self._stopping.set()
            self._free.set()

    def _work_once(self) -> bool:
        try:
            job = self._jobs.get(timeout=self._settings.flush_seconds)
        except queue.Empty:
            self._runner.settle(idle=True)
            return True
        if job is None:
            self._runner.settle(idle=True)
            return False
        body, finish = job
        outcome = self._runner.run(body)
        self._runner.settle()
        # Free before the outcome leaves: with the acknowledgement the next chunk may be here, and take it again.
        self._free.set()
        finish(outcome)
        return True
