"""What is said where a broker is full or a user may not do enough: not that the password is wrong,
nor the host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pika
import pytest
from servers import rabbitmqctl

from producer.stack import LocalStack
from producer.stack.broker import USER
from warren import broker
from warren.errors import BrokerError
from warren.settings import Settings

PASSWORD = "s3cret"


def as_user(stack: LocalStack, user: str, host: str = "%2F") -> str:
    parts = urlsplit(stack.amqp_url)
    return f"amqp://{user}:{PASSWORD}@{parts.hostname}:{parts.port}/{host}"


def said(url: str) -> str:
    with pytest.raises(BrokerError) as caught:
        broker.ping(url, 5)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


@contextmanager
def one_connection(stack: LocalStack) -> Iterator[None]:
    connection = pika.BlockingConnection(pika.URLParameters(stack.amqp_url))
    try:
        yield
    finally:
        connection.close()


@pytest.fixture
def limits(fragile: LocalStack) -> Iterator[LocalStack]:
    yield fragile
    none = '{"max-connections": -1}', '{"max-connections": -1, "max-channels": -1}'
    rabbitmqctl(fragile, "set_vhost_limits", none[0])
    rabbitmqctl(fragile, "set_user_limits", USER, none[1])


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (("set_vhost_limits", '{"max-connections": 1}'), "connection limit (1) is reached"),
        (("set_user_limits", USER, '{"max-connections": 1}'), "user connection limit (1) is reached"),
        (("set_user_limits", USER, '{"max-channels": 0}'), "the maximum allowed user limit of (0)"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_a_limit_is_told_as_such(limits: LocalStack, command: tuple[str, ...], named: str) -> None:
    with one_connection(limits):
        rabbitmqctl(limits, *command)
        text = said(limits.amqp_url)
    assert "has reached a limit: " in text
    assert named in text
    assert "set_vhost_limits or set_user_limits" in text


@pytest.mark.parametrize("permissions", [("^$", "^$", ".*"), ("^$", ".*", ".*"), ("^$", "^$", "^$")], ids=" ".join)
def test_a_user_who_may_not_declare_is_told_where_a_queue_is_missing(
    fragile: LocalStack, permissions: tuple[str, ...]
) -> None:
    rabbitmqctl(fragile, "add_user", "reader", PASSWORD)
    try:
        rabbitmqctl(fragile, "set_permissions", "reader", *permissions)
        broker.ping(as_user(fragile, "reader"), 5)
        with broker.channel(Settings(AMQP_URL=fragile.amqp_url)) as channel:
            channel.queue_delete("chunks.8")
        text = said(as_user(fragile, "reader"))
    finally:
        rabbitmqctl(fragile, "delete_user", "reader")
        broker.ping(fragile.amqp_url, 5)
    # RabbitMQ 4 says which access.
    assert re.search(r"refused an operation to this user \((configure )?access to queue 'chunks", text)
    assert "grant the user configure, write and read (rabbitmqctl set_permissions)" in text


def test_a_user_who_may_not_take_chunks_is_told_that(fragile: LocalStack) -> None:
    rabbitmqctl(fragile, "add_user", "writer", PASSWORD)
    try:
        rabbitmqctl(fragile, "set_permissions", "writer", "^$", ".*", "^$")
        with (
            pytest.raises(BrokerError, match=r"refused an operation to this user \((read )?access to queue 'chunks'"),
            broker.channel(Settings(AMQP_URL=as_user(fragile, "writer"))) as channel,
        ):
            channel.basic_get("chunks")
    finally:
        rabbitmqctl(fragile, "delete_user", "writer")


def test_a_missing_and_a_forbidden_virtual_host_have_different_errors(fragile: LocalStack) -> None:
    rabbitmqctl(fragile, "add_user", "outsider", PASSWORD)
    try:
        assert "refused the virtual host to this user: " in said(as_user(fragile, "outsider"))
        nowhere = f"{fragile.amqp_url.rpartition('/')[0]}/nowhere"
        assert "has no such virtual host: check the path of AMQP_URL" in said(nowhere)
        assert "refused the user or password" in said(as_user(fragile, "stranger"))
    finally:
        rabbitmqctl(fragile, "delete_user", "outsider")


def publish(settings: Settings) -> None:
    with broker.channel(settings) as channel:
        channel.confirm_delivery()
        channel.basic_publish("", "chunks", b"{}")


def test_a_user_who_may_not_publish_is_told_that(fragile: LocalStack) -> None:
    rabbitmqctl(fragile, "add_user", "declarer", PASSWORD)
    try:
        rabbitmqctl(fragile, "set_permissions", "declarer", ".*", "^chunks", ".*")
        with pytest.raises(
            BrokerError, match=r"refused an operation to this user \((write )?access to exchange 'amq.default'"
        ):
            publish(Settings(AMQP_URL=as_user(fragile, "declarer")))
    finally:
        rabbitmqctl(fragile, "delete_user", "declarer")
