"""Documents that the tests of the store write, and what they look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any

from study_documents import document

from warren.storage.documents import Document, now, pack, trial_id
from warren.storage.store import Store
from warren.storage.study_document import Progress, StudyDocument, StudyPlan

STUDY = "breast-cancer-0123456789ab"
DIGEST = "d" * 64


def trial(number: int, score: float = 0.5, state: str = "COMPLETE", **fields: Any) -> Document:
    return {
        "_id": trial_id(STUDY, number),
        "study_id": STUDY,
        "number": number,
        "estimator": "XGBClassifier",
        "state": state,
        "params": {"max_depth": number},
        "mean_test_score": score,
        "fit_seconds": 0.25,
        "score_seconds": 0.125,
        "saved_seconds": 0.5,
        "estimated_seconds": 1.0,
        "finished_at": now(),
        **fields,
    }


def study(n_trials: int = 10, study_id: str = STUDY, **fields: Any) -> StudyDocument:
    return StudyDocument.read(
        document(study_id, **{"name": "breast cancer", "generation": 1, "n_trials": n_trials, **fields})
    )


def add(store: Store, *documents: Document) -> StudyPlan | None:
    """Do what a worker does: insert, then count what was new."""
    new = store.trials.insert([pack(document) for document in documents])
    return store.add_progress(STUDY, [documents[position] for position in new])


def progress(store: Store) -> Progress:
    return read(store).progress


def read(store: Store) -> StudyDocument:
    found = store.study(STUDY, StudyDocument)
    assert found is not None
    return found


def writes(content: bytes) -> Callable[[IO[bytes]], None]:
    def write(stream: IO[bytes]) -> None:
        for start in range(0, len(content), 100_000):
            assert stream.write(content[start : start + 100_000]) > 0

    return write
