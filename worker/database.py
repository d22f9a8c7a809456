"""What an evaluator needs of the database: a training process has it from its worker, over a connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from warren.storage.documents import Document


@dataclass(frozen=True, kw_only=True)
class PackedModel:
    """A fitted model, ready to be stored.

    Attributes
    ----------
    format : str
        Name of the format: a library's own, ``xgboost-ubj`` for one, or ``skops``.
    content : bytes
    facts : dict
        What the format leaves out and the estimator's class needs: JSON.
    """

    format: str
    content: bytes
    facts: Document = field(default_factory=dict)


class DatabaseAccess(Protocol):
    """What an evaluator needs of the database."""

    def blob(self, digest: str) -> bytes:
        """Return data or splits of the current chunk.

        Raises
        ------
        StudyError
            They are not in the database.
        """

    def store_model(self, number: int, model: PackedModel, cls: str) -> Document:
        """Store the fitted model of a trial, of a class by its dotted name; return what its document says of it."""

    def study_states(self, trials: Mapping[str, Iterable[int]]) -> tuple[dict[str, str], set[tuple[str, int]]]:
        """Return the states of studies, as far as they exist, and which of their trials have a result.

        Raises
        ------
        StoreError
            The database can't be reached.
        """
