"""The table of a study's results that is kept as a file when the study ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa
import pytest
from documents import STUDY, add, read, study, trial

from warren.messages import Objective
from warren.storage import results_table
from warren.storage import store as store_module
from warren.storage.documents import Document, pack
from warren.storage.expected_trials import Expected
from warren.storage.own_trials import OwnTrials
from warren.storage.store import Store
from warren.storage.study_document import StudyPlan

OBJECTIVE = Objective(
    estimator=None,
    dataset="a" * 64,
    splits="b" * 64,
    n_splits=2,
    scorers={"accuracy": "accuracy"},
    refit="accuracy",
    error_score=math.nan,
    return_train_score=True,
)
COLUMNS = results_table.schema(OBJECTIVE.parts)
N_TRIALS = 5


@pytest.fixture(autouse=True)
def _small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_table, "_TABLE_TRIALS", N_TRIALS)
    monkeypatch.setattr(results_table, "_PAGE", 2)


def result(number: int, **fields: Any) -> Document:
    return trial(
        number,
        **{
            "split_test_accuracy": [0.1 + number, 1 / 3],
            "split_train_accuracy": [1.0, 0.0],
            "split_fit_seconds": [0.25, 0.5],
            "split_score_seconds": [0.125, 0.0],
            "error": None,
            "worker": "w-0",
            "attempts": 1,
            "shared_by": 3,
            "started_at": None,
            **fields,
        },
    )


def begin(store: Store, n_trials: int = N_TRIALS, **fields: Any) -> None:
    store.create_study(study(n_trials, objective=OBJECTIVE.model_dump(), publications=1, **fields))


def end(store: Store, **of_the_third: Any) -> StudyPlan:
    """Let all trials of the study end, in no order; return its document."""
    add(store, result(4), result(0))
    found = add(store, result(3), result(2, **of_the_third), result(1, mean_best_iteration=17.5))
    assert found is not None
    assert found.state == "COMPLETE"
    return found


def files(store: Store) -> list[str]:
    return [file["filename"] for file in store.tables._files._files.find({})]


def results(store: Store, columns: pa.Schema = COLUMNS) -> pa.Table:
    return store.results(OwnTrials(store.trials, store.unfinished, Expected(STUDY, N_TRIALS, OBJECTIVE)), columns)


def never(*_: object) -> Iterator[Document]:
    raise AssertionError("documents were read")


FAILED: Document = {
    "state": "FAILED",
    "error": "fold 0: ValueError: no",
    "failed_fits": 1,
    "split_test_accuracy": [math.nan, -0.0],
}


def test_a_study_that_has_ended_is_read_from_one_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(store)
    ended = end(store, **FAILED)
    assert files(store) == [ended.results_file] == [f"{STUDY}.1.parquet"]
    of_documents = results_table.as_table(store.trials.of(STUDY), COLUMNS)
    monkeypatch.setattr(store.trials, "of", never)
    kept = results(store)
    assert kept.schema.equals(COLUMNS)
    assert kept.column("number").to_pylist() == [0, 1, 2, 3, 4]
    for name in COLUMNS.names:
        # By their text, for a NaN is no NaN, and 0.0 is -0.0.
        assert repr(kept.column(name).to_pylist()) == repr(of_documents.column(name).to_pylist()), name
    assert kept.column("split_test_accuracy").to_pylist()[1] == [1.1, 1 / 3]
    assert kept.column("mean_best_iteration").to_pylist() == [None, 17.5, None, None, None]


def test_a_small_study_keeps_no_file(store: Store) -> None:
    begin(store, n_trials=N_TRIALS - 1)
    ended = add(store, *(result(number) for number in range(N_TRIALS - 1)))
    assert ended is not None
    assert (ended.state, ended.results_file) == ("COMPLETE", None)
    assert files(store) == []
    assert results(store).num_rows == N_TRIALS - 1


@pytest.mark.parametrize("state", ["RUNNING", "PAUSED", "CANCELLED"])
def test_a_study_that_goes_on_is_read_from_its_documents(store: Store, state: str) -> None:
    begin(store)
    end(store, **FAILED)
    store.update_study(STUDY, {"$set": {"state": state}})
    store.delete_failed(STUDY)
    assert results(store).column("number").to_pylist() == [0, 1, 3, 4]


def test_what_was_tried_again_is_in_the_next_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(store)
    end(store, **FAILED)
    store.update_study(STUDY, {"$set": {"state": "RUNNING"}, "$inc": {"publications": 1}})
    store.delete_failed(STUDY)
    ended = add(store, result(2, worker="w-1"))
    assert ended is not None
    assert files(store) == [ended.results_file] == [f"{STUDY}.2.parquet"]
    monkeypatch.setattr(store.trials, "of", never)
    assert results(store).column("worker").to_pylist() == ["w-0", "w-0", "w-1", "w-0", "w-0"]


def test_a_study_that_ends_twice_at_once_keeps_one_file(store: Store) -> None:
    begin(store)
    end(store)
    store.update_study(STUDY, {"$set": {"state": "RUNNING"}})
    found = store.recount(STUDY)
    assert found is not None
    assert files(store) == [found.results_file]


def test_a_deleted_study_leaves_no_file(store: Store) -> None:
    begin(store)
    end(store)
    store.delete_study(STUDY)
    assert files(store) == []
    assert results(store).num_rows == 0


def test_a_study_that_is_deleted_while_its_file_is_written_leaves_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(store)
    store.trials.insert([pack(result(number)) for number in range(N_TRIALS)])
    put = store.tables._files.put

    def deleted_before(name: str, write: Callable[[IO[bytes]], None], metadata: Document) -> bool:
        store.delete_study(STUDY)
        return put(name, write, metadata)

    monkeypatch.setattr(store.tables._files, "put", deleted_before)
    assert store.recount(STUDY) is None
    assert files(store) == []


def test_a_file_that_is_gone_or_of_another_version_is_not_needed(store: Store) -> None:
    begin(store)
    ended = end(store)
    fewer = COLUMNS.remove(COLUMNS.get_field_index("attempts"))
    assert results(store, fewer).schema.equals(fewer)
    store.tables.delete_of(STUDY)
    assert results(store).num_rows == ended.n_trials


def test_trials_that_are_taken_back_meanwhile_are_in_no_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(store)
    store.trials.insert([pack(result(number, **(FAILED if number == 2 else {}))) for number in range(N_TRIALS)])
    of = store.trials.of

    def taken_back(study_id: str, fields: list[str]) -> Iterator[Document]:
        store.delete_failed(STUDY)
        store.update_study(STUDY, {"$inc": {"publications": 1}})
        return of(study_id, fields)

    with monkeypatch.context() as patch:
        patch.setattr(store.trials, "of", taken_back)
        store.recount(STUDY)
    assert files(store) == []
    assert read(store).state == "RUNNING"


def test_a_document_changed_by_hand_costs_the_file_and_not_the_end(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    begin(store)
    store.trials.insert([pack(result(number)) for number in range(N_TRIALS)])
    store.trials._collection.update_one({"number": 2}, {"$set": {"attempts": "twice"}})
    ended = store.recount(STUDY)
    assert ended is not None
    assert (ended.state, ended.results_file) == ("COMPLETE", None)
    [said] = [record.getMessage() for record in caplog.records]
    assert "attempts='twice' is not what a worker writes" in said
    assert results(store).column("number").to_pylist() == [0, 1, 3, 4]


def test_a_file_that_somebody_else_wrote_is_not_believed(store: Store) -> None:
    begin(store)
    ended = end(store)
    whole = results_table.as_table(store.trials.of(STUDY), COLUMNS)
    shorter = whole.set_column(
        whole.schema.get_field_index("split_test_accuracy"),
        COLUMNS.field("split_test_accuracy"),
        pa.array([[1.0]] * N_TRIALS, pa.list_(pa.float64())),
    )
    others = whole.set_column(0, COLUMNS.field("number"), pa.array([0, 1, 2, 3, 2**40]))
    for content in (
        b"no Parquet",
        results_table.to_parquet(whole)[:-9],
        *map(results_table.to_parquet, (shorter, others)),
    ):
        store.tables.delete_of(STUDY)
        store.tables._files.put(ended.results_file, lambda stream, said=content: stream.write(said), {"study": STUDY})
        found = results(store)
        assert found.column("number").to_pylist() == [0, 1, 2, 3, 4]
        assert found.column("split_test_accuracy").to_pylist()[1] == [1.1, 1 / 3]


@pytest.mark.parametrize("database", ["server"], indirect=True)
def test_a_slow_database_costs_the_file_and_not_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "_TABLE_SECONDS", 1e-6)
    begin(store)
    assert end(store).results_file is None
    assert [record.getMessage() for record in caplog.records] == ["a study keeps no table of its results"]


def test_no_results_are_an_empty_table() -> None:
    empty = results_table.as_table([], COLUMNS)
    assert (empty.num_rows, empty.schema) == (0, COLUMNS)
    kept = results_table.from_parquet(results_table.to_parquet(empty), COLUMNS, 0, 2)
    assert kept is not None
    assert kept.equals(empty)
    assert COLUMNS.field("split_train_accuracy").type == pa.list_(pa.float64())
