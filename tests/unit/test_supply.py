"""What a training process gets from its worker, and what it does not."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import IO, Any, cast

import pytest
from evaluating import SMALL, Worker

from warren.errors import StoreError, StudyError
from warren.messages import Chunk
from warren.storage.documents import Document, pack
from warren.storage.store import Store
from worker.database import PackedModel
from worker.process import protocol
from worker.process.database_access import DatabaseAccessServer, RemoteDatabaseAccess

DATA = hashlib.sha256(b"data").hexdigest()
OTHERS = hashlib.sha256(b"others").hexdigest()


class Bucket:
    """A bucket in memory that is away a few times."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.content: dict[str, bytes] = {DATA: b"data", OTHERS: b"others"}
        self.about: dict[str, Document] = {}
        self.asked = threading.Semaphore(0)

    def get(self, digest: str, start: int, size: int) -> bytes:
        self.asked.release()
        if self.failures:
            raise self.failures.pop(0)
        return self.content[digest][start : start + size]

    def put(self, name: str, write: Callable[[IO[bytes]], None], about: Document) -> bool:
        stream = io.BytesIO()
        write(stream)
        self.content[name], self.about[name] = stream.getvalue(), about
        return True


def chunk(**changes: Any) -> Chunk:
    made = Worker().chunk(SMALL, {"max_depth": 1})
    return made.model_copy(update={"objective": made.objective.model_copy(update={"dataset": DATA, **changes})})


@contextmanager
def supplied(bucket: Bucket, **others: Any) -> Iterator[tuple[RemoteDatabaseAccess, DatabaseAccessServer]]:
    supplier = DatabaseAccessServer(cast("Store", SimpleNamespace(datasets=bucket, models=bucket, **others)))
    theirs = supplier.begin()
    with Connection(theirs.detach()) as connection:
        yield RemoteDatabaseAccess(connection), supplier
    supplier.end()


def test_a_training_process_gets_the_data_of_its_chunk_and_no_other() -> None:
    with supplied(Bucket()) as (asking, supplier):
        with pytest.raises(StudyError, match="does not belong to its chunk"):
            asking.blob(DATA)
        supplier.turn_to(chunk())
        assert asking.blob(DATA) == b"data"
        for other in (OTHERS, "", "../" + DATA):
            with pytest.raises(StudyError, match="does not belong to its chunk"):
                asking.blob(other)
        assert asking.blob(DATA) == b"data", "a refusal ends nothing"


def test_a_database_that_is_away_for_a_moment_is_waited_for() -> None:
    bucket = Bucket(StoreError("away"), StoreError("still away"))
    with supplied(bucket) as (asking, supplier):
        supplier.turn_to(chunk())
        assert asking.blob(DATA) == b"data"


@pytest.mark.parametrize("n_bytes", [0, 7, 8, 9, 24, 25])
def test_data_come_in_parts_and_each_waits_for_the_database(n_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "READ_BYTES", 8)
    bucket = Bucket(StoreError("away"))
    bucket.content[DATA] = bytes(range(n_bytes))
    with supplied(bucket) as (asking, supplier):
        supplier.turn_to(chunk())
        assert asking.blob(DATA) == bytes(range(n_bytes))
    assert bucket.asked._value == 1 + n_bytes // 8 + 1, "one part more than are full, and one was asked for twice"


def test_data_that_are_gone_are_told_to_the_training_process() -> None:
    with supplied(Bucket(StudyError("was the study's data deleted?"))) as (asking, supplier):
        supplier.turn_to(chunk())
        with pytest.raises(StudyError, match="data deleted"):
            asking.blob(DATA)


def test_a_model_is_kept_for_a_trial_that_keeps_one_and_for_no_other() -> None:
    bucket, model = Bucket(), PackedModel(format="skops", content=b"model", facts={"n": 1})
    with supplied(bucket) as (asking, supplier):
        supplier.turn_to(chunk())
        with pytest.raises(StudyError, match="does not belong to its chunk"):
            asking.store_model(0, model, "a.B")
    with supplied(bucket) as (asking, supplier):
        supplier.turn_to(chunk(keep_model=True))
        kept = asking.store_model(0, model, "a.B")
    digest = hashlib.sha256(b"model").hexdigest()
    name = f"study:0:{digest}"
    assert kept == {
        "file": name, "format": "skops", "sha256": digest, "bytes": 5, "class": "a.B", "facts": {"n": 1}
    }  # fmt: skip
    assert bucket.content[name] == b"model"
    assert bucket.about[name] == {"study": "study", "format": "skops", "class": "a.B"}


def test_a_training_process_learns_which_trials_go_on() -> None:
    known = {"a": SimpleNamespace(state="RUNNING")}
    trials = SimpleNamespace(finished_numbers=lambda study, among: {1, 2} & set(among) if study == "a" else set())
    with supplied(Bucket(), study=lambda study, _: known.get(study), trials=trials) as (asking, _):
        states, ended = asking.study_states({"a": {2, 3}, "b": {1}})
    assert (states, ended) == ({"a": "RUNNING"}, {("a", 2)})


def test_a_question_that_is_none_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with supplied(Bucket()) as (asking, supplier):
        supplier.turn_to(chunk(keep_model=True))
        asking._connection.send_bytes(pack({"message": "StoreModel", "number": 0}))
        asking._connection.send_bytes(b"the model")
        answer = protocol.receive(asking._connection)
        assert answer == protocol.QuestionFailed(error="StudyError", text="its worker failed: MessageError")
        assert "could not answer a training process" in caplog.text
        assert asking.blob(DATA) == b"data"


def test_a_supplier_ends_while_the_database_is_away() -> None:
    bucket = Bucket(*[StoreError("away")] * 1000)
    with supplied(bucket) as (asking, supplier):
        supplier.turn_to(chunk())
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                asking.blob(DATA)
            except (EOFError, ConnectionError, StoreError) as exc:
                errors.append(exc)

        thread = threading.Thread(target=ask)
        thread.start()
        assert bucket.asked.acquire(timeout=10)
        supplier.end()
        thread.join(10)
        assert errors
