"""The registry of libraries, and what a trial is resolved to."""

from __future__ import annotations

from typing import Any

import pytest
from lightgbm import LGBMClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from warren.encoding.codec import encode_estimator
from warren.libraries.registry import ALLOWED_PACKAGES, LIBRARIES, library_of
from warren.libraries.resolve import resolve
from warren.safety.allowlist import resolve as class_of
from worker.fitting import learner_of
from worker.fitting.learner import Learner


def encoded(estimator: Any) -> Any:
    return encode_estimator(estimator, "estimator")


def test_messages_may_name_scikit_learn_and_every_library() -> None:
    assert ALLOWED_PACKAGES == ("sklearn", "xgboost", "lightgbm", "catboost", "networks")


@pytest.mark.parametrize("package", LIBRARIES)
def test_every_class_of_a_library_has_a_learner_of_its_own(package: str) -> None:
    library = LIBRARIES[package]
    assert library.package == package
    for name in library.classes:
        assert library_of(name) is library
        assert type(learner_of(class_of(name))) is not Learner


def test_a_device_parameter_has_one_sense_in_all_libraries() -> None:
    senses: dict[str, set[Any]] = {}
    for library in LIBRARIES.values():
        for name, one in library.devices.items():
            senses.setdefault(name, set()).add((one.gpu, one.cpu, one.only))
    assert all(len(several) == 1 for several in senses.values())


def test_a_pipeline_is_resolved_to_its_last_step() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", XGBClassifier(max_depth=3, device="cuda"))])
    params = {"clf__n_estimators": 7, "clf__early_stopping_rounds": 2, "scale__with_mean": False}
    trial = resolve(encoded(pipeline), params)
    assert trial.library is LIBRARIES["xgboost"]
    assert (trial.prefix, trial.rounds) == ("clf__", 7)
    assert trial.params["max_depth"] == 3
    assert "scale__with_mean" in repr(trial.before)
    assert trial.stops_early
    assert trial.wants_gpu
    assert trial.shared_key is None


def test_trials_share_a_group_only_where_they_may() -> None:
    first, second = (resolve(encoded(LGBMClassifier()), {"n_estimators": rounds}) for rounds in (5, 9))
    assert first.group(0) == second.group(1)
    assert first.group(0, share=False) != second.group(1, share=False)
    alone = encoded(LGBMClassifier(boosting_type="dart"))
    assert resolve(alone, {"n_estimators": 5}).group(0) != resolve(alone, {"n_estimators": 9}).group(1)
