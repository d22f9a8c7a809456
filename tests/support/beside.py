"""A grid on a worker's evaluator in this process, next to scikit-learn's search: the same scores,
bit for bit."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from blobs import Blobs
from sklearn.model_selection import GridSearchCV, KFold

from producer.models.refit import refit_estimator
from producer.planning.chunk_sizes import cut
from producer.planning.cost import Shape
from producer.planning.plan import Plan
from producer.publishing.publication import chunks
from producer.space.space import Space
from producer.validation import check_estimators
from producer.validation.estimators import Candidates
from warren.messages import Objective, encode_chunk
from warren.settings import Settings
from warren.storage.dataset import Dataset
from warren.storage.documents import Document
from worker.training.evaluator import ChunkEvaluator

DRAW = np.random.default_rng(3)
X = DRAW.normal(size=(90, 5))
Y = (X[:, 0] + X[:, 1] * X[:, 2] + DRAW.normal(size=90) / 2 > 0).astype(int)
CV = KFold(3)


def on_worker(estimator: Any, grid: Any, x: Any = X, y: Any = Y) -> tuple[Candidates, Space, list[Document]]:
    """Submit, plan, publish and evaluate a grid without servers; trials by number."""
    space = Space(grid)
    found = check_estimators(estimator, space)
    blobs = Blobs()
    objective = Objective(
        estimator=found.encoded,
        dataset=blobs.keep_dataset(Dataset(X=x, y=y)),
        splits=blobs.keep_splits(list(CV.split(x))),
        n_splits=3,
        scorers={"score": None},
        refit="score",
        error_score=math.nan,
        return_train_score=False,
    )
    evaluator = ChunkEvaluator(blobs.supplies, Settings(WARREN_THREADS=1))
    plan = Plan(space, found.encoded, Shape(60, 5, 2), 3, estimator_in_grid=found.own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit's own go to a worker's log
        documents = [
            document
            for chunk in chunks("study", 1, objective, space, cut(plan, None), estimator_in_grid=found.own)
            for ended in evaluator.evaluate(encode_chunk(chunk))
            for document in ended
        ]
    return found, space, sorted(documents, key=lambda document: document["number"])


def assert_as_scikit_learn(estimator: Any, grid: Any, x: Any = X, y: Any = Y) -> list[Document]:
    """Compare the scores of every trial on every fold, and those of the best one refitted; return
    the trials."""
    found, space, documents = on_worker(estimator, grid, x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the numbers say it all
        theirs = GridSearchCV(estimator, grid, cv=CV, n_jobs=1).fit(x, y)
        [(_, params)] = space.encoded_points([int(theirs.best_index_)])
        again = refit_estimator(_own(found, params), params, None).fit(x, y)
    assert [document["error"] for document in documents] == [None] * space.size
    expected = np.array([theirs.cv_results_[f"split{fold}_test_score"] for fold in range(3)]).T
    np.testing.assert_array_equal([document["split_test_score"] for document in documents], expected)
    assert again.score(x, y) == theirs.score(x, y)
    return documents


def _own(found: Candidates, params: dict[str, Any]) -> Mapping[str, Any] | None:
    return params.pop("estimator") if found.own else found.encoded
