"""Doubles of the servers, for tests of code around Warren: they pass the servers' own contract (``tests/contract``)."""

from warren.testing.broker import StubBroker
from warren.testing.database import InMemoryStore

__all__ = ["InMemoryStore", "StubBroker"]
