"""What a worker promises, seen on one worker that goes on after all of it: crashes, nonsense, and
several studies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pymongo
import pytest
from acceptance.conftest import X, Y, diary_of, trainer_of, waiting
from faulty import Draws, Raises, Sleeps
from one_worker import OneWorker, one_worker
from polling import until
from servers import Urls

from producer import Study, submit
from producer.publishing import publication
from warren.broker import channel
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE, LANES

ONE_SPLIT = [(range(10), range(10, 20))]


@pytest.fixture(scope="module")
def worker(private_servers: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneWorker]:
    folder = tmp_path_factory.mktemp("one-worker")
    with one_worker(private_servers, folder, WARREN_MAX_ATTEMPTS="2", WARREN_LOG_LEVEL="DEBUG") as found:
        yield found


@pytest.fixture(autouse=True)
def it_goes_on(worker: OneWorker) -> Iterator[None]:
    """Whatever a test did, the worker that it did it to is there for the next."""
    yield
    assert worker.process.poll() is None


@contextmanager
def held_up(worker: OneWorker) -> Iterator[None]:
    """Let the worker take nothing meanwhile, so that what is submitted is all there
    when it looks."""
    process = psutil.Process(worker.process.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def listeners(worker: OneWorker) -> int:
    with channel(worker.settings) as open_channel:
        return int(open_channel.queue_declare(CHUNKS_QUEUE, passive=True).method.consumer_count)


def sleeping(trials: int, **options: object) -> Study:
    """Submit trials of a tenth of a second, each a chunk."""
    given = {"cv": ONE_SPLIT, "name": uuid4().hex, "n_chunks": trials} | options
    return submit(Sleeps(seconds=0.1), {"number": range(trials)}, X, Y, **given)


# ------------------------------------------------------------------------- trials


def test_a_trial_that_hangs_is_timed_out(worker: OneWorker) -> None:
    study = submit(Sleeps(), {"seconds": [0.0, 60.0]}, X, Y, cv=2, n_chunks=1, trial_timeout=1.5)
    study.wait(timeout=60, progress=False)
    assert list(study.results()["state"]) == ["COMPLETE", "FAILED"]
    assert re.fullmatch(r"timed out after 1\.5 seconds, with \d+ MB of memory", study.results()["error"][1])
    assert study.results()["attempts"][1] == 2


def test_a_killed_training_process_is_replaced(worker: OneWorker, tmp_path: Path) -> None:
    gate, diary = tmp_path / "gate", tmp_path / "diary"
    gate.touch()
    grid = [{"number": [0]}, {"number": range(1, 6), "gate": [str(gate)]}]
    study = submit(Sleeps(diary=str(diary)), grid, X, Y, cv=2, n_chunks=1, name="replaced")
    until(lambda: 1 in diary_of(diary), what="the second trial waits")
    trainer = trainer_of(worker.process)
    assert trainer is not None
    trainer.kill()
    gate.unlink()
    study.wait(timeout=60, progress=False)
    frame = study.results()
    assert set(frame["state"]) == {"COMPLETE"}
    assert sorted(frame["attempts"]) == [1, 1, 1, 1, 1, 2]


def test_what_has_ended_counts_while_the_next_trial_takes_long(worker: OneWorker, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    # The second is written less than a second after the first was counted: it is too early then to
    # count again.
    grid = [{"seconds": [0.0, 0.41]}, {"seconds": [0.0], "gate": [str(gate)]}]
    study = submit(Sleeps(), grid, X, Y, cv=2, n_chunks=1, name="counted")
    until(lambda: study.status().done == 2, 20, "two are counted, and the last one waits")
    gate.unlink()
    study.wait(timeout=60, progress=False)


def test_a_trial_that_raises_is_a_result(worker: OneWorker) -> None:
    study = submit(Raises(), {"fails": [True, False]}, X, Y, cv=2)
    study.wait(timeout=60, progress=False)
    frame = study.results()
    assert list(frame["state"]) == ["FAILED", "COMPLETE"]
    assert frame["error"][0] == "fold 0: RuntimeError: number 0 can't be fitted"
    assert study.best_index_ == 1


def test_an_estimator_without_a_seed_draws_the_same_wherever_it_runs(worker: OneWorker) -> None:
    study = submit(Draws(), {"number": range(3)}, X, Y, cv=2).wait(timeout=60, progress=False)
    first = study.results()["mean_test_score"]
    assert first.nunique() == 3
    study.store.trials._collection.delete_many({"study_id": study.id})
    study.resume()
    study.wait(timeout=60, progress=False)
    assert list(study.results()["mean_test_score"]) == list(first)


# ------------------------------------------------------------------------ a study


def test_a_cancelled_study_is_drained_without_training(worker: OneWorker, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    study = submit(Sleeps(seconds=0.3, diary=str(diary)), {"number": range(30)}, X, Y, cv=2, n_chunks=3)
    until(lambda: study.status().done >= 1, what="a trial has ended")
    study.cancel()
    study.wait(timeout=5, progress=False)
    until(lambda: waiting(worker.settings, CHUNKS_QUEUE) == 0 and listeners(worker) == 1, what="the queue is drained")
    begun = len(set(diary_of(diary)))
    assert begun < 10
    # The last are counted a moment after the chunk is acknowledged.
    until(lambda: study.status().done >= begun - 1, what="the current fold was the last")
    assert study.status().done <= begun
    assert study.status().state == "CANCELLED"


def test_a_paused_study_goes_on_where_it_was(worker: OneWorker, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    study = submit(Sleeps(seconds=0.1, diary=str(diary)), {"number": range(20)}, X, Y, cv=2, n_chunks=2)
    until(lambda: study.status().done >= 2, what="trials have ended")
    study.pause()
    assert study.status().state == "PAUSED"
    published = study.resume()
    assert 0 < published <= 18
    study.wait(timeout=60, progress=False)
    assert study.status().complete == 20
    # At most the current trial was begun by both publications.
    assert len(diary_of(diary)) <= 42


def test_a_submission_cut_short_takes_nothing_from_a_study_that_runs(
    worker: OneWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    with held_up(worker):
        study = sleeping(20, name="cut short")
        with monkeypatch.context() as patch:
            patch.setattr(publication, "publish", interrupted)
            with pytest.raises(KeyboardInterrupt):
                sleeping(20, name="cut short")
    assert study.wait(timeout=60, progress=False).status().complete == 20


def test_a_study_attached_elsewhere_is_the_same(worker: OneWorker) -> None:
    study = sleeping(3)
    twin = Study.attach(study.id)
    twin.wait(timeout=60, progress=False)
    assert twin.results().equals(study.results())
    assert [one.id for one in Study.list()].count(study.id) == 1


# ---------------------------------------------------------------- several studies


def test_a_long_study_never_starves_a_short_one(worker: OneWorker) -> None:
    with held_up(worker):
        long, short = sleeping(100), sleeping(5)
    short.wait(timeout=60, progress=False)
    assert long.status().done < 50
    assert long.status().state == "RUNNING"
    long.delete()


def test_a_study_of_a_higher_priority_has_more_of_the_workers(worker: OneWorker) -> None:
    with held_up(worker):
        usual, urgent = sleeping(100), sleeping(100, priority=4)
    until(lambda: urgent.status().done >= 20, 60, "the urgent one comes along")
    assert 1 <= usual.status().done <= 12, "a quarter of it, more or less, but not nothing"
    usual.delete()
    urgent.delete()


def test_a_deleted_study_leaves_nothing_and_takes_nothing_from_others(worker: OneWorker) -> None:
    gone, stays = sleeping(40), sleeping(10)
    until(lambda: gone.status().done >= 2, what="it runs")
    gone.delete()
    stays.wait(timeout=60, progress=False)
    assert stays.status().complete == 10
    listed = [one.id for one in Study.list()]
    assert stays.id in listed
    assert gone.id not in listed
    with pytest.raises(Exception, match="no study"):
        Study.attach(gone.id)
    until(lambda: sum(waiting(worker.settings, lane) for lane in LANES) == 0, what="its chunks are dropped")
    store = stays.store
    until(lambda: list(store.trials.of(gone.id)) == [], what="what was written after it is gone too")
    assert len(list(store.trials.of(stays.id))) == 10


# ----------------------------------------------------------------------- messages


def test_what_is_no_chunk_is_dead_lettered_with_its_reason(worker: OneWorker) -> None:
    bodies = [b"not json", b'{"schema_version": 99}', b"\xff\xfe", b"[" * 10_000]
    with channel(worker.settings) as open_channel:
        for body in bodies:
            open_channel.basic_publish("", CHUNKS_QUEUE, body)
    until(lambda: waiting(worker.settings, DEAD_QUEUE) == len(bodies), what="all are dead-lettered")
    with channel(worker.settings) as open_channel:
        for body in bodies:
            _, properties, found = open_channel.basic_get(DEAD_QUEUE, auto_ack=True)
            assert found == body
            assert properties.headers["x-warren-reason"]
    assert sleeping(2).wait(timeout=30, progress=False).status().complete == 2


def test_no_document_of_all_this_holds_a_password(worker: OneWorker) -> None:
    password = urlsplit(worker.settings.amqp_url).password
    assert password
    sleeping(2).wait(timeout=60, progress=False)
    with pymongo.MongoClient(worker.settings.mongo_url) as client:
        database = client.get_default_database()
        names = database.list_collection_names()
        assert {"studies", "trials"} <= set(names)
        for name in names:
            assert not any(password in str(document) for document in database[name].find({}, {"data": 0}))
    assert password not in worker.log.read_text()
