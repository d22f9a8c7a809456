"""A study that is paused while several workers train it, and goes on with others."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from acceptance.conftest import StartWorker, X, Y, diary_of, waiting
from faulty import Sleeps
from polling import until

from producer import submit
from warren.queues import CHUNKS_QUEUE
from warren.settings import Settings

ONE_SPLIT = [(range(10), range(10, 20))]


@pytest.mark.slow
def test_pause_stops_every_worker_within_one_trial_and_resume_goes_on(
    servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    workers = [start_worker() for _ in range(2)]
    trials = 40
    study = submit(Sleeps(seconds=0.5, diary=str(diary)), {"number": range(trials)}, X, Y, cv=ONE_SPLIT, n_chunks=2)
    until(lambda: len(set(diary_of(diary))) >= 4, what="both train")
    study.pause()
    begun = len(diary_of(diary))
    # A look a second, and the current trial: five more would be a worker that does not look.
    quiet = threading.Event()
    quiet.wait(2.0)
    stopped = len(diary_of(diary))
    assert stopped <= begun + 6
    quiet.wait(1.5)
    assert len(diary_of(diary)) == stopped, "no worker trains any more"

    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 0
    assert study.resume() > 0
    start_worker()
    assert study.wait(timeout=60, progress=False).status().complete == trials
    assert set(study.results()["worker"]) >= {"worker-2"}
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 0, what="every chunk is acknowledged")
