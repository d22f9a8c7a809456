"""The id of a database, which it stores itself, to tell to which database a message belongs."""

from __future__ import annotations

from uuid import uuid4

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from warren.errors import StoreError
from warren.storage.documents import now
from warren.storage.mongo import StoreCollection


class Identity(StoreCollection):
    """The collection ``identity`` of one database.

    The id is stored under the database's name: a backup that is restored in its place keeps it, but
    a copy under another name finds no id there and creates one.

    """

    def read(self) -> str:
        """Return the id; create it if there is none.

        Returns
        -------
        str
            32 hexadecimal digits.

        Raises
        ------
        StoreError
            The server is unreachable or refuses.
        """
        query = {"_id": self._collection.database.name}
        with self._explained():
            if found := self._collection.find_one(query):
                return str(found["id"])
            made = {"$setOnInsert": {"id": uuid4().hex, "made_at": now()}}
            try:
                made_now = self._collection.find_one_and_update(
                    query, made, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:  # another process was faster
                made_now = self._collection.find_one(query)
        if made_now is None:
            raise StoreError(f"database {query['_id']!r} was emptied just now: try again")
        return str(made_now["id"])
