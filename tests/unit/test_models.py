"""The best trial's model: trained by a worker on all data, read back without pickle, and what fit()
would make."""

from __future__ import annotations

import re
from typing import IO, Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier, CatBoostRegressor
from in_process import IN_PROCESS
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from speed import slow_after
from xgboost import XGBClassifier, XGBRegressor

from producer import submit
from warren.errors import StudyError
from warren.settings import load_settings
from warren.storage.documents import trial_id
from warren.storage.store import Store

pytestmark = IN_PROCESS

IRIS = load_iris(as_frame=True)
FRAME, NUMBERS = IRIS.data, IRIS.target
NAMES = pd.Series(IRIS.target_names[NUMBERS])
DIABETES_X, DIABETES_Y = load_diabetes(return_X_y=True)
CLASSIFIERS: list[tuple[Any, dict[str, list[Any]], Any]] = [
    (XGBClassifier(n_estimators=5, n_jobs=1), {"max_depth": [2, 3]}, NUMBERS),
    (LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1), {"num_leaves": [3, 7]}, NAMES),
    (
        CatBoostClassifier(
            iterations=5, learning_rate=0.1, thread_count=1, logging_level="Silent", allow_writing_files=False
        ),
        {"depth": [2, 3]},
        NAMES,
    ),
    (RandomForestClassifier(5, random_state=1, n_jobs=1), {"max_depth": [1, 3]}, NAMES),
    (HistGradientBoostingClassifier(max_iter=5, random_state=1), {"max_depth": [1, 3]}, NAMES),
    (make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [0.1, 1.0]}, NAMES),
    (
        make_pipeline(SelectKBest(k=2), XGBClassifier(n_estimators=5, n_jobs=1)),
        {"xgbclassifier__max_depth": [1, 2]},
        NUMBERS,
    ),
    (
        make_pipeline(StandardScaler(), LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1, min_child_samples=5)),
        {"lgbmclassifier__num_leaves": [3, 7]},
        NAMES,
    ),
]
REGRESSORS: list[tuple[Any, dict[str, list[Any]]]] = [
    (XGBRegressor(n_estimators=5, n_jobs=1), {"max_depth": [2, 3]}),
    (LGBMRegressor(n_estimators=5, n_jobs=1, verbosity=-1), {"num_leaves": [3, 7]}),
    (
        CatBoostRegressor(
            iterations=5, learning_rate=0.1, thread_count=1, logging_level="Silent", allow_writing_files=False
        ),
        {"depth": [2, 3]},
    ),
    (TransformedTargetRegressor(Ridge()), {"regressor__alpha": [0.1, 1.0]}),
]


def write_something_else(stream: IO[bytes]) -> None:
    stream.write(b"something else")


def kind(case: Any) -> str:
    return "-".join(type(step).__name__ for _, step in case.steps) if hasattr(case, "steps") else type(case).__name__


@pytest.mark.parametrize(
    ("estimator", "grid", "y"), slow_after(3, CLASSIFIERS), ids=[kind(case[0]) for case in CLASSIFIERS]
)
def test_the_best_classifier_predicts_as_the_one_that_scikit_learn_refits(
    estimator: Any, grid: dict[str, list[Any]], y: Any
) -> None:
    theirs = GridSearchCV(clone(estimator), grid, cv=3).fit(FRAME, y).best_estimator_
    ours = submit(estimator, grid, FRAME, y, cv=3).wait(60, progress=False).best_model(timeout=60)
    assert type(ours) is type(estimator)
    assert np.array_equal(ours.predict_proba(FRAME), theirs.predict_proba(FRAME))
    assert np.array_equal(ours.predict(FRAME), theirs.predict(FRAME))
    assert np.array_equal(ours.classes_, theirs.classes_)
    assert ours.n_features_in_ == theirs.n_features_in_
    assert ours.score(FRAME, y) == theirs.score(FRAME, y)
    assert repr(clone(ours).get_params()) == repr(clone(theirs).get_params())


@pytest.mark.parametrize(("estimator", "grid"), slow_after(1, REGRESSORS), ids=[kind(case[0]) for case in REGRESSORS])
def test_the_best_regressor_predicts_as_the_one_that_scikit_learn_refits(
    estimator: Any, grid: dict[str, list[Any]]
) -> None:
    theirs = GridSearchCV(clone(estimator), grid, cv=3).fit(DIABETES_X, DIABETES_Y).best_estimator_
    ours = submit(estimator, grid, DIABETES_X, DIABETES_Y, cv=3).wait(60, progress=False).best_model(timeout=60)
    assert np.array_equal(ours.predict(DIABETES_X), theirs.predict(DIABETES_X))
    assert repr(clone(ours).get_params()) == repr(clone(theirs).get_params())


def test_a_model_that_was_changed_is_refused() -> None:
    study = submit(LogisticRegression(max_iter=500), {"C": [0.5]}, FRAME, NUMBERS, cv=2, name="changed")
    study.wait(60, progress=False).best_model(timeout=60)
    store = Store(load_settings())
    (own,) = store.models_of(study.id)
    model = (store.trials.one(own, 0) or {})["model"]
    store.models.delete(model["file"], lambda: False)
    store.models.put(model["file"], write_something_else, {"study": own})
    with pytest.raises(StudyError, match="is damaged"):
        study.best_model(timeout=60)
    store.close()


def test_a_model_that_a_backup_has_missed_is_trained_again() -> None:
    study = submit(LogisticRegression(max_iter=500), {"C": [0.25]}, FRAME, NUMBERS, cv=2, name="missed")
    first = study.wait(60, progress=False).best_model(timeout=60)
    store = Store(load_settings())
    (own,) = store.models_of(study.id)
    store.models.delete_of(own)
    again = study.best_model(timeout=60)
    assert np.array_equal(first.coef_, again.coef_)
    assert len(list(store.trials.of(own))) == 1
    store.close()


def test_a_model_of_other_versions_is_read_with_one_word_of_ours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    study = submit(LogisticRegression(), {"C": [0.5, 1.0]}, FRAME, NUMBERS, name="read by other versions", cv=3)
    model = study.wait(timeout=120, progress=False).best_model(timeout=120)
    assert not caplog.records
    store = Store(load_settings())
    [own] = store.models_of(study.id)
    store.trials._collection.update_one(
        {"_id": trial_id(own, 0)}, {"$set": {"versions.scikit-learn": "1.0", "versions.python": "3.1.4"}}
    )
    store.close()
    # What scikit-learn would say of every estimator in it, an error here.
    monkeypatch.setattr("sklearn.base.__version__", "99")
    assert (study.best_model(timeout=120).coef_ == model.coef_).all()
    [said] = [record.getMessage() for record in caplog.records]
    assert re.search(
        r"was trained with Python 3\.1, scikit-learn 1\.0, and is read with Python 3\.\d+, scikit-learn", said
    )
