"""A search as a study on worker processes: interrupted, cancelled, pickled, and refused by servers
that are away."""

from __future__ import annotations

import io
import os
import pickle
import signal
import threading
from typing import Any
from uuid import uuid4

import joblib
import numpy as np
import pytest
from acceptance.conftest import StartWorker
from polling import until
from servers import Urls
from sklearn import model_selection
from sklearn.datasets import make_classification
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from producer import GridSearchCV, RandomizedSearchCV, Study
from warren.errors import BrokerError, NoResultError, StoreError, TrialError
from warren.settings import Settings
from warren.storage.study_document import StudySpace

X, Y = make_classification(120, 6, n_informative=4, flip_y=0.2, random_state=1)
TREE = DecisionTreeClassifier(random_state=0)
GRID = {"max_depth": [1, 3, None], "min_samples_leaf": [1, 5]}


def search(estimator: Any = TREE, grid: Any = GRID, **options: Any) -> GridSearchCV:
    return GridSearchCV(estimator, grid, **{"cv": 3, "name": uuid4().hex} | options)


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("estimator", [TREE, XGBClassifier(n_estimators=3, n_jobs=1)], ids=["skops", "a booster"])
def test_a_fitted_search_is_pickled_without_sockets_and_passwords(estimator: Any) -> None:
    fitted = search(estimator, {"max_depth": [1, 2]}).fit(X, Y)
    dumped = io.BytesIO()
    joblib.dump(fitted, dumped)
    for secret in (os.environ["AMQP_URL"], os.environ["MONGO_URL"]):
        assert secret.encode() not in dumped.getvalue()
    dumped.seek(0)
    for read in (joblib.load(dumped), pickle.loads(pickle.dumps(fitted))):
        assert read.predict_proba(X).tolist() == fitted.predict_proba(X).tolist()
        assert read.cv_results_["mean_test_score"].tolist() == fitted.cv_results_["mean_test_score"].tolist()
        assert read.study_.id == fitted.study_.id
        assert read.study_.status().state == "COMPLETE"


# ---------------------------------------------------------------------------------- as a study


def test_cancelling_and_interrupts_end_a_fit_and_the_same_fit_goes_on(
    servers: Settings, start_worker: StartWorker
) -> None:
    cancelled, interrupted = search(name="goes on"), search(name="goes on")

    def cancel() -> None:
        until(lambda: hasattr(cancelled, "study_"), 60)
        Study.attach(cancelled.study_.id).cancel()

    other = threading.Thread(target=cancel)
    other.start()
    with pytest.raises(NoResultError, match=r"was cancelled when 0 of 6 trials had ended: the same fit\(...\) goes on"):
        cancelled.fit(X, Y)
    other.join()
    assert not hasattr(cancelled, "best_params_")

    def interrupt() -> None:
        until(lambda: hasattr(interrupted, "study_"), 60)
        os.kill(os.getpid(), signal.SIGINT)

    alarm = threading.Thread(target=interrupt)
    alarm.start()
    with pytest.raises(KeyboardInterrupt, match=r"study '.*' goes on without this cell.*Study.attach\('"):
        interrupted.fit(X, Y)
    alarm.join()
    study = Study.attach(cancelled.study_.id)
    assert interrupted.study_.id == study.id
    assert (study.status().state, study.status().done) == ("RUNNING", 0)

    start_worker()
    assert interrupted.fit(X, Y).study_.id == study.id
    assert study.status().state == "COMPLETE"
    theirs = model_selection.GridSearchCV(TREE, GRID, cv=3).fit(X, Y)
    assert interrupted.predict(X).tolist() == theirs.predict(X).tolist()


@pytest.mark.usefixtures("stack")
def test_a_failure_that_shall_raise_ends_the_search() -> None:
    failing = search(grid={"max_depth": [-1, *range(1, 40)]}, error_score="raise", n_chunks=40)
    with pytest.raises(
        TrialError, match=r"trial 0 with {'max_depth': -1} failed: fold 0: InvalidParameterError"
    ) as seen:
        failing.fit(X, Y)
    assert isinstance(seen.value, ValueError)
    assert failing.study_.status().state in {"CANCELLED", "COMPLETE"}


@pytest.mark.slow
@pytest.mark.usefixtures("stack")
def test_ten_thousand_drawn_points_are_submitted_as_columns() -> None:
    made = RandomizedSearchCV(Ridge(), {"alpha": np.linspace(0, 1, 10_000), "tol": [1e-3, 1e-4]}, n_iter=10_000, cv=2)
    made.set_params(random_state=0, name=uuid4().hex, refit=False, share_fits=False)

    def cancel() -> None:
        until(lambda: hasattr(made, "study_"), 60)
        made.study_.cancel()

    other = threading.Thread(target=cancel)
    other.start()
    with pytest.raises(NoResultError):
        made.fit(X, X[:, 0])
    other.join()
    assert [*made.study_.read(StudySpace).space[0]] == ["__points__", "__order__"]
    assert list(Study.attach(made.study_.id).space)[:3] == [
        {"alpha": float(point["alpha"]), "tol": point["tol"]}
        for point in list(model_selection.ParameterSampler(made.param_distributions, 10_000, random_state=0))[:3]
    ]
    made.study_.delete()


def test_servers_that_are_away_are_named(stack: Urls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "0.2")
    monkeypatch.setenv("MONGO_URL", "mongodb://127.0.0.1:9/tuning")
    with pytest.raises(StoreError, match=r"can't be reached.*local_stack\(\)"):
        search().fit(X, Y)
    monkeypatch.setenv("MONGO_URL", stack.mongo_url)
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:9")
    with pytest.raises(BrokerError, match="can't be reached"):
        search().fit(X, Y)
