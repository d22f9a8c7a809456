"""What is said of a broker that is not one."""

from __future__ import annotations

import socket

import pytest

from tuning import broker
from tuning.errors import BrokerError
from tuning.settings import Settings


def test_a_server_that_takes_a_connection_and_says_nothing_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://ann:s3cret@127.0.0.1:{silent.getsockname()[1]}/%2F"
        settings = Settings(AMQP_URL=url, WARREN_CONNECT_SECONDS=0.5)
        with pytest.raises(BrokerError, match=r"ann:\*\*\*@.*can't be reached \(AMQPConnectorStackTimeout\)"):
            broker.check(settings)
