"""A worker that vanishes between any two of its writes: every trial ends with one result, and is counted once."""

from __future__ import annotations

import signal

import pytest
from acceptance.conftest import StartWorker, X, Y, waiting
from dying_worker import POINTS
from faulty import Sleeps
from polling import until

from producer import submit
from tuning.names import CHUNKS_QUEUE
from tuning.settings import Settings


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_between_two_writes_loses_nothing_and_doubles_nothing(
    point: str, when: str, servers: Settings, start_worker: StartWorker
) -> None:
    # Folds long enough to be kept, and trials long enough to be written one by one.
    study = submit(Sleeps(seconds=0.3), {"number": range(3)}, X, Y, cv=3, n_chunks=2)
    victim = start_worker("dying_worker", point, when, "1", WARREN_FLUSH_SECONDS="0.1")
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 1 or victim.poll(), what="the victim has a chunk in hand")
    start_worker()
    assert victim.wait(30) == -signal.SIGKILL
    study.wait(timeout=60, progress=False)
    frame = study.results()
    assert list(frame["number"]) == list(range(3)), "nothing lost, nothing twice"
    assert set(frame["state"]) == {"COMPLETE"}
    assert set(frame["attempts"]) == {1}
    status = study.status()
    assert (status.complete, status.failed, status.dead) == (3, 0, 0)
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 0, what="every chunk is acknowledged")
