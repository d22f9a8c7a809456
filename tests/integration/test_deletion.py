"""A study that is deleted takes along what is its own, and nothing that another needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from submitting import X, Y, drain, files, finish, numbers, stored, submit_trees
from xgboost import XGBClassifier

from producer import Study, submit
from warren.errors import StoreError, StudyError
from warren.settings import Settings
from warren.storage.dataset import read_dataset, read_splits
from warren.storage.store import Store
from warren.storage.study_document import StudyKey


def kinds(store: Store) -> list[str]:
    """What data there is, by the looks of the bucket."""
    return sorted(file["metadata"]["kind"] for file in files(store))


def pieces(store: Store) -> int:
    return int(store.datasets._pieces.count_documents({}))


def readable(store: Store, study: Study) -> bool:
    """Whether a worker finds the data of a study."""
    objective = stored(store, study)["objective"]
    assert read_dataset(store.datasets.get(objective["dataset"])).X.shape == X.shape
    return len(read_splits(store.datasets.get(objective["splits"]))) == 3


def test_a_deleted_study_leaves_nothing(servers: Settings, store: Store) -> None:
    study = submit_trees()
    finish(store, study, range(5))
    study.delete()
    assert store.studies(StudyKey) == []
    assert list(store.trials.of(study.id)) == []
    assert (files(store), pieces(store)) == ([], 0)


def test_the_rows_that_early_stopping_watches_go_too(servers: Settings, store: Store) -> None:
    study = submit(XGBClassifier(early_stopping_rounds=2), {"eta": [0.1]}, X, Y, cv=2, validation_fraction=0.3)
    assert kinds(store) == ["dataset", "splits", "validation"]
    study.delete()
    assert files(store) == []


def test_what_another_study_needs_stays(servers: Settings, store: Store) -> None:
    study, same_data, other = submit_trees(), submit_trees(name="same data"), submit_trees(cv=4)
    finish(store, same_data, range(3))
    study.delete()
    assert readable(store, same_data)
    assert len(list(store.trials.of(same_data.id))) == 3
    assert kinds(store) == ["dataset", "splits", "splits"]
    same_data.delete()
    assert kinds(store) == ["dataset", "splits"]
    other.delete()
    assert (files(store), pieces(store)) == ([], 0)


def test_a_model_stored_after_its_study_was_deleted_is_deleted_too(store: Store) -> None:
    """A worker that was at it clears up what it wrote of a study that is gone."""
    store.models.put("gone:0:digest", lambda stream: stream.write(b"model") and None, {"study": "gone"})
    store.models.put("other:0:digest", lambda stream: stream.write(b"model") and None, {"study": "other"})
    store.delete_results("gone")
    assert (store.models.has("gone:0:digest"), store.models.has("other:0:digest")) == (False, True)


def test_a_deleted_study_is_said_to_be_gone(servers: Settings, store: Store) -> None:
    study = submit_trees()
    study.delete()
    for call in (study.status, study.wait, study.pause, study.resume, study.retry_failed):
        with pytest.raises(StudyError, match="is not in the database any more"):
            call()
    with pytest.raises(StudyError, match="no study"):
        Study.attach(study.id)
    assert repr(study) == f"<Study {study.id}: deleted>"
    for read in (study.results, study.best_model, lambda: study.best_score_, study.to_optuna):
        with pytest.raises(StudyError, match="is not in the database any more"):
            read()
    study.delete()
    assert store.studies(StudyKey) == []


def test_a_deleted_study_may_be_submitted_again(servers: Settings, store: Store) -> None:
    study = submit_trees()
    finish(store, study, range(5))
    study.delete()
    drain(servers)
    again = submit_trees()
    assert again.id == study.id
    assert numbers(drain(servers)) == list(range(12))
    assert again.status().done == 0
    assert readable(store, again)


def test_a_deletion_that_was_cut_short_is_completed_by_the_same_call(
    servers: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = submit_trees()
    finish(store, study, range(5))

    def away(self: Store, digest: str) -> bool:
        raise StoreError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "referenced", away)
        with pytest.raises(StoreError, match="gone"):
            study.delete()
    assert store.studies(StudyKey) == []
    assert kinds(store) == ["dataset", "splits"]
    study.delete()
    assert (files(store), pieces(store)) == ([], 0)


# -------------------------------------------------------- next to a submission


def during(
    monkeypatch: pytest.MonkeyPatch, method: str, call: int, do: Callable[[], Any], *, after: bool = False
) -> list[int]:
    """Do something just before (or after) the n-th call of one of the store's methods."""
    real = getattr(Store, method)
    calls: list[int] = []

    def called(self: Store, *arguments: Any) -> Any:
        calls.append(len(calls) + 1)
        if calls[-1] == call and not after:
            do()
        result = real(self, *arguments)
        if calls[-1] == call and after:
            do()
        return result

    monkeypatch.setattr(Store, method, called)
    return calls


def test_a_submission_stores_data_again_that_were_deleted_meanwhile(
    servers: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submit_trees(name="first")
    # The data is there when the second looks, and gone when its study document is written.
    calls = during(monkeypatch, "create_study", 1, first.delete)
    second = submit_trees(name="second")
    assert calls == [1]
    assert readable(store, second)
    assert kinds(store) == ["dataset", "splits"]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("question", [1, 2, 3, 4])
def test_a_study_that_is_submitted_while_another_is_deleted_finds_its_data(
    servers: Settings, store: Store, monkeypatch: pytest.MonkeyPatch, question: int, after: bool
) -> None:
    """A deletion asks twice for each blob whether it is needed: the submission comes around each of
    these questions."""
    first = submit_trees(name="first")
    submitted: list[Study] = []
    calls = during(
        monkeypatch, "referenced", question, lambda: submitted.append(submit_trees(name="second")), after=after
    )
    first.delete()
    assert len(calls) >= question
    [second] = submitted
    assert readable(store, second)
    assert kinds(store) == ["dataset", "splits"]
    second.delete()
    assert (files(store), pieces(store)) == ([], 0)


def test_two_studies_of_one_dataset_deleted_at_once_leave_nothing(
    servers: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = submit_trees(name="first"), submit_trees(name="second")
    during(monkeypatch, "referenced", 2, second.delete)
    first.delete()
    assert (store.studies(StudyKey), files(store), pieces(store)) == ([], [], 0)


def test_a_worker_reads_data_whose_deletion_was_cut_short(
    servers: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submit_trees(name="first")
    second: list[Study] = []
    real, calls = Store.referenced, []

    def referenced(self: Store, digest: str) -> bool:
        calls.append(digest)
        if len(calls) == 2:  # the data has lost its name by now
            raise KeyboardInterrupt
        needed = real(self, digest)
        second.append(submit_trees(name="second"))
        return needed

    with monkeypatch.context() as patch:
        patch.setattr(Store, "referenced", referenced)
        with pytest.raises(KeyboardInterrupt):
            first.delete()
    assert not store.datasets.has(calls[0])
    assert readable(store, second[0])
    before = pieces(store)
    # The next submission that needs it puts everything right.
    submit_trees(name="third")
    assert store.datasets.has(calls[0])
    assert (kinds(store), pieces(store)) == (["dataset", "splits"], before)
    assert readable(store, second[0])
