"""Read study documents for lists and pages.

An invalid one is left out and does not break the list.
"""

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
# Ids that were reported, to do it once in a process: pages read the list every second.
_reported: set[str] = set()
_MOST_REPORTED = 1_000


class _Part(BaseModel):
    """Part of a document: nothing is converted, and unused fields may be anything."""

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
    """The fields of a study that lists and pages read; a list may read only some of them."""

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


# Fields that every version has written; a list that reads them needs them.
_ALWAYS = ("name", "state", "n_trials", "created_at", "progress")


def only_studies(documents: Iterable[Document], fields: Iterable[str] | None = None) -> Iterator[Document]:
    """Yield the documents that are studies; log once for each other one that it was skipped.

    Parameters
    ----------
    documents : iterable of dict
        Documents of the collection ``studies``.
    fields : iterable of str, default=None
        The fields that were read; None for all.

    Yields
    ------
    dict
        A study.
    """
    needed = [name for name in _ALWAYS if fields is None or name in fields]
    for document in documents:
        if (problem := _problem(document, needed)) is None:
            yield document
        else:
            skip(document.get("_id"), f"it is no study ({problem})")


def skip(study_id: Any, problem: str) -> None:
    """Log, once in a process, why a document among the studies is left out."""
    shown = short(study_id)
    if shown not in _reported and len(_reported) < _MOST_REPORTED:
        _reported.add(shown)
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
