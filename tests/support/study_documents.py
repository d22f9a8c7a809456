"""Documents of studies, as a database has them."""

from __future__ import annotations

from typing import Any

from warren.storage.documents import Document
from warren.storage.study_document import Data, StudyDocument, StudyPlan

OBJECTIVE: Document = {
    "estimator": None,
    "dataset": "a" * 64,
    "splits": "b" * 64,
    "n_splits": 2,
    "scorers": {"score": None},
    "refit": "score",
    "error_score": 0.0,
    "return_train_score": False,
}


def document(study_id: str = "study", **fields: Any) -> Document:
    """Return the document of a study."""
    usual = StudyDocument.new(
        study_id,
        name="study",
        n_trials=10,
        objective=OBJECTIVE,
        space=[{"max_depth": [1, 2]}],
        estimator_in_grid=False,
        data=Data(X="ndarray", shape=[30, 2], n_samples=30, bytes=480),
        trial_timeout=None,
    )
    return usual.to_document() | fields


def plan(study_id: str = "study", **fields: Any) -> StudyPlan:
    """Return a study as a publication needs it."""
    return StudyPlan.read(document(study_id, **fields))
