"""Somebody who may publish, and somebody who may write to the database, against live
workers and readers.

What the attacker makes is held, and nothing of it is trained, counted or shown; what is the
study's own goes on.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from attacking import (
    FOREST,
    N_TRIALS,
    changed,
    dead_letters,
    held_up,
    is_what_scikit_learn_finds,
    overheard,
    publish,
    send,
    submit_trees,
)
from one_worker import OneWorker, one_worker
from servers import Urls

from producer import Study
from warren import broker
from warren.broker import channel
from warren.errors import NoResultError, StudyError
from warren.queues import DEAD_QUEUE
from warren.storage.dead_letters import tell_studies
from warren.storage.documents import now, trial_id


@pytest.fixture(scope="module")
def worker(private_servers: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneWorker]:
    with one_worker(private_servers, tmp_path_factory.mktemp("attacked")) as found:
        yield found


# ------------------------------------------------------------------ who may publish

Change = Callable[[dict[str, Any]], dict[str, Any]]
FORGED: dict[str, Change] = {
    "a number beyond the study": lambda m: {"index": 7, "trials": [m["trials"][0] | {"number": N_TRIALS}]},
    "a number far beyond it": lambda m: {"index": 7, "trials": [m["trials"][0] | {"number": 2**62}]},
    "another estimator": lambda m: {"objective": m["objective"] | {"estimator": FOREST}},
    "a trial's own estimator": lambda m: {"trials": [m["trials"][0] | {"estimator": FOREST, "params": {}}]},
    "another point": lambda m: {"trials": [m["trials"][0] | {"params": {"max_depth": 9, "min_samples_leaf": 1}}]},
    "text for a number": lambda m: {"trials": [m["trials"][0] | {"params": {"max_depth": "x"}}]},
    "another parameter": lambda m: {"trials": [m["trials"][0] | {"params": {"ccp_alpha": 0.5}}]},
    "a time limit": lambda m: {"trial_timeout": 1e-6},
    "another metric": lambda m: {"objective": m["objective"] | {"scorers": {"score": "roc_auc"}}},
    "models kept": lambda m: {"trials": m["trials"][:1], "objective": m["objective"] | {"keep_model": True}},
    "other data": lambda m: {"objective": m["objective"] | {"dataset": m["objective"]["splits"]}},
    "fewer trials": lambda m: {"trials": m["trials"][:1]},
    "fits that are not shared": lambda m: {"share_fits": False},
    "another chunk's index": lambda m: {"index": 1 - m["index"]},
    "a publication to come": lambda m: {"generation": 2},
    "a publication far to come": lambda m: {"generation": 2**40},
    "a letter in disguise": lambda m: {"schema_version": 99, "trials": [{"number": n} for n in range(N_TRIALS)]},
    "a letter for chunks to come": lambda m: {"index": 99, "schema_version": 99},
}


def test_forged_chunks_are_set_aside_and_the_study_s_own_are_trained(worker: OneWorker) -> None:
    with held_up(worker), overheard() as bodies:
        study = submit_trees()
        forged = {name: changed(bodies[0], change) for name, change in FORGED.items()}
        send(worker, study, *((body, {}) for body in forged.values()))
    study.wait(timeout=60, progress=False)
    reasons = dead_letters(worker, len(forged))
    assert set(reasons) == set(forged.values())
    assert all("it is not chunk" in reasons[body] or "schema_version" in reasons[body] for body in forged.values())
    status = study.status()
    assert (status.state, status.complete, status.failed, status.dead) == ("COMPLETE", N_TRIALS, 0, 0)
    assert study.store.trials.finished_numbers(study.id) == set(range(N_TRIALS))
    assert is_what_scikit_learn_finds(study)


def test_forged_dead_letters_make_no_trial_dead(worker: OneWorker) -> None:
    with held_up(worker), overheard() as bodies:
        study = submit_trees()
        whole = {"trials": [{"number": number} for number in range(N_TRIALS)]}
        forged = [changed(bodies[0], lambda _: whole), changed(bodies[1], lambda _: {"index": 50} | whole)]
        with channel(worker.settings) as open_channel:
            publish(open_channel, study, DEAD_QUEUE, *((body, {}) for body in forged))
            tell_studies(broker.dead_letters(open_channel), study.store)
        assert study.status().dead == 0
    study.wait(timeout=60, progress=False)
    assert is_what_scikit_learn_finds(study)
    assert set(dead_letters(worker, 2)) == set(forged)


def test_chunks_of_an_earlier_publication_are_dropped(worker: OneWorker) -> None:
    with overheard() as bodies:
        study = submit_trees()
        study.wait(timeout=60, progress=False)
        with held_up(worker):
            study.store.trials.delete([trial_id(study.id, number) for number in (0, 5)])
            study.store.recount(study.id)
            study.store.update_study(study.id, {"$set": {"state": "RUNNING"}})
            assert study.resume() == 2
            replayed = changed(bodies[0], lambda _: {"generation": 2})
            send(worker, study, (bodies[0], {}), (replayed, {}))
    study.wait(timeout=60, progress=False)
    assert set(dead_letters(worker, 1)) == {replayed}
    assert is_what_scikit_learn_finds(study)


def test_a_study_of_an_earlier_version_goes_on_and_refuses_a_forgery(worker: OneWorker) -> None:
    with held_up(worker), overheard() as bodies:
        study = submit_trees()
        # As a version leaves it that notes nothing.
        study.store.published.drop(study.id)
        study.store.update_study(study.id, {"$unset": {"noted": ""}})
        refused = ("a number beyond the study", "another estimator", "a trial's own estimator", "a time limit")
        forged = [changed(bodies[0], FORGED[name]) for name in (*refused, "models kept", "other data")]
        send(worker, study, *((body, {}) for body in forged))
    study.wait(timeout=60, progress=False)
    assert set(dead_letters(worker, len(forged))) == set(forged)
    assert study.status().dead == 0
    assert is_what_scikit_learn_finds(study)


# --------------------------------------------------------- who may write to the database


def forge_results(study: Study) -> None:
    """Put documents among a study's results that no worker writes."""
    trials = study.store.trials._collection
    own = trials.find_one({"_id": trial_id(study.id, 1)})
    assert own is not None
    best = own | {"mean_test_score": 1e9, "split_test_score": [1e9, 1e9]}
    for number, change in enumerate(
        [
            {"number": N_TRIALS},
            {"number": -1},
            {"number": 2**62},
            {"number": "0"},
            {"number": 1.5},
            {"number": 2},
            {"number": None},
        ]
    ):
        trials.insert_one(best | {"_id": f"{study.id}:{uuid4().hex}{number}"} | change)
    trials.insert_one(best | {"_id": trial_id(study.id, N_TRIALS), "number": N_TRIALS})
    for number, change in {
        2: {"params": {"max_depth": "x", "min_samples_leaf": 1}},
        3: {"split_test_score": [0.5]},
        4: {"finished_at": "yesterday", "mean_test_score": "1e99"},
    }.items():
        trials.update_one({"_id": trial_id(study.id, number)}, {"$set": change})


