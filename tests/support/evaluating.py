"""A worker's evaluator with data in memory, and chunks for it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from blobs import Blobs
from sklearn.model_selection import KFold
from xgboost import XGBClassifier

from warren.encoding.codec import encode_estimator
from warren.messages import Chunk, Objective, Trial, encode_chunk
from warren.settings import Settings
from warren.storage.dataset import Dataset, Split
from warren.storage.documents import Document, pack, unpack
from worker.training.evaluator import ChunkEvaluator

DRAW = np.random.default_rng(2)
X = DRAW.normal(size=(90, 4))
Y = (X[:, 0] + X[:, 1] * X[:, 2] + DRAW.normal(size=90) > 0).astype(int)
SPLITS: list[Split] = list(KFold(3).split(X))
APART: list[Split] = [(train[15:], train[:15]) for train, _ in SPLITS]
SETTINGS = Settings(WARREN_THREADS=1)
SMALL = XGBClassifier(max_depth=2, learning_rate=0.5, n_jobs=1)
SCORES = ("split_test_score", "split_train_score", "mean_test_score", "std_test_score", "mean_train_score")


class Worker:
    """A worker's evaluator and the data that it reads, from nowhere but memory."""

    def __init__(self, y: Any = Y, x: Any = X, n_splits: int = len(SPLITS)) -> None:
        self.blobs = Blobs()
        self.n_splits = n_splits
        self._dataset = self.blobs.keep_dataset(Dataset(X=x, y=y))
        self._splits = self.blobs.keep_splits(SPLITS[:n_splits])
        self._apart = self.blobs.keep_splits(APART[:n_splits])
        self.evaluator = ChunkEvaluator(self.blobs.supplies, SETTINGS)

    def chunk(self, estimator: Any, *trials: Any, validation: bool = False, **fields: Any) -> Chunk:
        objective = Objective(
            estimator=None if estimator is None else encode_estimator(estimator, "estimator"),
            dataset=self._dataset,
            splits=self._splits,
            validation=self._apart if validation else None,
            n_splits=self.n_splits,
            scorers=fields.pop("scorers", {"score": "neg_log_loss"}),
            refit=fields.pop("refit", "score"),
            error_score=math.nan,
            return_train_score=True,
        )
        made = tuple(
            trial if isinstance(trial, Trial) else Trial(number=number, params=trial)
            for number, trial in enumerate(trials)
        )
        return Chunk(study_id="study", generation=1, index=0, objective=objective, trials=made, **fields)

    def run(self, chunk: Chunk, skip: set[int] | None = None, attempts: dict[int, int] | None = None) -> list[Document]:
        ended = self.evaluator.evaluate(encode_chunk(chunk), skip or set(), attempts or {})
        return [unpack(pack(one)) for documents in ended for one in documents]

    def evaluate(self, estimator: Any, *trials: Any, **fields: Any) -> list[Document]:
        return self.run(self.chunk(estimator, *trials, **fields))


def rounds(*numbers: int, **params: Any) -> list[dict[str, Any]]:
    return [params | {"n_estimators": number} for number in numbers]


def shared_by(documents: list[Document]) -> list[int]:
    return [one["shared_by"] for one in documents]


def same_outcome(found: list[Document], expected: list[Document]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        for field in ("number", "state", "error", "params", "seed", "attempts", *SCORES):
            assert repr(ours[field]) == repr(theirs[field]), (field, ours["number"])
