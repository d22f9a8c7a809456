"""Trials that take their process down, and those that were only at the wrong place."""

from __future__ import annotations

import re
import signal

import pytest
from acceptance.conftest import StartWorker, X, Y, waiting
from faulty import Exits, Grows, KillsItsWorker
from polling import until

from producer import submit
from warren.errors import StudyError
from warren.queues import DEAD_QUEUE
from warren.settings import Settings
from warren.storage.store import Store


@pytest.mark.slow
def test_a_trial_that_ends_its_process_fails_alone_with_its_reason(
    start_worker: StartWorker,
) -> None:
    worker = start_worker(WARREN_MAX_ATTEMPTS="1", WARREN_TRIAL_MEMORY_BYTES=str(600 * 10**6))
    good = {"when": [False], "number": [1]}
    grids = [good, {"code": [7, -signal.SIGSEGV]}, good, {"code": [0]}, good]
    study = submit(Exits(), grids, X, Y, cv=2, n_chunks=1)
    study.wait(timeout=120, progress=False)
    frame = study.results()
    assert list(frame["state"]) == ["COMPLETE", "FAILED", "FAILED", "COMPLETE", "FAILED", "COMPLETE"]
    for number, reason in ((1, "exited with code 7"), (2, "was killed by signal 11"), (4, "exited with code 0")):
        told = rf"the training process {reason} after \d\.\d s, with \d+ MB of memory"
        assert re.fullmatch(told, frame["error"][number])
    assert set(frame["attempts"]) == {1}, "one try is all that this worker gives"

    study = submit(Grows(), {"megabytes": [0, 2000, 10]}, X, Y, cv=2, n_chunks=1)
    study.wait(timeout=60, progress=False)
    frame = study.results()
    assert list(frame["state"]) == ["COMPLETE", "FAILED", "COMPLETE"]
    assert re.fullmatch(
        r"took more memory than the 600 MB that a trial may after \d\.\d s, with [6-9]\d\d MB of memory",
        frame["error"][1],
    )
    assert worker.poll() is None, "it cost the training process, not the worker"


@pytest.mark.slow
def test_tries_are_counted_across_workers(store: Store, start_worker: StartWorker) -> None:
    first = start_worker()
    study = submit(Exits(seconds=0.7), {"number": [3]}, X, Y, cv=2)

    def tries() -> int:
        return len(store.unfinished.of(study.id, [0]).get(0, {}).get("tries", []))

    until(lambda: tries() == 1, what="the first try is noted")
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    start_worker()
    study.wait(timeout=60, progress=False)
    [result] = store.trials.of(study.id)
    assert (result["state"], result["attempts"]) == ("FAILED", 3), "one by the first worker, two by the second"
    assert result["worker"] == "worker-1"
    assert tries() == 0, "what is noted of a trial goes with its result"


@pytest.mark.slow
def test_a_chunk_that_kills_its_workers_is_set_aside_and_can_be_put_back(
    servers: Settings, start_worker: StartWorker
) -> None:
    study = submit(KillsItsWorker(), {"number": [1, 2]}, X, Y, cv=2, n_chunks=1)

    def dead() -> bool:
        return study.status().dead == 2

    lost = 0
    while not dead():
        worker = start_worker(WARREN_MAX_LOST_WORKERS="2")
        until(lambda one=worker: one.poll() is not None or dead(), what="it vanishes, or gives the chunk up")
        lost += worker.poll() is not None
        assert lost <= 3, "the chunk is set aside in the end"
    assert lost == 2, "as many as the setting says, the first with them"
    until(lambda: waiting(servers, DEAD_QUEUE) == 1, what="the message is kept")
    with pytest.raises(StudyError, match="trials 0 and 1 .* 2 workers in a row vanished .*retry_failed"):
        study.wait(timeout=10, progress=False)
    assert study.retry_failed() == 2
    assert study.status().dead == 0
