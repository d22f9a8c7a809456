"""Receive chunks from RabbitMQ.

One thread owns the connection and keeps it alive while another one trains.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import random
import threading
import time
from collections.abc import Callable, Sequence

import pika

from warren.broker import (
    AGAIN_HEADER,
    DELIVERY_LIMIT,
    DRIVER_ERRORS,
    REASON_HEADER,
    connect,
    copied,
    database_of,
    explain,
    signature_of,
)
from warren.errors import BrokerError
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE, GPU_QUEUE, LANES
from warren.retry import patiently
from warren.settings import Settings, redact
from worker.chunk.outcome import Outcome, Verdict
from worker.chunk.runner import ChunkRunner
from worker.consumer.fair_queueing import Lanes
from worker.consumer.listener import Delivery, Listener
from worker.consumer.other_databases import ForeignMessages
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics, queue_wait

logger = logging.getLogger(__name__)

# Longest sleep of the connection's thread, in seconds, before it checks the stop flag; messages and
# outcomes wake it.
_TICK_SECONDS = 0.5
# Seconds without a chunk after which a worker counts its written results: the next chunk would have
# arrived sooner.
_IDLE_SECONDS = 0.1
# A chunk with fewer redeliveries left before the broker's limit is published again instead of
# requeued.
_SPARE_RETURNS = 20
# Seconds that a connection must last to count as stable. After several unstable ones in a row the
# worker waits before it reconnects, at most `_LONGEST_WAIT` seconds.
_STEADY_SECONDS = 15.0
_LONGEST_WAIT = 15.0
# Seconds after the grace in which a stopped worker may still settle its chunk; after that the
# broker requeues it.
_LAST_SECONDS = 3.0


class Consumer:
    """Takes chunks, one at a time, until it is stopped.

    While idle it listens on every lane; while busy, on none.

    Parameters
    ----------
    settings : Settings
    settings : Settings
        Broker, worker name and grace.
    runner : ChunkRunner
        Evaluates the chunks, on a thread that the consumer starts.
    metrics : Metrics
        Counts chunks and reconnects.
    pulse : Pulse
        Records that this worker lives, and whether it is ready for chunks.
    lanes : sequence of str, default=LANES
        The queues to take chunks from. `GPU_QUEUE`, if it is among them, comes before all others.

    Notes
    -----
    Only the thread that calls `run` uses the connection. The runner's thread passes an outcome to
    it with ``add_callback_threadsafe``, the only method of pika that is safe on another thread.
    """

    def __init__(
        self,
        settings: Settings,
        runner: ChunkRunner,
        metrics: Metrics,
        pulse: Pulse,
        lanes: Sequence[str] = LANES,
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._metrics = metrics
        self._pulse = pulse
        self._stopping = threading.Event()
        # Set while the runner's thread has no chunk.
        self._free = threading.Event()
        self._free.set()
        # Whether a chunk waits for its acknowledgement; only the connection's thread reads and
        # writes it.
        self._unsettled = False
        self._lanes = Lanes(lanes, before={GPU_QUEUE})
        self._foreign = ForeignMessages(settings, pulse)
        self._jobs: queue.SimpleQueue[tuple[Delivery, Callable[[Outcome], None]] | None] = queue.SimpleQueue()
        self._crash: BaseException | None = None
        self._connected_before = False
        self._short_sessions = 0

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Take no new chunk, finish the current one within the grace, then let `run` return.

        Safe in a signal handler.
        """
        self._stopping.set()

    def run(self) -> None:
        """Consume until stopped, and reconnect with back-off whenever the connection is lost.

        Raises
        ------
        Exception
            The error that ended the runner's thread: a bug. The broker requeues the message when
            the process ends.
        """
        thread = threading.Thread(target=self._work, name="runner", daemon=True)
        thread.start()
        self._pulse.guard(thread)
        reconnect = patiently(
            BrokerError,
            "no chunks until the broker is back",
            logger,
            server="the broker",
            stop=lambda _: self._stopping.is_set(),
            wait=self._sleep,
        )
        while not self._stopping.is_set():
            with contextlib.suppress(BrokerError):  # raised only after a stop; it is logged already
                self._session(reconnect(self._connect))
        self._pulse.unready("worker", "it is stopping")
        self._runner.stop(self._settings.grace_seconds)
        self._jobs.put(None)
        thread.join(self._settings.grace_seconds + _LAST_SECONDS)  # a call to an unreachable database may take longer
        if self._crash:
            raise self._crash

    def _sleep(self, seconds: float) -> None:
        """Wait until the time is over or the worker is stopped, and report that it lives."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._stopping.wait(min(left, _TICK_SECONDS)):
            self._pulse.beat()

    def _connect(self) -> pika.BlockingConnection:
        """Open a connection to a broker that has all queues.

        Raises
        ------
        BrokerError
            The broker is unreachable or refuses.
        """
        self._pulse.beat()
        try:
            return connect(self._settings, self._settings.worker_name)
        except BrokerError:
            self._pulse.unready("broker", "the broker can't be reached")
            raise

    def _session(self, connection: pika.BlockingConnection) -> None:
        """Consume on one connection until stopped or until it is lost.

        The broker then redelivers the chunk.
        """
        began = time.monotonic()
        self._unsettled = False
        if self._connected_before:
            self._metrics.reconnected("broker")
        self._connected_before = True
        try:
            try:
                self._consume(connection)
            finally:
                if connection.is_open:
                    connection.close()
        except DRIVER_ERRORS as exc:
            reason = str(explain(self._settings, exc))
            self._pulse.unready("broker", "the connection was lost")
            logger.warning("lost the broker; it redelivers the current chunk", extra={"reason": reason})
            # Many workers that lose the broker together must not reconnect together. And a broker
            # that closes every new connection at once must not be asked without a pause.
            self._short_sessions = 0 if time.monotonic() - began > _STEADY_SECONDS else self._short_sessions + 1
            longest = min(_LONGEST_WAIT, _TICK_SECONDS * 2 ** min(self._short_sessions, 10))
            self._sleep(random.uniform(0, longest))  # noqa: S311 - jitter, no secret
        finally:
            # The runner's chunk belongs to the lost connection: the runner stops after the current
            # fold.
            deadline = float("inf")
            while not self._free.wait(_TICK_SECONDS) and time.monotonic() < deadline:
                self._pulse.beat()
                self._runner.let_go()
                if self._stopping.is_set():
                    self._runner.stop(self._settings.grace_seconds)
                    deadline = min(deadline, time.monotonic() + self._settings.grace_seconds + _LAST_SECONDS)
            self._runner.ready_again()

    def _consume(self, connection: pika.BlockingConnection) -> None:
        where = {
            "broker": redact(self._settings.amqp_url),
            "worker": self._settings.worker_name,
            "threads": self._settings.threads,
            "device": self._settings.device,
            "gpu_trials": GPU_QUEUE in self._lanes.names,
        }
        logger.info("waiting for chunks", extra=where)
        listener = Listener(connection, self._lanes, functools.partial(self._take, connection))
        while not self._stopping.is_set():
            if self._unsettled:
                listener.stop()
            else:
                listener.turn()
            if listener.known:
                self._pulse.ready("broker")
            else:
                self._pulse.unready("broker", "the broker does not count this worker among its listeners")
            self._pulse.beat()
            connection.process_data_events(time_limit=_TICK_SECONDS)
            if listener.cancelled:
                raise BrokerError(f"the broker cancelled a consumer of {CHUNKS_QUEUE!r}")
        listener.stop()
        self._runner.stop(self._settings.grace_seconds)
        deadline = time.monotonic() + self._settings.grace_seconds + _LAST_SECONDS
        while self._unsettled and self._crash is None and time.monotonic() < deadline:
            self._pulse.beat()
            connection.process_data_events(time_limit=_TICK_SECONDS)
        connection.process_data_events(time_limit=0)  # send the last acknowledgement

    def _take(self, connection: pika.BlockingConnection, delivery: Delivery) -> None:
        """Pass a chunk to the runner's thread, or requeue it when the worker can't take one."""
        if self._stopping.is_set() or self._unsettled:
            delivery.channel.basic_nack(delivery.tag, requeue=True)
            return
        self._unsettled = True
        self._free.clear()
        self._metrics.has_chunk(True)
        began = time.monotonic()
        self._lanes.begin(delivery.lane, delivery.priority)
        wait = queue_wait(delivery.properties.timestamp, time.time())
        self._metrics.chunk_arrived(delivery.redelivered, wait)

        def finish(outcome: Outcome) -> None:
            """Pass the outcome from the runner's thread to the connection's thread."""

            def settle() -> None:
                moment = time.monotonic()
                if outcome.others_first:
                    self._lanes.pass_over(delivery.lane, delivery.behind, moment)
                else:
                    self._lanes.end(delivery.lane, moment - began)
                self._settle(delivery, outcome)

            try:
                connection.add_callback_threadsafe(settle)
            except pika.exceptions.ConnectionWrongStateError:
                logger.warning("the connection is lost: the broker redelivers the chunk, whose results are kept")

        self._jobs.put((delivery, finish))

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Acknowledge, requeue or dead-letter a message; runs on the connection's thread."""
        channel = delivery.channel
        handed_on = outcome.verdict is Verdict.HAND_ON
        self._metrics.chunk_ended(Verdict.REQUEUE if handed_on else outcome.verdict)
        match outcome.verdict:
            case Verdict.ACKNOWLEDGE | Verdict.DROP:
                channel.basic_ack(delivery.tag)
            case Verdict.REQUEUE if delivery.returns < DELIVERY_LIMIT - _SPARE_RETURNS:
                # nack, not reject: from RabbitMQ 4.3 on, an eviction then does not count as a
                # failed delivery.
                channel.basic_nack(delivery.tag, requeue=True)
            case Verdict.REQUEUE:
                # The broker counts evictions and would soon dead-letter the chunk; its count for a
                # copy starts at 0.
                self._publish_copy(delivery, delivery.lane, **{AGAIN_HEADER: True})
            case Verdict.HAND_ON:
                self._publish_copy(delivery, delivery.lane, **{AGAIN_HEADER: True})
            case Verdict.FOREIGN:
                # Move it to the end of the lane, so that it does not block this database's chunks.
                # As a copy, so that the broker counts no redelivery.
                self._foreign.report(delivery.lane, outcome.reason)
                self._publish_copy(delivery, delivery.lane, **({AGAIN_HEADER: True} if _again(delivery) else {}))
            case Verdict.DEAD_LETTER:
                logger.error("dead-lettered a message", extra={"reason": outcome.reason})
                self._publish_copy(delivery, DEAD_QUEUE, **{REASON_HEADER: outcome.reason[:1000]})
        self._unsettled = False

    def _publish_copy(self, delivery: Delivery, queue: str, **headers: object) -> None:
        """Publish a copy of a message to a queue, and acknowledge the original."""
        copy = copied(delivery.properties, **headers)
        delivery.channel.basic_publish("", queue, delivery.body, copy, mandatory=True)
        # Acknowledge only after the broker has the copy: a crash in between leaves two messages,
        # never none.
        delivery.channel.basic_ack(delivery.tag)

    def _work(self) -> None:
        """Run chunks until the worker stops; the runner's thread."""
        try:
            while self._work_once():
                pass
        except BaseException as exc:  # noqa: BLE001 - passed to the main thread, which raises it
            self._crash = exc
            self._stopping.set()
            self._free.set()

    def _work_once(self) -> bool:
        # Count soon when idle: a user who waits for the last trial sees it only after it is
        # counted.
        wait = self._settings.flush_seconds
        try:
            job = self._jobs.get(timeout=min(wait, _IDLE_SECONDS) if self._runner.uncounted else wait)
        except queue.Empty:
            self._runner.settle(idle=True)
            return True
        if job is None:
            self._runner.settle(idle=True)
            return False
        delivery, finish = job
        database, url = database_of(delivery.properties)
        outcome = self._runner.run(
            delivery.body,
            again=_again(delivery),
            database=database,
            database_url=url,
            signature=signature_of(delivery.properties),
        )
        self._runner.settle()
        self._metrics.has_chunk(False)
        # Set it before the outcome is sent: the next chunk may arrive with the acknowledgement, and
        # clears it.
        self._free.set()
        finish(outcome)
        return True


def _again(delivery: Delivery) -> bool:
    """Return whether another worker may have had this message before."""
    return delivery.redelivered or bool((delivery.properties.headers or {}).get(AGAIN_HEADER))
