"""RabbitMQ seen from a worker: one thread owns the connection and keeps it alive while another trains."""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tuning.broker import DELIVERY_LIMIT, DRIVER_ERRORS, declare, explain, parameters
from tuning.errors import BrokerError
from tuning.names import CHUNKS_QUEUE, DEAD_QUEUE, LANES
from tuning.retry import patiently
from tuning.settings import Settings, redact
from worker.lanes import Lanes
from worker.runner import ChunkRunner, Outcome, Verdict
from worker.watching.metrics import Metrics, queue_wait
from worker.watching.pulse import Pulse

logger = logging.getLogger(__name__)

# Seconds that the connection's thread sleeps at most before it looks at the stop flag; messages and outcomes wake it.
_TICK_SECONDS = 0.5
# Seconds of listening without a chunk after which a worker asks whether the broker still knows that it listens: nobody
# is told where it does not. A question a lane, answered from memory.
_PROBE_SECONDS = 15.0
# A chunk that came back this often less than the broker's limit is published afresh instead of given back.
_SPARE_RETURNS = 20
# A fresh copy says so, for the broker does not: somebody had it before.
_AGAIN = "x-warren-again"
# As submissions have it; a message may say what it likes.
_HIGHEST_PRIORITY = 9
# Seconds that a connection must have lasted to be a good one; after bad ones in a row the next waits, seconds at most.
_STEADY_SECONDS = 15.0
_LONGEST_WAIT = 15.0
# Seconds that a stopped worker has beyond its grace to hand over its chunk: the broker takes it back by itself then.
_LAST_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class _Delivery:
    """A message in hand.

    Attributes
    ----------
    lane : str
        The queue that it came from.
    tag : int
        What the channel calls it.
    body : bytes
    properties : pika.BasicProperties
    again : bool
        It was delivered before.
    """

    lane: str
    tag: int
    body: bytes
    properties: pika.BasicProperties
    again: bool

    @property
    def returns(self) -> int:
        """How often it came back, as a quorum queue counts."""
        count = (self.properties.headers or {}).get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0


