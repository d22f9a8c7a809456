"""In which order trials are published, and what a study that is submitted again publishes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier
from submitting import GRID, TWELVE, X, Y, drain, files, finish, numbers, stored, submit_trees, waiting
from xgboost import XGBClassifier

from producer import submit
from warren.settings import Settings
from warren.storage.store import Store

# ------------------------------------------------------------------------------- planning


def test_trials_that_may_share_a_fit_are_sent_together_longest_first(servers: Settings) -> None:
    grid = {"max_depth": [3, 6], "eta": [0.1, 0.3], "n_estimators": [10, 40, 20]}
    submit(XGBClassifier(), grid, np.tile(X, (20, 1)), np.tile(Y, 20), cv=3)
    chunks = drain(servers)
    found = [
        [(trial.params["max_depth"], trial.params["eta"], trial.params["n_estimators"]) for trial in chunk.trials]
        for chunk in chunks
    ]
    order = [(depth, eta, rounds) for depth in (6, 3) for eta in (0.1, 0.3) for rounds in (40, 20, 10)]
    assert [trial for chunk in found for trial in chunk] == order
    assert all(len(chunk) % 3 == 0 for chunk in found)
    expected = [trial.estimated_seconds for chunk in chunks for trial in chunk.trials]
    assert expected[0] > expected[1] > expected[2] > 0


def test_measured_times_say_what_is_left_and_correct_the_next_study(servers: Settings, store: Store) -> None:
    study = submit_trees()
    expected = sum(trial.estimated_seconds for chunk in drain(servers) for trial in chunk.trials)
    assert study.status().work_left_seconds == pytest.approx(expected)
    finish(store, study, range(6), estimated=expected / 12)
    # Each took a quarter of a second to fit and one to score; six are left.
    assert study.status().work_left_seconds == pytest.approx(6 * 0.5)
    correction = 0.25 / (expected / 12)
    other = submit_trees(name="another")
    assert stored(store, other)["estimates"]["DecisionTreeClassifier"]["correction"] == pytest.approx(correction)
    assert other.status().work_left_seconds == pytest.approx(12 * 0.25, rel=1e-3)
    assert submit_trees().status().work_left_seconds == pytest.approx(6 * 0.5, rel=1e-3), "published again"


# ------------------------------------------------------------------------------- resuming


def test_a_second_submission_publishes_only_what_has_no_result(servers: Settings, store: Store) -> None:
    study = submit_trees(n_chunks=4)
    finish(store, study, [0, 1, 5])
    finish(store, study, [7], state="FAILED")
    drain(servers)
    again = submit_trees(n_chunks=4)
    assert again.id == study.id
    chunks = drain(servers)
    assert numbers(chunks) == [2, 3, 4, 6, 8, 9, 10, 11]
    assert [len(chunk.trials) for chunk in chunks] == [2, 2, 2, 2]
    assert {chunk.generation for chunk in chunks} == {2}
    assert [trial.params for chunk in chunks for trial in chunk.trials] == [TWELVE[n] for n in numbers(chunks)]
    assert (again.status().complete, again.status().failed) == (3, 1)


def test_a_second_submission_may_run_the_study_in_another_way(servers: Settings, store: Store) -> None:
    submit_trees(n_chunks=2, trial_timeout=5.0, share_fits=False)
    assert {chunk.share_fits for chunk in drain(servers)} == {False}
    study = submit_trees(n_chunks=3)
    chunks = drain(servers)
    assert [len(chunk.trials) for chunk in chunks] == [4, 4, 4]
    assert {chunk.trial_timeout for chunk in chunks} == {None}
    assert {chunk.share_fits for chunk in chunks} == {True}
    assert (stored(store, study)["n_chunks"], stored(store, study)["trial_timeout"]) == (3, None)


@pytest.mark.parametrize("state", ["COMPLETE", "FAILED"])
def test_a_study_that_has_ended_publishes_nothing(servers: Settings, store: Store, state: str) -> None:
    study = submit_trees()
    finish(store, study, range(12), state)
    drain(servers)
    again = submit_trees()
    assert waiting(servers) == 0
    assert again.status().state == "COMPLETE"
    assert again.wait(timeout=5, progress=False) is again


def test_results_that_were_not_counted_are_not_repeated(servers: Settings, store: Store) -> None:
    study = submit_trees()
    finish(store, study, range(12))
    store.update_study(study.id, {"$set": {"progress.complete": 3, "state": "RUNNING"}})
    drain(servers)
    again = submit_trees()
    assert waiting(servers) == 0
    assert (again.status().state, again.status().complete) == ("COMPLETE", 12)


def test_a_cancelled_study_goes_on_when_it_is_submitted_again(servers: Settings, store: Store) -> None:
    study = submit_trees()
    finish(store, study, [0])
    study.cancel()
    drain(servers)
    assert submit_trees().status().state == "RUNNING"
    assert numbers(drain(servers)) == list(range(1, 12))


def test_failed_trials_are_published_again_on_demand(servers: Settings, store: Store) -> None:
    study = submit_trees()
    finish(store, study, range(10))
    finish(store, study, [10, 11], state="FAILED")
    drain(servers)
    assert study.status().state == "COMPLETE"
    assert study.retry_failed() == 2
    assert numbers(drain(servers)) == [10, 11]
    assert (study.status().state, study.status().complete, study.status().failed) == ("RUNNING", 10, 0)


def test_the_same_labels_in_another_container_resume_the_study(servers: Settings, store: Store) -> None:
    study = submit_trees(name="labels")
    sent = {chunk.objective.dataset for chunk in drain(servers)}
    again = submit(DecisionTreeClassifier(random_state=0), GRID, X, pd.Series(Y, name="y"), cv=3, name="labels")
    assert again.id == study.id
    assert {chunk.objective.dataset for chunk in drain(servers)} == sent
    assert [file["filename"] for file in files(store) if file["metadata"]["kind"] == "dataset"] == [*sent]
    # Where they are lost, those that come with the next submission take their place.
    assert store.datasets.delete(*sent, lambda: False)
    submit(DecisionTreeClassifier(random_state=0), GRID, X, pd.Series(Y, name="y"), cv=3, name="labels")
    [other] = {chunk.objective.dataset for chunk in drain(servers)}
    assert other not in sent
    assert stored(store, study)["objective"]["dataset"] == other
    assert store.datasets.has(other)
