"""Shared fits seen through the product: real workers, real libraries, scores compared with ``GridSearchCV``."""

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


@pytest.mark.usefixtures("stack")
def test_sharing_can_be_switched_off_and_changes_no_score() -> None:
    grids = [{"estimator": [LGBMClassifier(verbosity=-1)], "n_estimators": ROUNDS, "num_leaves": [7, 15]}]
    shared, apart = run(grids), run(grids, share_fits=False)
    assert (shared[1]["shared_by"] == 4).all()
    assert (apart[1]["shared_by"] == 1).all()
    pd.testing.assert_series_equal(shared[1]["mean_test_score"], apart[1]["mean_test_score"])


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(("n_chunks", "expected"), [(1, 4), (2, 2), (4, 1)])
def test_the_number_of_chunks_that_a_user_gives_goes_before_sharing(n_chunks: int, expected: int) -> None:
    grids = [{"estimator": [XGBClassifier()], "n_estimators": ROUNDS}]
    _, frame = run(grids, n_chunks=n_chunks)
    assert (frame["shared_by"] == expected).all()


@pytest.mark.usefixtures("stack")
def test_of_a_shared_fit_that_takes_too_long_only_the_trial_that_takes_too_long_alone_fails() -> None:
    grids = [{"estimator": [XGBClassifier(max_depth=2)], "n_estimators": [5, 10_000_000, 10]}]
    _, frame = run(grids, trial_timeout=2)
    assert frame["state"].tolist() == ["COMPLETE", "FAILED", "COMPLETE"]
    assert frame["error"][1].startswith("timed out after 2 seconds")
    assert frame["shared_by"].tolist() == [1, 1, 1]


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("validation_fraction", [None, 0.2])
def test_trials_of_every_library_stop_early_and_are_refitted_with_the_mean(validation_fraction: float | None) -> None:
    grids = [
        {"estimator": [XGBClassifier(n_estimators=300)], "early_stopping_rounds": [4], "learning_rate": [0.3]},
        {"estimator": [LGBMClassifier(n_estimators=300, verbosity=-1)], "early_stopping_round": [4]},
        {"estimator": [CatBoostClassifier(iterations=300, od_wait=4, **QUIET)], "learning_rate": [0.5]},
    ]
    study, frame = run(grids, validation_fraction=validation_fraction, scoring="roc_auc")
    assert frame["error"].isna().all()
    assert frame["mean_best_iteration"].between(1, 299).all()
    model = study.refit_estimator()
    rounds = model.get_params()["iterations" if isinstance(model, CatBoostClassifier) else "n_estimators"]
    assert rounds == round(frame["mean_best_iteration"][study.best_index_])
    model.fit(X, Y)
