"""Chunks into a real queue: all of them, once, in order, and safe."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import numpy as np
import pika
import psutil
import pytest
from proxy import Proxy
from sklearn.dummy import DummyClassifier

from producer import submit
from producer.publishing import publication
from producer.publishing.lane_choice import unclaimed_gpu_chunks
from producer.publishing.outbox import Message
from producer.publishing.publisher import publish
from warren.broker import channel
from warren.errors import BrokerError
from warren.messages import Chunk, decode_chunk, encode_chunk
from warren.queues import CHUNKS_QUEUE, GPU_QUEUE
from warren.settings import Settings

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10) % 2


def numbered(count: int) -> Iterator[Message]:
    return (Message(body=b"%d" % number, id=f"study/1/{number}") for number in range(count))


def waiting(settings: Settings, queue: str = CHUNKS_QUEUE) -> int:
    with channel(settings) as open_channel:
        return open_channel.queue_declare(queue, passive=True).method.message_count


def drain(settings: Settings, queue: str = CHUNKS_QUEUE) -> list[tuple[pika.BasicProperties, bytes]]:
    """Take every message of a queue, in its order."""
    found: list[tuple[pika.BasicProperties, bytes]] = []
    with channel(settings) as open_channel:
        left = open_channel.queue_declare(queue, passive=True).method.message_count
        for _, properties, body in open_channel.consume(queue, auto_ack=True, inactivity_timeout=10) if left else ():
            assert body is not None, f"{left - len(found)} messages did not come"
            found.append((properties, body))
            if len(found) == left:
                break
    return found


def connections(settings: Settings) -> int:
    """Count this process's open connections to the broker."""
    port = urlsplit(settings.amqp_url).port
    return sum(one.raddr and one.raddr.port == port for one in psutil.Process().net_connections("tcp"))


def to(settings: Settings, **parts: object) -> Settings:
    """Return settings with another broker's URL, made of some other parts, and with settings of
    other values."""
    url = urlsplit(settings.amqp_url)
    user, password, port, path = (
        parts.get(name, getattr(url, name)) for name in ("username", "password", "port", "path")
    )
    changed = f"amqp://{user}:{password}@{url.hostname}:{port}{path}"
    wanted = {name: value for name, value in parts.items() if name.startswith("WARREN_")}
    return Settings(AMQP_URL=changed, MONGO_URL=settings.mongo_url, **({"WARREN_CONNECT_SECONDS": 2} | wanted))


# ------------------------------------------------------------------------ the good way


def test_thousands_of_messages_arrive_once_and_in_order(servers: Settings) -> None:
    assert publish(servers, CHUNKS_QUEUE, numbered(6000)) == 6000
    found = drain(servers)
    assert [body for _, body in found] == [message.body for message in numbered(6000)]
    assert {properties.delivery_mode for properties, _ in found} == {2}
    assert {properties.content_type for properties, _ in found} == {"application/json"}
    assert connections(servers) == 0


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501])
def test_any_number_of_messages_is_published(servers: Settings, count: int) -> None:
    assert publish(servers, CHUNKS_QUEUE, numbered(count)) == count
    assert waiting(servers) == count


def test_large_messages_arrive_whole(servers: Settings) -> None:
    bodies = [bytes([number]) * 12_000_000 for number in range(8)]
    assert publish(servers, CHUNKS_QUEUE, [Message(body=body) for body in bodies]) == 8
    assert [body for _, body in drain(servers)] == bodies


def test_a_message_says_who_sent_it_and_when_and_how_much_it_matters(servers: Settings) -> None:
    before = int(time.time())
    publish(servers, CHUNKS_QUEUE, numbered(2), priority=7)
    found = [properties for properties, _ in drain(servers)]
    assert [one.message_id for one in found] == ["study/1/0", "study/1/1"]
    assert {(one.app_id, one.priority) for one in found} == {("warren", 7)}
    assert all(before <= one.timestamp <= time.time() for one in found)


