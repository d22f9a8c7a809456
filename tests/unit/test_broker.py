"""What is said of a broker that is not one."""

from __future__ import annotations

import socket

import pika
import pytest

from warren import broker
from warren.errors import BrokerError
from warren.settings import Settings


def test_a_server_that_takes_a_connection_and_says_nothing_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://ann:s3cret@127.0.0.1:{silent.getsockname()[1]}/%2F"
        settings = Settings(AMQP_URL=url, WARREN_CONNECT_SECONDS=0.5)
        with pytest.raises(BrokerError, match=r"ann:\*\*\*@.*can't be reached \(AMQPConnectorStackTimeout\)"):
            broker.check(settings)


def test_a_copy_keeps_whose_a_message_is_and_who_signed_it() -> None:
    own = {broker.DATABASE_HEADER: "a" * 32, broker.URL_HEADER: "mongodb://h/d", broker.SIGNATURE_HEADER: "name:mac"}
    copy = broker.copied(pika.BasicProperties(headers=own | {"x-other": "y" * 60_000}, priority=3), more=True)
    assert copy.headers == own | {"more": True}
    assert copy.priority == 3
    for wrong in ("x" * 201, 5, {"$gt": ""}, b"name:mac"):
        lying = pika.BasicProperties(headers={broker.SIGNATURE_HEADER: wrong})
        assert broker.signature_of(lying) is None
        assert broker.copied(lying).headers == {}
    assert broker.signature_of(pika.BasicProperties()) is None
