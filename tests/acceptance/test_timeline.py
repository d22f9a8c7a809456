"""A trial that a worker was taken from says so, and the timeline shows where."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from acceptance.conftest import StartWorker, X, Y, diary_of
from faulty import Sleeps
from polling import until

from producer import submit
from tuning.settings import Settings
from tuning.store import Store


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_an_eviction_is_in_the_trial_and_in_the_timeline(
    end: signal.Signals, store: Store, servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    evicted = start_worker(WARREN_GRACE_SECONDS="0")
    study = submit(Sleeps(seconds=1.0, diary=str(diary)), {"number": [7]}, X, Y, cv=4)
    until(lambda: len(diary_of(diary)) >= 3, what="the third fold has begun")
    until(lambda: store.unfinished.of(study.id, [0]), what="folds are kept")
    evicted.send_signal(end)
    evicted.wait(10)
    start_worker()
    study.wait(timeout=60, progress=False)
    [trial] = store.trials.of(study.id)
    [left] = trial["interrupted"]
    assert left["worker"] == "worker-0"
    assert left["at"] <= trial["finished_at"]
    assert (trial["worker"], trial["attempts"]) == ("worker-1", 1)
    marks = {trace.name: list(trace.y) for trace in study.plot.timeline().data if trace.type == "scatter"}
    assert marks == {"interrupted here, went on later": ["worker-0"]}


def test_a_trial_that_nobody_interrupted_does_not_mention_it(store: Store, start_worker: StartWorker) -> None:
    start_worker()
    study = submit(Sleeps(seconds=0.1), {"number": [7]}, X, Y, cv=4)
    study.wait(timeout=60, progress=False)
    [trial] = store.trials.of(study.id)
    assert "interrupted" not in trial
