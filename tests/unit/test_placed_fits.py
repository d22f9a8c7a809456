"""What a worker makes of trials that ask for a GPU: where it owns one, and where it does not."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from catboost import CatBoostClassifier
from folds import MAKERS, Kept, X, Y, fold
from lightgbm import LGBMClassifier
from lightgbm.basic import LightGBMError
from publishing import OBJECTIVE
from sklearn.ensemble import VotingClassifier
from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier

from producer import KerasModel
from warren.encoding.codec import encode
from warren.messages import Chunk, Trial
from warren.settings import Settings
from warren.storage.documents import now
from worker.fitting import learner_of
from worker.training.build import _warn_of_cpu
from worker.training.candidate import Candidate
from worker.training.trial_document import crash_outcome, trial_document

OWNS, OWNS_NONE = Settings(WARREN_DEVICE="gpu", WARREN_THREADS=1), Settings(WARREN_DEVICE="cpu", WARREN_THREADS=1)


def made(estimator: Any, params: dict[str, Any], settings: Settings) -> Any:
    return Candidate(encode(estimator, "it"), encode(params, "them"), settings)()


@pytest.mark.parametrize(
    ("estimator", "params", "name", "owned", "otherwise"),
    [
        (XGBClassifier(device="cuda:3"), {}, "device", "cuda", "cpu"),
        (XGBClassifier(), {"device": "gpu:1"}, "device", "gpu", "cpu"),
        (LGBMClassifier(device_type="gpu"), {}, "device_type", "gpu", "cpu"),
        (LGBMClassifier(), {"device": "cuda"}, "device", "cuda", "cpu"),
        (CatBoostClassifier(task_type="GPU"), {}, "task_type", "GPU", "CPU"),
        (KerasModel(device="gpu"), {}, "device", "gpu", "cpu"),
        (Pipeline([("clf", XGBClassifier())]), {"clf__device": "cuda"}, "clf__device", "cuda", "cpu"),
        (Pipeline([("clf", "passthrough")]), {"clf": XGBClassifier(device="cuda")}, "clf__device", "cuda", "cpu"),
        (VotingClassifier([("a", CatBoostClassifier(task_type="GPU"))]), {}, "a__task_type", "GPU", "CPU"),
        (XGBClassifier(tree_method="gpu_hist"), {}, "tree_method", "gpu_hist", "hist"),
    ],
)
def test_a_fit_runs_on_the_gpu_that_is_owned_and_else_on_the_cpu(
    estimator: Any, params: dict[str, Any], name: str, owned: str, otherwise: str
) -> None:
    assert made(estimator, params, OWNS).get_params()[name] == owned
    assert made(estimator, params, OWNS_NONE).get_params()[name] == otherwise


def test_that_fits_run_on_a_cpu_instead_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    _warn_of_cpu.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            made(XGBClassifier(), {"device": "cuda"}, OWNS_NONE)
        made(XGBClassifier(), {"device": "cpu"}, OWNS_NONE)
    assert [one.getMessage() for one in caplog.records] == [
        "this worker owns no GPU: trials that ask for one are fitted on the CPU"
    ]


@pytest.mark.parametrize(
    ("settings", "params", "device"),
    [
        (OWNS, {"device": "cuda"}, "gpu"),
        (OWNS, {"device": "cpu"}, "cpu"),
        (OWNS, {}, "cpu"),
        (OWNS_NONE, {"device": "cuda"}, "cpu"),
        (Settings(), {"device": "cuda"}, "cpu"),
    ],
)
def test_a_trial_s_document_says_where_its_fits_ran(settings: Settings, params: dict[str, Any], device: str) -> None:
    objective = OBJECTIVE.model_copy(update={"estimator": encode(XGBClassifier(), "it")})
    trial = Trial(number=0, estimator=None, params=params, estimated_seconds=1.0)
    chunk = Chunk(study_id="study", generation=1, index=0, objective=objective, trials=(trial,))
    outcome = crash_outcome(chunk, "killed", 1.0, None)
    document = trial_document(chunk, trial, settings, outcome, started_at=now(), attempts=1)
    assert document["device"] == device
    assert document["params"] == params


# XGBoost warns where there is no GPU, and goes on.
@pytest.mark.filterwarnings("ignore:.*No visible GPU is found:UserWarning", "ignore:.*Device is changed:UserWarning")
def test_what_a_gpu_bins_is_not_kept() -> None:
    kept, part = Kept(), fold()
    on_gpu = MAKERS["xgboost"](device="cuda")
    learner_of(type(on_gpu)).fit(on_gpu, part, kept)
    on_gpu = MAKERS["lightgbm"](device_type="cuda")
    with pytest.raises(LightGBMError):  # once its data are made
        learner_of(type(on_gpu)).fit(on_gpu, part, kept)
    assert kept.number == 0
    for name in ("xgboost", "lightgbm"):
        estimator = MAKERS[name]()
        learner_of(type(estimator)).fit(estimator, part, kept)
        assert np.array_equal(estimator.predict_proba(X), MAKERS[name]().fit(X[:160], Y[:160]).predict_proba(X))
    assert kept.number == 2
