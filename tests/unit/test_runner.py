"""What a worker's runner does with a chunk, on a training process and a store that do as
they are told."""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest
from evaluating import SMALL, Worker, rounds
from study_documents import document

from warren.errors import StoreError
from warren.messages import Chunk, encode_chunk
from warren.settings import Settings
from warren.storage.documents import now, pack, trial_id, unpack
from warren.storage.store import Store
from warren.storage.study_document import StudyKey, StudyPlan
from warren.storage.unfinished import Losses
from worker.chunk.outcome import Verdict
from worker.chunk.runner import ChunkRunner
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics
from worker.process.protocol import ChunkEnded, EvaluateChunk, FoldsDone, Message, TrialEnded, TrialsBegin
from worker.process.training_process import TrainingProcess, TrainingProcessLostError

SETTINGS = Settings(WARREN_TRIAL_MEMORY_BYTES=1000, WARREN_MAX_ATTEMPTS=2)


class Scripted:
    """A training process that says what a list has, then ends the chunk; an exception in
    it is raised."""

    def __init__(self, *says: Any, memory: int = 0) -> None:
        self._says = deque(says)
        self._memory = memory
        self.orders: list[EvaluateChunk] = []
        self.kills = 0

    def begin(self, chunk: Chunk, order: EvaluateChunk) -> None:
        self.orders.append(order)

    def receive(self, seconds: float) -> Message | None:
        said: Message | None = self._says.popleft() if self._says else ChunkEnded()
        if isinstance(said, Exception):
            raise said
        return said

    def has_more(self) -> bool:
        return False

    def memory_bytes(self) -> int:
        return self._memory

    def output(self, part: int | None = None) -> str:
        return f"printed in part {part}"

    def stop_after(self, what: str) -> None:
        pass

    def kill(self) -> None:
        self.kills += 1


class Kept:
    """A store in memory: one study, its trials, and what was told."""

    def __init__(self, **study: Any) -> None:
        self.document: dict[str, Any] | None = document(generation=1) | study
        self.kept: dict[int, dict[str, Any]] = {}
        self.trials = self
        self.letters: list[dict[str, Any]] = []
        self.looks = 0
        self.tries: list[int] = []
        self.recounted: list[str] = []
        self.busy: set[str] = set()
        self.lost: list[str] = []
        self.killed = 0
        self.url = "mongodb://here/tuning"
        self.database = "tuning"
        self.id = "a" * 32
        self.deleted = False
        # Whatever is delivered was published, unless a test says which bodies were.
        self.bodies: set[bytes] | None = None
        self.published = SimpleNamespace(has=lambda *chunk: self.bodies is None or chunk[-1] in self.bodies)
        self.unfinished = SimpleNamespace(
            of=lambda *_: {},
            add_try=lambda _study, number, _one: self.tries.append(number),
            drop=lambda *_: None,
            drop_study=lambda _: None,
            keep_folds=lambda _: None,
            abandon=lambda *_: None,
            chunk_begins=lambda *_, **__: 0,
            chunk_held=lambda *_, **__: None,
            chunk_ends=lambda *_: None,
            chunk_lost=self.lose,
            holders=lambda: set(self.busy),
        )

    def lose(self, _chunk: str, worker: str, _at: Any, *, blamed: bool) -> Losses:
        self.lost += [worker] if blamed else []
        self.killed += not blamed
        return Losses(workers=frozenset(self.lost), times=len(self.lost), killed=self.killed)

    def identity(self) -> str:
        return self.id

    def surely_unwanted(self, _study: str, generation: int) -> bool:
        one = self.document
        return self.deleted if one is None else one["state"] != "RUNNING" or one["generation"] > generation

    def within(self, seconds: float) -> AbstractContextManager[None]:
        return nullcontext()

    def study(self, _study: str, part: type[StudyKey]) -> StudyKey | None:
        self.looks += 1
        return part.read(self.document) if self.document else None

    def finished_numbers(self, _study: str, _among: Any) -> set[int]:
        return set(self.kept)

    def insert(self, packed: list[bytes]) -> list[int]:
        for one in map(unpack, packed):
            self.kept[one["number"]] = one
        return list(range(len(packed)))

    def add_progress(self, *_: Any) -> StudyPlan | None:
        return StudyPlan.read(self.document) if self.document else None

    def recount(self, study: str) -> None:
        self.recounted.append(study)

    def delete_results(self, _study: str) -> None:
        self.kept.clear()

    def update_study(self, _study: str, update: dict[str, Any], _only_if: Any = None) -> StudyPlan | None:
        self.letters += update["$push"]["dead_letters"]["$each"]
        return StudyPlan.read(self.document) if self.document else None


