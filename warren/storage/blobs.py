"""GridFS files: data that many chunks share, stored once by content digest.

And the models of each study.

A blob's file name is the SHA-256 of its content, so the same data is stored only once. A blob is
written before anything refers to it. GridFS gives the pieces of each upload a new id, so an
interrupted upload leaves pieces without a file, and does not disturb the next upload.

A process that deletes a blob can't know whether another is about to refer to it. So the file first
loses its name, and only then the process checks whether anything needs it. A submitter looks for
the blob again after its study document is stored: either the check finds that study, and the file
gets its name back; or the submitter finds no file, and stores it again.

A dump of a database in use may contain a file without its last pieces, which were stored after the
dump had passed them. Such a file counts as missing, and the next upload replaces it.
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

# Bytes of a piece: few round trips for gigabytes, well below MongoDB's limit of 16 MiB for a
# document.
_PIECE_BYTES = 4 * 1024**2
# Readers take the oldest of several files with one name.
_OLDEST_FIRST = [("uploadDate", pymongo.ASCENDING), ("_id", pymongo.ASCENDING)]
# Field of a file that is about to be deleted: the digest that was its name.
_NAMED_BEFORE = "named_before"

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Upload(io.RawIOBase):
    """An open GridFS file as a stream for archive writers, which need the result of `write`."""

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
        The database with the bucket.
    bucket : str
        ``datasets``, or ``models``, whose file names end with the digest.
    """

    def __init__(self, database: Database[dict[str, Any]], bucket: str) -> None:
        self._files = database[f"{bucket}.files"]
        self._pieces = database[f"{bucket}.chunks"]
        self._bucket = open_bucket(database, bucket, _PIECE_BYTES)
        self.name = bucket

    def has(self, digest: str) -> bool:
        """Return whether a blob with this digest is stored completely."""
        try:
            return any(self._whole(file) for file in self._files.find({"filename": digest}))
        except PyMongoError as exc:
            raise StoreError(f"can't look into bucket {self.name!r}: {exc}") from exc

    def put(self, digest: str, write: Callable[[IO[bytes]], None], metadata: dict[str, Any]) -> bool:
        """Store a blob unless it exists.

        Parameters
        ----------
        digest : str
            SHA-256 of the content: the file's name.
        write : callable
            Writes the content to the open file that is its argument.
        metadata : dict
            Information for people who look at it in MongoDB Compass.

        Returns
        -------
        bool
            Whether this call wrote it.

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
            # Two producers may have stored the same content at the same time: keep the first that
            # ended, which readers take.
            twins = list(self._files.find({"filename": digest}, {"_id": 1}).sort(_OLDEST_FIRST))
            for twin in twins[1:]:
                if twin["_id"] == grid._id:
                    self._bucket.delete(twin["_id"])
            # Remove the rest of a deletion that was interrupted.
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
            First byte of the part.
        size : int, default=-1
            Bytes of the part; fewer are returned at the end of the blob. -1 for all that follows.

        Returns
        -------
        bytes
            The content.

        Raises
        ------
        StudyError
            It does not exist, or is damaged.
        StoreError
            The database is unreachable or refuses.
        """
        try:
            found = self._files.find_one({"filename": digest}, {"_id": 1}, sort=_OLDEST_FIRST)
            if found is None:  # a file that is being deleted, or gets its name back, has the same content
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
            # The driver treats what a file's document contains as numbers without a check.
            raise StudyError(
                f"blob {digest[:12]} in bucket {self.name!r} was not written by a driver: {exc!r}"
            ) from exc

    def delete(self, digest: str, needed: Callable[[], bool]) -> bool:
        """Delete a blob unless it is needed; harmless if it does not exist.

        Parameters
        ----------
        digest : str
            The file's name.
        needed : callable
            Returns whether anything refers to the blob. Called before, and again when no one can
            find the blob any more.

        Returns
        -------
        bool
            Whether it is deleted.

        Raises
        ------
        StoreError
            The database is unreachable or refuses. The same call, or the next `put`, completes the
            deletion.
        """
        if needed():
            return False
        try:
            claimed = self._claim({"$or": [{"filename": digest}, {_NAMED_BEFORE: digest}]}, digest)
            if needed() and not self.has(digest):
                self._files.update_many(
                    {"filename": claimed}, {"$set": {"filename": digest}, "$unset": {_NAMED_BEFORE: ""}}
                )
            self._remove(claimed)
            return not self.has(digest)
        except PyMongoError as exc:
            raise StoreError(f"can't delete blob {digest[:12]} from bucket {self.name!r}: {exc}") from exc

    def delete_of(self, study_id: str) -> None:
        """Delete the blobs of one study, by ``study`` in their metadata.

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
        """Return whether a file has all its pieces.

        They are stored in order, so it has all if it has the last one.
        """
        if (
            not isinstance(file.get("length"), int)
            or not isinstance(file.get("chunkSize"), int)
            or file["chunkSize"] < 1
        ):
            return False  # not written by a driver
        last = math.ceil(file["length"] / file["chunkSize"]) - 1
        return last < 0 or self._pieces.find_one({"files_id": file["_id"], "n": last}, {"_id": 1}) is not None

    def _claim(self, query: dict[str, Any], digest: str) -> str:
        """Rename files, and return the new name.

        No other process knows that name, so no other removes the files.
        """
        claimed = f"{digest}.deleted.{uuid.uuid4().hex}"
        self._files.update_many(query, {"$set": {"filename": claimed, _NAMED_BEFORE: digest}})
        return claimed

    def _remove(self, name: str) -> None:
        """Remove the files with a name."""
        self._remove_all({"filename": name})

    def _remove_all(self, query: dict[str, Any]) -> None:
        for file in self._files.find(query, {"_id": 1}):
            # Delete the pieces first: if this is interrupted, the file remains, and the next
            # removal finds the rest by it.
            self._pieces.delete_many({"files_id": file["_id"]})
            self._files.delete_one({"_id": file["_id"]})
