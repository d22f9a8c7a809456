"""Which database a message belongs to: an id that the database keeps itself, made once."""

from __future__ import annotations

from uuid import uuid4

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from warren.errors import StoreError
from warren.storage.documents import now
from warren.storage.mongo import StoreCollection


class Identity(StoreCollection):
    """The collection ``identity`` of one database.

    The id lies under the database's name: a backup that is restored in its place keeps it, and a copy under another
    name finds none of its own there and makes one.
    """

    def read(self) -> str:
        """Return the id, and make it where there is none.

        Raises
        ------
        StoreError
            The server is unreachable or refuses.
        """
        mine = {"_id": self._collection.database.name}
        with self._explained():
            if found := self._collection.find_one(mine):
                return str(found["id"])
            made = {"$setOnInsert": {"id": uuid4().hex, "made_at": now()}}
            try:
                made_now = self._collection.find_one_and_update(
                    mine, made, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:  # somebody else was faster
                made_now = self._collection.find_one(mine)
        if made_now is None:
            raise StoreError(f"database {mine['_id']!r} was emptied this moment: try again")
        return str(made_now["id"])
