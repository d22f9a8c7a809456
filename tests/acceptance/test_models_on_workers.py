"""The best trial's model, trained by a worker process: once, within a time, again after a failure
or a lost message."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pytest
from acceptance.conftest import StartWorker
from faulty import Exits
from servers import Urls
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from submitting import own_fields, stored
from xgboost import XGBClassifier

from producer import Study, submit
from warren.errors import NoResultError, TrialError
from warren.settings import Settings, load_settings
from warren.storage.documents import now, pack, trial_id
from warren.storage.store import Store

IRIS = load_iris(as_frame=True)
FRAME, NUMBERS = IRIS.data, IRIS.target


def test_weights_count_for_the_model_too(stack: Urls) -> None:
    weights = np.linspace(0.1, 2.0, len(FRAME))
    study = submit(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, FRAME, NUMBERS, cv=3, sample_weight=weights)
    ours = study.wait(60, progress=False).best_model(timeout=60)
    theirs = LogisticRegression(max_iter=500, **study.best_params_).fit(FRAME, NUMBERS, sample_weight=weights)
    assert np.array_equal(ours.coef_, theirs.coef_)


def test_a_model_is_trained_once_and_stored_in_its_librarys_format(stack: Urls) -> None:
    study = submit(XGBClassifier(n_estimators=3), {"max_depth": [1, 2]}, FRAME, NUMBERS, cv=2, name="once")
    study.wait(60, progress=False).best_model(timeout=60)
    store = Store(load_settings())
    (model,) = store.models_of(study.id)
    first = store.trials.one(model, 0)
    study.best_model(timeout=60)
    again = store.trials.one(model, 0)
    assert first is not None
    assert again is not None
    assert first["finished_at"] == again["finished_at"]
    assert first["model"]["format"] == "xgboost-ubj"
    assert first["model"]["class"] == "xgboost.XGBClassifier"
    assert store.models.get(first["model"]["file"])[:1] == b"{"
    assert model not in [one.id for one in Study.list()]
    other = study.best_model(1 - study.best_index_, timeout=60)
    assert other.get_params()["max_depth"] == 3 - study.best_params_["max_depth"]
    assert len(store.models_of(study.id)) == 2
    study.delete()
    assert store.models_of(study.id) == []
    assert not store.models.has(first["model"]["file"])
    store.close()


@pytest.mark.slow
def test_a_model_that_cannot_be_fitted_says_why_and_is_tried_again(
    servers: Settings, start_worker: StartWorker
) -> None:
    start_worker(WARREN_MAX_ATTEMPTS="1")
    # Two folds of ten rows go well, all twenty don't.
    study = submit(Exits(rows=20), {"number": [1]}, np.zeros((20, 1)), np.arange(20) % 2, cv=2)
    study.wait(60, progress=False)
    for _ in range(2):
        with pytest.raises(TrialError, match="training trial 0 on all data failed: .*exit"):
            study.best_model(0, timeout=60)


def test_a_study_without_a_result_has_no_model(servers: Settings) -> None:
    study = submit(LogisticRegression(), {"C": [0.5, 1.0]}, FRAME, NUMBERS, cv=2)
    with pytest.raises(NoResultError, match="no trial with a score yet"):
        study.best_model()
    with pytest.raises(NoResultError, match="no result of trial 1 yet"):
        study.best_model(1)


@pytest.mark.slow
def test_the_time_to_wait_for_a_model_is_bounded(servers: Settings, start_worker: StartWorker) -> None:
    worker = start_worker()
    study = submit(LogisticRegression(), {"C": [0.5]}, FRAME, NUMBERS, cv=2).wait(60, progress=False)
    worker.terminate()
    worker.wait(20)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            study.best_model(timeout=0.5)
    store = Store(load_settings())
    (model,) = store.models_of(study.id)
    assert stored(store, model)["publications"] == 1, "asked again, it only waits: another worker would train too"
    start_worker()
    assert json.dumps(study.best_model(timeout=60).get_params()["C"]) == "0.5"
    store.close()


def test_a_lost_or_cancelled_model_is_published_again(servers: Settings) -> None:
    study = submit(LogisticRegression(), {"C": [0.5]}, FRAME, NUMBERS, cv=2)
    store = Store(load_settings())
    ended = {"_id": trial_id(study.id, 0), "study_id": study.id, "number": 0, "state": "COMPLETE", "finished_at": now()}
    store.trials.insert([pack(ended | own_fields(study, 0))])
    changes = ({}, {"submitted_at": None}, {"submitted_at": now() - timedelta(days=1)}, {"state": "CANCELLED"})
    for publications, change in enumerate(changes, start=1):
        for model in store.models_of(study.id):
            store.update_study(model, {"$set": change})
        with pytest.raises(TimeoutError):
            study.best_model(0, timeout=0.1)
        (model,) = store.models_of(study.id)
        assert stored(store, model)["publications"] == publications
    store.close()
