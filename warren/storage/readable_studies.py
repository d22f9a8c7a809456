"""Study documents as lists and pages read them: one that is none is left out of a list, and does not break it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import ValidationError

from warren.errors import short
from warren.storage.documents import Document
from warren.storage.study_document import StudyKey, problem_of

logger = logging.getLogger(__name__)

# Ids that were told of, once in a process: pages read the list every second.
_told: set[str] = set()
_MOST_TOLD = 1_000

P = TypeVar("P", bound=StudyKey)


def only_studies(documents: Iterable[Document], part: type[P]) -> Iterator[P]:
    """Yield the documents that are studies, and say of the others, once, that they were skipped.

    Parameters
    ----------
    documents : iterable of dict
    part : type
        What to read of them.
    """
    for document in documents:
        try:
            yield part.model_validate(document)
        except ValidationError as exc:
            skip(document.get("_id"), f"it is no study ({problem_of(exc)})")


def skip(study_id: Any, problem: str) -> None:
    """Say, once in a process, why a document among the studies is left out."""
    shown = short(study_id)
    if shown not in _told and len(_told) < _MOST_TOLD:
        _told.add(shown)
        logger.warning("skipped document %s of the collection studies: %s", shown, problem)