READ = """
import logging, sys
logging.basicConfig(format="%(message)s")
from producer import Study
study, other = Study.attach(sys.argv[1]), Study.attach(sys.argv[2])
print("rows", study.results()["number"].tolist(), "best", study.best_index_, "of", len(study.best_trials(99)))
print(len(str(study)), len(study._repr_html_()), len(study.to_optuna().trials), len(study.plot.timeline().data) > 0)
print("other", other.results()["number"].tolist(), len(Study.list()))
"""


def test_a_notebook_skips_what_is_not_the_study_s_and_says_so(worker: OneWorker, tmp_path: Path) -> None:
    study, other = submit_trees(), submit_trees()
    for one in (study, other):
        one.wait(timeout=60, progress=False)
    forge_results(study)
    studies = study.store._studies
    listed = len(Study.list())
    studies.insert_one({"_id": "../../x", "created_at": now(), "model_of": None})
    studies.insert_one({"_id": "a-b", "name": "x", "state": "RUNNING", "n_trials": "6", "created_at": now()})
    try:
        read = subprocess.run(
            [sys.executable, "-c", READ, study.id, other.id], capture_output=True, text=True, timeout=120, cwd=tmp_path
        )
        assert read.returncode == 0, read.stderr
        first, second, third = read.stdout.splitlines()
        assert first.startswith("rows [0, 1, 5] best ")
        assert first.endswith(" of 3")
        assert second.endswith(" 3 True")
        assert third == f"other [0, 1, 2, 3, 4, 5] {listed}"
        assert f"study {study.id}: skipped 11 documents that are not this study's: " in read.stderr
        assert read.stderr.count("skipped 11") == 1, "once"
        assert "study.retry_failed()" in read.stderr
        assert "skipped document 'a-b' of the collection studies: its document is invalid" in read.stderr
        assert "../../x" not in read.stderr, "an id that no study can have is not even asked for"
    finally:
        studies.delete_many({"_id": {"$in": ["../../x", "a-b"]}})
    with pytest.raises(NoResultError, match=r"3 of 6 trials have ended \(11 documents .* retry_failed\(\)"):
        _ = study.cv_results_
    # The way out that it names.
    assert study.retry_failed() == 3
    study.wait(timeout=60, progress=False)
    assert is_what_scikit_learn_finds(Study.attach(study.id))


