"""What a worker promises when it starts, works long, and dies; `test_one_worker.py` has what one
goes on after."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from acceptance.conftest import StartWorker, X, Y, trainer_of, waiting
from evaluating import SMALL, Worker
from faulty import Sleeps
from polling import until

from producer import submit
from warren.broker import channel
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE
from warren.settings import Settings
from warren.storage.store import Store
from worker.monitoring.metrics import Metrics
from worker.process.protocol import EvaluateChunk
from worker.process.training_process import TrainingProcess, TrainingProcessLostError


def _consumers(settings: Settings) -> int:
    with channel(settings) as open_channel:
        return open_channel.queue_declare(CHUNKS_QUEUE, passive=True).method.consumer_count


def test_an_idle_worker_is_small_and_quick(servers: Settings, start_worker: StartWorker) -> None:
    began = time.monotonic()
    worker = start_worker()
    until(lambda: _consumers(servers) == 1, 10, "the worker consumes")
    took = time.monotonic() - began
    process = psutil.Process(worker.pid)
    assert process.memory_info().rss < 80e6
    assert process.children() == []
    # The figure itself is a benchmark's; this only sees that nothing heavy is in the way.
    assert took < 8


def test_a_worker_loads_no_library_before_there_is_work() -> None:
    code = "import sys, worker.__main__; print(*sorted(name for name in sys.modules if '.' not in name))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pika" in loaded
    assert {"sklearn", "xgboost", "lightgbm", "catboost", "numpy"}.isdisjoint(loaded)


def test_a_killed_worker_loses_no_trial(start_worker: StartWorker, tmp_path: Path) -> None:
    victim = start_worker()
    gate = tmp_path / "gate"
    gate.touch()
    grid = [{"number": range(2)}, {"number": range(2, 12), "gate": [str(gate)]}]
    study = submit(Sleeps(), grid, X, Y, cv=2, n_chunks=2)
    until(lambda: study.status().done == 2, what="two trials have ended, and the next one waits")
    victim.send_signal(signal.SIGKILL)
    gate.unlink()
    start_worker()
    study.wait(timeout=60, progress=False)
    frame = study.results()
    assert list(frame["number"]) == list(range(12))
    assert set(frame["state"]) == {"COMPLETE"}
    assert set(frame["worker"]) == {"worker-0", "worker-1"}
    assert set(frame["attempts"]) == {1}, "a worker that vanishes is no trial's fault"


def test_a_training_process_dies_first_without_memory_and_with_its_worker(start_worker: StartWorker) -> None:
    worker = start_worker()
    submit(Sleeps(seconds=60.0), {"number": [1]}, X, Y, cv=2)
    until(lambda: trainer_of(worker), what="the worker trains")
    trainer = trainer_of(worker)
    assert trainer is not None
    until(lambda: Path(f"/proc/{trainer.pid}/oom_score_adj").read_text().strip() == "1000", 10, "it has said so")
    assert int(Path(f"/proc/{worker.pid}/oom_score_adj").read_text()) < 1000
    worker.send_signal(signal.SIGKILL)
    until(lambda: not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE, 10, "the trainer is gone")


@pytest.mark.slow
def test_a_long_trial_keeps_its_connection(servers: Settings, start_worker: StartWorker) -> None:
    start_worker(WARREN_HEARTBEAT_SECONDS="5")
    study = submit(Sleeps(seconds=16.0), {"number": [1]}, X, Y, cv=[(range(10), range(10, 20))])
    study.wait(timeout=60, progress=False)
    assert list(study.results()["attempts"]) == [1]
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 0 and _consumers(servers) == 1, what="acknowledged")


def test_a_training_process_lost_with_its_order_is_not_taken_for_a_bug(store: Store) -> None:
    trainer, chunk = TrainingProcess("worker-0", store, Metrics()), Worker().chunk(SMALL, {"max_depth": 1})
    # It reads nothing before its libraries are loaded, so that this order is still on its way
    # when it dies.
    killer = threading.Thread(target=lambda: (until(lambda: trainer.pid), os.kill(trainer.pid or 0, signal.SIGKILL)))
    killer.start()
    with pytest.raises(TrainingProcessLostError, match="killed by signal 9"):
        trainer.begin(chunk, EvaluateChunk(body=b"x" * 50_000_000))
    killer.join()
    assert trainer.pid is None


def test_a_worker_with_an_url_that_cannot_be_read_says_so_and_ends(start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker(AMQP_URL="amqp://bob:hunter2/x@host")
    assert worker.wait(10) == 2
    said = (tmp_path / "worker-0.log").read_text()
    assert "can't be read" in said
    assert "hunter2" not in said


def test_a_chunk_that_names_what_is_not_allowed_is_dead_lettered_and_said(
    servers: Settings, start_worker: StartWorker
) -> None:
    study = submit(Sleeps(), {"number": [1, 2]}, X, Y, cv=2, n_chunks=1)
    start_worker(WARREN_ALLOW="")
    with pytest.raises(Exception, match="not on the allow-list"):
        study.wait(timeout=30, progress=False)
    assert study.status().dead == 2
    assert waiting(servers, DEAD_QUEUE) == 1
