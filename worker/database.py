"""What an evaluator needs of the database: a training process asks its worker for it."""

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
        """Store the fitted model of a trial; return what the trial's document says of it.

        Parameters
        ----------
        number : int
            The trial.
        model : PackedModel
        cls : str
            Dotted name of the model's class.
        """

    def study_states(self, trials: Mapping[str, Iterable[int]]) -> tuple[dict[str, str], set[tuple[str, int]]]:
        """Return the states of the studies that exist, and which of their trials have a result.

        Raises
        ------
        StoreError
            The database can't be reached.
        """