def ended(number: int) -> TrialEnded:
    document = {
        "_id": trial_id("study", number),
        "study_id": "study",
        "number": number,
        "state": "COMPLETE",
        "library": "xgboost",
        "fit_seconds": 0.5,
        "saved_seconds": 0.0,
        "finished_at": now(),
    }
    return TrialEnded(number=number, document=pack(document))


def runner(store: Kept, trainer: Scripted) -> ChunkRunner:
    return ChunkRunner(cast("Store", store), SETTINGS, cast("TrainingProcess", trainer), Metrics(), Pulse(SETTINGS))


@pytest.fixture
def chunk() -> Chunk:
    return Worker().chunk(SMALL, *rounds(9, max_depth=2), *rounds(9, max_depth=3))


def test_a_process_lost_after_the_last_result_is_nobodys_fault(chunk: Chunk) -> None:
    store = Kept()
    trainer = Scripted(TrialsBegin(), ended(0), ended(1), TrainingProcessLostError("killed by signal 9"))
    assert runner(store, trainer).run(encode_chunk(chunk)).verdict == Verdict.ACKNOWLEDGE
    assert set(store.kept) == {0, 1}
    assert store.tries == []


def test_memory_that_is_held_after_the_last_result_is_nobodys_fault(chunk: Chunk) -> None:
    store = Kept()
    trainer = Scripted(ended(0), ended(1), memory=2000)
    assert runner(store, trainer).run(encode_chunk(chunk)).verdict == Verdict.ACKNOWLEDGE
    assert store.tries == [1], "once, while it was fitted, and not after it had ended"


def test_a_worker_that_stops_after_the_last_result_ends_in_good_order(chunk: Chunk) -> None:
    store = Kept()
    one = runner(store, Scripted())

    class Stops(Scripted):
        def memory_bytes(self) -> int:
            one.stop(5.0)
            return 0

    one._process = cast("TrainingProcess", Stops(TrialsBegin(), ended(0), ended(1), FoldsDone(folds=[])))
    assert one.run(encode_chunk(chunk)).verdict == Verdict.ACKNOWLEDGE
    assert set(store.kept) == {0, 1}


@pytest.mark.parametrize("change", [{"state": 1}, {"generation": None}, {"progress": "all"}])
def test_a_study_whose_document_was_changed_by_hand_stops_no_worker(chunk: Chunk, change: dict[str, Any]) -> None:
    store = Kept(**change)
    one = runner(store, Scripted(ended(0), ended(1)))
    outcome = one.run(encode_chunk(chunk))
    if "progress" in change:  # which is read when results are counted
        assert outcome.verdict == Verdict.ACKNOWLEDGE
    else:
        assert outcome.verdict == Verdict.DEAD_LETTER
        assert outcome.reason.startswith("document 'study' of the collection studies is invalid (")
    one.settle(idle=True)
    assert not one.uncounted


BEFORE = TrainingProcessLostError("exited with code 1")


