"""A broker in memory: its queues deliver and requeue like RabbitMQ's.

The classes below have the names, arguments and results of pika's blocking classes, as far as Warren
uses them.
"""

# ruff: noqa: D102

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Self
from uuid import uuid4

import pika
from pika.exceptions import ChannelClosedByBroker, ChannelWrongStateError, UnroutableError

from warren import broker
from warren.settings import Settings

# Seconds between two checks for a message, in a connection that waits for one.
_LOOK_SECONDS = 0.005
_NOT_FOUND = 404

OnMessage = Callable[[Any, Any, pika.BasicProperties, bytes], None]


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """A message in a queue."""

    body: bytes
    properties: pika.BasicProperties
    returns: int = 0

    def came_back(self) -> _Stored:
        return replace(self, returns=self.returns + 1)


@dataclass
class _Queue:
    name: str
    waiting: deque[_Stored] = field(default_factory=deque)
    consumers: set[str] = field(default_factory=set)


class StubBroker:
    """A broker without a server, for this process; it has no queues until they are declared.

    Parameters
    ----------
    name : str, default=None
        Brokers with the same name share their queues, like two connections to one server; None for
        a unique name.

    Attributes
    ----------
    url : str
        The value for ``AMQP_URL``.

    Examples
    --------
    >>> stub = StubBroker()
    >>> with stub.connection() as connection:
    ...     _ = connection.channel().queue_declare("chunks")
    >>> stub.messages("chunks")
    []
    """

    def __init__(self, name: str | None = None) -> None:
        self.url = f"memory://{name or uuid4().hex}"
        shared = broker.IN_MEMORY.setdefault(self.url, self)
        self.lock: threading.RLock = getattr(shared, "lock", None) or threading.RLock()
        self.queues: dict[str, _Queue] = getattr(shared, "queues", {})

    @property
    def settings(self) -> Settings:
        """Settings with this broker, and defaults for everything else."""
        return Settings(AMQP_URL=self.url)

    def connection(self) -> Connection:
        """Open a connection."""
        return Connection(self)

    def messages(self, name: str) -> list[bytes]:
        """Return the bodies of the messages in a queue, in order."""
        with self.lock:
            return [message.body for message in self.queues[name].waiting] if name in self.queues else []

    def publish(self, name: str, body: bytes, properties: pika.BasicProperties) -> None:
        """Put a message at the end of a queue.

        Parameters
        ----------
        name : str
            The queue.
        body : bytes
            The message.
        properties : pika.BasicProperties
            Its properties.

        Raises
        ------
        pika.exceptions.UnroutableError
            There is no such queue.
        """
        with self.lock:
            if name not in self.queues:
                raise UnroutableError([SimpleNamespace(method=SimpleNamespace(routing_key=name), body=body)])
            self.queues[name].waiting.append(_Stored(body=body, properties=properties))


class Connection:
    """pika's ``BlockingConnection`` to a `StubBroker`."""

    def __init__(self, stub: StubBroker) -> None:
        self._stub = stub
        self._channels: list[Channel] = []
        self._callbacks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.is_open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def channel(self) -> Channel:
        self._channels.append(Channel(self, self._stub))
        return self._channels[-1]

    def close(self) -> None:
        self.is_open = False
        for channel in self._channels:
            if channel.is_open:
                channel.close()

    def add_callback_threadsafe(self, callback: Callable[[], None]) -> None:
        self._callbacks.put(callback)

    def process_data_events(self, time_limit: float = 0) -> None:
        """Run callbacks and deliver messages, until there was one or the time is over."""
        deadline = time.monotonic() + time_limit
        while not self._turn() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def _turn(self) -> bool:
        came = False
        while not self._callbacks.empty():
            self._callbacks.get()()
            came = True
        delivered = [channel.deliver() for channel in self._channels if channel.is_open]
        return any(delivered) or came


