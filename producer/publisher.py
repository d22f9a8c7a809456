"""Chunks into the queue: persistent, mandatory, confirmed by the broker, many in flight.

pika's blocking channel waits for the broker after every message. With thousands of chunks that is most of
the time a submission takes, so this one keeps a window of messages on their way and counts confirmations.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import pika
from pika.channel import Channel
from pika.exceptions import AMQPError

from tuning import broker
from tuning.errors import BrokerError
from tuning.settings import Settings

logger = logging.getLogger(__name__)

# Messages on their way at once: enough to keep a broker busy, a few MB of memory at most.
_WINDOW = 500

# Seconds to wait for the broker's goodbye.
_GOODBYE_SECONDS = 5.0

_PERSISTENT = pika.BasicProperties(delivery_mode=2, content_type="application/json")


class _Publication:
    """One publication, driven by pika's own loop on the calling thread: callbacks all the way."""

    def __init__(self, parameters: pika.URLParameters, queue: str, bodies: Iterator[bytes]) -> None:
        self._queue = queue
        self._bodies = bodies
        self._channel: Channel | None = None
        # Delivery tags count from 1; a confirmation may cover all up to its own.
        self._published = 0
        self._unconfirmed: dict[int, None] = {}
        self._exhausted = False
        self.error: BaseException | None = None
        # What the bodies raised; pika would take it for a lost connection.
        self.raised: Exception | None = None
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._on_channel),
            on_open_error_callback=self._on_lost,
            on_close_callback=self._on_lost,
        )

        self._connection.add_on_connection_blocked_callback(
            lambda *_: logger.warning("the broker takes no messages for now (memory or disk alarm): waiting")
        )

    @property
    def confirmed(self) -> int:
        """Messages that the broker has safe."""
        return self._published - len(self._unconfirmed)

    def run(self) -> None:
        """Publish everything; return when all is confirmed or something went wrong, which `error` then says."""
        try:
            self._connection.ioloop.start()
        finally:
            if not self._connection.is_closed:  # Ctrl-C
                self._exhausted = True
                if not (self._unconfirmed or self._connection.is_closing):
                    self._connection.close()
                # A broker that blocks publishers does not answer the goodbye either.
                self._connection.ioloop.call_later(_GOODBYE_SECONDS, self._connection.ioloop.stop)
                self._connection.ioloop.start()
            self._connection.ioloop.close()

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(lambda _, reason: self._give_up(reason))
        channel.add_on_return_callback(
            lambda *_: self._give_up(BrokerError(f"the broker has no queue {self._queue!r}"))
        )
        channel.confirm_delivery(self._on_confirmation, callback=lambda _: self._fill())

    def _fill(self) -> None:
        while not self._exhausted and self._channel and self._channel.is_open and len(self._unconfirmed) < _WINDOW:
            try:
                body = next(self._bodies, None)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the caller of `publish` gets it
                self.raised = exc
                body = None
            if body is None:
                # What is on its way is waited for: a channel that closes may take it along.
                self._exhausted = True
                break
            self._channel.basic_publish("", self._queue, body, _PERSISTENT, mandatory=True)
            self._published += 1
            self._unconfirmed[self._published] = None
        if self._exhausted and not self._unconfirmed and not self._connection.is_closing:
            self._connection.close()

    def _on_confirmation(self, frame: Any) -> None:
        method = frame.method
        if isinstance(method, pika.spec.Basic.Nack):
            self._give_up(BrokerError("the broker refused a message (it may be out of memory or disk)"))
            return
        if method.multiple:
            for tag in [tag for tag in self._unconfirmed if tag <= method.delivery_tag]:
                del self._unconfirmed[tag]
        else:
            self._unconfirmed.pop(method.delivery_tag, None)
        if len(self._unconfirmed) <= _WINDOW // 2:
            self._fill()

    def _give_up(self, reason: BaseException) -> None:
        if self._exhausted and not self._unconfirmed:
            return  # closed on purpose
        self.error = self.error or reason
        if not (self._connection.is_closing or self._connection.is_closed):
            self._connection.close()

    def _on_lost(self, _: object, reason: BaseException) -> None:
        self._give_up(reason)
        self._connection.ioloop.stop()


def publish(settings: Settings, queue: str, bodies: Iterable[bytes]) -> int:
    """Publish messages to a queue, and return when the broker has all of them safe.

    Parameters
    ----------
    settings : Settings
        Name the broker.
    queue : str
        One of the queues that `tuning.broker.declare` declares.
    bodies : iterable of bytes
        Messages; walked lazily.

    Returns
    -------
    int
        How many were published.

    Raises
    ------
    BrokerError
        The broker is unreachable, refuses, or goes away in the middle. What was confirmed stays.
    Exception
        What `bodies` raised; the messages before it stay.
    """
    broker.check(settings)  # every queue is declared now, and the common faults are reported
    try:
        publication = _Publication(broker.parameters(settings, "warren submit"), queue, iter(bodies))
        publication.run()
    except (AMQPError, OSError) as exc:
        raise broker.explain(settings, exc) from exc
    if publication.raised is not None:
        raise publication.raised
    if publication.error is not None:
        error = publication.error
        explained = error if isinstance(error, BrokerError) else broker.explain(settings, error)
        raise BrokerError(f"{explained} ({publication.confirmed} messages were confirmed before)") from error
    return publication.confirmed
