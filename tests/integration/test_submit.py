"""What a submission leaves in the database and in the queue."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pytest
from faulty import Sleeps
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.tree import DecisionTreeClassifier
from submitting import GRID, TWELVE, X, Y, drain, files, numbers, stored, submit_trees, waiting

from producer import Study, submit
from producer.publishing import publication
from producer.publishing.outbox import Message
from warren.errors import BrokerError, InputError, NoResultError, StoreError
from warren.messages import Chunk, decode_chunk
from warren.settings import Settings
from warren.storage.dataset import read_dataset, read_splits
from warren.storage.store import Store
from warren.storage.study_document import StudyKey, StudyPlan, StudySpace

# -------------------------------------------------------------------------- the good way


def test_every_trial_is_published_once_with_its_parameters(servers: Settings) -> None:
    study = submit_trees()
    chunks = drain(servers)
    assert numbers(chunks) == list(range(12))
    assert [trial.params for chunk in chunks for trial in chunk.trials] == TWELVE
    assert {(chunk.study_id, chunk.generation, chunk.trial_timeout) for chunk in chunks} == {(study.id, 1, None)}
    assert study.status().state == "RUNNING"
    assert (study.status().total, study.status().done) == (12, 0)


def test_a_message_says_all_that_a_worker_needs_but_the_data(servers: Settings, store: Store) -> None:
    study = submit_trees(scoring=["accuracy", "roc_auc"], refit="roc_auc", error_score=-1, trial_timeout=60)
    chunk = drain(servers)[0]
    objective = chunk.objective
    assert objective.estimator == {
        "__estimator__": "sklearn.tree.DecisionTreeClassifier",
        "params": {"random_state": 0},
    }
    assert objective.scorers == {"accuracy": "accuracy", "roc_auc": "roc_auc"}
    assert (objective.refit, objective.error_score, objective.n_splits) == ("roc_auc", -1.0, 3)
    assert chunk.trial_timeout == 60.0
    data = read_dataset(store.datasets.get(objective.dataset))
    assert np.array_equal(data.X, X)
    assert np.array_equal(data.y, Y)
    splits = read_splits(store.datasets.get(objective.splits))
    assert [len(test) for _, test in splits] == [7, 7, 6]
    assert sorted(np.concatenate([test for _, test in splits])) == list(range(20))
    assert stored(store, study)["objective"] == objective.model_dump()


def test_the_study_document_says_what_was_submitted(servers: Settings, store: Store) -> None:
    study = submit_trees(name="Iris, depth & leaves", n_chunks=5)
    found = stored(store, study)
    assert (found["name"], found["state"], found["n_trials"], found["n_splits"]) == (study.name, "RUNNING", 12, 3)
    assert (found["generation"], found["n_chunks"], found["trial_timeout"]) == (1, 5, None)
    assert (found["share_fits"], found["train_rows"], found["n_classes"]) == (True, 13, 2)
    assert (found["queue"], found["priority"]) == ("chunks", 1)
    assert found["data"] == {"X": "ndarray", "shape": [20, 3], "n_samples": 20, "bytes": X.nbytes + Y.nbytes}
    assert found["space"] == [{"max_depth": [1, 2, 3, None], "min_samples_leaf": [1, 2, 5]}]
    assert found["created_at"] <= found["submitted_at"]
    assert study.id.startswith("iris-depth-leaves-")


def test_the_study_document_says_which_versions_submitted_it_last(
    servers: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = submit_trees()
    here = stored(store, study)["versions"]
    assert here.keys() == {"python", "warren", "numpy", "scipy", "scikit-learn"}, "what numbers depend on, no more"
    monkeypatch.setattr("producer.submission.relevant", lambda encoded, X: here | {"numpy": "9.9"})
    assert submit_trees().id == study.id, "they are no part of what the study is"
    assert stored(store, study)["versions"]["numpy"] == "9.9"


def test_a_study_has_the_same_id_wherever_it_is_submitted(servers: Settings) -> None:
    first = submit_trees(name="a").id
    same = [
        submit_trees(name="a", n_chunks=3, trial_timeout=9.0, priority=9),
        submit_trees(name=" a ", grid=[{"min_samples_leaf": (1, 2, 5), "max_depth": (1, 2, 3, None)}]),
        submit_trees(name="a", cv=[(train.tolist(), test.tolist()) for train, test in StratifiedKFold(3).split(X, Y)]),
        submit(DecisionTreeClassifier(random_state=0), GRID, X.tolist(), Y.tolist(), cv=3, name="a"),
    ]
    assert {study.id for study in same} == {first}
    other = [
        submit_trees(name="b"),
        submit_trees(name="a", cv=4),
        submit_trees(name="a", grid={"max_depth": [1]}),
        submit_trees(name="a", scoring="roc_auc"),
        submit_trees(name="a", error_score=0),
        submit_trees(name="a", return_train_score=True),
        submit(DecisionTreeClassifier(random_state=1), GRID, X, Y, cv=3, name="a"),
        submit(DecisionTreeClassifier(random_state=0), GRID, X + 1, Y, cv=3, name="a"),
        submit(DecisionTreeClassifier(random_state=0), GRID, X, Y, cv=3, name="a", sample_weight=np.ones(20)),
    ]
    assert len({study.id for study in other} - {first}) == len(other)
    assert {study.id for study in Study.list()} == {study.id for study in (*same, *other)}


def test_studies_of_a_list_share_a_connection_until_the_last_is_gone(servers: Settings) -> None:
    for name in ("a", "b", "c"):
        submit_trees(name=name)
    studies = list(Study.list())
    [shared] = {study.store for study in studies}
    last = studies.pop()
    studies.clear()
    gc.collect()
    assert last.status().total == 12
    del last
    gc.collect()
    with pytest.raises(StoreError, match="after close"):
        shared.ping()


def test_data_and_splits_are_stored_once_for_all_submissions(servers: Settings, store: Store) -> None:
    first = submit_trees()
    submit_trees(grid={"max_depth": [7]})
    submit(LogisticRegression(), {"C": [1.0, 2.0]}, X.copy(), Y.copy(), cv=3)
    assert sorted(file["metadata"]["kind"] for file in files(store)) == ["dataset", "splits"]
    objective = stored(store, first)["objective"]
    assert {file["filename"] for file in files(store)} == {objective["dataset"], objective["splits"]}
    submit_trees(cv=KFold(4))
    assert sorted(file["metadata"]["kind"] for file in files(store)) == ["dataset", "splits", "splits"]
    submit(DecisionTreeClassifier(), GRID, X, 1 - Y, cv=KFold(4))
    assert sorted(file["metadata"]["kind"] for file in files(store)) == ["dataset"] * 2 + ["splits"] * 2


@pytest.mark.parametrize(("n_chunks", "sizes"), [(1, [12]), (5, [3, 3, 2, 2, 2]), (12, [1] * 12), (99, [1] * 12)])
def test_the_number_of_chunks_is_honoured(servers: Settings, n_chunks: int, sizes: list[int]) -> None:
    submit_trees(n_chunks=n_chunks)
    chunks = drain(servers)
    assert [len(chunk.trials) for chunk in chunks] == sizes
    assert [chunk.index for chunk in chunks] == list(range(len(sizes)))


def test_lists_of_grids_of_different_estimators_are_one_study(servers: Settings, store: Store) -> None:
    grids = [
        {"estimator": [DecisionTreeClassifier(max_depth=2)], "min_samples_leaf": [1, 2]},
        {"estimator": [LogisticRegression()]},
    ]
    study = submit(None, grids, X, Y, cv=2)
    trials = [trial for chunk in drain(servers) for trial in chunk.trials]
    assert [trial.params for trial in trials] == [{"min_samples_leaf": 1}, {"min_samples_leaf": 2}, {}]
    assert [trial.estimator and trial.estimator["__estimator__"].rpartition(".")[2] for trial in trials] == [
        "DecisionTreeClassifier",
        "DecisionTreeClassifier",
        "LogisticRegression",
    ]
    assert stored(store, study)["objective"]["estimator"] is None
    assert study.name == "DecisionTreeClassifier+LogisticRegression"


def test_a_submission_returns_before_there_is_any_result(servers: Settings) -> None:
    study = submit_trees()
    assert len(study.results()) == 0
    for name in ("best_params_", "best_score_", "best_index_", "cv_results_"):
        with pytest.raises(NoResultError):
            getattr(study, name)
    with pytest.raises(TimeoutError, match="0 trials have ended within the timeout; the study goes on"):
        study.wait(timeout=0.01, progress=False)


# --------------------------------------------------------------------------------- faults


def test_a_broker_that_is_away_leaves_nothing_behind(
    servers: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://ann:s3cret@127.0.0.1:1/%2F")
    with pytest.raises(BrokerError, match="can't be reached") as caught:
        submit_trees()
    assert "s3cret" not in str(caught.value)
    assert store.studies(StudyKey) == []
    assert files(store) == []


def test_the_same_call_completes_a_submission_that_lost_its_broker(
    servers: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> int:
        raise BrokerError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(publication, "publish", lost)
        with pytest.raises(BrokerError, match=r"^gone\. 0 of 12 trials of study '.*' are in the queue; study\.resume"):
            submit_trees()
    [left] = store.studies(StudyPlan)
    assert (left.state, left.submitted_at) == ("RUNNING", None)
    assert len(files(store)) == 2
    assert waiting(servers) == 0
    study = submit_trees()
    assert study.id == left.id
    assert numbers(drain(servers)) == list(range(12))
    assert stored(store, study)["submitted_at"] is not None
    assert len(files(store)) == 2


def test_a_database_that_is_away_publishes_nothing(servers: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URL", "mongodb://ann:s3cret@127.0.0.1:1/tuning")
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "0.3")
    with pytest.raises(StoreError, match="can't be reached") as caught:
        submit_trees()
    assert "s3cret" not in str(caught.value)
    assert waiting(servers) == 0


def test_a_value_that_only_some_points_have_stops_everything(servers: Settings, store: Store) -> None:
    with pytest.raises(InputError, match=r"param_grid\['criterion'\]\[1\].*a callable can't be sent"):
        submit_trees(grid={"criterion": ["gini", print]})
    assert store.studies(StudyKey) == []


BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "empty grid": ("is empty", {"param_grid": {}}),
    "empty list of values": (r"param_grid\['max_depth'\] is empty", {"param_grid": {"max_depth": []}}),
    "unknown parameter": ("no parameter 'max_deph'; the closest.*'max_depth'", {"param_grid": {"max_deph": [1]}}),
    "callable": ("can't be sent", {"param_grid": {"criterion": [len]}}),
    "array": (r"pass value.tolist\(\)", {"param_grid": {"class_weight": [np.ones((2, 2, 2))]}}),
    "estimator off the list": ("not on the allow-list", {"estimator": Sleeps(), "param_grid": {"number": [1]}}),
    "no estimator": ("is not an estimator", {"estimator": "tree"}),
    "unknown scorer": ("is not a scorer", {"scoring": "acuracy"}),
    "refit of no metric": ("is not a metric", {"scoring": ["accuracy"], "refit": "f1"}),
    "one class": ("only one class", {"y": np.zeros(20, dtype=int)}),
    "gaps in y": ("missing value", {"y": np.where(Y == 0, np.nan, 1.0)}),
    "lengths that differ": ("lengths differ", {"y": Y[:19]}),
    "more folds than members of a class": ("cv=11", {"cv": 11}),
    "one fold": ("needs at least 2 splits", {"cv": 1}),
    "no chunks": ("n_chunks=0", {"n_chunks": 0}),
    "objects": ("column 'd' of X holds", {"X": pd.DataFrame({"d": [object() for _ in range(20)]})}),
    "weights of another length": ("lengths differ", {"sample_weight": np.ones(3)}),
    "empty name": ("name=", {"name": " "}),
    "error score": ("error_score='ignore'", {"error_score": "ignore"}),
    "time-out": ("trial_timeout=0", {"trial_timeout": 0}),
    "half a chunk": ("n_chunks=1.5", {"n_chunks": 1.5}),
    "no priority": ("priority=0: pass a whole number from 1 to 9", {"priority": 0}),
    "more than the highest priority": ("priority=10: pass a whole number", {"priority": 10}),
    "a priority in words": ("priority='high': pass a whole number", {"priority": "high"}),
    "a priority that is an answer": ("priority=True: pass a whole number", {"priority": True}),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_publishes_nothing_and_stores_nothing(servers: Settings, store: Store, what: str) -> None:
    message, changed = BAD[what]
    arguments = {"estimator": DecisionTreeClassifier(), "param_grid": GRID, "X": X, "y": Y} | changed
    with pytest.raises(InputError, match=message):
        submit(
            arguments.pop("estimator"),
            arguments.pop("param_grid"),
            arguments.pop("X"),
            arguments.pop("y"),
            **({"cv": 3} | arguments),
        )
    assert store.studies(StudyKey) == []
    assert files(store) == []
    assert waiting(servers) == 0


def test_bad_input_is_found_before_any_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1/%2F")
    monkeypatch.setenv("MONGO_URL", "mongodb://127.0.0.1:1/tuning")
    with pytest.raises(InputError, match="cv=1: needs at least 2 splits"):
        submit_trees(cv=1)


# ------------------------------------------------------------------------------- large


class _EnoughError(Exception):
    pass


def test_a_grid_of_a_billion_points_costs_no_memory(
    servers: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: list[Chunk] = []

    def publish(settings: Settings, queue: str, messages: Iterator[Message], **_: object) -> int:
        first.extend(decode_chunk(message.body) for message in islice(messages, 3))
        raise _EnoughError

    monkeypatch.setattr(publication, "publish", publish)
    grid = {"random_state": range(10**6), "constant": range(1000)}
    with pytest.raises(_EnoughError):  # libraries are loaded and servers known by now
        submit(DummyRegressor(), {"quantile": [0.5]}, X, Y, cv=2)
    first.clear()
    tracemalloc.start()
    try:
        with pytest.raises(_EnoughError):
            submit(DummyClassifier(), grid, X, Y, cv=2, n_chunks=10**8)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000
    assert numbers(first) == list(range(30))
    [billion] = [one for one in store.studies(StudySpace) if one.n_trials == 10**9]
    assert len(json.dumps(billion.space)) < 200


@pytest.mark.slow
def test_a_space_beyond_a_database_is_refused(servers: Settings, store: Store) -> None:
    with pytest.raises(InputError, match="at most 9,223,372,036,854,775,807 can be numbered"):
        submit_trees(grid={"max_depth": range(1, 10**10), "min_samples_leaf": range(1, 10**10)})
    with pytest.raises(InputError, match=r"takes \d+ MiB as JSON"):
        submit_trees(grid={"max_depth": list(range(1, 2_000_000))})
    assert store.studies(StudyKey) == []
