"""What both sides rely on of the store, on a real server."""

from __future__ import annotations

import math
import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from contract.documents import STUDY, read, study, trial
from study_documents import document

from warren.errors import StudyError
from warren.settings import Settings
from warren.storage.documents import Document, now, pack, trial_id, unpack
from warren.storage.store import Store
from warren.storage.study_document import (
    StudyDocument,
    StudyKey,
    StudyPlan,
    StudyState,
    StudyStatus,
)

# --------------------------------------------------------------------------- results


def test_a_trial_has_one_result_and_the_first_stays(store: Store) -> None:
    assert store.trials.insert([pack(trial(3, 0.75, worker="first"))]) == [0]
    assert store.trials.insert([pack(trial(3, 0.25, worker="second"))]) == []
    [found] = store.trials.of(STUDY)
    assert (found["worker"], found["mean_test_score"]) == ("first", 0.75)


def test_an_insert_says_which_results_were_new(store: Store) -> None:
    store.trials.insert([pack(trial(number)) for number in (0, 2)])
    assert store.trials.insert([pack(trial(number)) for number in (0, 1, 2, 3)]) == [1, 3]
    assert store.trials.insert([pack(trial(4)), pack(trial(4, 0.9))]) == [0]
    assert store.trials.insert([]) == []
    assert sorted(one["number"] for one in store.trials.of(STUDY)) == [0, 1, 2, 3, 4]


def _insert_shuffled(mongo_url: str, seed: int) -> int:
    """Insert the same hundred trials in an order and in batches of one's own; return how
    many were new."""
    store = Store(Settings(MONGO_URL=mongo_url))
    try:
        numbers = random.Random(seed).sample(range(100), 100)
        batches = [numbers[start : start + 7] for start in range(0, 100, 7)]
        return sum(len(store.trials.insert([pack(trial(n, worker=seed)) for n in batch])) for batch in batches)
    finally:
        store.close()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_writers_at_once_make_one_result_of_each_trial(store: Store, database: Settings, kind: str) -> None:
    if kind == "processes" and database.mongo_url.startswith("memory:"):
        pytest.skip("a process has a memory of its own")
    spawn = multiprocessing.get_context("spawn")
    pool = ThreadPoolExecutor(6) if kind == "threads" else ProcessPoolExecutor(2, mp_context=spawn)
    with pool:
        inserted = list(pool.map(partial(_insert_shuffled, database.mongo_url), range(6)))
    assert sum(inserted) == 100
    assert sorted(one["number"] for one in store.trials.of(STUDY)) == list(range(100))
    by_writer = [sum(one["worker"] == seed for one in store.trials.of(STUDY)) for seed in range(6)]
    assert by_writer == inserted


def test_a_document_comes_back_as_it_was_written(store: Store) -> None:
    document = trial(1, params={"eta": 0.1, "nested": {"a": [1, None, True]}, "none": None, "text": "é"}, big=2**63 - 1)
    assert unpack(pack(document)) == document
    store.trials.insert([pack(document)])
    assert list(store.trials.of(STUDY)) == [document]


def test_times_are_utc_in_milliseconds(store: Store) -> None:
    moment = now()
    assert moment.tzinfo is UTC
    assert moment.microsecond % 1000 == 0
    assert abs(moment - datetime.now(UTC)) < timedelta(seconds=5)
    store.trials.insert([pack(trial(1, finished_at=moment))])
    [found] = store.trials.of(STUDY)
    assert found["finished_at"] == moment
    assert found["finished_at"].utcoffset() == timedelta(0)


def test_the_numbers_that_have_a_result_are_known_all_or_among_some(store: Store) -> None:
    assert store.trials.finished_numbers(STUDY) == set()
    store.trials.insert([pack(trial(n, state="FAILED" if n % 2 else "COMPLETE")) for n in (0, 3, 7, 10)])
    store.trials.insert([pack(trial(5) | {"_id": "other:5", "study_id": "other"})])
    assert store.trials.finished_numbers(STUDY) == {0, 3, 7, 10}
    assert store.trials.finished_numbers(STUDY, range(1, 10)) == {3, 7}
    assert store.trials.finished_numbers(STUDY, []) == set()
    assert store.trials.finished_numbers("other", [0, 5]) == {5}