class Channel:
    """pika's ``BlockingChannel`` of such a connection."""

    def __init__(self, connection: Connection, stub: StubBroker) -> None:
        self.connection = connection
        self.is_open = True
        self._stub = stub
        self._tags = itertools.count(1)
        self._unacknowledged: dict[int, tuple[str, _Stored]] = {}
        self._consumers: dict[str, tuple[str, OnMessage]] = {}
        self._prefetch = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_open:
            self.close()

    @property
    def consumer_tags(self) -> list[str]:
        return [*self._consumers]

    def close(self) -> None:
        """Close; messages that were not acknowledged return to the front of their queue."""
        for tag in self.consumer_tags:
            self.basic_cancel(tag)
        self.basic_nack(0, multiple=True)
        self.is_open = False

    def confirm_delivery(self) -> None: ...

    def basic_qos(self, *, prefetch_count: int) -> None:
        self._prefetch = prefetch_count

    def queue_declare(
        self,
        name: str,
        *,
        passive: bool = False,
        durable: bool = False,  # noqa: ARG002 - all queues last as long as the process
        arguments: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Any:
        with self._stub.lock:
            found = self._queue(name) if passive else self._stub.queues.setdefault(name, _Queue(name))
            count = {"message_count": len(found.waiting), "consumer_count": len(found.consumers)}
            return SimpleNamespace(method=SimpleNamespace(queue=name, **count))

    def queue_purge(self, name: str) -> None:
        with self._stub.lock:
            self._queue(name).waiting.clear()

    def queue_delete(self, name: str) -> None:
        with self._stub.lock:
            self._stub.queues.pop(name, None)

    def basic_publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: pika.BasicProperties | None = None,
        *,
        mandatory: bool = False,
    ) -> None:
        if exchange:
            raise NotImplementedError("the broker in memory has only the default exchange")
        try:
            self._stub.publish(routing_key, body, properties or pika.BasicProperties())
        except UnroutableError:
            if mandatory:
                raise

    def basic_get(self, name: str, *, auto_ack: bool = False) -> tuple[Any, pika.BasicProperties | None, bytes | None]:
        with self._stub.lock:
            waiting = self._queue(name).waiting
            if not waiting:
                return None, None, None
            method, properties, body = self._hand_out(name, waiting.popleft())
            method.message_count = len(waiting)
            if auto_ack:
                self.basic_ack(method.delivery_tag)
            return method, properties, body

    def basic_consume(self, name: str, on_message_callback: OnMessage) -> str:
        tag = uuid4().hex
        with self._stub.lock:
            self._queue(name).consumers.add(tag)
        self._consumers[tag] = name, on_message_callback
        return tag

    def basic_cancel(self, tag: str) -> None:
        name, _ = self._consumers.pop(tag)
        with self._stub.lock:
            if name in self._stub.queues:
                self._stub.queues[name].consumers.discard(tag)

    def basic_ack(self, delivery_tag: int) -> None:
        if self._unacknowledged.pop(delivery_tag, None) is None:
            raise ChannelClosedByBroker(406, f"PRECONDITION_FAILED - unknown delivery tag {delivery_tag}")

    def basic_nack(self, delivery_tag: int, *, multiple: bool = False, requeue: bool = True) -> None:
        """Requeue or discard a message; with ``multiple``, all up to a tag, or all for tag 0."""
        tags = [tag for tag in self._unacknowledged if not delivery_tag or tag <= delivery_tag]
        for tag in sorted(tags if multiple else [delivery_tag], reverse=True):
            name, stored = self._unacknowledged.pop(tag)
            with self._stub.lock:
                if requeue and name in self._stub.queues:
                    self._stub.queues[name].waiting.appendleft(stored.came_back())

    def deliver(self) -> bool:
        """Deliver one message to a consumer, if there is one and the prefetch limit allows it."""
        for name, on_message in list(self._consumers.values()):
            if self._prefetch and len(self._unacknowledged) >= self._prefetch:
                return False
            with self._stub.lock:
                waiting = self._stub.queues[name].waiting if name in self._stub.queues else deque[_Stored]()
                handed = self._hand_out(name, waiting.popleft()) if waiting else None
            if handed is not None:
                on_message(self, *handed)
                return True
        return False

    def _queue(self, name: str) -> _Queue:
        if not self.is_open:
            raise ChannelWrongStateError("the channel is closed")
        if name not in self._stub.queues:
            self.is_open = False
            raise ChannelClosedByBroker(_NOT_FOUND, f"NOT_FOUND - no queue '{name}' in vhost '/'")
        return self._stub.queues[name]

    def _hand_out(self, name: str, stored: _Stored) -> tuple[Any, pika.BasicProperties, bytes]:
        tag = next(self._tags)
        self._unacknowledged[tag] = name, stored
        headers = dict(stored.properties.headers or {})
        if stored.returns:  # like a quorum queue's count
            headers["x-delivery-count"] = stored.returns
        about = {name: getattr(stored.properties, name) for name in _PROPERTIES}
        properties = pika.BasicProperties(**about, headers=headers)
        return SimpleNamespace(delivery_tag=tag, redelivered=stored.returns > 0), properties, stored.body


_PROPERTIES = ("app_id", "content_type", "delivery_mode", "message_id", "priority", "timestamp")
