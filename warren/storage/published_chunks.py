"""The collection ``published``: digests of a study's chunks, recorded before the broker gets them.

Anyone who may publish can write a message that names a study and its next chunk. So the submitter
records the SHA-256 of each body, in one small document per chunk under
``<study>/<generation>/<index>``, and a study's document lists in ``noted`` the publications for
which that was done. A message with another body is not the study's: it is neither trained nor
counted. The records of a publication are deleted when the study is published again, ends or is
deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pymongo
from pymongo.errors import BulkWriteError

from warren.storage.documents import Document
from warren.storage.mongo import StoreCollection

_DUPLICATE_KEY = 11000


class Published(StoreCollection):
    """The records of published chunks of one database."""

    def note(self, study_id: str, generation: int, bodies: Mapping[int, bytes]) -> None:
        """Record the bodies of chunks, by index; a later record replaces an earlier one.

        Parameters
        ----------
        study_id : str
            The study.
        generation : int
            Number of the publication.
        bodies : mapping of int to bytes
            The messages.
        """
        notes = [
            {"_id": f"{study_id}/{generation}/{index}", "generation": generation, "sha256": _digest(body)}
            for index, body in bodies.items()
        ]
        if not notes:
            return
        with self._explained():
            try:
                self._collection.insert_many(notes, ordered=False)
            except BulkWriteError as exc:
                if any(error["code"] != _DUPLICATE_KEY for error in exc.details.get("writeErrors", [])):
                    raise
                # The call was repeated, or a deleted study of the same name left records.
                again = [pymongo.ReplaceOne({"_id": note["_id"]}, note, upsert=True) for note in notes]
                self._collection.bulk_write(again, ordered=False)

    def has(self, study_id: str, generation: int, index: int, body: bytes) -> bool:
        """Return whether a body was recorded for this chunk; one read."""
        with self._explained():
            found = self._collection.find_one({"_id": f"{study_id}/{generation}/{index}"}, {"sha256": 1})
        return found is not None and found.get("sha256") == _digest(body)

    def drop(self, study_id: str, before: int | None = None) -> None:
        """Delete the records of a study: all, or those of publications before a number."""
        # "0" is the character after the separator "/", so this is one range of the id index.
        of_study: Document = {"_id": {"$gte": f"{study_id}/", "$lt": f"{study_id}0"}}
        if before is not None:
            of_study["generation"] = {"$lt": before}
        with self._explained():
            self._collection.delete_many(of_study)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
