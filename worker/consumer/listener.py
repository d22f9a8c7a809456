"""The lanes as one connection of a worker sees them: takes from the one whose turn it is, or listens on all of them."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import pika
from pika.adapters.blocking_connection import BlockingChannel

from worker.consumer.fair_queueing import Lanes

logger = logging.getLogger(__name__)

# Seconds of listening without a chunk after which, at most, a worker looks whether the broker still counts it.
_PROBE_SECONDS = 15.0
# The same after a look that did not find it.
_DOUBT_SECONDS = 1.0
# As submissions have it; a message may say what it likes.
_HIGHEST_PRIORITY = 9


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message that this worker has received.

    Attributes
    ----------
    channel : BlockingChannel
        Where it came in, and where it is acknowledged.
    lane : str
        The queue that it came from.
    tag : int
        What the channel calls it.
    body : bytes
    properties : pika.BasicProperties
    redelivered : bool
        Somebody had it before, as the broker says.
    behind : int, default=0
        Messages that waited behind it, where that is known.
    """

    channel: BlockingChannel
    lane: str
    tag: int
    body: bytes
    properties: pika.BasicProperties
    redelivered: bool
    behind: int = 0

    @property
    def priority(self) -> int:
        """That of its study, 1 to 9."""
        return max(1, min(self.properties.priority or 1, _HIGHEST_PRIORITY))

    @property
    def returns(self) -> int:
        """How often it came back, as a quorum queue counts."""
        count = (self.properties.headers or {}).get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0


class Listener:
    """Gets chunks to a worker over one connection. Only the thread that owns it may call it.

    Parameters
    ----------
    connection : pika.BlockingConnection
    lanes : Lanes
        Whose turn it is; outlives the connection.
    take : callable
        Is given each message that arrives, wanted or not.

    Raises
    ------
    pika.exceptions.AMQPError
        The connection is lost; from every method.
    """

    def __init__(self, connection: pika.BlockingConnection, lanes: Lanes, take: Callable[[Delivery], None]) -> None:
        self._connection = connection
        self._channel = self._open()
        self._lanes = lanes
        self._take = take
        # Consumer tags by lane; empty while the worker has a chunk.
        self._tags: dict[str, str] = {}
        self._look_at = 0.0
        # Lanes whose count was wrong when we last looked, and whether that was no chance.
        self._doubt: frozenset[str] = frozenset()
        self._lost = False

    @property
    def known(self) -> bool:
        """Whether the broker, when last asked, counted this worker among those who listen."""
        return not self._lost

    @property
    def cancelled(self) -> bool:
        """Whether the broker took a subscription back: a queue was deleted, or an acknowledgement came too late."""
        return set(self._tags.values()) != set(self._channel.consumer_tags)

    def turn(self) -> None:
        """Take a chunk if there is one; where all lanes are empty listen, and now and then make sure of it."""
        moment = time.monotonic()
        if self._tags and moment >= self._look_at:
            self._probe()
            return
        if not self._tags.keys() >= set(self._lanes.order(moment)):  # none is listened to, or one has rested
            self.stop()
            if moment >= self._renew_at:
                self._renew()  # a worker that always finds work needs a new channel too: see `_probe`
            self._look_for_work()

    def stop(self) -> None:
        """Listen no more: while the worker has a chunk, or for good. The lane of the next chunk is chosen then."""
        while self._tags:
            self._channel.basic_cancel(self._tags.popitem()[1])  # gives back what was on its way

    def _renew(self) -> None:
        self._channel.close()
        self._channel = self._open()

    def _open(self) -> BlockingChannel:
        channel = self._connection.channel()
        channel.confirm_delivery()  # for dead letters
        channel.basic_qos(prefetch_count=1)
        self._renew_at = time.monotonic() + _PROBE_SECONDS
        return channel

    def _look_for_work(self) -> None:
        for lane in self._lanes.order(time.monotonic()):
            method, properties, body = self._channel.basic_get(lane)
            if method is not None:
                self._on_message(lane, self._channel, method, properties, body)
                return
            self._lanes.empty(lane, time.monotonic())
        for lane in self._lanes.order(time.monotonic()):
            self._tags[lane] = self._channel.basic_consume(lane, functools.partial(self._on_message, lane))
        # Workers that fell idle together do not look together: they would see each other come and go.
        pause = _DOUBT_SECONDS if self._doubt else _PROBE_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._look_at = time.monotonic() + pause

    def _probe(self) -> None:
        """Stop listening and start again: a lane whose listeners do not become fewer by that had forgotten this worker.

        On another channel, for what went astray is the broker's side of this one. RabbitMQ's channel outlives a quorum
        queue that is deleted and declared again, and may register with the new queue a consumer that it sent to the old
        one: this ghost takes a chunk that no worker hears of, and gives it back when its channel is closed.

        Brokers lose consumers without telling them (a queue's leader that moved, a channel that went astray), and the
        driver's own list does not show it. In a lane where another worker starts to listen at this moment the count is
        wrong: among forty idle workers that happens several times a minute. So the worker counts as forgotten where all
        lanes say so, or one says so again a second later.
        """
        forgotten, asked = [], len(self._tags)
        for lane, tag in list(self._tags.items()):
            before = self._listeners(lane)
            self._channel.basic_cancel(tag)
            del self._tags[lane]
            if self._listeners(lane) >= before:
                forgotten.append(lane)
        self._renew()
        self._lost = len(forgotten) == asked or not self._doubt.isdisjoint(forgotten)
        if self._lost:
            logger.warning(
                "the broker does not count this worker among its listeners: it looks for chunks and listens again",
                extra={"lanes": forgotten},
            )
        self._doubt = frozenset(forgotten)
        self._look_for_work()

    def _listeners(self, lane: str) -> int:
        return int(self._channel.queue_declare(lane, passive=True).method.consumer_count)

    def _on_message(
        self,
        lane: str,
        channel: BlockingChannel,
        method: pika.spec.Basic.Deliver | pika.spec.Basic.GetOk,
        properties: pika.BasicProperties,
        body: bytes,
    ) -> None:
        self._doubt, self._lost = frozenset(), False
        tag, redelivered = method.delivery_tag, bool(method.redelivered)
        self._take(
            Delivery(
                channel=channel,
                lane=lane,
                tag=tag,
                body=body,
                properties=properties,
                redelivered=redelivered,
                behind=int(getattr(method, "message_count", 0)),  # of one that was asked for alone
            )
        )
