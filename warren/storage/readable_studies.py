"""Read study documents for lists and pages.

An invalid one is left out and does not break the list.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import ValidationError

from warren.errors import short
from warren.storage.documents import Document
from warren.storage.study_document import StudyKey, problem_of

logger = logging.getLogger(__name__)

# Ids that were reported, to do it once in a process: pages read the list every second.
_reported: set[str] = set()
_MOST_REPORTED = 1_000

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
            skip(document.get("_id"), f"its document is invalid ({problem_of(exc)})")


def skip(study_id: Any, problem: str) -> None:
    """Log, once in a process, why a document among the studies is left out."""
    shown = short(study_id)
    if shown not in _reported and len(_reported) < _MOST_REPORTED:
        _reported.add(shown)
        logger.warning("skipped document %s of the collection studies: %s", shown, problem)