def test_messages_go_where_they_are_sent(servers: Settings) -> None:
    publish(servers, GPU_QUEUE, numbered(3))
    assert (waiting(servers, GPU_QUEUE), waiting(servers)) == (3, 0)


def test_a_message_may_name_its_queue_itself(servers: Settings) -> None:
    mixed = [Message(body=b"1", queue=GPU_QUEUE), Message(body=b"2"), Message(body=b"3", queue=CHUNKS_QUEUE)]
    assert publish(servers, CHUNKS_QUEUE, mixed) == 3
    assert [body for _, body in drain(servers, GPU_QUEUE)] == [b"1"]
    assert [body for _, body in drain(servers)] == [b"2", b"3"]


def test_a_queue_that_a_message_names_and_the_broker_has_not_is_said(servers: Settings) -> None:
    with pytest.raises(BrokerError, match=r"the broker has no queue 'chunks\.tpu'"):
        publish(servers, CHUNKS_QUEUE, [Message(body=b"1", queue="chunks.tpu")])


def test_chunks_that_wait_for_a_gpu_without_a_worker_are_counted(servers: Settings) -> None:
    publish(servers, GPU_QUEUE, numbered(3))
    assert unclaimed_gpu_chunks(servers) == 3
    with channel(servers) as opened:
        opened.basic_qos(prefetch_count=1)
        opened.basic_consume(GPU_QUEUE, lambda *_: None)
        assert unclaimed_gpu_chunks(servers) == 0
    assert unclaimed_gpu_chunks(Settings(AMQP_URL="amqp://guest:guest@127.0.0.1:1/%2F")) == 0


def test_messages_are_walked_as_they_leave(servers: Settings) -> None:
    ahead = []

    def messages() -> Iterator[Message]:
        for number in range(3000):
            if number % 1000 == 999:
                # Quorum queues count a message when it is safe: what is not there is on its way.
                ahead.append(number - waiting(servers))
            yield Message(body=b"x")

    assert publish(servers, CHUNKS_QUEUE, messages()) == 3000
    assert len(ahead) == 3
    assert max(ahead) <= 600


# ---------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("after", [0, 3, 2000])
def test_messages_that_stop_coming_leave_those_before_them(
    servers: Settings, interruption: type[BaseException], after: int
) -> None:
    def messages() -> Iterator[Message]:
        yield from numbered(after)
        raise interruption("in the middle")

    with pytest.raises(interruption, match="in the middle"):
        publish(servers, CHUNKS_QUEUE, messages())
    assert connections(servers) == 0
    assert [body for _, body in drain(servers)] == [message.body for message in numbered(after)]


