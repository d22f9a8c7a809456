"""Worker processes for tests that look at, stop or kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import faulty
import numpy as np
import psutil
import pytest

from warren.broker import channel
from warren.settings import Settings

SUPPORT = Path(faulty.__file__).parent
X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20) % 2

StartWorker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start_worker(servers: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StartWorker]:
    """Start worker processes on the test's own servers; whatever is left of them is killed
    at the end."""
    monkeypatch.setenv("WARREN_ALLOW", faulty.ALLOW)
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    monkeypatch.setenv("WARREN_THREADS", "1")
    started: list[subprocess.Popen[bytes]] = []

    def start(*module: str, **environment: str) -> subprocess.Popen[bytes]:
        log = (tmp_path / f"worker-{len(started)}.log").open("wb")
        with log:
            worker = subprocess.Popen(
                [sys.executable, "-m", *(module or ["worker"])],
                env={**os.environ, "WARREN_WORKER_NAME": f"worker-{len(started)}", **environment},
                stdout=log,
                stderr=log,
            )
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.poll() is None:
            worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    for log in sorted(tmp_path.glob("worker-*.log")):
        sys.stdout.write(f"--- {log.name}\n{log.read_text()}\n")


def trainer_of(worker: subprocess.Popen[bytes]) -> psutil.Process | None:
    """Return a worker's training process, which its keeper started first, or None while
    it has none."""
    for keeper in psutil.Process(worker.pid).children():
        with suppress(psutil.NoSuchProcess):
            return min(keeper.children(), key=psutil.Process.create_time, default=None)
    return None


def waiting(settings: Settings, queue: str) -> int:
    """Return how many messages of a queue no worker has."""
    with channel(settings) as open_channel:
        return int(open_channel.queue_declare(queue, passive=True).method.message_count)


def diary_of(path: Path) -> list[int]:
    """Return the numbers of the trials that `faulty.Sleeps` fitted, a line for each fit."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []
