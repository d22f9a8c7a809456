"""A study of thousands of trials, read from the table that its workers leave when it ends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GridSearchCV

from producer import submit
from producer.results.frames import cv_results, results_frame
from warren.storage.documents import Document
from warren.storage.results_table import as_table, schema

GRID = {"strategy": ["uniform", "stratified"], "random_state": range(1000)}


@pytest.mark.slow
@pytest.mark.usefixtures("stack")
def test_results_of_thousands_of_trials_come_from_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = load_iris(return_X_y=True)
    X, y = X[:60], y[:60] % 2
    study = submit(DummyClassifier(), GRID, X, y, cv=2, name="thousands")
    study.wait(timeout=120, progress=False)
    store, objective = study.store, study.objective
    columns = schema(objective.parts)
    documents = as_table(store.trials.of(study.id), columns)

    def never(*_: object) -> Iterator[Document]:
        raise AssertionError("documents were read")

    monkeypatch.setattr(store.trials, "of", never)
    found, frame = study.cv_results_, study.results()
    pd.testing.assert_frame_equal(frame, results_frame(documents, study.space, objective))
    for name, column in cv_results(documents, study.space, objective).items():
        np.testing.assert_array_equal(found[name], column)
    theirs = GridSearchCV(DummyClassifier(), GRID, cv=2, refit=False).fit(X, y).cv_results_
    for name in ("split0_test_score", "split1_test_score", "mean_test_score", "std_test_score", "rank_test_score"):
        np.testing.assert_array_equal(found[name], theirs[name])
    assert found["params"] == theirs["params"]
