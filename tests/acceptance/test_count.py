"""The count of a study that nobody follows."""

from __future__ import annotations

import signal

from acceptance.conftest import StartWorker, X, Y
from faulty import Sleeps
from polling import until

from producer import submit


def test_a_study_that_nobody_follows_ends_though_a_worker_died_between_a_result_and_its_count(
    start_worker: StartWorker,
) -> None:
    study = submit(Sleeps(), {"number": range(6)}, X, Y, cv=2, n_chunks=2)
    victim = start_worker("dying_worker", "count", "before", "1")
    assert victim.wait(30) == -signal.SIGKILL
    start_worker()
    until(lambda: study.status().state == "COMPLETE", 30, "one read after the other says so in the end")
    assert study.status().complete == 6
