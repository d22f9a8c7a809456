"""What Warren relies on in a broker, asked of RabbitMQ and of the double in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, UnroutableError
from polling import until

from producer.publishing.outbox import Message
from producer.publishing.publisher import publish
from warren import broker
from warren.broker import connect, dead_letters
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE, GPU_QUEUE, LANES
from warren.settings import Settings
from warren.testing import StubBroker


@pytest.fixture(params=["server", "memory"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """Settings that name a broker with empty queues."""
    return request.getfixturevalue("servers") if request.param == "server" else StubBroker().settings


@pytest.fixture
def connection(settings: Settings) -> Iterator[pika.BlockingConnection]:
    opened = connect(settings, "test")
    yield opened
    if opened.is_open:
        opened.close()


@pytest.fixture
def channel(connection: pika.BlockingConnection) -> Any:
    opened = connection.channel()
    opened.confirm_delivery()
    return opened


def send(settings: Settings, *bodies: bytes, **how: Any) -> int:
    return publish(settings, CHUNKS_QUEUE, [Message(body=body, id=str(body)) for body in bodies], **how)


def waiting(channel: Any, queue: str = CHUNKS_QUEUE) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def test_a_connection_finds_every_queue(channel: Any) -> None:
    for queue in (*LANES, GPU_QUEUE, DEAD_QUEUE):
        assert waiting(channel, queue) == 0


def test_messages_come_in_their_order_with_what_they_say(settings: Settings, channel: Any) -> None:
    assert send(settings, b"a", b"b", priority=3, headers={"x-warren-database": "0" * 32}) == 2
    method, properties, body = channel.basic_get(CHUNKS_QUEUE)
    assert body == b"a"
    assert not method.redelivered
    assert method.message_count == 1
    assert (properties.message_id, properties.priority, properties.delivery_mode) == ("b'a'", 3, 2)
    assert broker.database_of(properties) == ("0" * 32, "")
    _, _, body = channel.basic_get(CHUNKS_QUEUE)
    assert body == b"b"
    assert channel.basic_get(CHUNKS_QUEUE) == (None, None, None)


def test_messages_go_where_they_say(settings: Settings, channel: Any) -> None:
    publish(settings, CHUNKS_QUEUE, [Message(body=b"a", queue=LANES[1])])
    assert (waiting(channel), waiting(channel, LANES[1])) == (0, 1)


def test_a_message_is_safe_when_its_sender_hears_so(settings: Settings, channel: Any) -> None:
    safe: list[bytes] = []
    send(settings, b"a", b"b", on_safe=lambda message: safe.append(message.body))
    assert safe == [b"a", b"b"]
    assert waiting(channel) == 2


def test_what_is_acknowledged_is_gone(settings: Settings, connection: Any, channel: Any) -> None:
    send(settings, b"a", b"b")
    for _ in range(2):
        method, _, _ = channel.basic_get(CHUNKS_QUEUE)
        channel.basic_ack(method.delivery_tag)
    channel.close()
    with connection.channel() as another:
        assert another.basic_get(CHUNKS_QUEUE)[0] is None


def test_what_was_not_acknowledged_comes_again_first(settings: Settings, connection: Any, channel: Any) -> None:
    send(settings, b"a", b"b", b"c")
    assert [channel.basic_get(CHUNKS_QUEUE)[2] for _ in range(2)] == [b"a", b"b"]
    channel.close()
    again = connection.channel()
    until(lambda: waiting(again) == 3, 20, "all are there again")
    got = [again.basic_get(CHUNKS_QUEUE) for _ in range(3)]
    assert [body for _, _, body in got] == [b"a", b"b", b"c"]
    assert [method.redelivered for method, _, _ in got] == [True, True, False]


def test_what_is_given_back_counts_its_returns(settings: Settings, channel: Any) -> None:
    send(settings, b"a")
    for returns in range(3):
        method, properties, _ = channel.basic_get(CHUNKS_QUEUE)
        assert (properties.headers or {}).get("x-delivery-count", 0) == returns
        channel.basic_nack(method.delivery_tag, requeue=True)
        until(lambda: waiting(channel) == 1, 20, "it is there again")


def test_a_consumer_gets_one_message_at_a_time(settings: Settings, connection: Any, channel: Any) -> None:
    came: list[tuple[int, bytes]] = []
    channel.basic_qos(prefetch_count=1)
    tag = channel.basic_consume(CHUNKS_QUEUE, lambda _, method, __, body: came.append((method.delivery_tag, body)))
    assert channel.consumer_tags == [tag]
    assert channel.queue_declare(CHUNKS_QUEUE, passive=True).method.consumer_count == 1
    send(settings, b"a", b"b")
    until(lambda: connection.process_data_events(0.05) or came, 20, "the first comes")
    connection.process_data_events(0.2)
    assert [body for _, body in came] == [b"a"]
    channel.basic_ack(came[0][0])
    until(lambda: connection.process_data_events(0.05) or len(came) == 2, 20, "the second comes")
    channel.basic_cancel(tag)
    assert channel.consumer_tags == []


def test_another_thread_s_callback_runs_on_the_connection_s(connection: Any) -> None:
    ran: list[bool] = []
    connection.add_callback_threadsafe(lambda: ran.append(True))
    until(lambda: connection.process_data_events(0.05) or ran, 20, "it ran")


def test_a_queue_that_is_not_there_is_told(connection: Any) -> None:
    with pytest.raises(ChannelClosedByBroker, match="404"):
        connection.channel().queue_declare("chunks.nowhere", passive=True)
    channel = connection.channel()
    channel.confirm_delivery()
    with pytest.raises(UnroutableError):
        channel.basic_publish("", "chunks.nowhere", b"a", mandatory=True)


def test_dead_letters_are_read_and_stay(settings: Settings, channel: Any) -> None:
    for body in (b"a", b"b"):
        channel.basic_publish("", DEAD_QUEUE, body, pika.BasicProperties(headers={broker.REASON_HEADER: "for a test"}))
    for _ in range(12):  # more often than a message may come back without being put there afresh
        found = list(dead_letters(channel))
        assert [one.body for one in found] == [b"a", b"b"]
        assert {one.reason for one in found} == {"for a test"}
        until(lambda: waiting(channel, DEAD_QUEUE) == 2, 20, "both are there again")
