"""Every case of the contract is asked of a real server and of the double in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from warren.settings import Settings
from warren.storage.store import Store
from warren.testing import InMemoryStore


@pytest.fixture(params=["server", "memory"])
def database(request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings that name an empty database."""
    if request.param == "server":
        yield request.getfixturevalue("servers")
        return
    store = InMemoryStore()
    yield Settings(MONGO_URL=store.url)
    store.close()


@pytest.fixture
def store(database: Settings) -> Iterator[Store]:
    """An empty store."""
    opened = Store(database)
    opened.prepare()
    yield opened
    opened.close()