def test_a_study_id_with_colons_keeps_its_numbers(store: Store) -> None:
    store.trials.insert([pack(trial(4) | {"_id": trial_id("a:b", 4), "study_id": "a:b"})])
    assert store.trials.finished_numbers("a:b", [4]) == store.trials.finished_numbers("a:b") == {4}


def test_trials_are_read_in_part(store: Store) -> None:
    store.trials.insert([pack(trial(n, n / 10, state="FAILED" if n == 2 else "COMPLETE")) for n in range(3)])
    assert sorted(store.trials.of(STUDY, ["number", "absent"]), key=lambda one: one["number"]) == [
        {"number": 0},
        {"number": 1},
        {"number": 2},
    ]
    assert list(store.trials.of("nobody's")) == []


def test_many_trials_are_read_to_the_last(store: Store) -> None:
    packed = [pack(trial(number)) for number in range(6000)]
    for start in range(0, len(packed), 3000):
        store.trials.insert(packed[start : start + 3000])
    assert {one["number"] for one in store.trials.of(STUDY, ["number"])} == set(range(6000))
    assert store.trials.finished_numbers(STUDY) == set(range(6000))


def test_the_best_come_first_and_of_equals_the_lower_number(store: Store) -> None:
    scores = {0: 0.5, 1: 0.9, 2: math.nan, 3: 0.9, 4: -math.inf, 5: 0.7, 6: 0.9}
    store.trials.insert([pack(trial(number, score)) for number, score in reversed(scores.items())])
    store.trials.insert(
        [pack(trial(7, 1.0, "FAILED", failed_fits=1)), pack(trial(8, 2.0) | {"_id": "x:8", "study_id": "x"})]
    )
    assert [one["number"] for one in store.trials.best(STUDY, 100)] == [1, 3, 6, 5, 0, 4]
    assert [one["number"] for one in store.trials.best(STUDY, 2)] == [1, 3]
    assert [one["number"] for one in store.trials.best(STUDY, 2, {"params.max_depth": {"$gt": 4}})] == [6, 5]


def test_failed_trials_are_taken_back(store: Store) -> None:
    store.trials.insert([pack(trial(n, state="FAILED" if n < 2 else "COMPLETE")) for n in range(5)])
    store.trials.insert([pack(trial(0, state="FAILED") | {"_id": "x:0", "study_id": "x"})])
    assert store.delete_failed(STUDY) == 2
    assert store.trials.finished_numbers(STUDY) == {2, 3, 4}
    assert store.trials.finished_numbers("x") == {0}
    assert store.trials.insert([pack(trial(0))]) == [0]


# --------------------------------------------------------------------------- studies


def test_a_study_is_created_once(store: Store) -> None:
    assert store.create_study(study(name="first")) is True
    assert store.create_study(study(name="second")) is False
    found = read(store)
    assert found.name == "first"


def test_a_study_created_by_many_at_once_is_one(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda i: store.create_study(study(name=str(i))), range(8)))
    assert sum(new) == 1
    assert len(store.studies(StudyKey)) == 1


def test_a_study_that_is_not_there_is_none(store: Store) -> None:
    assert store.study("nobody's", StudyKey) is None
    assert store.update_study("nobody's", {"$set": {"state": "PAUSED"}}) is None
    assert store.add_progress("nobody's", [trial(1)]) is None
    assert store.recount("nobody's") is None
    assert store.studies(StudyKey) == []


