"""Celery on the RabbitMQ in ``AMQP_URL``; results in the MongoDB in ``MONGO_URL``, or in files.

Two prefork processes, persistent messages, late acknowledgement, prefetching, no events and no
gossip. One task for each trial, because each trial needs its own result. Publishing is not
confirmed, and results are written with the driver's defaults: this is Celery's way, and cheaper
than Warren's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial

from celery import Celery
from celery.result import AsyncResult

from benchmarks.peers.contract import WARM_UP, WORKERS, arguments, noop, report

QUEUE = DATABASE = "benchmark-celery"
# Messages that each process holds.
PREFETCH = 16
# Seconds between two checks for the last results.
POLL_SECONDS = 0.02

app = Celery("benchmark", broker=os.environ["AMQP_URL"])
app.conf.update(
    mongodb_backend_settings={"database": DATABASE},
    task_acks_late=True,
    task_default_queue=QUEUE,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=PREFETCH,
)
# The name is explicit, because this module has two names: the worker's import, and __main__.
trial = app.task(noop, name="noop")


def run(trials: int) -> tuple[float, list[AsyncResult]]:
    """Return the seconds until this many new tasks have a stored result, and the results."""
    began = time.perf_counter()
    with app.producer_pool.acquire(block=True) as producer:
        results = [trial.apply_async((number,), producer=producer) for number in range(trials)]
    # Tasks end almost in order, so wait for the last ones: asking for all would slow the workers'
    # writes.
    for result in results[-WORKERS * PREFETCH :]:
        result.get(interval=POLL_SECONDS)
    return time.perf_counter() - began, results


def measure(trials: int, backend: str) -> float:
    """Return the seconds that `trials` no-op trials take."""
    app.conf.result_backend = backend
    celery = [sys.executable, "-m", "celery", "--app", __spec__.name, "--result-backend", backend, "worker"]
    pool = ["--pool=prefork", f"--concurrency={WORKERS}"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    worker = subprocess.Popen([*celery, *pool, *quiet], stdout=subprocess.DEVNULL)
    try:
        run(WARM_UP)
        seconds, results = run(trials)
        assert all(result.successful() for result in results)
    finally:
        worker.terminate()
        worker.wait()
        with app.connection_for_write() as connection:
            connection.default_channel.queue_delete(QUEUE)
    return seconds


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--results", choices=["mongodb", "files"], required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        backend = os.environ["MONGO_URL"] if given.results == "mongodb" else f"file://{folder}"
        report(partial(measure, backend=backend), given.trials, "celery")
