"""What is kept of trials that have not ended, on a real server."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from contract.documents import STUDY, read, study, trial
from polling import until

from warren.storage import unfinished
from warren.storage.documents import now, pack
from warren.storage.store import Store
from warren.storage.study_document import StudyKey
from warren.storage.unfinished import DoneFold, Try

RESULT = {"test_scores": {"score": 0.1 + 0.2}, "fit_seconds": 1.5, "best_iteration": None}


def fold(number: int, which: int, score: float = 0.5) -> DoneFold:
    return DoneFold(study_id=STUDY, number=number, fold=which, result=RESULT | {"test_scores": {"score": score}})


def a_try(reason: str = "killed by signal 9") -> Try:
    return Try(reason=reason, seconds=1.5, memory_bytes=2**31, worker="worker-0", at=now())


def begins(store: Store, chunk: str, done: int, worker: str = "worker-0", *, again: bool = True) -> int:
    return store.unfinished.chunk_begins(chunk, done, worker, 60.0, again=again, trials=3)


def test_folds_that_are_done_are_there_for_the_next_worker(store: Store) -> None:
    store.unfinished.keep_folds([fold(3, 0, 0.1 + 0.2), fold(3, 2), fold(4, 0)])
    store.unfinished.keep_folds([fold(3, 1)])
    store.unfinished.keep_folds([])
    found = store.unfinished.of(STUDY, [3, 5])
    assert set(found) == {3}
    assert set(found[3]["folds"]) == {"0", "1", "2"}
    assert found[3]["folds"]["0"]["test_scores"]["score"] == 0.1 + 0.2, "every bit of it"


def test_tries_are_counted_beside_the_folds(store: Store) -> None:
    first = a_try()
    store.unfinished.add_try(STUDY, 3, first)
    store.unfinished.keep_folds([fold(3, 0)])
    store.unfinished.add_try(STUDY, 3, a_try("exited with code 7"))
    found = store.unfinished.of(STUDY, [3])[3]
    assert [one["reason"] for one in found["tries"]] == ["killed by signal 9", "exited with code 7"]
    assert found["tries"][0] == asdict(first)
    assert set(found["folds"]) == {"0"}


def test_trials_that_have_ended_are_forgotten(store: Store) -> None:
    store.unfinished.keep_folds([fold(3, 0), fold(4, 0)])
    store.unfinished.drop(STUDY, [3, 9])
    assert set(store.unfinished.of(STUDY, [3, 4])) == {4}


def test_a_chunk_whose_workers_vanish_is_counted_until_something_is_done(store: Store) -> None:
    chunk = f"{STUDY}/1/0"
    assert begins(store, chunk, 0, again=False) == 0
    assert [begins(store, chunk, 0) for _ in range(3)] == [1, 2, 3], "with the first, who had it when it was new"
    assert begins(store, f"{STUDY}/1/1", 0) == 0, "each chunk by itself"
    assert [begins(store, chunk, 1) for _ in range(2)] == [0, 1], "a fold was done"
    store.unfinished.chunk_ends(chunk, "worker-0")
    assert begins(store, chunk, 1) == 0, "it was given back in good order"


def test_a_chunk_is_held_by_the_last_worker_that_began_it(store: Store) -> None:
    chunk = f"{STUDY}/1/0"
    begins(store, chunk, 0, "first", again=False)
    begins(store, f"{STUDY}-too/1/0", 0, "another study's", again=False)
    assert store.unfinished.trials_in_hand(STUDY) == 3
    assert store.unfinished.holders() == {"first", "another study's"}
    begins(store, chunk, 0, "second")
    store.unfinished.chunk_held(chunk, "first", 60.0)
    store.unfinished.chunk_ends(chunk, "first")
    assert store.unfinished.holders() == {"second", "another study's"}, "the first has lost it, whatever it says since"
    store.unfinished.chunk_ends(chunk, "second")
    assert store.unfinished.trials_in_hand(STUDY) == 0
    store.unfinished.chunk_begins(chunk, 0, "vanished", 0.001, again=False)
    until(lambda: not store.unfinished.trials_in_hand(STUDY), what="it is not heard of")


def test_a_chunk_in_hand_is_noted_again_where_its_note_is_gone(store: Store) -> None:
    chunk = f"{STUDY}/1/0"
    begins(store, chunk, 0, "second", again=False)
    begins(store, chunk, 0, "first")  # its word was late: the broker has taken the chunk from it
    store.unfinished.chunk_ends(chunk, "first")
    assert store.unfinished.holders() == set()
    store.unfinished.chunk_held(chunk, "second", 60.0, trials=3)
    assert store.unfinished.holders() == {"second"}
    assert store.unfinished.trials_in_hand(STUDY) == 3
    store.unfinished.chunk_ends(chunk, "second")
    assert store.unfinished.trials_in_hand(STUDY) == 0


def test_losses_before_a_trial_are_counted_by_worker(store: Store) -> None:
    chunk, before, later = f"{STUDY}/1/0", 0, 1

    def lost(worker: str, ended: int, *, blamed: bool = True) -> tuple[set[str], int, int]:
        found = store.unfinished.chunk_lost(chunk, worker, ended, blamed=blamed)
        return set(found.workers), found.times, found.killed

    assert lost("a", before) == ({"a"}, 1, 0)
    assert lost("a", before) == ({"a"}, 2, 0)
    assert lost("b", before, blamed=False) == ({"a"}, 2, 1), "it was killed by somebody"
    assert lost("b", before) == ({"a", "b"}, 3, 1)
    assert lost("c", later) == ({"c"}, 1, 0)
    assert lost("a", later) == ({"a", "c"}, 2, 0)
    assert store.unfinished.holders() == set()


def test_a_study_takes_what_is_unfinished_along(store: Store) -> None:
    other = f"{STUDY}-too"
    for one in (STUDY, other):
        store.create_study(study(study_id=one))
        store.unfinished.add_try(one, 3, a_try())
        begins(store, f"{one}/1/0", 0)
    store.trials.insert([pack(trial(1)), pack(trial(2))])
    assert store.delete_study(STUDY)
    assert store.study(STUDY, StudyKey) is None
    assert list(store.trials.of(STUDY)) == []
    assert store.unfinished.of(STUDY, [3]) == {}
    assert begins(store, f"{STUDY}/1/0", 0) == 0
    assert set(store.unfinished.of(other, [3])) == {3}
    assert begins(store, f"{other}/1/0", 0) == 1
    assert not store.delete_study(STUDY)


def test_a_try_that_is_written_twice_counts_once(store: Store) -> None:
    one = a_try()
    store.unfinished.add_try(STUDY, 3, one)
    store.unfinished.add_try(STUDY, 3, one)  # the first answer was lost on its way
    assert len(store.unfinished.of(STUDY, [3])[3]["tries"]) == 1


def test_failed_trials_are_taken_back_with_what_was_left_of_them(store: Store) -> None:
    store.trials.insert([pack(trial(3, state="FAILED")), pack(trial(4))])
    for number in (3, 4):
        store.unfinished.add_try(STUDY, number, a_try())
    assert store.delete_failed(STUDY) == 1
    assert set(store.unfinished.of(STUDY, [3, 4])) == {4}


def test_more_trials_than_a_question_has_room_for_are_asked_about(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "_PAGE", 2)
    store.trials.insert([pack(trial(number)) for number in range(7)])
    store.unfinished.keep_folds([fold(number, 0) for number in range(5)])
    assert store.trials.finished_numbers(STUDY, range(1, 9)) == {1, 2, 3, 4, 5, 6}
    assert set(store.unfinished.of(STUDY, range(9))) == {0, 1, 2, 3, 4}
    store.unfinished.drop(STUDY, range(4))
    assert set(store.unfinished.of(STUDY, range(9))) == {4}


def test_a_study_that_is_published_again_while_it_is_counted_is_not_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create_study(study(n_trials=1, publications=1))
    store.trials.insert([pack(trial(0, state="FAILED"))])
    count = store.trials.counts

    def taken_back_meanwhile(*study: Any) -> Any:
        store.update_study(STUDY, {"$inc": {"publications": 1}})
        return count(*study)

    with monkeypatch.context() as patch:
        patch.setattr(store.trials, "counts", taken_back_meanwhile)
        store.recount(STUDY)
    assert read(store).state == "RUNNING"
    store.recount(STUDY)
    assert read(store).state == "COMPLETE"
