"""The collection ``trials``: one document per ended trial, with the id ``<study>:<number>``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from warren.storage.documents import Document, trial_id
from warren.storage.mongo import Explained, StoreCollection
from warren.storage.progress_counts import COUNTED, GROUP, totals
from warren.storage.unfinished import pages

# MongoDB's code for an existing key; when a result is inserted, that is a success.
_DUPLICATE_KEY = 11000
# One index to count and resume without reading documents, and one that has the best first.
_COUNT_AND_RESUME = [("study_id", 1), ("state", 1), ("number", 1)]
_BEST_FIRST = [("study_id", 1), ("mean_test_score", -1), ("number", 1)]
# A third for readers that follow a study: they read only what has ended since the last time.
_AS_THEY_ENDED = [("study_id", 1), ("finished_at", 1)]


class Trials(StoreCollection):
    """The results of one database. A trial that was delivered twice keeps its first result."""

    def __init__(self, collection: Collection[Document], explained: Explained) -> None:
        super().__init__(collection, explained)
        self._raw = collection.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))

    def prepare(self) -> None:
        """Create the indexes; harmless if they exist."""
        with self._explained():
            for index in (_COUNT_AND_RESUME, _BEST_FIRST, _AS_THEY_ENDED):
                self._collection.create_index(index)

    def insert(self, packed: Sequence[bytes]) -> list[int]:
        """Write the results of trials that have none yet; return when they are durable.

        Parameters
        ----------
        packed : sequence of bytes
            Trial documents made by `pack`.

        Returns
        -------
        list of int
            Positions of the results that were new.
        """
        if not packed:
            return []
        refused: set[int] = set()
        with self._explained():
            try:
                self._raw.insert_many([RawBSONDocument(document) for document in packed], ordered=False)
            except BulkWriteError as exc:
                errors = exc.details.get("writeErrors", [])
                if exc.details.get("writeConcernErrors") or any(error["code"] != _DUPLICATE_KEY for error in errors):
                    raise
                refused = {error["index"] for error in errors}
        return [position for position in range(len(packed)) if position not in refused]

    def finished_numbers(self, study_id: str, among: Iterable[int] | None = None) -> set[int]:
        """Return the numbers of a study's trials that have a result, of all or of some."""
        with self._explained():
            if among is None:
                # All fields are in one index, so that a server answers without reading documents.
                found = self._collection.find({"study_id": study_id}, {"_id": 0, "number": 1}).hint(_COUNT_AND_RESUME)
                numbers = (document.get("number") for document in found)
                return {number for number in numbers if isinstance(number, int)}
            ids = ([trial_id(study_id, number) for number in page] for page in pages(among))
            return {
                int(document["_id"].rpartition(":")[2])
                for page in ids
                for document in self._collection.find({"_id": {"$in": page}}, {"_id": 1})
            }

    def of(self, study_id: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
        """Yield a study's trial documents, in no order; with `fields`, only these."""
        with self._explained():
            projection = fields and {"_id": 0, **dict.fromkeys(fields, 1)}
            yield from self._collection.find({"study_id": study_id}, projection).batch_size(20_000)

    def one(self, study_id: str, number: int) -> Document | None:
        """Return the document of an ended trial, or None."""
        with self._explained():
            return self._collection.find_one({"_id": trial_id(study_id, number)})

    def at(self, study_id: str, numbers: Iterable[int], fields: Sequence[str] | None = None) -> Iterator[Document]:
        """Yield the documents of those of some trials that have ended, in no order.

        With `fields`, only these.
        """
        projection = fields and {"_id": 0, **dict.fromkeys(fields, 1)}
        with self._explained():
            for page in pages(numbers):
                wanted = [trial_id(study_id, number) for number in page]
                yield from self._collection.find({"_id": {"$in": wanted}}, projection)

    def best(self, study_id: str, limit: int, query: Document | None = None) -> list[Document]:
        """Return the trials with the highest ``mean_test_score``.

        Among equals, lower numbers first.

        A trial counts if all its fits succeeded and its score is a number, even if another metric
        failed.
        """
        scored = {"mean_test_score": {"$gte": -math.inf}, "failed_fits": {"$in": [None, 0]}}
        wanted = {"study_id": study_id, **scored, **(query or {})}
        with self._explained():
            # Without curves, which may be larger than all other fields of a thousand documents.
            found = self._collection.find(wanted, {"split_epochs": 0})
            return list(found.sort([("mean_test_score", -1), ("number", 1)]).limit(limit))

    def failed(self, study_id: str, below: int, limit: int, fields: Sequence[str]) -> list[Document]:
        """Return some fields of the first failed trials of a study.

        Parameters
        ----------
        study_id : str
            The study.
        below : int
            Trials from this number on are ignored: a simple server reads all that match before it
            applies a limit.
        limit : int
            Most documents to return.
        fields : sequence of str
            The fields to return.

        Returns
        -------
        list of dict
            By number.
        """
        # One range of the index for counting: study, state and number.
        failed = {"study_id": study_id, "state": "FAILED", "number": {"$lt": below}}
        with self._explained():
            return list(self._collection.find(failed, dict.fromkeys(fields, 1)).sort("number", 1).limit(limit))

    def ended_since(
        self, study_id: str, moment: datetime, limit: int, fields: Sequence[str], *, newest: bool = False
    ) -> list[Document]:
        """Return some fields of the trials that ended at a moment or later, oldest first.

        Parameters
        ----------
        study_id : str
            The study.
        moment : datetime
            It should be so late that few trials match: a simple server sorts all of them.
        limit : int
            Most documents to return.
        fields : sequence of str
            The fields to return, including ``finished_at``.
        newest : bool, default=False
            Whether to return the last `limit` instead of the first, if there are more.

        Returns
        -------
        list of dict
            In the order in which they ended.
        """
        wanted = {"study_id": study_id, "finished_at": {"$gte": moment}}
        with self._explained():
            found = self._collection.find(wanted, dict.fromkeys(fields, 1))
            ended = list(found.sort("finished_at", -1 if newest else 1).limit(limit))
        return ended[::-1] if newest else ended

    def counts(self, study_id: str, n_trials: int) -> tuple[Document, Document | None]:
        """Return the count of a study from its documents, and its best score.

        Documents that can't be its own, as far as a query can tell, don't count: they must not end
        it early.
        """
        of_study = {"study_id": study_id, "number": {"$gte": 0, "$lt": n_trials}, **COUNTED}
        with self._explained():
            groups = self._collection.aggregate([{"$match": of_study}, {"$group": GROUP}])
            return totals(list(groups))

    def delete_of(self, study_id: str) -> None:
        """Delete every result of a study."""
        with self._explained():
            self._collection.delete_many({"study_id": study_id})

    def delete(self, ids: Iterable[Any]) -> None:
        """Delete some documents by their ids."""
        with self._explained():
            for page in pages(ids):
                self._collection.delete_many({"_id": {"$in": page}})

    def delete_failed(self, study_id: str) -> list[int]:
        """Delete a study's failed trials; return their numbers."""
        failed = {"study_id": study_id, "state": "FAILED"}
        with self._explained():
            found = self._collection.find(failed, {"number": 1})
            numbers = [document["number"] for document in found if isinstance(document.get("number"), int)]
            self._collection.delete_many(failed)
        return numbers
