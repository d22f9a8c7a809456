"""A worker that listens on a queue which is deleted and declared again: every chunk of the new one
reaches it."""

from __future__ import annotations

from collections.abc import Iterator

import pika
import pytest
from polling import until

from warren.broker import channel, parameters
from warren.errors import BrokerError
from warren.queues import CHUNKS_QUEUE, LANES
from warren.settings import Settings
from worker.consumer import listener as listener_module
from worker.consumer.fair_queueing import Lanes
from worker.consumer.listener import Delivery, Listener

CHUNKS = 10


@pytest.fixture
def connection(servers: Settings) -> Iterator[pika.BlockingConnection]:
    opened = pika.BlockingConnection(parameters(servers, "test"))
    yield opened
    if opened.is_open:
        opened.close()


@pytest.mark.parametrize("before", range(3))
def test_no_chunk_stays_with_a_listener_of_a_deleted_queue(
    servers: Settings, connection: pika.BlockingConnection, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ gives the new queue the consumers of the old one, if their channel speaks of it at
    the right moment."""
    monkeypatch.setattr(listener_module, "_PROBE_SECONDS", 0.2)
    seen: set[bytes] = set()

    def take(delivery: Delivery) -> None:
        seen.add(delivery.body)
        delivery.channel.basic_ack(delivery.tag)

    with channel(servers):
        pass
    listener = Listener(connection, Lanes(LANES), take)
    listener.turn()
    with channel(servers) as ours:
        ours.queue_delete(CHUNKS_QUEUE)
    with channel(servers) as ours:
        ours.confirm_delivery()
        for number in range(CHUNKS):
            if number == before:
                listener._probe()
            ours.basic_publish("", CHUNKS_QUEUE, str(number).encode(), mandatory=True)

    def all_are_here() -> bool:
        connection.process_data_events(time_limit=0.05)
        if listener.cancelled:
            raise BrokerError("the broker cancelled a consumer")
        listener.turn()
        return len(seen) == CHUNKS

    until(all_are_here, what="every chunk has arrived")
