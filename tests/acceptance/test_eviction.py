"""What happens to the current work when a worker is told to stop, or has died."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from acceptance.conftest import StartWorker, X, Y, diary_of, trainer_of, waiting
from faulty import Sleeps
from polling import until

from producer import Study, submit
from warren.queues import CHUNKS_QUEUE
from warren.settings import Settings
from warren.storage.documents import Document
from warren.storage.store import Store


def test_sigterm_finishes_a_short_trial_and_gives_the_rest_back(
    store: Store, servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    worker = start_worker()
    study = submit(Sleeps(seconds=0.5, diary=str(diary)), {"number": range(8)}, X, Y, cv=2, n_chunks=1)
    until(lambda: len(diary_of(diary)) >= 3, what="the second trial has begun")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    begun = set(diary_of(diary))
    assert set(study.results()["number"]) == begun
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 1, what="the chunk is back in the queue")
    start_worker()
    study.wait(timeout=60, progress=False)
    assert sorted(diary_of(diary)) == sorted([*range(8)] * 2), "no fold was trained twice"
    trials = store.trials.of(study.id)
    assert all("interrupted" not in trial for trial in trials), "a trial that was not interrupted does not mention it"


def test_sigterm_abandons_at_once_a_trial_that_does_not_fit_into_the_grace(
    servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    worker = start_worker(WARREN_GRACE_SECONDS="5")
    one_split = [(range(10), range(10, 20))]
    # The first study teaches what the second will take.
    submit(Sleeps(seconds=7.0), {"number": [1]}, X, Y, cv=one_split).wait(timeout=60, progress=False)
    submit(Sleeps(seconds=7.0, diary=str(diary)), {"number": [2]}, X, Y, cv=one_split)
    until(lambda: diary_of(diary), what="the trial has begun")
    worker.send_signal(signal.SIGTERM)
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 1, 3, "the message is released")
    assert worker.wait(5) == 0


@pytest.mark.slow
def test_the_next_worker_starts_at_the_missing_fold_and_shows_it(
    store: Store, start_worker: StartWorker, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    worker = start_worker(WARREN_GRACE_SECONDS="0")
    study = submit(Sleeps(seconds=1.0, diary=str(diary)), {"number": [7]}, X, Y, cv=4)
    until(lambda: len(diary_of(diary)) == 3, what="the third fold has begun")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0
    assert len(diary_of(diary)) == 3
    start_worker()
    study.wait(timeout=30, progress=False)
    assert diary_of(diary) == [7] * 5, "only the current fold was fitted again"
    [result] = store.trials.of(study.id)
    assert (result["state"], result["attempts"]) == ("COMPLETE", 1), "an eviction is not the trial's fault"
    assert result["fit_seconds"] == pytest.approx(4.0, abs=0.5)
    assert list(store.unfinished.of(study.id, [0])) == []
    interrupted_at(result, study, "worker-0")


@pytest.mark.slow
def test_sudden_death_costs_the_current_fold_at_most(store: Store, start_worker: StartWorker, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    worker = start_worker()
    study = submit(Sleeps(seconds=1.0, diary=str(diary)), {"number": [7]}, X, Y, cv=10)
    kept = 0
    for victims in ("training process", "worker", "both"):
        # Two more folds: what is told is written within a second.
        until(lambda more=kept + 2: len(folds_kept(store, study.id, 0)) >= more, what="folds are kept")
        kept = len(folds_kept(store, study.id, 0))
        trainer = trainer_of(worker)
        assert trainer is not None
        if victims != "training process":
            worker.send_signal(signal.SIGKILL)
        if victims != "worker":
            os.kill(trainer.pid, signal.SIGKILL)
        if victims != "training process":
            worker = start_worker()
    study.wait(timeout=60, progress=False)
    # Of each death the current fold, and one that had just ended.
    assert Counter(diary_of(diary)) <= Counter({7: 10 + 3 * 2})
    [result] = store.trials.of(study.id)
    assert result["state"] == "COMPLETE"
    assert result["attempts"] == 2, "only that the training process died alone may have been the trial's fault"
    interrupted_at(result, study, "worker-0", "worker-1")


def interrupted_at(trial: Document, study: Study, *workers: str) -> None:
    """Compare who a trial was taken from with what it and the timeline say."""
    assert [left["worker"] for left in trial["interrupted"]] == [*workers]
    assert all(left["at"] <= trial["finished_at"] for left in trial["interrupted"])
    assert trial["worker"] == f"worker-{len(workers)}"
    marks = {trace.name: list(trace.y) for trace in study.plot.timeline().data if trace.type == "scatter"}
    assert marks == {"interrupted here, continued later": [*workers]}


def folds_kept(store: Store, study_id: str, number: int) -> dict[str, object]:
    return dict(store.unfinished.of(study_id, [number]).get(number, {}).get("folds", {}))


@pytest.mark.slow
def test_a_second_sigterm_ends_a_worker_at_once(servers: Settings, start_worker: StartWorker, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    worker = start_worker(WARREN_GRACE_SECONDS="60")
    submit(Sleeps(seconds=60.0, diary=str(diary)), {"number": [1]}, X, Y, cv=2)
    until(lambda: diary_of(diary), what="the trial has begun")
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 128 + signal.SIGTERM
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 1, what="the chunk is back in the queue")
