"""As much of a store and of a queue as a publication needs, in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

import pytest
from study_documents import document

from producer.publishing import publication
from producer.publishing.outbox import Message
from producer.publishing.publication import publish_missing
from producer.space.space import Space
from warren.messages import Chunk, Objective, decode_chunk
from warren.settings import Settings
from warren.storage.documents import Document
from warren.storage.store import Store
from warren.storage.study_document import StudyKey, StudyPlan

P = TypeVar("P", bound=StudyKey)

OBJECTIVE = Objective(
    estimator={"__estimator__": "sklearn.tree.DecisionTreeClassifier", "params": {}},
    dataset="a" * 64,
    splits="b" * 64,
    n_splits=2,
    scorers={"score": None},
    refit="score",
    error_score=math.nan,
    return_train_score=False,
)


class Memory:
    """As much of a store as a publication needs."""

    def __init__(self, space: Space, finished: Iterable[int] = (), **fields: Any) -> None:
        self.finished = set(finished)
        self.calls: list[str] = []
        self.others: list[Document] = []
        self.messages: list[Message] = []
        self.properties: dict[str, Any] = {}
        self.trials = self
        self.published = self
        self.noted: dict[int, bytes] = {}
        self.dropped_before: int | None = None
        own = {
            "state": "PAUSED",
            "queue": "chunks",
            "generation": 3,
            "publications": 3,
            "progress": {"complete": len(self.finished), "failed": 0, "estimators": {}},
            "n_trials": space.size,
            "train_rows": 20,
            "n_classes": 2,
        }
        self.document: Document | None = document(**own | fields)

    def update_study(self, study_id: str, update: Document, only_if: Document | None = None) -> StudyPlan | None:
        if self.document is None:
            return None
        self.calls.append("update")
        self.document["publications"] += update.get("$inc", {}).get("publications", 0)
        self.document["generation"] = max(self.document["generation"], update.get("$max", {}).get("generation", 0))
        self.document.update(update["$set"])
        return StudyPlan.read(self.document)

    def study(self, study_id: str, part: type[P]) -> P | None:
        self.calls.append("study")
        return part.read(self.document) if self.document else None

    def note(self, study_id: str, generation: int, bodies: Mapping[int, bytes]) -> None:
        self.noted.update(bodies)

    def drop(self, study_id: str, before: int | None = None) -> None:
        self.dropped_before = before

    url = "mongodb://localhost/tuning"

    def identity(self) -> str:
        return "a" * 32

    def queue_shared(self, study_id: str, queue: str) -> bool:
        return False

    def finished_numbers(self, study_id: str) -> set[int]:
        self.calls.append("finished")
        return self.finished

    def studies(self, part: type[P], limit: int) -> list[P]:
        self.calls.append("studies")
        return [part.read(one) for one in self.others]

    def recount(self, study_id: str) -> StudyPlan | None:
        self.calls.append("recount")
        return StudyPlan.read(self.document) if self.document else None


def publish_to(
    memory: Memory,
    space: Space,
    monkeypatch: pytest.MonkeyPatch,
    objective: Objective = OBJECTIVE,
    settings: Settings | None = None,
) -> list[Chunk]:
    """Publish what is missing; return what went to the queue."""
    published: list[Chunk] = []

    def publish(settings: Settings, queue: str, messages: Iterable[Message], **properties: Any) -> int:
        assert queue == "chunks"
        memory.calls.append("publish")
        memory.properties = properties
        memory.messages = list(messages)
        published.extend(decode_chunk(message.body) for message in memory.messages)
        for message in memory.messages:
            properties["on_safe"](message)
        return len(published)

    monkeypatch.setattr(publication, "publish", publish)
    count = publish_missing(cast("Store", memory), settings or Settings(), "study", objective, space)
    assert count == sum(len(chunk.trials) for chunk in published)
    return published


def numbers(published: Iterable[Chunk]) -> list[list[int]]:
    return [[trial.number for trial in chunk.trials] for chunk in published]