def test_a_chunk_lost_before_its_first_trial_is_tried_by_others(chunk: Chunk) -> None:
    store = Kept()
    store.busy = {"another"}
    one = runner(store, Scripted(BEFORE, TrialsBegin(), ended(0), ended(1)))
    assert one.run(encode_chunk(chunk)).verdict == Verdict.HAND_ON
    assert one.run(encode_chunk(chunk), again=True).verdict == Verdict.HAND_ON, "it came back at once: others first"
    assert (len(store.lost), store.letters, store.kept) == (1, [], {})
    one._lost_processes._left_to_others.clear()  # a minute later no worker has taken it
    assert one.run(encode_chunk(chunk), again=True).verdict == Verdict.ACKNOWLEDGE


def test_a_chunk_that_loses_its_process_on_several_workers_is_set_aside(chunk: Chunk) -> None:
    store = Kept()
    store.lost, store.busy = ["another"], {"another", "a third"}
    outcome = runner(store, Scripted(BEFORE)).run(encode_chunk(chunk), again=True)
    assert outcome.verdict == Verdict.DEAD_LETTER
    assert outcome.reason == (
        "the training process was lost 2 times before a trial began on 2 workers: exited with code 1"
    )
    assert store.letters[0]["numbers"] == [0, 1]
    assert (store.tries, store.kept) == ([], {})


def test_a_chunk_that_loses_its_process_is_set_aside_by_one_worker(chunk: Chunk) -> None:
    store = Kept()
    one = runner(store, Scripted(BEFORE, BEFORE))
    assert one.run(encode_chunk(chunk)).verdict == Verdict.HAND_ON
    outcome = one.run(encode_chunk(chunk), again=True)
    assert outcome.verdict == Verdict.DEAD_LETTER
    assert outcome.reason == "the training process was lost 2 times before a trial began: exited with code 1"


def test_a_process_killed_before_a_trial_is_not_the_chunk_s_fault(chunk: Chunk) -> None:
    store = Kept()
    killed = TrainingProcessLostError("the training process was killed by signal 9", killed=True)
    one = runner(store, Scripted(*[killed] * 9, TrialsBegin(), ended(0), ended(1)))
    assert [one.run(encode_chunk(chunk), again=True).verdict for _ in range(9)] == [Verdict.HAND_ON] * 9
    assert one.run(encode_chunk(chunk), again=True).verdict == Verdict.ACKNOWLEDGE
    store.killed = 49
    one._process = cast("TrainingProcess", Scripted(killed))
    store.kept.clear()
    assert one.run(encode_chunk(chunk), again=True).verdict == Verdict.DEAD_LETTER, "that has an end"


def test_a_chunk_of_another_database_is_given_back_unread(chunk: Chunk) -> None:
    store = Kept()
    outcome = runner(store, Scripted()).run(b"not even JSON", database="b" * 32, database_url="mongodb://there/tuning")
    assert outcome.verdict == Verdict.FOREIGN
    assert outcome.reason == (
        f"of database {'b' * 32} (mongodb://there/tuning); this worker's is {'a' * 32} (mongodb://here/tuning)"
    )


def test_a_database_that_was_made_anew_is_known_by_its_new_id(chunk: Chunk) -> None:
    store = Kept()
    one = runner(store, Scripted(TrialsBegin(), ended(0), ended(1)))
    assert one.run(b"x", database="b" * 32).verdict == Verdict.FOREIGN
    store.id = "b" * 32
    assert one.run(encode_chunk(chunk), database="b" * 32).verdict == Verdict.ACKNOWLEDGE


@pytest.mark.parametrize(
    ("database", "deleted", "verdict"),
    [
        ("a" * 32, True, Verdict.DROP),
        ("a" * 32, False, Verdict.DEAD_LETTER),
        (None, True, Verdict.DROP),
        (None, False, Verdict.FOREIGN),
    ],
)
def test_a_chunk_without_a_study_is_dropped_only_if_it_was_deleted(
    database: str | None, deleted: bool, verdict: Verdict, chunk: Chunk
) -> None:
    store = Kept()
    store.document, store.deleted = None, deleted
    assert runner(store, Scripted()).run(encode_chunk(chunk), database=database).verdict == verdict


