"""The servers and workers that a benchmark runs on, and what machine it was."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

import psutil

from producer import local_stack
from tuning.machine import cpu_model


def describe() -> str:
    """Say which machine and versions the figures are of."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores ({cpu_model()}), {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, scikit-learn {metadata.version('scikit-learn')}, "
        f"pika {metadata.version('pika')}, pymongo {metadata.version('pymongo')}"
    )


@contextmanager
def workers(count: int) -> Iterator[str]:
    """Bring up private servers and workers; yield what serves."""
    with local_stack(workers=count) as stack:
        yield stack.servers
