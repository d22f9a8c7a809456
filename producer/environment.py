"""Environment variables that name servers for a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def named_servers(amqp_url: str, mongo_url: str) -> Iterator[None]:
    """Let ``AMQP_URL`` and ``MONGO_URL`` name servers inside of a block, and afterwards what they named before.

    Parameters
    ----------
    amqp_url, mongo_url : str
    """
    values = {"AMQP_URL": amqp_url, "MONGO_URL": mongo_url}
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