def test_a_submission_cut_short_is_completed_by_the_same_call(
    servers: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again() -> str:
        return submit(DummyClassifier(), {"random_state": range(700)}, X, Y, cv=2, n_chunks=70).id

    encoded: list[int] = []

    def interrupted(chunk: Chunk) -> bytes:
        encoded.append(chunk.index)
        if len(encoded) == 31:
            raise KeyboardInterrupt
        return encode_chunk(chunk)

    with monkeypatch.context() as patch:
        patch.setattr(publication, "encode_chunk", interrupted)
        with pytest.raises(KeyboardInterrupt):
            again()
    assert waiting(servers) == 30
    study_id = again()
    found = [decode_chunk(body) for _, body in drain(servers)]
    assert Counter(chunk.generation for chunk in found) == {1: 30, 2: 70}
    newest = [trial.number for chunk in found if chunk.generation == 2 for trial in chunk.trials]
    assert newest == list(range(700))
    assert {chunk.study_id for chunk in found} == {study_id}


# -------------------------------------------------------------------------------- faults


def at(number: int, do: Callable[[], object], count: int) -> Iterator[Message]:
    """Yield messages, and do something when one is asked for in the middle."""
    for index, message in enumerate(numbered(count)):
        if index == number:
            do()
        yield message


def all_arrived(bodies: Sequence[bytes], count: int) -> Counter[bytes]:
    """Return what arrived more than once, after a look that nothing is missing and the rest
    is in order."""
    found = Counter(bodies)
    assert set(found) == {message.body for message in numbered(count)}
    assert list(dict.fromkeys(bodies)) == [message.body for message in numbered(count)]
    return found - Counter(set(bodies))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a person reads: our lines; the driver's must not be among them."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_connection_that_is_lost_again_and_again_loses_no_message(
    servers: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    safe: list[bytes] = []

    def messages(proxy: Proxy) -> Iterator[Message]:
        for index, message in enumerate(numbered(6000)):
            if index in {1000, 2000, 4000}:
                proxy.drop()
            yield message

    with Proxy.to(servers.amqp_url) as proxy:
        elsewhere = to(servers, port=proxy.port)
        counted = publish(elsewhere, CHUNKS_QUEUE, messages(proxy), on_safe=lambda one: safe.append(one.body))
    assert counted == 6000
    assert Counter(safe) == Counter(message.body for message in numbered(6000)), "each is counted once"
    twice = all_arrived([body for _, body in drain(servers)], 6000)
    assert len(twice) <= 3 * 500
    lines = told(caplog)
    assert [line.partition(" after")[0].partition(", which")[0] for line in lines] == [
        "publishing waits for the broker",
        "the broker is back",
    ] * 3
    assert re.search(r"which has confirmed [\d,]+ messages: RabbitMQ at amqp://warren:\*\*\*@127.0.0.1:\d+", lines[0])
    assert connections(servers) == 0


def test_a_cut_in_the_network_that_mends_loses_no_message(servers: Settings) -> None:
    with Proxy.to(servers.amqp_url) as proxy:

        def cut_for_a_moment() -> None:
            proxy.cut()
            threading.Timer(1.0, proxy.mend).start()

        publish(to(servers, port=proxy.port), CHUNKS_QUEUE, at(1500, cut_for_a_moment, 3000))
    assert not all_arrived([body for _, body in drain(servers)], 3000), "the connection was good again: nothing twice"


def test_a_cut_in_the_network_that_lasts_is_an_error_in_time(servers: Settings) -> None:
    with Proxy.to(servers.amqp_url) as proxy:
        elsewhere = to(servers, port=proxy.port, WARREN_PATIENCE_SECONDS=1)
        began = time.monotonic()
        with pytest.raises(BrokerError, match=r"confirms no message .*\. Gave up after 1 s without a confirm"):
            publish(elsewhere, CHUNKS_QUEUE, at(1500, proxy.cut, 3000))
        assert time.monotonic() - began < 10
        assert not [
            one for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == proxy.port
        ]


def test_a_broker_that_stays_away_is_an_error_that_counts_what_is_safe(servers: Settings) -> None:
    safe: list[bytes] = []
    with Proxy.to(servers.amqp_url) as proxy:
        elsewhere = to(servers, port=proxy.port, WARREN_PATIENCE_SECONDS=1)
        with pytest.raises(
            BrokerError,
            match=r"can't be reached .*\. Gave up after 1 s without a confirm "
            r"\(WARREN_PATIENCE_SECONDS\)$",
        ) as caught:
            publish(
                elsewhere,
                CHUNKS_QUEUE,
                at(5000, proxy.close, 50_000),
                on_safe=lambda message: safe.append(message.body),
            )
    assert "***" in str(caught.value)
    bodies = [body for _, body in drain(servers)]
    assert 4000 < len(safe) <= len(bodies) < 5500
    assert bodies == [message.body for message in numbered(len(bodies))]
    assert connections(servers) == 0


@contextlib.contextmanager
def full_queue(settings: Settings) -> Iterator[str]:
    """A queue that refuses messages when 200 are in it."""
    with channel(settings) as open_channel:
        arguments = {"x-max-length": 200, "x-overflow": "reject-publish"}
        open_channel.queue_declare("test-full", durable=True, arguments=arguments)
    try:
        yield "test-full"
    finally:
        with channel(settings) as open_channel:
            open_channel.queue_delete("test-full")


def test_messages_that_the_broker_refuses_for_a_while_are_offered_again(servers: Settings) -> None:
    taken: list[bytes] = []
    with full_queue(servers) as queue, ThreadPoolExecutor(1) as pool:

        def take() -> None:
            with channel(servers) as open_channel:
                for _, _, body in open_channel.consume(queue, auto_ack=True, inactivity_timeout=30):
                    assert body is not None
                    taken.append(body)
                    if len(taken) == 600:
                        return

        publishing = pool.submit(publish, servers, queue, numbered(600))
        take()
        assert publishing.result(30) == 600
    # Each has its answer before it is offered again: nothing arrives twice.
    assert sorted(taken, key=int) == [message.body for message in numbered(600)]


def test_messages_that_the_broker_goes_on_to_refuse_are_an_error(servers: Settings) -> None:
    impatient = to(servers, WARREN_PATIENCE_SECONDS=1)
    safe: list[bytes] = []
    with (
        full_queue(servers) as queue,
        pytest.raises(BrokerError, match="(refused a message|confirms no message) .* Gave up"),
    ):
        publish(impatient, queue, numbered(300), on_safe=lambda message: safe.append(message.body))
    assert 200 <= len(safe) < 300
    assert connections(servers) == 0


def test_a_message_larger_than_the_broker_takes_is_an_error_at_once(servers: Settings) -> None:
    # RabbitMQ closes the channel (406); another connection would meet the same.
    with pytest.raises(BrokerError, match=r"refused \(406\)"):
        publish(servers, CHUNKS_QUEUE, [Message(body=b"x" * 140_000_000)])


# ------------------------------------------------------------------------------ errors


def never() -> Iterator[Message]:
    raise AssertionError("nothing is asked for where nothing can go")
    yield Message(body=b"")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"port": 1, "password": "s3cret"}, r"can't be reached \(.*\): is it running, and is AMQP_URL right\?"),
        ({"password": "s3cret"}, "refused the user or password: check AMQP_URL"),
        ({"username": "s3cret"}, "refused the user or password: check AMQP_URL"),
        ({"path": "/nowhere"}, "has no such virtual host: check the path of AMQP_URL"),
    ],
    ids=["away", "wrong password", "wrong user", "no such host"],
)
def test_a_broker_that_is_not_to_be_had_is_one_error_without_the_password(
    servers: Settings, parts: dict[str, object], message: str
) -> None:
    elsewhere = to(servers, **parts)
    with pytest.raises(BrokerError, match=message) as caught:
        publish(elsewhere, CHUNKS_QUEUE, never())
    password = urlsplit(elsewhere.amqp_url).password
    assert password
    assert password not in str(caught.value)
    assert ":***@" in str(caught.value)


def test_a_url_that_can_not_be_read_is_said_so_without_the_password() -> None:
    secret = "".join(("s3", "cret"))
    with pytest.raises(BrokerError, match="AMQP_URL .* can't be read: .*So write amqp://user:password@host") as caught:
        publish(Settings(AMQP_URL=f"amqp://ann:{secret}/part@host:1/"), CHUNKS_QUEUE, never())
    # What a notebook shows is the traceback with its causes.
    assert secret not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("count", [1, 2000])
def test_a_queue_that_is_not_there_is_said_so(servers: Settings, count: int) -> None:
    safe: list[Message] = []
    with pytest.raises(BrokerError, match="the broker has no queue 'no-such-queue'$"):
        publish(servers, "no-such-queue", numbered(count), on_safe=safe.append)
    assert safe == []
    assert connections(servers) == 0
