"""Shared fits seen through the product: real workers, real libraries, scores compared with
``GridSearchCV``."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from xgboost import XGBClassifier

from producer import Study, submit

X, Y = load_breast_cancer(return_X_y=True)
ROUNDS = [5, 30, 12, 20]
QUIET: dict[str, Any] = {"thread_count": 1, "logging_level": "Silent", "allow_writing_files": False}
# Of each library trials that share, and trials that must not.
GRIDS: list[tuple[Any, dict[str, Any]]] = [
    (XGBClassifier(n_jobs=1), {"n_estimators": ROUNDS, "booster": ["gbtree", "dart"], "subsample": [0.7]}),
    (LGBMClassifier(n_jobs=1, verbosity=-1), {"num_iterations": ROUNDS, "boosting_type": ["gbdt", "dart"]}),
    (CatBoostClassifier(**QUIET), {"iterations": ROUNDS, "learning_rate": [0.1, None], "depth": [3]}),
]
ALL = [{"estimator": [estimator], **grid} for estimator, grid in GRIDS]


def run(grids: list[dict[str, Any]], **options: Any) -> tuple[Study, pd.DataFrame]:
    study = submit(None, grids, X, Y, cv=3, name=uuid4().hex, **options).wait(timeout=120, progress=False)
    return study, study.results()


@pytest.mark.usefixtures("stack")
def test_what_may_share_a_fit_does_and_scores_as_in_scikit_learn() -> None:
    options: dict[str, Any] = {"scoring": ["roc_auc", "accuracy"], "return_train_score": True}
    study, frame = run(ALL, **options)
    together = frame[frame["shared_by"] > 1]
    apart = frame[frame["shared_by"] == 1]
    assert sorted(frame["shared_by"]) == [1] * 12 + [4] * 12
    assert {str(params.get("booster", params.get("boosting_type"))) for params in together["params"]} == {
        "gbtree",
        "gbdt",
        "None",
    }
    assert all(params.get("learning_rate", 0.1) is not None for params in together["params"])
    assert (together["saved_seconds"] > 0).sum() >= 10
    assert (apart["saved_seconds"] < together["saved_seconds"].max()).all()
    status = study.status()
    for seconds in ("fit_seconds", "saved_seconds"):
        assert getattr(status, seconds) == pytest.approx(frame[seconds].sum())
    assert status.work_left_seconds == pytest.approx(0, abs=1e-6)
    start = 0
    for estimator, grid in GRIDS:
        search = GridSearchCV(estimator, grid, cv=3, refit=False, **options).fit(X, Y)
        stop = start + len(search.cv_results_["params"])
        for name, theirs in search.cv_results_.items():
            if ("_test_" in name and "rank" not in name) or "_train_" in name:
                np.testing.assert_array_equal(study.cv_results_[name][start:stop], theirs, err_msg=name)
        start = stop


@pytest.mark.slow
@pytest.mark.usefixtures("stack")
def test_a_slow_shared_fit_fails_only_the_trial_that_is_slow_alone() -> None:
    grids = [{"estimator": [XGBClassifier(max_depth=2)], "n_estimators": [5, 10_000_000, 10]}]
    _, frame = run(grids, trial_timeout=2)
    assert frame["state"].tolist() == ["COMPLETE", "FAILED", "COMPLETE"]
    assert frame["error"][1].startswith("timed out after 2 seconds")
    assert frame["shared_by"].tolist() == [1, 1, 1]
