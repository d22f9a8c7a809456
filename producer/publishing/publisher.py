"""Publishes persistent, mandatory messages with publisher confirms, and many in flight.

pika's blocking channel waits for the broker after every message. With thousands of chunks, that
would be most of a submission's time, so this module keeps a window of unconfirmed messages and
counts confirms.

A broker that is unreachable, out of memory or disk, or refuses for a while does not end a
publication: unconfirmed messages are kept and published again. So a message may arrive twice, which
workers accept, but none is lost.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import pika
from pika.channel import Channel
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from producer.publishing.outbox import Message, Outbox
from warren import broker
from warren.errors import BrokerError
from warren.retry import PERSONS_WAIT, Outage, patiently
from warren.settings import Settings, redact

logger = logging.getLogger(__name__)

# Most seconds to make and send messages before the loop handles heartbeats and confirms.
_SLICE_SECONDS = 1.0

# Seconds between checks whether the broker still confirms messages.
_TICK_SECONDS = 0.2

# Seconds to wait for confirms after Ctrl-C, and for the broker to close the connection.
_GOODBYE_SECONDS = 5.0
_SHORT_GOODBYE_SECONDS = 1.0

# Most seconds between heartbeats: a silently broken connection is given up after about 15, early
# enough for a new one.
_HEARTBEAT_SECONDS = 10

# Reply codes that a retry would get again: access refused, not found, precondition failed.
_FINAL = frozenset({403, 404, 406})


class _AwayError(BrokerError):
    """The broker is unreachable, but may be back soon."""


class _Session:
    """The part of a publication over one connection, run by pika's loop on the calling thread."""

    def __init__(
        self,
        settings: Settings,
        queue: str,
        outbox: Outbox,
        priority: int | None,
        headers: Mapping[str, str],
        on_blocked: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._outbox = outbox
        self._priority = priority
        self._headers = dict(headers)
        self._on_blocked = on_blocked
        self._patience = settings.patience_seconds
        self._url = redact(settings.amqp_url)
        self._channel: Channel | None = None
        # Whether this side closes the connection, and whether it sends no more because a message
        # was refused.
        self._ending = False
        self._refused = False
        self.error: BaseException | None = None
        # Whether a new connection would fail in the same way.
        self.final = False
        parameters = broker.parameters(settings, "warren submit")
        parameters.heartbeat = min(settings.heartbeat_seconds, _HEARTBEAT_SECONDS)
        # This side gives up by the time since the last confirm.
        parameters.blocked_connection_timeout = None
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._on_channel),
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
        )
        self._connection.add_on_connection_blocked_callback(
            lambda *_: self._on_blocked("it accepts no messages for now (memory or disk alarm)")
        )

    def run(self) -> None:
        """Publish until every message is confirmed, or set `error`."""
        loop = self._connection.ioloop
        loop.call_later(_TICK_SECONDS, self._watch)
        try:
            loop.start()
        finally:
            try:
                if not self._connection.is_closed:  # Ctrl-C: wait for confirms, but send no more
                    self._ending = True
                    if self._outbox.is_idle:
                        self._close()
                    loop.call_later(_GOODBYE_SECONDS, self._drop)
                    loop.start()
            finally:
                loop.close()

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(lambda _, reason: self._give_up(reason))
        channel.add_on_return_callback(lambda _, method, *__: self._on_return(method.routing_key))
        channel.confirm_delivery(self._on_confirmation, callback=lambda _: self._fill())

    def _on_return(self, queue: str) -> None:
        self.final = True
        self._give_up(BrokerError(f"the broker has no queue {queue!r}"))

    def _fill(self) -> None:
        box = self._outbox
        until = time.monotonic() + _SLICE_SECONDS
        while not (self._ending or self._refused or box.is_full) and self._channel and self._channel.is_open:
            if time.monotonic() > until:
                self._connection.ioloop.call_later(0, self._fill)
                return
            message = box.send()
            if message is None:
                break
            queue = message.queue or self._queue
            properties = _properties(message, self._priority, self._headers)
            self._channel.basic_publish("", queue, message.body, properties, mandatory=True)
        if box.is_idle and (box.is_done or self._ending):
            self._close()

    def _on_confirmation(self, frame: Any) -> None:
        if self.final:  # the broker also confirms returned messages
            return
        method = frame.method
        refused = isinstance(method, pika.spec.Basic.Nack)
        self._outbox.settle(method.delivery_tag, multiple=method.multiple, refused=refused)
        # Wait for the confirms of the other messages before closing, so that none is published
        # again without need.
        self._refused |= refused
        if self._refused and self._outbox.is_idle:
            self._give_up(BrokerError("the broker refused a message (it may be out of memory or disk)"))
        elif self._outbox.is_half_empty:
            self._fill()

    def _watch(self) -> None:
        """Give up if a connected broker confirms nothing within the patience."""
        if not self._ending and not self._outbox.is_idle and self._outbox.silent_seconds >= self._patience:
            self._give_up(BrokerError(f"RabbitMQ at {self._url} confirms no message (is its memory or disk full?)"))
        if not self._connection.is_closed:
            self._connection.ioloop.call_later(_TICK_SECONDS, self._watch)

    def _give_up(self, reason: BaseException) -> None:
        if self._ending:
            return  # closed by this side, or a consequence of the first reason
        self.error = reason
        self.final |= isinstance(reason, ChannelClosedByBroker) and reason.reply_code in _FINAL
        self._close()

    def _close(self) -> None:
        self._ending = True
        if not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()
        # A broker that blocks publishers does not answer the close either.
        self._connection.ioloop.call_later(_SHORT_GOODBYE_SECONDS, self._drop)

    def _drop(self) -> None:
        """Drop the connection without a close, as pika's heartbeat does."""
        if not self._connection.is_closed:
            self._connection._terminate_stream(AMQPConnectionError("the broker does not close the connection"))

    def _on_lost(self, _: object, reason: BaseException) -> None:
        if not self._ending and not self._outbox.is_done:
            self.error = reason
        self._ending = True
        self._connection.ioloop.stop()


