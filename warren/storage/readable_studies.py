"""Study documents as lists and pages read them: one that is none is left out of a list, and does not break it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from warren.errors import plain, short
from warren.messages import StudyId
from warren.storage.documents import Document

logger = logging.getLogger(__name__)

_Count = Annotated[int, Field(ge=0)]
# Ids that were told of, once in a process: pages read the list every second.
_told: set[str] = set()
_MOST_TOLD = 1_000


class _Part(BaseModel):
    """Part of a document: nothing is converted, and fields that nobody reads may be anything."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Best(_Part):
    score: float
    minus_number: int


class _Measured(_Part):
    trials: _Count = 0
    estimated_seconds: float = 0.0
    fit_seconds: float = 0.0


class _Progress(_Part):
    complete: _Count = 0
    failed: _Count = 0
    dead: _Count = 0
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    saved_seconds: float = 0.0
    last_result_at: datetime | None = None
    best: _Best | None = None
    estimators: dict[str, _Measured] = {}
    versions: dict[str, list[str]] = {}


class _Estimate(_Part):
    correction: float
    planned_seconds: float
    before: _Measured


class _Letter(_Part):
    numbers: list[_Count]
    reason: str


class _Missing(_Part):
    publication: int
    trials: _Count
    sure: bool
    certain: bool = False


class _Objective(_Part):
    refit: str


class _Data(_Part):
    shape: list[_Count]


class _Study(_Part):
    """What is read of a study beside others; of a list's documents some fields only."""

    id: StudyId = Field(alias="_id")
    name: str = ""
    state: Literal["RUNNING", "PAUSED", "CANCELLED", "COMPLETE"] = "RUNNING"
    generation: int = 0
    publications: int | None = None
    n_trials: _Count = 0
    created_at: datetime | None = None
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    progress: _Progress | None = None
    estimates: dict[str, _Estimate] | None = None
    dead_letters: list[_Letter] = []
    missing: _Missing | None = None
    versions: dict[str, str] = {}
    objective: _Objective | None = None
    data: _Data | None = None


# Fields that every version has written; a list that reads them can't do without.
_ALWAYS = ("name", "state", "n_trials", "created_at", "progress")


def only_studies(documents: Iterable[Document], fields: Iterable[str] | None = None) -> Iterator[Document]:
    """Yield the documents that are studies, and say of the others, once, that they were skipped.

    Parameters
    ----------
    documents : iterable of dict
    fields : iterable of str, default=None
        What was read of them; None is all.
    """
    needed = [name for name in _ALWAYS if fields is None or name in fields]
    for document in documents:
        if (problem := _problem(document, needed)) is None:
            yield document
        else:
            skip(document.get("_id"), f"it is no study ({problem})")


def skip(study_id: Any, problem: str) -> None:
    """Say, once in a process, why a document among the studies is left out."""
    shown = short(study_id)
    if shown not in _told and len(_told) < _MOST_TOLD:
        _told.add(shown)
        logger.warning("skipped document %s of the collection studies: %s", shown, problem)


def _problem(document: Document, needed: Iterable[str]) -> str | None:
    try:
        _Study.model_validate(document)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(plain(part) if isinstance(part, str) else str(part) for part in first["loc"])
        return f"{where}: {first['msg']}"
    missing = [name for name in needed if document.get(name) is None]
    return f"it has no {missing[0]}" if missing else None