def test_a_forged_result_ends_no_study_early(worker: OneWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    with held_up(worker):
        study = submit_trees()
        trials = study.store.trials._collection
        for number in range(N_TRIALS, 2 * N_TRIALS):
            document = {"_id": trial_id(study.id, number), "study_id": study.id, "number": number, "state": "COMPLETE"}
            trials.insert_one(document | {"estimator": "X", "mean_test_score": 1e9, "fit_seconds": 1.0})
        found = study.store.recount(study.id)
        assert found is not None
        assert (found.state, found.progress.complete) == ("RUNNING", 0)
    study.wait(timeout=60, progress=False)
    assert is_what_scikit_learn_finds(study)
    assert study.status().best_score == study.best_score_ <= 1


def test_tensorboard_and_the_dashboard_show_the_others(worker: OneWorker, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from producer.views.optuna.storage import LiveStorage
    from producer.views.tensorboard.log_folder import Board

    study, other = submit_trees(), submit_trees()
    for one in (study, other):
        one.wait(timeout=60, progress=False)
    store = study.store
    forge_results(study)
    notes = study.store.unfinished._collection
    notes.insert_one({"_id": trial_id(study.id, 2), "study_id": study.id, "number": 2, "epochs": {"0": {"loss": "x"}}})
    broken = {"_id": f"broken-{uuid4().hex[:8]}", "objective": {"refit": "score"}, "space": "x", "model_of": None}
    document = study.store._studies.find_one({"_id": other.id}) or {}
    study.store._studies.insert_one(document | broken)
    try:
        board = Board(store, tmp_path / "logs", [study.id, other.id, broken["_id"]])
        changes = board.refresh()
        assert changes.studies == 2
        written = {one.id: sorted(int(run.name) for run in (board.folder / one.id).iterdir()) for one in (study, other)}
        assert written == {study.id: [0, 1, 5], other.id: [*range(N_TRIALS)]}
        board.close()
        storage = LiveStorage(store)
        shown = {one.study_name: one._study_id for one in storage.get_all_studies()}
        # What is wrong with the folds of trial 3 no page reads.
        own = [trial.user_attrs["number"] for trial in storage.get_all_trials(shown[study.id])]
        assert sorted(own) == [0, 1, 3, 5]
        assert len(storage.get_all_trials(shown[other.id])) == N_TRIALS
        with pytest.raises(KeyError, match="has an invalid document"):
            storage.get_all_trials(shown[broken["_id"]])
        with pytest.raises(StudyError, match="of the collection studies is invalid"):
            Study.attach(broken["_id"])
    finally:
        study.store._studies.delete_one({"_id": broken["_id"]})


def test_a_score_that_is_no_number_is_no_best_one(worker: OneWorker) -> None:
    study = submit_trees()
    study.wait(timeout=60, progress=False)
    best = study.best_index_
    for value in (math.inf, "9", [9], {"$gt": 0}):
        study.store.trials._collection.update_one(
            {"_id": trial_id(study.id, (best + 1) % N_TRIALS)}, {"$set": {"mean_test_score": value}}
        )
        if value != math.inf:
            assert Study.attach(study.id).best_index_ == best
