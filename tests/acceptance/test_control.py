"""Several studies at once: they share the workers, and each can be steered, deleted and put back by itself."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from acceptance.conftest import StartWorker, X, Y, diary_of, waiting
from faulty import Sleeps
from polling import until

from producer import Study, submit
from tuning.names import CHUNKS_QUEUE, LANES
from tuning.settings import Settings

ONE_SPLIT = [(range(10), range(10, 20))]


def sleeping(name: str, trials: int, **options: object) -> Study:
    return submit(
        Sleeps(seconds=0.1), {"number": range(trials)}, X, Y, cv=ONE_SPLIT, name=name, n_chunks=trials, **options
    )


def test_a_long_study_never_starves_a_short_one(start_worker: StartWorker) -> None:
    long, short = sleeping("long", 100), sleeping("short", 5)
    start_worker()
    short.wait(timeout=60, progress=False)
    assert long.status().done < 50
    assert long.status().state == "RUNNING"
    long.cancel()


def test_a_study_of_a_higher_priority_has_more_of_the_workers(start_worker: StartWorker) -> None:
    usual, urgent = sleeping("usual", 100), sleeping("urgent", 100, priority=4)
    start_worker()
    until(lambda: urgent.status().done >= 20, 60, "the urgent one comes along")
    assert 1 <= usual.status().done <= 12, "a quarter of it, more or less, but not nothing"
    usual.cancel()
    urgent.cancel()


def test_pause_takes_effect_within_one_trial_on_every_worker(start_worker: StartWorker, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    for _ in range(2):
        start_worker()
    study = submit(Sleeps(seconds=0.5, diary=str(diary)), {"number": range(60)}, X, Y, cv=ONE_SPLIT, n_chunks=2)
    until(lambda: len(set(diary_of(diary))) >= 4, what="both train")
    study.pause()
    begun = len(diary_of(diary))
    # A look a second, and the trial in hand: five more would be a worker that does not look.
    quiet = threading.Event()
    until(lambda: quiet.wait(2.0) or len(diary_of(diary)) < 60, 10, "two seconds have gone by")
    assert len(diary_of(diary)) <= begun + 6
    stopped = len(diary_of(diary))
    quiet.wait(1.5)
    assert len(diary_of(diary)) == stopped, "nobody trains any more"
    study.resume()
    until(lambda: len(diary_of(diary)) > stopped, 20, "they go on")
    study.cancel()


def test_a_deleted_study_leaves_nothing_and_takes_nothing_from_others(
    servers: Settings, start_worker: StartWorker
) -> None:
    start_worker()
    gone, stays = sleeping("gone", 40), sleeping("stays", 10)
    until(lambda: gone.status().done >= 2, what="it runs")
    gone.delete()
    stays.wait(timeout=60, progress=False)
    assert stays.status().complete == 10
    assert [one.id for one in Study.list()] == [stays.id]
    with pytest.raises(Exception, match="no study"):
        Study.attach(gone.id)
    until(lambda: sum(waiting(servers, lane) for lane in LANES) == 0, what="its chunks are dropped")
    store = stays._store
    until(lambda: list(store.trials.of(gone.id)) == [], what="what was written after it is gone too")
    assert len(list(store.trials.of(stays.id))) == 10


def test_a_study_that_is_paused_for_an_eviction_goes_on_with_the_next_worker(
    servers: Settings, start_worker: StartWorker
) -> None:
    worker = start_worker()
    study = sleeping("paused", 30)
    until(lambda: study.status().done >= 2, what="it runs")
    study.pause()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert study.resume() > 0
    start_worker()
    assert study.wait(timeout=60, progress=False).status().complete == 30
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 0, what="every chunk is acknowledged")