class Consumer:
    """Takes chunks, one at a time, until it is stopped. Idle, it listens on every lane; with a chunk in hand, on none.

    Parameters
    ----------
    settings : Settings
    runner : ChunkRunner
        Runs on a thread of the consumer's.
    metrics : Metrics
    pulse : Pulse
        Is told that this one lives, and whether it takes chunks.

    Notes
    -----
    Only the thread that calls `run` touches the connection. The runner's thread hands an outcome over by
    ``add_callback_threadsafe``, the one call of pika that another thread may make.
    """

    def __init__(self, settings: Settings, runner: ChunkRunner, metrics: Metrics, pulse: Pulse) -> None:
        self._settings = settings
        self._runner = runner
        self._metrics = metrics
        self._pulse = pulse
        self._stopping = threading.Event()
        # Set while the runner's thread holds no chunk.
        self._free = threading.Event()
        self._free.set()
        # Whether a chunk waits for its acknowledgement; the connection's thread alone reads and writes it.
        self._unsettled = False
        # Consumer tags, one a lane, while no chunk is in hand and none was to be had.
        self._listening: list[str] = []
        self._lanes = Lanes(LANES)
        self._jobs: queue.SimpleQueue[tuple[_Delivery, Callable[[Outcome], None]] | None] = queue.SimpleQueue()
        self._crash: BaseException | None = None
        self._connected_before = False
        self._short_sessions = 0
        # When to ask the broker again whether it knows that we listen.
        self._probe_at = 0.0
        self._doubt = False

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
        self._pulse.guard(thread)
        connect = patiently(
            BrokerError,
            "no chunks until the broker is back",
            logger,
            server="the broker",
            stop=lambda _: self._stopping.is_set(),
            wait=self._sleep,
        )
        while not self._stopping.is_set():
            with contextlib.suppress(BrokerError):  # only when stopped: it was logged, and nothing is left to try
                self._session(*connect(self._connect))
        self._pulse.unready("worker", "it is stopping")
        self._runner.stop(self._settings.grace_seconds)
        self._jobs.put(None)
        thread.join(self._settings.grace_seconds + _LAST_SECONDS)  # a call to a database that is away may take longer
        if self._crash:
            raise self._crash

    def _sleep(self, seconds: float) -> None:
        """Wait, but not beyond a stop, and show that the worker lives."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self._stopping.wait(min(left, _TICK_SECONDS)):
            self._pulse.beat()

    def _connect(self) -> tuple[pika.BlockingConnection, BlockingChannel]:
        """Open a connection that is ready to take chunks.

        Raises
        ------
        BrokerError
            The broker is unreachable or refuses.
        """
        self._pulse.beat()
        try:
            connection = pika.BlockingConnection(parameters(self._settings, self._settings.worker_name))
            try:
                channel = connection.channel()
                declare(channel)
                channel.confirm_delivery()  # for dead letters
                channel.basic_qos(prefetch_count=1)
            except BaseException:
                if connection.is_open:
                    connection.close()
                raise
        except DRIVER_ERRORS as exc:
            self._pulse.unready("broker", "the broker can't be reached")
            raise explain(self._settings, exc) from exc
        return connection, channel

    def _session(self, connection: pika.BlockingConnection, channel: BlockingChannel) -> None:
        """Consume on one connection until stopped or until it is gone; its chunk then goes to whomever."""
        began = time.monotonic()
        self._unsettled = False
        self._listening.clear()
        if self._connected_before:
            self._metrics.reconnected("broker")
        self._connected_before = True
        try:
            try:
                self._consume(connection, channel)
            finally:
                if connection.is_open:
                    connection.close()
        except DRIVER_ERRORS as exc:
            reason = str(explain(self._settings, exc))
            self._pulse.unready("broker", "the connection was lost")
            logger.warning("lost the broker; a chunk in hand will be delivered again", extra={"reason": reason})
            # Forty workers that lost it together do not come back together; one that lets us in and throws us out
            # is not asked without a pause.
            self._short_sessions = 0 if time.monotonic() - began > _STEADY_SECONDS else self._short_sessions + 1
            longest = min(_LONGEST_WAIT, _TICK_SECONDS * 2 ** min(self._short_sessions, 10))
            self._sleep(random.uniform(0, longest))  # noqa: S311 - jitter, no secret
        finally:
            # What the runner still holds belongs to the connection that is gone: it ends with its fold.
            deadline = float("inf")
            while not self._free.wait(_TICK_SECONDS) and time.monotonic() < deadline:
                self._pulse.beat()
                self._runner.let_go()
                if self._stopping.is_set():
                    self._runner.stop(self._settings.grace_seconds)
                    deadline = min(deadline, time.monotonic() + self._settings.grace_seconds + _LAST_SECONDS)
            self._runner.ready_again()

    def _consume(self, connection: pika.BlockingConnection, channel: BlockingChannel) -> None:
        where = {"broker": redact(self._settings.amqp_url), "threads": self._settings.threads}
        logger.info("waiting for chunks", extra=where)
        while not self._stopping.is_set():
            if self._unsettled:
                self._stop_listening(channel)
            elif not self._listening:
                self._look_for_work(connection, channel)
                self._doubt, self._probe_at = False, time.monotonic() + _PROBE_SECONDS
            elif time.monotonic() >= self._probe_at:
                self._probe(channel)
            self._pulse.ready("broker")
            self._pulse.beat()
            connection.process_data_events(time_limit=_TICK_SECONDS)
            if set(self._listening) != set(channel.consumer_tags):
                # The broker cancelled one: a queue was deleted, or an acknowledgement came too late for it.
                raise BrokerError(f"the broker cancelled a consumer of {CHUNKS_QUEUE!r}")
        self._stop_listening(channel)
        self._runner.stop(self._settings.grace_seconds)
        deadline = time.monotonic() + self._settings.grace_seconds + _LAST_SECONDS
        while self._unsettled and self._crash is None and time.monotonic() < deadline:
            self._pulse.beat()
            connection.process_data_events(time_limit=_TICK_SECONDS)
        connection.process_data_events(time_limit=0)  # the last acknowledgement leaves

    def _look_for_work(self, connection: pika.BlockingConnection, channel: BlockingChannel) -> None:
        """Take a chunk of the lane whose turn it is; where all are empty, listen on every one."""
        for lane in self._lanes.order(time.monotonic()):
            method, properties, body = channel.basic_get(lane)
            if method is not None:
                self._take(connection, lane, channel, method, properties, body)
                return
            self._lanes.empty(lane, time.monotonic())
        for lane in self._lanes.names:
            on_message = functools.partial(self._on_message, connection, lane)
            self._listening.append(channel.basic_consume(lane, on_message))

    def _probe(self, channel: BlockingChannel) -> None:
        """Ask whether the broker still knows that we listen, and listen anew where it does not."""
        found = [channel.queue_declare(lane, passive=True).method for lane in self._lanes.names]
        forgotten = any(one.message_count or not one.consumer_count for one in found)
        if forgotten and self._doubt:
            logger.warning("the broker forgot that this worker listens: it looks for itself")
            self._stop_listening(channel)  # the next turn looks for work, and listens anew
        # Asked twice: what waits may be on its way to us, and is here by the next turn.
        self._doubt = forgotten and not self._doubt
        self._probe_at = time.monotonic() + (0.0 if self._doubt else _PROBE_SECONDS)

    def _stop_listening(self, channel: BlockingChannel) -> None:
        """Hold no consumer while a chunk is in hand: the lane that its successor comes from is chosen then."""
        while self._listening:
            channel.basic_cancel(self._listening.pop())  # gives back what was on its way

    def _on_message(
        self,
        connection: pika.BlockingConnection,
        lane: str,
        channel: BlockingChannel,
        method: pika.spec.Basic.Deliver,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        if self._stopping.is_set() or self._unsettled:
            channel.basic_nack(method.delivery_tag, requeue=True)
        else:
            self._take(connection, lane, channel, method, properties, body)

    def _take(
        self,
        connection: pika.BlockingConnection,
        lane: str,
        channel: BlockingChannel,
        method: pika.spec.Basic.Deliver | pika.spec.Basic.GetOk,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        """Hand a chunk to the runner's thread."""
        self._unsettled = True
        self._free.clear()
        began = time.monotonic()
        self._lanes.begin(lane, min(properties.priority or 1, _HIGHEST_PRIORITY))
        self._metrics.chunk_arrived(method.redelivered, queue_wait(properties.timestamp, time.time()))
        delivery = _Delivery(
            lane=lane,
            tag=method.delivery_tag,
            body=body,
            properties=properties,
            again=method.redelivered or bool((properties.headers or {}).get(_AGAIN)),
        )

        def finish(outcome: Outcome) -> None:
            """Hand the outcome to the connection's thread; runs on the runner's."""

            def settle() -> None:
                self._lanes.end(lane, time.monotonic() - began)
                self._settle(channel, delivery, outcome)

            try:
                connection.add_callback_threadsafe(settle)
            except pika.exceptions.ConnectionWrongStateError:
                logger.warning("the connection is gone, the chunk will be delivered again: its results are skipped")

        self._jobs.put((delivery, finish))

    def _settle(self, channel: BlockingChannel, delivery: _Delivery, outcome: Outcome) -> None:
        """Acknowledge, give back or dead-letter; runs on the connection's thread."""
        self._metrics.chunk_ended(outcome.verdict)
        match outcome.verdict:
            case Verdict.ACKNOWLEDGE | Verdict.DROP:
                channel.basic_ack(delivery.tag)
            case Verdict.REQUEUE if delivery.returns < DELIVERY_LIMIT - _SPARE_RETURNS:
                # nack, not reject: from RabbitMQ 4.3 an eviction then does not count against the chunk.
                channel.basic_nack(delivery.tag, requeue=True)
            case Verdict.REQUEUE:
                # The broker would set it aside soon, for it counts evictions: a fresh copy starts anew.
                fresh = pika.BasicProperties(
                    delivery_mode=2,
                    priority=delivery.properties.priority,
                    message_id=delivery.properties.message_id,
                    headers={_AGAIN: True},
                )
                channel.basic_publish("", delivery.lane, delivery.body, fresh, mandatory=True)
                channel.basic_ack(delivery.tag)
            case Verdict.DEAD_LETTER:
                logger.error("dead-lettered a message", extra={"reason": outcome.reason})
                reason = pika.BasicProperties(delivery_mode=2, headers={"x-warren-reason": outcome.reason[:1000]})
                channel.basic_publish("", DEAD_QUEUE, delivery.body, reason, mandatory=True)
                # Acknowledge after the broker has the copy: a crash in between leaves two, never none.
                channel.basic_ack(delivery.tag)
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
        delivery, finish = job
        outcome = self._runner.run(delivery.body, again=delivery.again)
        self._runner.settle()
        # Free before the outcome leaves: with the acknowledgement the next chunk may be here, and take it again.
        self._free.set()
        finish(outcome)
        return True
