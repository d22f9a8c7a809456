"""A worker in process: what code around Warren is tested with, and what this suite is
tested with."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from faulty import Raises
from polling import until
from sklearn import model_selection
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from warren import GridSearchCV, Study, submit
from warren.errors import NoResultError
from warren.testing import in_process_worker

X, Y = load_iris(return_X_y=True)
SOON = 60.0


@pytest.fixture(autouse=True)
def _worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WARREN_ALLOW", "faulty.Raises")
    with in_process_worker():
        yield


def test_a_study_has_scikit_learn_s_numbers() -> None:
    grid = {"C": [0.1, 1.0, 10.0]}
    study = submit(LogisticRegression(max_iter=500), grid, X, Y, cv=3).wait(timeout=SOON, progress=False)
    theirs = model_selection.GridSearchCV(LogisticRegression(max_iter=500), grid, cv=3).fit(X, Y)
    np.testing.assert_array_equal(study.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    assert study.best_params_ == theirs.best_params_


def test_a_search_brings_its_best_model() -> None:
    search = GridSearchCV(XGBClassifier(n_jobs=1), {"n_estimators": [2, 4], "max_depth": [1, 2]}, cv=3).fit(X, Y)
    assert search.best_estimator_.predict(X).shape == Y.shape
    assert search.study_.status().state == "COMPLETE"


def test_the_same_call_trains_nothing_again() -> None:
    for _ in range(2):
        study = submit(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, X, Y, name="trees")
        study.wait(timeout=SOON, progress=False)
    assert [one.id for one in Study.list()] == [study.id]
    assert study.status().complete == 2


def test_what_fails_says_why() -> None:
    study = submit(Raises(), {"number": [1]}, X, Y, cv=3, share_fits=False)
    study.wait(timeout=SOON, progress=False)
    assert study.status().failed == 1
    with pytest.raises(NoResultError, match="has no trial with a score"):
        _ = study.best_score_


def test_blocks_begin_empty_and_leave_nothing() -> None:
    submit(DecisionTreeClassifier(), {"max_depth": [1]}, X, Y).wait(timeout=SOON, progress=False)
    before = os.environ["MONGO_URL"]
    assert before.startswith("memory://")
    with in_process_worker():
        assert os.environ["MONGO_URL"] != before
        assert Study.list() == []
    assert os.environ["MONGO_URL"] == before
    assert len(Study.list()) == 1


def test_a_block_ends_its_threads() -> None:
    before = {one.ident for one in threading.enumerate()}
    with in_process_worker():
        submit(DecisionTreeClassifier(), {"max_depth": [1]}, X, Y).wait(timeout=SOON, progress=False)
    until(
        lambda: {thread.name for thread in threading.enumerate() if thread.ident not in before} <= {"runner"},
        what="the other threads end",
    )