def test_a_process_lost_with_a_trial_in_hand_counts_against_it(chunk: Chunk) -> None:
    store = Kept()
    lost = TrainingProcessLostError("exited with code 1")
    trainer = Scripted(TrialsBegin(), lost, TrialsBegin(), lost, TrialsBegin(), ended(1))
    assert runner(store, trainer).run(encode_chunk(chunk)).verdict == Verdict.ACKNOWLEDGE
    assert store.tries == [0, 0]
    assert [order.attempts for order in trainer.orders] == [{}, {0: 2}, {0: 3}]
    assert {number: one["state"] for number, one in store.kept.items()} == {0: "FAILED", 1: "COMPLETE"}


def test_a_process_lost_while_the_worker_stops_counts_against_nobody(chunk: Chunk) -> None:
    store = Kept()
    one = runner(store, Scripted())

    class Stops(Scripted):
        def receive(self, seconds: float) -> Message | None:
            said = super().receive(seconds)
            one.stop(5.0)
            return said

    one._process = cast("TrainingProcess", Stops(TrialsBegin(), TrainingProcessLostError("killed by signal 15")))
    assert one.run(encode_chunk(chunk)).verdict == Verdict.REQUEUE
    assert store.tries == []


@pytest.mark.parametrize("before", [{"state": "CANCELLED"}, {"state": "COMPLETE"}, {"generation": 3}])
def test_a_chunk_is_never_dropped_on_what_was_seen_before(before: dict[str, Any], chunk: Chunk) -> None:
    store = Kept(**before)
    one = runner(store, Scripted(TrialsBegin(), ended(0), ended(1)))
    assert one.run(encode_chunk(chunk)).verdict == Verdict.DROP
    # Resumed, or deleted and submitted again: a moment later.
    store.document = {"_id": "study", "state": "RUNNING", "generation": 1}
    assert one.run(encode_chunk(chunk)).verdict == Verdict.ACKNOWLEDGE
    assert set(store.kept) == {0, 1}


@pytest.mark.parametrize(
    ("again", "state", "recounted"), [(True, "RUNNING", 1), (True, "COMPLETE", 0), (False, "RUNNING", 0)]
)
def test_a_worker_that_took_a_chunk_over_recounts_its_study_when_idle(
    again: bool, state: str, recounted: int, chunk: Chunk
) -> None:
    store = Kept()
    one = runner(store, Scripted(TrialsBegin(), ended(0), ended(1)))
    one.run(encode_chunk(chunk), again=again)
    assert store.document is not None
    store.document["state"] = state
    one.settle()
    assert store.recounted == [], "not while there is work"
    one.settle(idle=True)
    one.settle(idle=True)
    assert store.recounted == ["study"] * recounted


def test_what_is_written_of_a_study_that_is_deleted_meanwhile_goes_with_it(chunk: Chunk) -> None:
    store = Kept()

    class Deletes(Scripted):
        def stop_after(self, what: str) -> None:
            assert what == "fold"

        def receive(self, seconds: float) -> Message | None:
            if not self._says:
                store.document = None
                one._acceptance._last_read = (float("-inf"), None)
            return super().receive(seconds)

    one = runner(store, Deletes(TrialsBegin(), ended(0)))
    assert one.run(encode_chunk(chunk)).verdict == Verdict.ACKNOWLEDGE
    assert store.kept == {}


def test_a_stopped_worker_does_not_wait_for_a_database_to_count_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise StoreError("away")

    store = Kept()
    monkeypatch.setattr(store, "add_progress", away)
    one = runner(store, Scripted())
    one._writer.add(1, ended(1).document)
    one._writer.write()
    one.stop(0.0)
    one.settle(idle=True)  # returns, where it would try for ever; the test's watchdog is the deadline
