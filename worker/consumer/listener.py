"""Receive messages from the lanes, one by one or by subscription to all lanes."""

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

# Longest time of listening without a chunk, in seconds, after which a worker checks whether the
# broker still counts it.
_PROBE_SECONDS = 15.0
# The same after a check that did not find it.
_DOUBT_SECONDS = 1.0
# The highest priority of a submission; a message may contain any number.
_HIGHEST_PRIORITY = 9


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A message that this worker has received.

    Attributes
    ----------
    channel : BlockingChannel
        The channel that delivered it, and on which it is acknowledged.
    lane : str
        The queue that it came from.
    tag : int
        Its delivery tag on the channel.
    body : bytes
        Its content.
    properties : pika.BasicProperties
        Its headers and other properties.
    redelivered : bool
        Whether the broker delivered it before.
    behind : int, default=0
        Messages that waited behind it, if known.
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
        """The priority of its study, 1 to 9."""
        return max(1, min(self.properties.priority or 1, _HIGHEST_PRIORITY))

    @property
    def returns(self) -> int:
        """How often it was redelivered, as a quorum queue counts."""
        count = (self.properties.headers or {}).get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0


class Listener:
    """Receives messages for a worker over one connection.

    Only the thread that owns the connection may call it.

    Parameters
    ----------
    connection : pika.BlockingConnection
        The connection.
    lanes : Lanes
        Decides which lane comes next; outlives the connection.
    take : callable
        Called with every message that arrives, even if the worker can't take one now.

    Raises
    ------
    pika.exceptions.AMQPError
        Every method raises it when the connection is lost.
    """

    def __init__(self, connection: pika.BlockingConnection, lanes: Lanes, take: Callable[[Delivery], None]) -> None:
        self._connection = connection
        self._channel = self._open()
        self._lanes = lanes
        self._take = take
        # Consumer tags by lane; empty while the worker has a chunk.
        self._tags: dict[str, str] = {}
        self._look_at = 0.0
        # Lanes whose consumer count was wrong at the last check; and whether a second check
        # confirmed it.
        self._doubt: frozenset[str] = frozenset()
        self._lost = False

    @property
    def known(self) -> bool:
        """Whether the broker, when last asked, counted this worker among the consumers."""
        return not self._lost

    @property
    def cancelled(self) -> bool:
        """Whether the broker cancelled a subscription.

        That happens when a queue is deleted, or an acknowledgement comes too late.
        """
        return set(self._tags.values()) != set(self._channel.consumer_tags)

    def turn(self) -> None:
        """Take a chunk if there is one.

        If all lanes are empty, listen, and check the subscriptions now and then.
        """
        moment = time.monotonic()
        if self._tags and moment >= self._look_at:
            self._probe()
            return
        if not self._tags.keys() >= set(
            self._lanes.order(moment)
        ):  # no subscription yet, or the rest of a lane is over
            self.stop()
            if moment >= self._renew_at:
                self._renew()  # also for a worker that always finds work: see `_probe`
            self._look_for_work()

    def stop(self) -> None:
        """Cancel all subscriptions: while the worker has a chunk, or for good.

        Its next `turn` chooses a lane again.
        """
        while self._tags:
            self._channel.basic_cancel(self._tags.popitem()[1])  # requeues a message on its way

    def _renew(self) -> None:
        self._channel.close()
        self._channel = self._open()

    def _open(self) -> BlockingChannel:
        channel = self._connection.channel()
        channel.confirm_delivery()  # so that dead letters are confirmed
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
        # Workers that became idle together must not check together: each would disturb the counts
        # of the others.
        pause = _DOUBT_SECONDS if self._doubt else _PROBE_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._look_at = time.monotonic() + pause

    def _probe(self) -> None:
        """Cancel each subscription and see whether the lane's consumer count drops.

        Where not, the broker had lost it.

        Then listen again, on a new channel: the broker's side of the old one may be broken.
        RabbitMQ's channel outlives a quorum queue that is deleted and declared again. It may then
        register a consumer with the new queue that it sent to the old one. Such a ghost consumer
        takes a chunk that no worker receives, until its channel is closed.

        Brokers lose consumers without telling them (a queue's leader moved, a channel broke), and
        the driver's own list does not show it. If another worker starts to listen on a lane at this
        moment, the count is wrong: among forty idle workers that happens several times a minute. So
        the worker counts as lost only if the counts of all lanes say so, or that of one lane twice,
        a second apart.
        """
        lost_in, asked = [], len(self._tags)
        for lane, tag in list(self._tags.items()):
            before = self._listeners(lane)
            self._channel.basic_cancel(tag)
            del self._tags[lane]
            if self._listeners(lane) >= before:
                lost_in.append(lane)
        self._renew()
        self._lost = len(lost_in) == asked or not self._doubt.isdisjoint(lost_in)
        if self._lost:
            logger.warning(
                "the broker does not count this worker among its listeners: it looks for chunks and listens again",
                extra={"lanes": lost_in},
            )
        self._doubt = frozenset(lost_in)
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
                behind=int(getattr(method, "message_count", 0)),  # basic_get alone reports it
            )
        )
