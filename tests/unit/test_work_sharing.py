"""Shared fits seen through the product: chunks that users give, early stopping, and no sharing."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from catboost import CatBoostClassifier
from in_process import IN_PROCESS
from lightgbm import LGBMClassifier
from sklearn.datasets import load_breast_cancer
from xgboost import XGBClassifier

from producer import Study, submit

pytestmark = IN_PROCESS

X, Y = load_breast_cancer(return_X_y=True)
ROUNDS = [5, 30, 12, 20]
QUIET: dict[str, Any] = {"thread_count": 1, "logging_level": "Silent", "allow_writing_files": False}


def run(grids: list[dict[str, Any]], **options: Any) -> tuple[Study, pd.DataFrame]:
    study = submit(None, grids, X, Y, cv=3, name=uuid4().hex, **options).wait(timeout=120, progress=False)
    return study, study.results()


def test_sharing_can_be_switched_off_and_changes_no_score() -> None:
    grids = [{"estimator": [LGBMClassifier(verbosity=-1)], "n_estimators": ROUNDS, "num_leaves": [7, 15]}]
    shared, apart = run(grids), run(grids, share_fits=False)
    assert (shared[1]["shared_by"] == 4).all()
    assert (apart[1]["shared_by"] == 1).all()
    pd.testing.assert_series_equal(shared[1]["mean_test_score"], apart[1]["mean_test_score"])


@pytest.mark.parametrize(("n_chunks", "expected"), [(1, 4), (2, 2), (4, 1)])
def test_the_number_of_chunks_that_a_user_gives_goes_before_sharing(n_chunks: int, expected: int) -> None:
    grids = [{"estimator": [XGBClassifier()], "n_estimators": ROUNDS}]
    _, frame = run(grids, n_chunks=n_chunks)
    assert (frame["shared_by"] == expected).all()


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
