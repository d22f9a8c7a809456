"""The trials of one study for readers, without documents that are not the study's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from warren.storage.documents import Document
from warren.storage.expected_trials import COMPARED, Expected
from warren.storage.trials import Trials
from warren.storage.unfinished import Unfinished


class OwnTrials:
    """The results of one study, and what is known of its trials in training.

    The methods are those of `warren.storage.trials.Trials`, without the study's id.

    Parameters
    ----------
    trials : Trials
        The results of all studies.
    unfinished : Unfinished
        The unfinished work of all studies.
    expected : Expected
        The form of this study's documents.

    Raises
    ------
    StoreError
        Every method raises it when the server is unreachable or refuses.
    """

    def __init__(self, trials: Trials, unfinished: Unfinished, expected: Expected) -> None:
        self._trials = trials
        self._unfinished = unfinished
        self._id = expected.study_id
        self.expected = expected

    def of(self, fields: Sequence[str] | None = None) -> Iterator[Document]:
        """Yield its trial documents, in no order; with `fields`, only these."""
        return self._own(self._trials.of(self._id, _with(fields)), fields)

    def one(self, number: int) -> Document | None:
        """Return the document of an ended trial, or None."""
        found = self._trials.one(self._id, number)
        return next(self._own([found] if found else [], None), None)

    def at(self, numbers: Iterable[int], fields: Sequence[str] | None = None) -> Iterator[Document]:
        """Yield the documents of those of some trials that have ended, in no order."""
        return self._own(self._trials.at(self._id, numbers, _with(fields)), fields)

    def best(self, limit: int, query: Document | None = None) -> list[Document]:
        """Return the trials with the highest ``mean_test_score``.

        Among equals, lower numbers first.
        """
        most = limit
        while True:
            found = self._trials.best(self._id, most, query)
            own = list(self._own(found, None))
            if len(own) >= limit or len(found) < most:
                return own[:limit]
            most *= 2

    def failed(self, below: int, limit: int, fields: Sequence[str]) -> list[Document]:
        """Return some fields of the first failed trials."""
        return list(self._own(self._trials.failed(self._id, below, limit, [*fields, *COMPARED]), fields))

    def ended_since(
        self, moment: datetime, limit: int, fields: Sequence[str], *, newest: bool = False
    ) -> list[Document]:
        """Return some fields of the trials that ended at a moment or later, oldest first."""
        found = self._trials.ended_since(self._id, moment, limit, [*fields, *COMPARED], newest=newest)
        return list(self._own(found, fields))

    def finished_numbers(self) -> set[int]:
        """Return the numbers of its trials that have a result."""
        return {number for number in self._trials.finished_numbers(self._id) if 0 <= number < self.expected.n_trials}

    def in_training(self) -> list[Document]:
        """Return what is known of its trials with reported epochs."""
        found = self._unfinished.in_training(self._id)
        return list(self.expected.own(found, {"started_at", "epochs"}))

    def others(self) -> list[Any]:
        """Return the ids of documents that are stored under its name but are not its own."""
        # Compare only what makes a document a study's: a new field of a later version is no reason
        # to train a trial again.
        needed = self.expected.result - {"state"}
        found = self._trials.of(self._id, [*COMPARED, *needed])
        return [trial["_id"] for trial in found if self.expected.problem(trial, needed) is not None]

    def _own(self, documents: Iterable[Document], fields: Sequence[str] | None) -> Iterator[Document]:
        needed = self.expected.result if fields is None else self.expected.result.intersection(fields)
        return self.expected.own(documents, needed)


def _with(fields: Sequence[str] | None) -> Sequence[str] | None:
    return fields and [*fields, *COMPARED]
