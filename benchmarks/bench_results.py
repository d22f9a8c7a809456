"""Seconds to read results: of 26,160 written trials on 5 folds, and of 100,000 trials that ran."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from benchmarks.bench_overhead import WORKERS, run
from benchmarks.machine import describe, workers
from producer.space.space import Space
from warren import Study
from warren.host import cpu_model
from warren.messages import Objective
from warren.settings import load_settings
from warren.storage.documents import Document, now, pack, trial_id
from warren.storage.store import Store
from warren.storage.study_document import Data, StudyDocument
from warren.versions import versions

TRIALS, AIM_SECONDS = 100_000, 5.0
FOLDS, GRID_AIM_SECONDS = 5, 2.0
# 26,160 points of six parameters: numbers, text and a missing value.
GRID: dict[str, Any] = {
    "max_depth": [None, *range(2, 11)],
    "learning_rate": [round(0.01 * step, 2) for step in range(1, 110)],
    "subsample": [0.7, 0.85, 1.0],
    "n_estimators": [100, 200, 300, 400],
    "booster": ["gbtree", "dart"],
    "reg_lambda": [1.0],
}
# Trials for each write.
_BATCH = 2_000


def fill(store: Store, study_id: str = "bench-0123456789ab") -> Study:
    """Write one document for each trial, as workers do, and let the study end."""
    space = Space(GRID)
    objective = Objective(
        estimator={"__estimator__": "xgboost.XGBClassifier", "params": {}},
        dataset="a" * 64,
        splits="b" * 64,
        n_splits=FOLDS,
        scorers={"score": "roc_auc"},
        refit="score",
        error_score=math.nan,
        return_train_score=False,
    )
    store.prepare()
    store.create_study(
        StudyDocument.new(
            study_id,
            name="bench",
            n_trials=space.size,
            objective=objective.model_dump(),
            space=space.encode(),
            data=Data(X="ndarray", shape=[569, 30], n_samples=569, bytes=0),
        )
    )
    draw = np.random.default_rng(0)
    batch: list[bytes] = []
    for number, params in enumerate(space):
        batch.append(pack(_trial(study_id, number, params, *draw.random((3, FOLDS)))))
        if len(batch) == _BATCH or number == space.size - 1:
            store.trials.insert(batch)
            batch.clear()
    store.recount(study_id)
    return Study.attach(study_id)


def _trial(study_id: str, number: int, params: Document, scores: Any, fits: Any, times: Any) -> Document:
    return {
        "_id": trial_id(study_id, number),
        "study_id": study_id,
        "number": number,
        "estimator": "XGBClassifier",
        "library": "xgboost",
        "params": params,
        "state": "COMPLETE",
        "error": None,
        "mean_test_score": float(scores.mean()),
        "std_test_score": float(scores.std()),
        "split_test_score": scores.tolist(),
        "fit_seconds": float(fits.sum()),
        "score_seconds": float(times.sum()),
        "saved_seconds": 0.0,
        "split_fit_seconds": fits.tolist(),
        "split_score_seconds": times.tolist(),
        "shared_by": 4,
        "worker": "worker-0",
        "attempts": 1,
        "estimated_seconds": 1.0,
        "started_at": now(),
        "finished_at": now(),
        "threads": 1,
        "seed": number,
        "dataset": "a" * 64,
        "splits": "b" * 64,
        "cpu": cpu_model(),
        "versions": versions("xgboost"),
    }


def _seconds(read: Callable[[], object], runs: int) -> float:
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        read()
        taken.append(time.perf_counter() - began)
    return median(taken)


def measure_grid(study: Study, store: Store, runs: int = 5) -> list[str]:
    """Return the medians of reading a grid's study: from its table, and from its documents."""
    aim = f"aim: under {GRID_AIM_SECONDS:g} s"
    ended = measure(study, runs)
    store.update_study(study.id, {"$set": {"state": "PAUSED"}})
    running = measure(study, runs)
    began = time.perf_counter()
    store.recount(study.id)
    ending = time.perf_counter() - began
    return [
        f"ended, read from its table: {ended} ({aim})",
        f"not ended, read from its documents: {running}",
        f"counted and its table made, when the last trial ends: {ending:.2f} s",
    ]


def measure(study: Study, runs: int = 3) -> str:
    """Return the medians of `runs` readings."""
    reads: dict[str, Callable[[], object]] = {
        "results()": study.results,
        "cv_results_": lambda: study.cv_results_,
        "status()": study.status,
    }
    return ", ".join(f"{name} {_seconds(read, runs):.2f} s" for name, read in reads.items())


def main() -> None:
    """Print the figures."""
    with workers(0) as servers:
        print(f"{describe()}\n{servers}")
        store = Store(load_settings())
        study = fill(store)
        print(f"reading {study.status().total:,} trials on {FOLDS} folds:")
        print("\n".join(measure_grid(study, store)))
        store.close()
    with workers(WORKERS):
        ran = run(TRIALS)
        print(ran)
        print(f"reading {TRIALS:,} trials: {measure(ran.study)} (aim for results(): under {AIM_SECONDS:g} s)")


if __name__ == "__main__":
    main()
