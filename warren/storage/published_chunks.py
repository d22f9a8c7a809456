"""The collection ``published``: which bodies a study's chunks have, noted before the broker gets them.

Whoever may publish can write a message that names a study and its next chunk. So the submitter notes the SHA-256 of
each body, one small document a chunk under ``<study>/<generation>/<index>``, and a study's document says in ``noted``
of which publications that was done. What has another body is not the study's, whatever it says: it is neither trained
nor counted. The notes of a publication go when the study is published anew, ends or is deleted.
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
    """What was noted of the chunks of one database."""

    def note(self, study_id: str, generation: int, bodies: Mapping[int, bytes]) -> None:
        """Note the bodies of chunks, by their index; the last counts.

        Parameters
        ----------
        study_id : str
        generation : int
            Of which publication they are.
        bodies : mapping of int to bytes
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
                # A call that is made again, or what a study of that name has left that was deleted.
                again = [pymongo.ReplaceOne({"_id": note["_id"]}, note, upsert=True) for note in notes]
                self._collection.bulk_write(again, ordered=False)

    def has(self, study_id: str, generation: int, index: int, body: bytes) -> bool:
        """Say whether a body was noted as this chunk's: one read."""
        with self._explained():
            found = self._collection.find_one({"_id": f"{study_id}/{generation}/{index}"}, {"sha256": 1})
        return found is not None and found.get("sha256") == _digest(body)

    def drop(self, study_id: str, before: int | None = None) -> None:
        """Forget the chunks of a study, all or those of publications before a number."""
        # The character after the separator: one walk of the id index.
        mine: Document = {"_id": {"$gte": f"{study_id}/", "$lt": f"{study_id}0"}}
        if before is not None:
            mine["generation"] = {"$lt": before}
        with self._explained():
            self._collection.delete_many(mine)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
