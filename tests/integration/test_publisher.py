"""Chunks into a real queue: all of them, once, in order, and safe."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np
import pika
import psutil
import pytest
from sklearn.dummy import DummyClassifier

from producer import publication, submit
from producer.publisher import publish
from tuning.broker import channel
from tuning.errors import BrokerError
from tuning.messages import Chunk, decode_chunk, encode_chunk
from tuning.names import CHUNKS_QUEUE, GPU_QUEUE
from tuning.settings import Settings

X = np.arange(20.0).reshape(10, 2)
Y = np.arange(10) % 2


def numbered(count: int) -> Iterator[bytes]:
    return (b"%d" % number for number in range(count))


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
    """Return settings with another broker's URL, made of some other parts."""
    url = urlsplit(settings.amqp_url)
    user, password, port, path = (
        parts.get(name, getattr(url, name)) for name in ("username", "password", "port", "path")
    )
    changed = f"amqp://{user}:{password}@{url.hostname}:{port}{path}"
    return Settings(AMQP_URL=changed, MONGO_URL=settings.mongo_url, WARREN_CONNECT_SECONDS=2)


# ------------------------------------------------------------------------ the good way


def test_thousands_of_messages_arrive_once_and_in_order(servers: Settings) -> None:
    assert publish(servers, CHUNKS_QUEUE, numbered(6000)) == 6000
    found = drain(servers)
    assert [body for _, body in found] == list(numbered(6000))
    assert {properties.delivery_mode for properties, _ in found} == {2}
    assert {properties.content_type for properties, _ in found} == {"application/json"}
    assert connections(servers) == 0


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501])
def test_any_number_of_messages_is_published(servers: Settings, count: int) -> None:
    assert publish(servers, CHUNKS_QUEUE, numbered(count)) == count
    assert waiting(servers) == count


def test_large_messages_arrive_whole(servers: Settings) -> None:
    bodies = [bytes([number]) * 3_000_000 for number in range(8)]
    assert publish(servers, CHUNKS_QUEUE, bodies) == 8
    assert [body for _, body in drain(servers)] == bodies


def test_messages_go_where_they_are_sent(servers: Settings) -> None:
    publish(servers, GPU_QUEUE, numbered(3))
    assert (waiting(servers, GPU_QUEUE), waiting(servers)) == (3, 0)


def test_messages_are_walked_as_they_leave(servers: Settings) -> None:
    ahead = []

    def bodies() -> Iterator[bytes]:
        for number in range(3000):
            if number % 1000 == 999:
                # Quorum queues count a message when it is safe: what is not there is on its way.
                ahead.append(number - waiting(servers))
            yield b"x"

    assert publish(servers, CHUNKS_QUEUE, bodies()) == 3000
    assert len(ahead) == 3
    assert max(ahead) <= 600


# ---------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("after", [0, 3, 2000])
def test_messages_that_stop_coming_leave_those_before_them(
    servers: Settings, interruption: type[BaseException], after: int
) -> None:
    def bodies() -> Iterator[bytes]:
        yield from numbered(after)
        raise interruption("in the middle")

    with pytest.raises(interruption, match="in the middle"):
        publish(servers, CHUNKS_QUEUE, bodies())
    assert connections(servers) == 0
    assert [body for _, body in drain(servers)] == list(numbered(after))


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


class CutOff:
    """A proxy to the broker that drops its second connection after some bytes: the first is a look at the queues."""

    def __init__(self, settings: Settings, after: int) -> None:
        self._target = urlsplit(settings.amqp_url)
        self._after = after
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> CutOff:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        for limit in (float("inf"), self._after):
            client, _ = self._server.accept()
            with client, socket.create_connection((self._target.hostname, self._target.port)) as broker:
                back = threading.Thread(target=self._pump, args=(broker, client, float("inf")))
                back.start()
                self._pump(client, broker, limit)
                for end in (client, broker):
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                back.join(10)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, limit: float) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while carried < limit and (data := source.recv(4096)):
                sink.sendall(data)
                carried += len(data)


def test_a_broker_that_goes_away_in_the_middle_is_an_error_that_counts_what_is_safe(servers: Settings) -> None:
    with (
        CutOff(servers, after=300_000) as proxy,
        pytest.raises(BrokerError, match=r"can't be reached .*\((\d+) messages were confirmed before\)") as caught,
    ):
        publish(to(servers, port=proxy.port), CHUNKS_QUEUE, numbered(50_000))
    counted = re.search(r"\((\d+) messages", str(caught.value))
    assert counted
    confirmed = int(counted[1])
    assert 0 < confirmed < 50_000
    bodies = [body for _, body in drain(servers)]
    assert confirmed <= len(bodies)
    assert bodies == list(numbered(len(bodies)))


# ------------------------------------------------------------------------------ errors


def never() -> Iterator[bytes]:
    raise AssertionError("nothing is asked for where nothing can go")
    yield b""


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"port": 1, "password": "s3cret"}, r"can't be reached \(.*\): is it running, and is AMQP_URL right\?"),
        ({"password": "s3cret"}, "refused the user or password: check AMQP_URL"),
        ({"username": "s3cret"}, "refused the user or password: check AMQP_URL"),
        ({"path": "/nowhere"}, "has no such virtual host, or the user may not use it"),
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
    with pytest.raises(BrokerError, match="AMQP_URL .* can't be read: write amqp://user:password@host") as caught:
        publish(Settings(AMQP_URL=f"amqp://ann:{secret}/part@host:1/"), CHUNKS_QUEUE, never())
    # What a notebook shows is the traceback with its causes.
    assert secret not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("count", [1, 2000])
def test_a_queue_that_is_not_there_is_said_so(servers: Settings, count: int) -> None:
    with pytest.raises(BrokerError, match="the broker has no queue 'no-such-queue'"):
        publish(servers, "no-such-queue", numbered(count))
    assert connections(servers) == 0


def test_a_message_that_the_broker_refuses_is_an_error(servers: Settings) -> None:
    with channel(servers) as open_channel:
        arguments = {"x-max-length": 2, "x-overflow": "reject-publish"}
        open_channel.queue_declare("test-full", durable=True, arguments=arguments)
    try:
        with pytest.raises(BrokerError, match="the broker refused a message"):
            publish(servers, "test-full", numbered(200))
    finally:
        with channel(servers) as open_channel:
            open_channel.queue_delete("test-full")
    assert connections(servers) == 0
