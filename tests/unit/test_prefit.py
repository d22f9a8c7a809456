"""An estimator that is made to keep an earlier fit is refused before anything is published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from producer.space.space import Space
from producer.validation import check_estimators
from warren.errors import InputError

X = np.random.default_rng(0).normal(size=(30, 3))
Y = np.arange(30) % 2
FROZEN = FrozenEstimator(LogisticRegression().fit(X, Y))
STEPS = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())])


@pytest.mark.parametrize(
    ("estimator", "grid"),
    [
        (CalibratedClassifierCV(FROZEN), {"method": ["sigmoid"]}),
        (FROZEN, {"estimator": [LogisticRegression()]}),
        (make_pipeline(FrozenEstimator(PCA(2).fit(X)), LogisticRegression()), {"logisticregression__C": [1.0]}),
        (VotingClassifier([("old", FROZEN), ("new", LogisticRegression())]), {"voting": ["soft"]}),
        (STEPS, {"clf": [LogisticRegression(), FROZEN]}),
        (STEPS, {"clf": [CalibratedClassifierCV(FROZEN)]}),
        (None, {"estimator": [LogisticRegression(), FROZEN]}),
        (FrozenEstimator(LogisticRegression()), {"estimator": [LogisticRegression()]}),
    ],
    ids=["inside", "bare", "a step", "a member", "a value", "inside a value", "the trial's own", "not even fitted"],
)
def test_a_frozen_estimator_is_refused_with_the_way_out(estimator: Any, grid: dict[str, list[Any]]) -> None:
    with pytest.raises(InputError, match=r"is a FrozenEstimator: its fit can't be sent.*Pass the estimator inside it"):
        check_estimators(estimator, Space(grid))


@pytest.mark.parametrize(
    "estimator",
    [
        StackingClassifier([("one", LogisticRegression().fit(X, Y))], cv="prefit"),
        TunedThresholdClassifierCV(LogisticRegression().fit(X, Y), cv="prefit", refit=False),
        make_pipeline(SelectFromModel(LogisticRegression().fit(X, Y), prefit=True), LogisticRegression()),
    ],
    ids=["stacking", "thresholds", "selection"],
)
def test_what_takes_a_fitted_estimator_is_refused(estimator: Any) -> None:
    with pytest.raises(InputError, match=r"uses an estimator that is already fitted, and a fit can't be sent: leave"):
        check_estimators(estimator, Space([{}]))


def test_an_estimator_that_happens_to_be_fitted_is_trained_anew() -> None:
    found = check_estimators(make_pipeline(LogisticRegression(warm_start=True).fit(X, Y)), Space([{}]))
    assert found.kind == "classifier"
