"""Servers for the tests: real ones, of their own, never those that the environment names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from producer.stack import LocalStack, local_stack
from tuning.broker import channel
from tuning.names import CHUNKS_QUEUE, DEAD_QUEUE, GPU_QUEUE
from tuning.settings import Settings, load_settings
from tuning.store import Store

_URLS = ("AMQP_URL", "MONGO_URL")


@contextmanager
def _private_stack(workers: int) -> Iterator[LocalStack]:
    """Bring up a stack that shares nothing, and leave the environment as it was: a test says which stack it uses."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in _URLS or name.startswith("WARREN_"):
                patch.delenv(name)
        patch.setenv("WARREN_THREADS", "1")
        with local_stack(workers=workers) as stack:
            for name in _URLS:
                os.environ.pop(name)
            yield stack


@pytest.fixture(scope="session")
def private_servers() -> Iterator[LocalStack]:
    with _private_stack(workers=0) as stack:
        yield stack


@pytest.fixture(scope="session")
def private_workers() -> Iterator[LocalStack]:
    with _private_stack(workers=2) as stack:
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
        for queue in (CHUNKS_QUEUE, GPU_QUEUE, DEAD_QUEUE):
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
