"""Trials that ask for a GPU, through a queue of their own, and fitted on a CPU: what is compared
are a CPU's bits."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from nets import CODES, X, install_builders, needs_tensorflow
from polling import until
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier

import producer
from producer import KerasModel, Study, submit
from warren.broker import channel
from warren.errors import InputError
from warren.queues import CHUNKS_QUEUE, GPU_QUEUE
from warren.settings import Settings

StartWorker = Callable[..., "subprocess.Popen[bytes]"]

# Seconds that a worker may take to import TensorFlow, on a machine that others use too.
PATIENCE = 120
# Where a machine has a GPU, these tests don't use it.
ON_CPU = {"WARREN_DEVICE": "gpu", "CUDA_VISIBLE_DEVICES": "-1"}


def waiting(settings: Settings) -> tuple[int, int]:
    """Return how many chunks wait for a GPU, and in the first lane."""
    with channel(settings) as opened:
        declared = [opened.queue_declare(queue, passive=True).method for queue in (GPU_QUEUE, CHUNKS_QUEUE)]
    return int(declared[0].message_count), int(declared[1].message_count)


def networks_and_trees(*, on_gpu: bool) -> dict[str, Any]:
    """An estimator of each library, which asks for a GPU or says nothing."""
    words: dict[str, dict[str, Any]] = {
        "xgboost": {"device": "cuda"},
        "lightgbm": {"device_type": "gpu"},
        "catboost": {"task_type": "GPU"},
        "networks": {"device": "gpu"},
    }
    said = words if on_gpu else {name: {} for name in words}
    return {
        "xgboost": XGBClassifier(n_estimators=5, subsample=0.7, random_state=0, n_jobs=1, **said["xgboost"]),
        "lightgbm": LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1, **said["lightgbm"]),
        "catboost": CatBoostClassifier(
            n_estimators=5, verbose=False, allow_writing_files=False, thread_count=1, **said["catboost"]
        ),
        "networks": KerasModel(
            hidden_layers=(8,), epochs=2, dropout=0.2, random_state=0, deterministic=True, **said["networks"]
        ),
    }


AXES: dict[str, dict[str, list[Any]]] = {
    "xgboost": {"max_depth": [2, 3]},
    "lightgbm": {"num_leaves": [4, 7]},
    "catboost": {"depth": [2, 3]},
    "networks": {"learning_rate": [0.1, 0.01]},
}


def scores_here(grids: list[dict[str, list[Any]]]) -> dict[str, Any]:
    """Return scikit-learn's results of the same grids, fitted in this process and on its CPU."""
    named = [
        {name if name == "estimator" else f"estimator__{name}": values for name, values in grid.items()}
        for grid in grids
    ]
    search = GridSearchCV(Pipeline([("estimator", LogisticRegression())]), named, cv=2, refit=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(search.fit(X, CODES).cv_results_)


def assert_same_scores(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    names = [name for name in theirs if "test_" in name]
    assert len(names) == 2 + 3
    for name in names:
        assert np.array_equal(ours[name], theirs[name]), name


@pytest.mark.slow
@needs_tensorflow
def test_a_mixed_study_uses_two_queues_and_scores_as_on_a_cpu(
    servers: Settings, start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = networks_and_trees(on_gpu=False)
    asking = networks_and_trees(on_gpu=True)
    ours = [{"estimator": [asking[name]], **axes} for name, axes in AXES.items()]
    theirs = [{"estimator": [plain[name]], **axes} for name, axes in AXES.items()]
    beside = [{"estimator": [plain["xgboost"], plain["lightgbm"]], "learning_rate": [0.1, 0.3]}]
    study = submit(None, [*ours, *beside], X, CODES, cv=2, n_chunks=12, name=uuid4().hex)
    assert waiting(servers) == (8, 4)

    start_worker(WARREN_DEVICE="cpu")
    until(lambda: study.status().done == 4, PATIENCE, "the trials for a CPU have ended")
    assert waiting(servers) == (8, 0), "a worker without a GPU leaves those for one alone"
    assert set(study.results().index) == set(range(8, 12))

    # A package of this worker's image brings a builder.
    install_builders(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    start_worker(**ON_CPU, PYTHONPATH=str(tmp_path))
    study.wait(timeout=PATIENCE, progress=False)
    assert_same_scores(study.cv_results_, scores_here([*theirs, *beside]))
    rows = study.results()
    assert set(rows["state"]) == {"COMPLETE"}
    assert set(rows["device"]) == {"cpu"}, "where they ran, not what they asked for"
    assert set(rows["worker"][:8]) == {"worker-1"}
    assert rows["params"][0]["max_depth"] == 2

    network = KerasModel("wide", epochs=1, random_state=0, device="gpu")
    # Petabytes of weights, and a process has addresses for 128 terabytes. Less is no error on a
    # machine with vm.overcommit_memory=1, as every Kubernetes node is: the system gives it, until a
    # process is killed.
    grid = {"builder_params": [{"width": 10**14}, {"width": 3}]}
    cv = ShuffleSplit(1, random_state=0)  # TensorFlow waits ten seconds for memory to become free
    wide = submit(network, grid, X, CODES, cv=cv, n_chunks=1, name=uuid4().hex)
    wide.wait(timeout=PATIENCE, progress=False)
    rows = wide.results().sort_values("number")
    assert rows["state"].tolist() == ["FAILED", "COMPLETE"], "the next one goes on, with the layers of the package"
    assert rows["attempts"].tolist() == [1, 1], "no process was lost by it"
    assert "ResourceExhaustedError" in rows["error"][0]
    assert "OOM when allocating" in rows["error"][0]


@pytest.mark.slow
def test_device_sends_a_study_its_model_and_a_search_to_a_gpu_first(
    servers: Settings, start_worker: StartWorker
) -> None:
    trees = Pipeline([("clf", XGBClassifier(n_estimators=3, n_jobs=1))])

    def submitted(device: Any) -> Study:
        return submit(trees, {"clf__max_depth": [1, 2]}, X, CODES, cv=2, n_chunks=2, name="one word", device=device)

    study = submitted("gpu")
    assert waiting(servers) == (2, 0)
    other = submitted("cpu")
    assert waiting(servers) == (2, 2)
    assert submitted(None).id == other.id != study.id
    grid = {"max_depth": [1, 2, 3], "device": ["cpu", "cuda"]}
    mixed = submit(XGBClassifier(n_estimators=3, n_jobs=1), grid, X, CODES, cv=2, n_chunks=6, name=uuid4().hex)
    assert waiting(servers)[0] == 5

    worker = start_worker(**ON_CPU)
    for one in (study, other, mixed):
        one.wait(timeout=PATIENCE, progress=False)
    assert_same_scores(study.cv_results_, scores_here([{"estimator": [trees], "clf__max_depth": [1, 2]}]))
    rows = mixed.results().sort_values("started_at")
    assert [params["device"] for params in rows["params"]] == ["cuda"] * 3 + ["cpu"] * 3
    assert max(study.results()["started_at"]) < min(other.results()["started_at"])
    on_cpu, on_gpu = mixed.cv_results_["mean_test_score"].reshape(2, 3)
    assert np.array_equal(on_cpu, on_gpu)
    assert waiting(servers) == (0, 0)

    search = producer.GridSearchCV(
        LGBMClassifier(n_estimators=3, verbose=-1), {"num_leaves": [3, 5]}, cv=2, device="gpu", refit_on="here"
    ).fit(X, CODES)
    trial = search.study_.store.trials.one(search.study_.id, 0)
    assert search.study_.objective.estimator["params"]["device_type"] == "gpu"
    assert trial is not None
    assert trial["worker"] == "worker-0"

    worker.terminate()
    worker.wait(PATIENCE)
    with pytest.raises(TimeoutError):
        study.best_model(timeout=0.5)
    assert waiting(servers) == (1, 0)
    start_worker(**ON_CPU)
    assert study.best_model(timeout=PATIENCE).predict(X).shape == CODES.shape


def test_a_search_of_which_nothing_can_use_a_gpu_says_so(servers: Settings) -> None:
    with pytest.raises(InputError, match="no estimator of this study can use a GPU"):
        producer.GridSearchCV(LogisticRegression(), {"C": [1.0]}, device="gpu").fit(X, CODES)
