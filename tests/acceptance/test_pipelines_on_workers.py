"""Pipelines on worker processes: the same scores as scikit-learn's, with less work."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import counted
import pytest
from acceptance.conftest import StartWorker
from searches import Search, assert_same_numbers
from sklearn.datasets import make_classification
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    StandardScaler,
)
from xgboost import XGBClassifier

from producer import submit

ROWS = 160
X, Y = make_classification(ROWS, 8, n_informative=5, flip_y=0.2, random_state=1)
ROUNDS = [5, 20, 12]
XGB: dict[str, Any] = {"max_depth": 3, "n_jobs": 1, "random_state": 7, "subsample": 0.8}
BOTH_SCORES = {"cv": 3, "scoring": ["roc_auc", "accuracy"], "refit": "roc_auc", "return_train_score": True}


@pytest.mark.usefixtures("stack")
def test_a_scaled_booster_shares_its_fits_and_scores_as_in_scikit_learn() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", XGBClassifier(**XGB))])
    grid = {"clf__n_estimators": ROUNDS, "clf__learning_rate": [0.1, 0.4], "scale__with_mean": [True, False]}
    [study] = assert_same_numbers(Search(pipeline, grid, X, Y, options=BOTH_SCORES))
    frame = study.results()
    assert (frame["shared_by"] == 3).all()
    assert frame["saved_seconds"].sum() > 0


def test_what_prepares_a_fold_is_fitted_once_for_all_trials_that_share_it(
    start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARREN_ALLOW", counted.ALLOW)
    diary = tmp_path / "diary"
    pipeline = Pipeline(
        [
            ("scale", counted.CountedScaler(mark="first", diary=str(diary))),
            ("again", counted.CountedScaler(mark="second", diary=str(diary))),
            ("clf", XGBClassifier(**XGB)),
        ]
    )
    grid = {
        "clf__n_estimators": ROUNDS,
        "clf__learning_rate": [0.1, 0.4],
        "clf__max_depth": [2, 3],
        "again__with_mean": [True, False],
    }
    start_worker()
    study = submit(pipeline, grid, X, Y, cv=3, return_train_score=True).wait(timeout=60, progress=False)
    assert (study.results()["state"] == "COMPLETE").all()
    fits = Counter(line.split()[1] for line in diary.read_text().splitlines())
    assert fits == {"first": 3, "second": 6}  # 24 trials on 3 folds
    assert study.results()["saved_seconds"].sum() > 0
