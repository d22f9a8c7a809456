"""Data that many chunks refer to, stored once by content digest in GridFS; and fitted models, each its study's own.

A blob's file name is the SHA-256 of its content, so whoever submits the same data stores it once. The
blob is written before anything points to it. GridFS keys its pieces by a fresh id, so an upload cut
short leaves pieces that no file names, and never stands in the way of the next.

Who deletes a blob can't know who is about to point to it. So the file first loses its name, and the question whether
anybody needs it comes after. Who submits looks for the blob again after the study document is there: either the
question finds that study, and the file gets its name back, or the look finds no file, and stores it again.

A dump of a database that is in use may hold a file without its last pieces, which were stored after the dump had passed
them. Such a file counts as none, and gives way to the next upload.
"""

from __future__ import annotations

import io
import math
import uuid
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import gridfs
import pymongo
from pymongo.database import Database
from pymongo.errors import PyMongoError

from warren.errors import StoreError, StudyError
from warren.storage.mongo import open_bucket

# Bytes a piece: few round trips for gigabytes, well under MongoDB's 16 MiB a document.
_PIECE_BYTES = 4 * 1024**2
# Readers take the oldest of files of one name.
_OLDEST_FIRST = [("uploadDate", pymongo.ASCENDING), ("_id", pymongo.ASCENDING)]
# Field of a file that is about to be deleted: the digest that was its name.
_NAMED_BEFORE = "named_before"

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Upload(io.RawIOBase):
    """An open GridFS file as the stream that archive writers expect: `write` says how much it took."""

    def __init__(self, grid: gridfs.GridIn) -> None:
        self._grid = grid

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        self._grid.write(bytes(data))
        return memoryview(data).nbytes


