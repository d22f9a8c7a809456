"""A study of 26,160 trials with made-up results, to measure code that reads results."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from lightgbm import LGBMClassifier
from sklearn.datasets import load_breast_cancer
from xgboost import XGBClassifier

from warren import Study, submit
from warren.settings import load_settings
from warren.storage.documents import Document, now, pack, trial_id
from warren.storage.store import Store

TRIALS = 26_160
METRICS = ("roc_auc", "accuracy")
_FOLDS = 5
# Documents for each write.
_PAGE = 2_000

# 13,080 points each: 15 x 8 x 109.
GRIDS: list[dict[str, Any]] = [
    {
        "estimator": [XGBClassifier(random_state=0)],
        "learning_rate": [round(0.01 * 1.25**step, 4) for step in range(15)],
        "max_depth": range(2, 10),
        "n_estimators": range(50, 595, 5),
    },
    {
        "estimator": [LGBMClassifier(random_state=0)],
        "learning_rate": [round(0.01 * 1.25**step, 4) for step in range(15)],
        "num_leaves": [4, 8, 12, 16, 24, 32, 48, 64],
        "n_estimators": range(50, 595, 5),
    },
]


def made_up(study: Study, numbers: Iterable[int], hours_ago: float = 2.0) -> Iterator[Document]:
    """Yield documents as workers write them, with all fields.

    Parameters
    ----------
    study : Study
        Of `GRIDS`, submitted.
    numbers : iterable of int
        Of its trials.
    hours_ago : float, default=2.0
        When the first of them began; ten others follow each second.
    """
    drawn = random.Random(0)
    first = now() - timedelta(hours=hours_ago)
    for place, number in enumerate(numbers):
        scores = {metric: [0.5 + drawn.random() / 2 for _ in range(_FOLDS)] for metric in METRICS}
        estimator = "XGBClassifier" if number < TRIALS // 2 else "LGBMClassifier"
        failed = drawn.random() < 0.01
        means = {metric: sum(found) / _FOLDS for metric, found in scores.items()}
        yield {
            "_id": trial_id(study.id, number),
            "study_id": study.id,
            "number": number,
            "estimator": estimator,
            "library": "xgboost",
            "params": {"estimator": estimator, "learning_rate": 0.1, "max_depth": 3, "n_estimators": 100},
            "state": "FAILED" if failed else "COMPLETE",
            "error": "fold 0: ValueError: made up" if failed else None,
            "mean_test_score": means[METRICS[0]],
            "std_test_score": 0.01,
            **{f"mean_test_{metric}": mean for metric, mean in means.items()},
            **{f"std_test_{metric}": 0.01 for metric in METRICS},
            **{f"split_test_{metric}": found for metric, found in scores.items()},
            "fit_seconds": drawn.random(),
            "score_seconds": 0.01,
            "saved_seconds": 0.1,
            "split_fit_seconds": [0.1] * _FOLDS,
            "split_score_seconds": [0.002] * _FOLDS,
            "worker": f"worker-{number % 40}",
            "attempts": 1,
            "estimated_seconds": 0.5,
            "started_at": first + timedelta(milliseconds=100 * place),
            "finished_at": first + timedelta(milliseconds=100 * place + 900),
            "threads": 1,
            "seed": number,
            "dataset": "d" * 64,
            "splits": "s" * 64,
            "cpu": "made up",
            "versions": {"python": "3.11", "xgboost": "3.2", "scikit-learn": "1.9"},
        }


def insert(study: Study, documents: Iterable[Document]) -> None:
    """Write results as workers do: documents, then their count."""
    store = Store(load_settings())
    try:
        page: list[Document] = []
        for document in [*documents, None]:
            if document is not None:
                page.append(document)
            if page and (document is None or len(page) == _PAGE):
                new = store.trials.insert([pack(one) for one in page])
                store.add_progress(study.id, [page[position] for position in new])
                page = []
    finally:
        store.close()


def shuffled(seed: int = 0) -> list[int]:
    """Return the numbers of all trials in an order in which workers might end them."""
    numbers = list(range(TRIALS))
    random.Random(seed).shuffle(numbers)
    return numbers


def study(name: str = "made up") -> Study:
    """Submit the study; no worker takes it."""
    X, y = load_breast_cancer(return_X_y=True)
    return submit(None, GRIDS, X, y, scoring=list(METRICS), refit=METRICS[0], cv=_FOLDS, name=name)
