"""A worker that vanishes between any two of its writes: every trial ends with one result, and is
counted once."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from acceptance.conftest import StartWorker, X, Y, waiting
from dying_worker import POINTS
from faulty import Sleeps
from one_worker import OneWorker, one_worker
from polling import until
from servers import Urls

from producer import submit
from warren.broker import channel
from warren.queues import CHUNKS_QUEUE
from warren.settings import Settings


@pytest.fixture(scope="module")
def heir(private_servers: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneWorker]:
    """The worker that has the other chunk, and then that of each victim."""
    with one_worker(private_servers, tmp_path_factory.mktemp("heir")) as worker:
        yield worker


@pytest.fixture
def servers(heir: OneWorker) -> Settings:
    """Where victims look for work: where their heir does."""
    return heir.settings


def _listeners(settings: Settings) -> int:
    with channel(settings) as open_channel:
        return int(open_channel.queue_declare(CHUNKS_QUEUE, passive=True).method.consumer_count)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_dies_between_two_writes_loses_and_repeats_nothing(
    point: str, when: str, servers: Settings, heir: OneWorker, start_worker: StartWorker
) -> None:
    until(lambda: _listeners(servers) == 1, what="only the heir listens")
    victim = start_worker("dying_worker", point, when, "1", WARREN_FLUSH_SECONDS="0.1")
    until(lambda: _listeners(servers) == 2 or victim.poll(), what="the victim listens too")
    # Folds long enough to be kept, and trials long enough to be written one by one. A chunk for
    # each worker.
    study = submit(Sleeps(seconds=0.3), {"number": range(3)}, X, Y, cv=3, n_chunks=2, name=f"{point}-{when}")
    assert victim.wait(60) == -signal.SIGKILL
    if point == "count":
        # No process follows it: one read after the other says in the end that it is complete.
        until(lambda: study.status().state == "COMPLETE", what="it is complete")
    else:
        study.wait(timeout=60, progress=False)
    frame = study.results()
    assert list(frame["number"]) == list(range(3)), "nothing lost, nothing twice"
    assert set(frame["state"]) == {"COMPLETE"}
    assert set(frame["attempts"]) == {1}
    status = study.status()
    assert (status.complete, status.failed, status.dead) == (3, 0, 0)
    until(lambda: waiting(servers, CHUNKS_QUEUE) == 0, what="every chunk is acknowledged")
    assert heir.process.poll() is None