def test_an_update_returns_what_it_made_and_holds_only_where_it_may(store: Store) -> None:
    store.create_study(study())
    found = store.update_study(STUDY, {"$inc": {"generation": 1}, "$set": {"state": "PAUSED"}})
    assert found is not None
    assert (found.generation, found.state) == (2, "PAUSED")
    assert store.update_study(STUDY, {"$set": {"state": "COMPLETE"}}, {"state": "RUNNING"}) is None
    assert store.study(STUDY, StudyState) == StudyState(_id=STUDY, state="PAUSED", generation=2, publications=0)


def test_a_generation_is_given_to_one_publisher_only(store: Store) -> None:
    store.create_study(study(generation=0))

    def publish(_: int) -> int:
        found = store.update_study(STUDY, {"$inc": {"generation": 1}})
        assert found is not None
        return int(found.generation)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(publish, range(40))) == list(range(1, 41))


def test_studies_are_listed_newest_first_without_their_spaces(store: Store) -> None:
    began = now()
    for day, name in enumerate("abc"):
        store.create_study(study(study_id=name, created_at=began + timedelta(days=day)))
    assert [one.id for one in store.studies(StudyPlan)] == ["c", "b", "a"]
    assert [one.id for one in store.studies(StudyPlan, 2)] == ["c", "b"]
    assert all(one.n_trials == 10 for one in store.studies(StudyPlan))
    assert store.studies(StudyKey, 1) == [StudyKey(_id="c")]


def test_a_study_is_read_as_it_was_written(store: Store) -> None:
    written = study(queue="chunks", versions={"numpy": "2.5.1"})
    store.create_study(written)
    assert store.study(STUDY, StudyDocument) == written
    stored = store._studies.find_one({"_id": STUDY})
    assert stored == written.to_document() == document(STUDY) | stored, "what is not set is not written"
    assert not {"missing", "estimates", "model_of", "noted", "dead_chunks", "signature"} & stored.keys()


def test_a_study_of_an_earlier_version_has_what_its_document_lacks(store: Store) -> None:
    later = {"train_rows", "n_classes", "share_fits", "priority", "versions", "submitted_at", "publications", "seed"}
    first = study()
    store._studies.insert_one({name: value for name, value in first.to_document().items() if name not in later})
    found = read(store)
    assert (found.train_rows, found.n_classes, found.share_fits, found.priority) == (None, 0, True, 1)
    assert (found.publications, found.submitted_at, found.versions, found.noted) == (None, None, {}, [])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"state": "WAITING"}, "state: Input should be 'RUNNING', 'PAUSED', 'CANCELLED' or 'COMPLETE'"),
        ({"n_trials": "10"}, "n_trials: Input should be a valid integer"),
        ({"progress": {"complete": -1}}, "progress.complete: Input should be greater than or equal to 0"),
        ({"dead_letters": [{"numbers": "all", "reason": "x"}]}, "dead_letters.0.numbers: Input should be a valid list"),
        ({"name": None}, "name: Input should be a valid string"),
    ],
)
def test_a_document_that_is_no_study_is_named_and_left_out_of_a_list(
    store: Store, change: Document, problem: str
) -> None:
    store.create_study(study())
    store.create_study(study(study_id="sound"))
    store._studies.update_one({"_id": STUDY}, {"$set": change})
    with pytest.raises(StudyError, match=f"^document '{STUDY}' of the collection studies is invalid .{problem}"):
        store.study(STUDY, StudyDocument)
    assert [one.id for one in store.studies(StudyStatus)] == ["sound"]
    assert store.study(STUDY, StudyKey) is not None


# --------------------------------------------------------------------------- indexes


def test_indexes_are_there_for_counting_resuming_and_sorting(store: Store) -> None:
    store.prepare()  # harmless the second time
    of_trials = [list(index["key"]) for index in store.trials._collection.index_information().values()]
    assert [("study_id", 1), ("state", 1), ("number", 1)] in of_trials
    assert [("study_id", 1), ("mean_test_score", -1), ("number", 1)] in of_trials
    of_studies = [list(index["key"]) for index in store._studies.index_information().values()]
    assert [("created_at", -1)] in of_studies
