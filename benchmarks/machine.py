"""Servers and workers for a benchmark, and a description of the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from unittest.mock import patch

import psutil

from benchmarks import noop
from warren import local_stack
from warren.host import cpu_model


def describe() -> str:
    """Describe the machine and the versions."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores ({cpu_model()}), {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, scikit-learn {metadata.version('scikit-learn')}, "
        f"pika {metadata.version('pika')}, pymongo {metadata.version('pymongo')}"
    )


@contextmanager
def workers(count: int, threads: int = 1) -> Iterator[str]:
    """Start private servers and workers that may run `benchmarks.noop`; yield which servers."""
    with (
        patch.dict(os.environ, WARREN_ALLOW=noop.NAMES, WARREN_THREADS=str(threads)),
        local_stack(workers=count) as stack,
    ):
        yield stack.servers
