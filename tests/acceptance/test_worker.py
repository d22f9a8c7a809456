"""What a worker promises, seen on real worker processes."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from acceptance.conftest import StartWorker, X, Y, diary_of, trainer_of, waiting
from faulty import Draws, Raises, Sleeps
from polling import until

from producer import Study, publication, submit
from tuning.broker import channel
from tuning.names import CHUNKS_QUEUE, DEAD_QUEUE
from tuning.settings import Settings
from worker.trainer import ChildLostError, Order, Trainer
from worker.watching.metrics import Metrics


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
    loaded = Path(f"/proc/{worker.pid}/maps").read_text()
    assert not any(library in loaded for library in ("sklearn", "xgboost", "lightgbm", "catboost", "numpy"))
    # The figure itself is a benchmark's; this only sees that nothing heavy is in the way.
    assert took < 8


def test_a_killed_worker_loses_no_trial(start_worker: StartWorker, tmp_path: Path) -> None:
    victim = start_worker()
    study = submit(Sleeps(seconds=0.1), {"number": range(12)}, X, Y, cv=2, n_chunks=2)
    until(lambda: study.status().done >= 2, what="two trials have ended")
    victim.send_signal(signal.SIGKILL)
    start_worker()
    study.wait(timeout=60, progress=False)
    frame = study.results()
    assert list(frame["number"]) == list(range(12))
    assert set(frame["state"]) == {"COMPLETE"}
    assert set(frame["worker"]) == {"worker-0", "worker-1"}


def test_a_killed_worker_takes_its_training_process_along(start_worker: StartWorker) -> None:
    worker = start_worker()
    submit(Sleeps(seconds=60.0), {"number": [1]}, X, Y, cv=2)
    until(lambda: trainer_of(worker), what="the worker trains")
    trainer = trainer_of(worker)
    assert trainer is not None
    worker.send_signal(signal.SIGKILL)
    until(lambda: not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE, 10, "the trainer is gone")


def test_a_trial_that_hangs_is_timed_out(start_worker: StartWorker) -> None:
    start_worker()
    study = submit(Sleeps(), {"seconds": [0.0, 60.0]}, X, Y, cv=2, n_chunks=1, trial_timeout=1.5)
    study.wait(timeout=60, progress=False)
    assert list(study.results()["state"]) == ["COMPLETE", "FAILED"]
    assert re.fullmatch(r"timed out after 1\.5 seconds, with \d+ MB of memory", study.results()["error"][1])
    assert study.results()["attempts"][1] == 3


def test_a_killed_training_process_is_replaced(start_worker: StartWorker) -> None:
    worker = start_worker()
    study = submit(Sleeps(seconds=0.2), {"number": range(6)}, X, Y, cv=2, n_chunks=1)
    until(lambda: study.status().done >= 1, what="a trial has ended")
    trainer = trainer_of(worker)
    assert trainer is not None
    trainer.kill()
    study.wait(timeout=60, progress=False)
    frame = study.results()
    assert set(frame["state"]) == {"COMPLETE"}
    assert sorted(frame["attempts"]) == [1, 1, 1, 1, 1, 2]


def test_a_trial_that_raises_is_a_result(start_worker: StartWorker) -> None:
    start_worker()
    study = submit(Raises(), {"fails": [True, False]}, X, Y, cv=2)
    study.wait(timeout=60, progress=False)
    frame = study.results()
    assert list(frame["state"]) == ["FAILED", "COMPLETE"]
    assert frame["error"][0] == "fold 0: RuntimeError: number 0 can't be fitted"
    assert study.best_index_ == 1


def test_a_long_trial_keeps_its_connection(servers: Settings, start_worker: StartWorker) -> None:
    start_worker(WARREN_HEARTBEAT_SECONDS="5")
    study = submit(Sleeps(seconds=16.0), {"number": [1]}, X, Y, cv=[(range(10), range(10, 20))])
    study.wait(timeout=60, progress=False)
    assert list(study.results()["attempts"]) == [1]
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 0 and _consumers(servers) == 1, what="acknowledged")


def test_a_cancelled_study_is_drained_without_training(
    servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    start_worker()
    study = submit(Sleeps(seconds=0.3, diary=str(diary)), {"number": range(30)}, X, Y, cv=2, n_chunks=3)
    until(lambda: study.status().done >= 1, what="a trial has ended")
    study.cancel()
    study.wait(timeout=5, progress=False)
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 0 and _consumers(servers) == 1, what="the queue is drained")
    begun = len(set(diary_of(diary)))
    assert begun < 10
    # The last are counted a moment after the chunk is acknowledged.
    until(lambda: study.status().done >= begun - 1, what="the fold in hand was the last")
    assert study.status().done <= begun
    assert study.status().state == "CANCELLED"


def test_a_paused_study_goes_on_where_it_was(start_worker: StartWorker, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    start_worker()
    study = submit(Sleeps(seconds=0.1, diary=str(diary)), {"number": range(20)}, X, Y, cv=2, n_chunks=2)
    until(lambda: study.status().done >= 2, what="trials have ended")
    study.pause()
    assert study.status().state == "PAUSED"
    published = study.resume()
    assert 0 < published <= 18
    study.wait(timeout=60, progress=False)
    assert study.status().complete == 20
    # At most the trial in hand was begun by both publications.
    assert len(diary_of(diary)) <= 42


def test_a_submission_cut_short_takes_nothing_from_a_study_that_runs(
    start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    def again() -> Study:
        return submit(Sleeps(seconds=0.05), {"number": range(20)}, X, Y, cv=2, n_chunks=10)

    study = again()
    with monkeypatch.context() as patch:
        patch.setattr(publication, "publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            again()
    start_worker()
    assert study.wait(timeout=60, progress=False).status().complete == 20


def test_a_training_process_lost_while_it_takes_its_order_is_told_from_a_bug() -> None:
    trainer = Trainer("worker-0", Metrics())
    # It reads nothing before its libraries are loaded, so that this order is still on its way when it dies.
    killer = threading.Thread(target=lambda: (until(lambda: trainer.pid), os.kill(trainer.pid or 0, signal.SIGKILL)))
    killer.start()
    with pytest.raises(ChildLostError, match="killed by signal 9"):
        trainer.begin(Order(body=b"x" * 50_000_000, skip=set(), attempts={}, alone=set(), folds={}))
    killer.join()
    assert trainer.pid is None


def test_a_worker_with_an_url_that_cannot_be_read_says_so_and_ends(start_worker: StartWorker, tmp_path: Path) -> None:
    worker = start_worker(AMQP_URL="amqp://bob:hunter2/x@host")
    assert worker.wait(10) == 2
    said = (tmp_path / "worker-0.log").read_text()
    assert "can't be read" in said
    assert "hunter2" not in said


def test_what_is_no_chunk_is_dead_lettered_with_its_reason(servers: Settings, start_worker: StartWorker) -> None:
    start_worker()
    bodies = [b"not json", b'{"schema_version": 99}', b"\xff\xfe", b"[" * 10_000]
    with channel(servers) as open_channel:
        for body in bodies:
            open_channel.basic_publish("", CHUNKS_QUEUE, body)
    until(lambda: waiting(servers, DEAD_QUEUE) == len(bodies), what="all are dead-lettered")
    with channel(servers) as open_channel:
        for body in bodies:
            _, properties, found = open_channel.basic_get(DEAD_QUEUE, auto_ack=True)
            assert found == body
            assert properties.headers["x-warren-reason"]
    study = submit(Sleeps(), {"number": [1, 2]}, X, Y, cv=2)
    assert study.wait(timeout=30, progress=False).status().complete == 2


def test_a_chunk_that_names_what_is_not_allowed_is_dead_lettered_and_said(
    servers: Settings, start_worker: StartWorker
) -> None:
    study = submit(Sleeps(), {"number": [1, 2]}, X, Y, cv=2, n_chunks=1)
    start_worker(WARREN_ALLOW="")
    with pytest.raises(Exception, match="not on the allow-list"):
        study.wait(timeout=30, progress=False)
    assert study.status().dead == 2
    assert waiting(servers, DEAD_QUEUE) == 1


def test_an_estimator_without_a_seed_draws_the_same_wherever_it_runs(start_worker: StartWorker) -> None:
    start_worker()
    study = submit(Draws(), {"number": range(3)}, X, Y, cv=2).wait(timeout=60, progress=False)
    first = study.results()["mean_test_score"]
    assert first.nunique() == 3
    study._store.trials._collection.delete_many({})
    study.resume()
    study.wait(timeout=60, progress=False)
    assert list(study.results()["mean_test_score"]) == list(first)


def test_a_study_attached_elsewhere_is_the_same(start_worker: StartWorker) -> None:
    start_worker()
    study = submit(Sleeps(), {"number": range(3)}, X, Y, cv=2)
    twin = Study.attach(study.id)
    twin.wait(timeout=60, progress=False)
    assert twin.results().equals(study.results())
    assert [one.id for one in Study.list()] == [study.id]
