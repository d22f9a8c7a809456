"""Data that many chunks refer to, stored once by content digest in GridFS.

A blob's file name is the SHA-256 of its content, so whoever submits the same data stores it once. The
blob is written before anything points to it. GridFS keys its pieces by a fresh id, so an upload cut
short leaves pieces that no file names, and never stands in the way of the next.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import gridfs
import pymongo
from pymongo.database import Database
from pymongo.errors import PyMongoError

from tuning.errors import StoreError, StudyError

# Bytes a piece: few round trips for gigabytes, well under MongoDB's 16 MiB a document.
_PIECE_BYTES = 4 * 1024**2

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
        ``datasets`` or ``models``.
    """

    def __init__(self, database: Database[dict[str, Any]], bucket: str) -> None:
        self._files = database[f"{bucket}.files"]
        self._bucket = gridfs.GridFSBucket(database, bucket, chunk_size_bytes=_PIECE_BYTES)
        self.name = bucket

    def has(self, digest: str) -> bool:
        """Say whether a blob with this digest is stored whole."""
        try:
            return self._files.find_one({"filename": digest}, {"_id": 1}) is not None
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
            with (
                self._bucket.open_upload_stream(digest, metadata=metadata) as grid,
                io.BufferedWriter(_Upload(grid), _PIECE_BYTES) as stream,
            ):
                write(stream)
            # Two producers may have stored the same content at once: the first to end stays, which readers take.
            order = [("uploadDate", pymongo.ASCENDING), ("_id", pymongo.ASCENDING)]
            twins = list(self._files.find({"filename": digest}, {"_id": 1}).sort(order))
            for twin in twins[1:]:
                if twin["_id"] == grid._id:
                    self._bucket.delete(twin["_id"])
        except PyMongoError as exc:
            raise StoreError(f"can't store blob {digest[:12]} in bucket {self.name!r}: {exc}") from exc
        return True

    def get(self, digest: str) -> bytes:
        """Return the content of a blob.

        Raises
        ------
        StudyError
            It is not there.
        StoreError
            The database is unreachable or refuses.
        """
        try:
            with self._bucket.open_download_stream_by_name(digest, revision=0) as stream:
                return stream.read()
        except gridfs.NoFile as exc:
            raise StudyError(
                f"blob {digest[:12]} is not in bucket {self.name!r}: was the study's data deleted?"
            ) from exc
        except PyMongoError as exc:
            raise StoreError(f"can't read blob {digest[:12]} from bucket {self.name!r}: {exc}") from exc
