"""How a study counts its results, and how a recount repairs the counts."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from contract.documents import STUDY, add, progress, read, study, trial

from warren.storage.documents import Document, now, pack
from warren.storage.store import Store
from warren.storage.study_document import Best, Measured, StudyPlan


def test_results_are_counted_in_the_study(store: Store) -> None:
    store.create_study(study())
    found = add(store, trial(0, 0.5), trial(1, 0.75), trial(2, state="FAILED"))
    assert found is not None
    assert found.progress == progress(store)
    later = trial(3, 0.6)
    add(store, trial(1, 0.75), later)
    counted = progress(store)
    assert (counted.complete, counted.failed, counted.dead) == (3, 1, 0)
    assert (counted.fit_seconds, counted.score_seconds, counted.saved_seconds) == (1.0, 0.5, 2.0)
    assert counted.estimators == {"XGBClassifier": Measured(trials=4, estimated_seconds=4.0, fit_seconds=1.0)}
    assert counted.best == Best(score=0.75, minus_number=-1)
    assert counted.last_result_at == later["finished_at"]


def _two_estimators(numbers: range) -> list[Document]:
    """Make results of two estimators, seconds in halves so that sums are exact in any order."""
    return [
        trial(
            number,
            math.nan if number % 7 == 0 else number % 11 / 11,
            "FAILED" if number % 5 == 0 else "COMPLETE",
            estimator="Ridge" if number % 3 == 0 else "XGBClassifier",
            fit_seconds=number / 2,
            score_seconds=number / 4,
            saved_seconds=number / 8,
            estimated_seconds=number * 2.0,
            **({"failed_fits": 1} if number % 5 == 0 else {}),
        )
        for number in numbers
    ]


def test_a_recount_gives_what_was_counted_one_by_one(store: Store) -> None:
    store.create_study(study(n_trials=100))
    documents = _two_estimators(range(40))
    for start, end in ((0, 1), (1, 2), (2, 17), (17, 40)):
        add(store, *documents[start:end])
    counted = progress(store)
    ridge = [one for one in documents if one["estimator"] == "Ridge"]
    assert counted.estimators["Ridge"] == Measured(
        trials=14,
        estimated_seconds=sum(one["estimated_seconds"] for one in ridge),
        fit_seconds=sum(one["fit_seconds"] for one in ridge),
    )
    assert {name: own.trials for name, own in counted.estimators.items()} == {"Ridge": 14, "XGBClassifier": 26}
    assert (counted.complete, counted.failed, counted.saved_seconds) == (32, 8, sum(range(40)) / 8)
    recounted = store.recount(STUDY)
    assert recounted is not None
    assert recounted.progress == counted


def test_a_recount_puts_counts_right_that_are_wrong(store: Store) -> None:
    store.create_study(study(n_trials=100))
    documents = _two_estimators(range(10))
    add(store, *documents)
    right = progress(store)
    store.add_progress(STUDY, documents[:5])  # counted twice
    store.update_study(STUDY, {"$set": {"progress.estimators.Other": {"trials": 3}, "progress.saved_seconds": -1.0}})
    assert progress(store) != right
    store.recount(STUDY)
    assert progress(store) == right


def test_workers_versions_are_kept_while_a_study_runs(store: Store) -> None:
    store.create_study(study(n_trials=100))
    for number, numpy in enumerate(["2.5.1", "2.4.6", "2.5.1"]):
        add(store, trial(number, versions={"python": "3.11.2", "numpy": numpy}))
    seen = progress(store).versions
    assert {name: sorted(found) for name, found in seen.items()} == {"python": ["3.11.2"], "numpy": ["2.4.6", "2.5.1"]}
    add(store, trial(3))  # of a worker that told none
    store.recount(STUDY)
    assert progress(store).versions == {"numpy": ["2.4.6", "2.5.1"], "python": ["3.11.2"]}


def test_no_new_result_counts_nothing_and_returns_the_study(store: Store) -> None:
    store.create_study(study(state="PAUSED"))
    before = progress(store)
    found = store.add_progress(STUDY, [])
    assert found is not None
    assert found.state == "PAUSED"
    assert progress(store) == before


@pytest.mark.parametrize("order", [[1, 2, 5], [5, 2, 1], [2, 5, 1]])
@pytest.mark.parametrize("together", [True, False])
def test_of_equal_scores_the_lower_number_is_the_best(store: Store, order: list[int], together: bool) -> None:
    store.create_study(study())
    scores = {1: 0.5, 2: 0.75, 5: 0.75}
    documents = [trial(number, scores[number]) for number in order]
    for batch in [documents] if together else [[one] for one in documents]:
        add(store, *batch)
    assert progress(store).best == Best(score=0.75, minus_number=-2)


def test_what_failed_or_has_no_number_is_never_the_best(store: Store) -> None:
    store.create_study(study())
    add(store, trial(0, math.nan), trial(1, 9.0, "FAILED", failed_fits=1))
    assert progress(store).best is None
    add(store, trial(2, -5.0))
    add(store, trial(3, math.nan))
    assert progress(store).best == Best(score=-5.0, minus_number=-2)


def test_writers_at_once_count_each_result_once(store: Store) -> None:
    store.create_study(study(n_trials=200))
    everything = [trial(number, number % 37 / 37, "FAILED" if number % 5 == 0 else "COMPLETE") for number in range(200)]

    def work(seed: int) -> None:
        shuffled = random.Random(seed).sample(everything, len(everything))
        for start in range(0, len(shuffled), 9):
            add(store, *shuffled[start : start + 9])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    found = read(store)
    assert (found.progress.complete, found.progress.failed) == (160, 40)
    assert found.progress.fit_seconds == 50.0
    assert found.progress.saved_seconds == 100.0
    assert found.progress.estimators == {
        "XGBClassifier": Measured(trials=200, estimated_seconds=200.0, fit_seconds=50.0)
    }
    assert found.progress.best == Best(score=36 / 37, minus_number=-36)
    assert found.state == "COMPLETE"


def test_the_last_result_ends_the_study(store: Store) -> None:
    store.create_study(study(n_trials=3))
    add(store, trial(0), trial(1))
    found = read(store)
    assert (found.state, found.finished_at) == ("RUNNING", None)
    found = add(store, trial(2, state="FAILED"))
    assert found is not None
    assert found.state == "COMPLETE"
    assert abs(found.finished_at - now()) < timedelta(seconds=30)
    assert store.study(STUDY, StudyPlan) == found


def test_the_end_of_a_study_is_written_once(store: Store) -> None:
    store.create_study(study(n_trials=1))
    ended = add(store, trial(0))
    assert store.recount(STUDY) == ended == store.study(STUDY, StudyPlan)


@pytest.mark.parametrize(("state", "after"), [("CANCELLED", "CANCELLED"), ("PAUSED", "COMPLETE")])
def test_the_last_result_ends_a_paused_study_but_not_a_cancelled_one(store: Store, state: str, after: str) -> None:
    store.create_study(study(n_trials=1, state=state))
    found = add(store, trial(0))
    assert found is not None
    assert found.state == after
    assert found.progress.complete == 1


def test_counts_that_are_too_high_do_not_end_a_study(store: Store) -> None:
    store.create_study(study(n_trials=2))
    store.trials.insert([pack(trial(0))])
    store.add_progress(STUDY, [trial(0)])
    found = store.add_progress(STUDY, [trial(0)])
    assert found is not None
    assert found.state == "RUNNING"
    assert found.progress.complete == 1


def test_a_recount_repairs_what_a_lost_worker_left_uncounted(store: Store) -> None:
    store.create_study(study(n_trials=4))
    add(store, trial(0))
    store.trials.insert([pack(trial(1)), pack(trial(2, state="FAILED"))])
    found = store.recount(STUDY)
    assert found is not None
    assert found.state == "RUNNING"
    counted = progress(store)
    assert (counted.complete, counted.failed, counted.dead) == (2, 1, 0)
    assert (counted.fit_seconds, counted.score_seconds, counted.saved_seconds) == (0.75, 0.375, 1.5)
    assert counted.estimators == {"XGBClassifier": Measured(trials=3, estimated_seconds=3.0, fit_seconds=0.75)}
    store.trials.insert([pack(trial(3))])
    found = store.recount(STUDY)
    assert found is not None
    assert found.state == "COMPLETE"
    assert found.finished_at is not None


def test_a_recount_finds_the_best(store: Store) -> None:
    store.create_study(study())
    add(store, trial(0, 0.5))
    store.trials.insert([pack(trial(1, 0.75)), pack(trial(2, 0.75)), pack(trial(3, math.nan))])
    store.recount(STUDY)
    assert progress(store).best == Best(score=0.75, minus_number=-1)


def test_a_recount_makes_no_best_of_what_has_no_score(store: Store) -> None:
    store.create_study(study())
    store.trials.insert([pack(trial(0, math.nan)), pack(trial(1, 0.9, "FAILED"))])
    found = store.recount(STUDY)
    assert found is not None
    assert found.progress.complete == 1
    assert found.progress.best is None


def test_a_recount_of_a_study_without_results_is_nought(store: Store) -> None:
    store.create_study(study())
    add(store, trial(0, 0.5))
    store.trials._collection.delete_many({})
    found = store.recount(STUDY)
    assert found is not None
    counted = found.progress
    assert (counted.complete, counted.failed, counted.fit_seconds) == (0, 0, 0.0)
    assert (counted.saved_seconds, counted.estimators) == (0.0, {})