class _InMemorySession:
    """A publication to a broker in memory, which confirms everything at once."""

    error = None
    final = False

    def __init__(
        self, settings: Settings, queue: str, outbox: Outbox, priority: int | None, headers: Mapping[str, str]
    ) -> None:
        self._broker = broker.IN_MEMORY[settings.amqp_url]
        self._queue, self._outbox = queue, outbox
        self._priority, self._headers = priority, headers

    def run(self) -> None:
        """Publish every message."""
        for tag in itertools.count(1):
            if (message := self._outbox.send()) is None:
                return
            properties = _properties(message, self._priority, self._headers)
            self._broker.publish(message.queue or self._queue, message.body, properties)
            self._outbox.settle(tag, multiple=False, refused=False)


def _properties(message: Message, priority: int | None, headers: Mapping[str, str]) -> pika.BasicProperties:
    signature = {broker.SIGNATURE_HEADER: message.signature} if message.signature else {}
    return pika.BasicProperties(
        delivery_mode=2,
        content_type="application/json",
        app_id="warren",
        message_id=message.id,
        priority=priority,
        headers={**headers, **signature},
        timestamp=int(time.time()),
    )


def publish(
    settings: Settings,
    queue: str,
    messages: Iterable[Message],
    *,
    priority: int | None = None,
    headers: Mapping[str, str] = MappingProxyType({}),
    on_safe: Callable[[Message], None] = lambda _: None,
) -> int:
    """Publish messages to a queue, and return when the broker has confirmed all of them.

    If the broker becomes unreachable, this waits ``WARREN_PATIENCE_SECONDS`` from the last confirm,
    and then publishes unconfirmed messages again.

    Parameters
    ----------
    settings : Settings
        The broker's address and how long to wait for it.
    queue : str
        The queue for messages without their own: one that `warren.broker.declare` declares.
    messages : iterable of Message
        Consumed lazily.
    priority : int, default=None
        AMQP's property ``priority``.
    headers : mapping of str to str, default={}
        Headers of each message.
    on_safe : callable, default=nothing
        Called with each confirmed message.

    Returns
    -------
    int
        Number of published messages.

    Raises
    ------
    BrokerError
        The broker is unreachable at the start, refuses messages, or stays unreachable. Confirmed
        messages stay.
    Exception
        Any error of `messages`; earlier messages stay published.
    """
    outage = Outage(logger, "the broker")
    patience = settings.patience_seconds

    def begin_outage(reason: str) -> None:
        if not box.is_done:
            outage.begin(f"publishing waits for the broker, which has confirmed {box.safe:,} messages", reason)

    def get_on(message: Message) -> None:
        retry.back()
        outage.end()
        on_safe(message)

    box = Outbox(iter(messages), get_on)
    retry = patiently(
        _AwayError,
        "publishing waits for the broker",
        None,
        stop=lambda _: box.silent_seconds >= patience,
        wait=time.sleep,
        longest=PERSONS_WAIT,
        on_away=begin_outage,
    )
    connect: Callable[[], _Session | _InMemorySession] = partial(
        _Session, settings, queue, box, priority, headers, begin_outage
    )
    if settings.amqp_url in broker.IN_MEMORY:
        connect = partial(_InMemorySession, settings, queue, box, priority, headers)
    with quiet_driver():
        broker.check(settings)  # declares every queue and reports common errors
        box.prime()
        try:
            if not box.is_done:
                retry(_run, settings, box, connect)
        except _AwayError as exc:
            if box.raised is None:
                raise BrokerError(
                    f"{exc}. Gave up after {patience:g} s without a confirm (WARREN_PATIENCE_SECONDS)"
                ) from exc.__cause__
    if box.raised is not None:
        raise box.raised
    return box.safe


def _run(settings: Settings, box: Outbox, connect: Callable[[], _Session | _InMemorySession]) -> None:
    """Publish over one connection."""
    try:
        if box.begin_again():
            broker.check(settings)  # the broker may have restarted without its queues
        session = connect()
        session.run()
    except BrokerError as exc:
        raise _AwayError(str(exc)) from exc
    except broker.DRIVER_ERRORS as exc:
        raise _AwayError(str(broker.explain(settings, exc))) from exc
    if session.error is not None:
        explained = str(broker.explain(settings, session.error))
        raise (BrokerError if session.final else _AwayError)(explained) from session.error


@contextmanager
def quiet_driver() -> Iterator[None]:
    """Silence pika, which logs several errors for each lost connection; we report it once."""
    driver = logging.getLogger("pika")
    level = driver.level
    driver.setLevel(level or logging.CRITICAL)
    try:
        yield
    finally:
        driver.setLevel(level)
