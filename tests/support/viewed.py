"""Results as workers would have written them over some minutes, for what is drawn and said
of a study."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from submitting import own_fields

from producer import Study
from warren.storage.documents import Document, now, pack, trial_id
from warren.storage.store import Store


def result(study: Study, number: int, end: datetime, *, seconds: float = 2.0, **fields: Any) -> Document:
    """Return the document of a trial that ended then; ``state="FAILED"`` gives it no scores."""
    failed = fields.get("state") == "FAILED"
    score = math.nan if failed else 0.5 + (number * 37 % 100) / 250
    document = {
        "_id": trial_id(study.id, number),
        "study_id": study.id,
        "number": number,
        "estimator": "DecisionTreeClassifier",
        **own_fields(study, number, score),
        "state": "COMPLETE",
        "error": "fold 1: ValueError: no" if failed else None,
        "mean_test_score": score,
        "std_test_score": 0.01,
        "fit_seconds": 0.75 * seconds,
        "score_seconds": 0.25 * seconds,
        "saved_seconds": 0.5 * seconds,
        "shared_by": 1,
        "estimated_seconds": seconds,
        "worker": f"node-{number % 2}",
        "attempts": 1,
        "started_at": end - timedelta(seconds=seconds),
        "finished_at": end,
    }
    for place, metric in enumerate(study.objective.scorers):
        folds = [score + 0.01 * (fold - 1) - 0.1 * place for fold in range(study.objective.n_splits)]
        document |= {f"mean_test_{metric}": sum(folds) / len(folds), f"split_test_{metric}": folds}
    if failed:
        document["failed_fits"] = study.objective.n_splits
    return document | fields


def write(store: Store, study: Study, documents: Iterable[Document]) -> None:
    """Write results and count them, as a worker does."""
    documents = list(documents)
    new = store.trials.insert([pack(document) for document in documents])
    store.add_progress(study.id, [documents[position] for position in new])


def write_some(store: Store, study: Study, numbers: Iterable[int], *, every: float = 1.0, **fields: Any) -> None:
    """Write results that ended one after the other, so many seconds apart, the last of them now."""
    numbers = list(numbers)
    last = now()
    ends = [last - timedelta(seconds=every * (len(numbers) - 1 - place)) for place in range(len(numbers))]
    write(store, study, [result(study, number, end, **fields) for number, end in zip(numbers, ends, strict=True)])
