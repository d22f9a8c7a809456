"""Seconds from the start of a worker until it consumes, and the memory of an idle worker."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from benchmarks.machine import describe, workers
from warren.broker import channel
from warren.queues import CHUNKS_QUEUE
from warren.settings import load_settings

RUNS, AIM_SECONDS, AIM_MEGABYTES = 5, 1.5, 80


def measure() -> tuple[float, float]:
    """Return the seconds until a new worker consumes, and its resident memory in MB."""
    with channel(load_settings()) as open_channel:
        began = time.perf_counter()
        worker = subprocess.Popen([sys.executable, "-m", "worker"], stderr=subprocess.DEVNULL)
        try:
            while open_channel.queue_declare(CHUNKS_QUEUE, passive=True).method.consumer_count == 0:
                if time.perf_counter() - began > 30:
                    raise TimeoutError("the worker does not consume")
            seconds = time.perf_counter() - began
            return seconds, psutil.Process(worker.pid).memory_info().rss / 1e6
        finally:
            worker.terminate()
            worker.wait()


def main() -> None:
    """Print the figures."""
    with workers(0) as servers:
        print(f"{describe()}\n{servers}")
        measured = [measure() for _ in range(RUNS)]
    seconds, megabytes = (sorted(column)[RUNS // 2] for column in zip(*measured, strict=True))
    print(
        f"a worker consumes {seconds:.2f} s after its start (aim: {AIM_SECONDS:g} s) and takes {megabytes:.0f} MB "
        f"idle (aim: under {AIM_MEGABYTES} MB)"
    )


if __name__ == "__main__":
    main()
