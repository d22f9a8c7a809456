"""Servers for the tests: real ones, of their own, never those that the environment names."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from servers import private_stack

from producer.stack import LocalStack
from tuning.broker import channel
from tuning.names import DEAD_QUEUE, GPU_QUEUE, LANES
from tuning.settings import Settings, load_settings
from tuning.store import Store


@pytest.fixture(scope="session")
def private_servers() -> Iterator[LocalStack]:
    with private_stack(workers=0) as stack:
        yield stack


@pytest.fixture(scope="session")
def private_workers() -> Iterator[LocalStack]:
    with private_stack(workers=2) as stack:
        yield stack


@pytest.fixture
def servers(private_servers: LocalStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A broker with empty queues and a database of the test's own; nobody works."""
    base, _, _ = private_servers.mongo_url.rpartition("/")
    monkeypatch.setenv("AMQP_URL", private_servers.amqp_url)
    monkeypatch.setenv("MONGO_URL", f"{base}/test-{uuid4().hex[:12]}")
    settings = load_settings()
    yield settings
    with channel(settings) as open_channel:
        for queue in (*LANES, GPU_QUEUE, DEAD_QUEUE):
            open_channel.queue_purge(queue)


@pytest.fixture
def stack(private_workers: LocalStack, monkeypatch: pytest.MonkeyPatch) -> LocalStack:
    """A broker, a database and two workers of one thread, shared by the tests: name your studies apart."""
    monkeypatch.setenv("AMQP_URL", private_workers.amqp_url)
    monkeypatch.setenv("MONGO_URL", private_workers.mongo_url)
    return private_workers


@pytest.fixture
def store(servers: Settings) -> Iterator[Store]:
    """An empty store on the test's own database."""
    opened = Store(servers)
    opened.prepare()
    yield opened
    opened.close()