class Blobs:
    """One GridFS bucket with content-addressed files.

    Parameters
    ----------
    database : pymongo.database.Database
        Where the bucket lies.
    bucket : str
        ``datasets``, or ``models``, whose names end with the digest.
    """

    def __init__(self, database: Database[dict[str, Any]], bucket: str) -> None:
        self._files = database[f"{bucket}.files"]
        self._pieces = database[f"{bucket}.chunks"]
        self._bucket = open_bucket(database, bucket, _PIECE_BYTES)
        self.name = bucket

    def has(self, digest: str) -> bool:
        """Say whether a blob with this digest is stored whole."""
        try:
            return any(self._whole(file) for file in self._files.find({"filename": digest}))
        except PyMongoError as exc:
            raise StoreError(f"can't look into bucket {self.name!r}: {exc}") from exc

    def put(self, digest: str, write: Callable[[IO[bytes]], None], metadata: dict[str, Any]) -> bool:
        """Store a blob unless it is there.

        Parameters
        ----------
        digest : str
            SHA-256 of the content: the file's name.
        write : callable
            Writes the content to the open file that it is given.
        metadata : dict
            What a person wants to know of it in Compass.

        Returns
        -------
        bool
            Whether it was written now.

        Raises
        ------
        StoreError
            The database is unreachable or refuses.
        """
        if self.has(digest):
            return False
        try:
            if broken := [file["_id"] for file in self._files.find({"filename": digest}) if not self._whole(file)]:
                self._remove(self._claim({"_id": {"$in": broken}}, digest))
            with (
                self._bucket.open_upload_stream(digest, metadata=metadata) as grid,
                io.BufferedWriter(_Upload(grid), _PIECE_BYTES) as stream,
            ):
                write(stream)
            # Two producers may have stored the same content at once: the first to end stays, which readers take.
            twins = list(self._files.find({"filename": digest}, {"_id": 1}).sort(_OLDEST_FIRST))
            for twin in twins[1:]:
                if twin["_id"] == grid._id:
                    self._bucket.delete(twin["_id"])
            # What a deletion left that was cut short.
            self._remove(self._claim({_NAMED_BEFORE: digest}, digest))
        except PyMongoError as exc:
            raise StoreError(f"can't store blob {digest[:12]} in bucket {self.name!r}: {exc}") from exc
        return True

    def get(self, digest: str, start: int = 0, size: int = -1) -> bytes:
        """Return the content of a blob, or a part of it.

        Parameters
        ----------
        digest : str
            The file's name.
        start : int, default=0
            Where the part begins, in bytes.
        size : int, default=-1
            Bytes of the part; fewer are returned at the end of the blob. -1 stands for all that is left.

        Raises
        ------
        StudyError
            It is not there.
        StoreError
            The database is unreachable or refuses.
        """
        try:
            found = self._files.find_one({"filename": digest}, {"_id": 1}, sort=_OLDEST_FIRST)
            if found is None:  # one that is about to be deleted, or to get its name back, is as good
                found = self._files.find_one({_NAMED_BEFORE: digest}, {"_id": 1}) or {"_id": None}
            with self._bucket.open_download_stream(found["_id"]) as stream:
                stream.seek(start)
                return stream.read(size)
        except (gridfs.NoFile, gridfs.errors.CorruptGridFile) as exc:
            how = "not" if isinstance(exc, gridfs.NoFile) else "not whole"
            raise StudyError(
                f"blob {digest[:12]} is {how} in bucket {self.name!r}: was the study's data deleted?"
            ) from exc
        except PyMongoError as exc:
            raise StoreError(f"can't read blob {digest[:12]} from bucket {self.name!r}: {exc}") from exc
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as exc:
            # The driver takes what a file says of itself for numbers.
            raise StudyError(
                f"blob {digest[:12]} in bucket {self.name!r} is not as any driver writes it: {exc!r}"
            ) from exc

    def delete(self, digest: str, needed: Callable[[], bool]) -> bool:
        """Delete a blob unless it is needed; harmless where it is not there.

        Parameters
        ----------
        digest : str
            The file's name.
        needed : callable
            Says whether anybody points to the blob. Asked before, and once more when nobody can find it any more.

        Returns
        -------
        bool
            Whether it is gone.

        Raises
        ------
        StoreError
            The database is unreachable or refuses. The same call completes it, and so does the next `put`.
        """
        if needed():
            return False
        try:
            mine = self._claim({"$or": [{"filename": digest}, {_NAMED_BEFORE: digest}]}, digest)
            if needed() and not self.has(digest):
                self._files.update_many(
                    {"filename": mine}, {"$set": {"filename": digest}, "$unset": {_NAMED_BEFORE: ""}}
                )
            self._remove(mine)
            return not self.has(digest)
        except PyMongoError as exc:
            raise StoreError(f"can't delete blob {digest[:12]} from bucket {self.name!r}: {exc}") from exc

    def delete_of(self, study_id: str) -> None:
        """Delete the blobs that belong to one study alone, by ``study`` in their metadata.

        Raises
        ------
        StoreError
            The database is unreachable or refuses.
        """
        try:
            self._remove_all({"metadata.study": study_id})
        except PyMongoError as exc:
            raise StoreError(f"can't delete what belongs to {study_id} from bucket {self.name!r}: {exc}") from exc

    def _whole(self, file: dict[str, Any]) -> bool:
        """Say whether a file has its pieces. They are stored one after the other: with the last there are all."""
        if (
            not isinstance(file.get("length"), int)
            or not isinstance(file.get("chunkSize"), int)
            or file["chunkSize"] < 1
        ):
            return False  # not as any driver writes it
        last = math.ceil(file["length"] / file["chunkSize"]) - 1
        return last < 0 or self._pieces.find_one({"files_id": file["_id"], "n": last}, {"_id": 1}) is not None

    def _claim(self, query: dict[str, Any], digest: str) -> str:
        """Take the name from files, and return the new one, which nobody else knows: so nobody else removes them."""
        mine = f"{digest}.deleted.{uuid.uuid4().hex}"
        self._files.update_many(query, {"$set": {"filename": mine, _NAMED_BEFORE: digest}})
        return mine

    def _remove(self, name: str) -> None:
        """Remove the files of a name."""
        self._remove_all({"filename": name})

    def _remove_all(self, query: dict[str, Any]) -> None:
        for file in self._files.find(query, {"_id": 1}):
            # The pieces first: a removal cut short leaves a file, by which the next one finds the rest.
            self._pieces.delete_many({"files_id": file["_id"]})
            self._files.delete_one({"_id": file["_id"]})
