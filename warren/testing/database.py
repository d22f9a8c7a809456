"""A database in memory that answers like MongoDB, and a store on it.

The classes below have the names, arguments and results of pymongo's classes, as far as Warren uses
them.
"""

# ruff: noqa: D102

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import IO, Any, Self
from uuid import uuid4

import bson
import gridfs
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne, ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from warren.settings import Settings
from warren.storage import mongo
from warren.storage.documents import Document, now
from warren.storage.store import Store
from warren.testing.query import aggregate, begun, matches, order, project, update

_CODEC: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
_DUPLICATE_KEY = 11000


class InMemoryStore(Store):
    """A `warren.storage.store.Store` without a server, which ends with the process.

    It passes the same contract tests.

    Parameters
    ----------
    name : str, default=None
        Stores with the same name share their content, like two clients of one server; None for a
        unique name.

    Examples
    --------
    >>> store = InMemoryStore()
    >>> store.trials.finished_numbers("a-study")
    set()
    """

    def __init__(self, name: str | None = None) -> None:
        url = f"memory://{name or uuid4().hex}"
        mongo.IN_MEMORY.setdefault(url, Database("tuning"))
        super().__init__(Settings(MONGO_URL=url))


class Cursor:
    """The result of a query."""

    def __init__(self, documents: list[Document], fields: Mapping[str, Any] | None) -> None:
        self._documents, self._fields = documents, fields

    def sort(self, key: str | Sequence[tuple[str, int]], direction: int = 1) -> Self:
        for name, way in reversed([(key, direction)] if isinstance(key, str) else [*key]):
            self._documents.sort(key=lambda document, name=name: order(_field(document, name)), reverse=way < 0)  # type: ignore[misc]
        return self

    def limit(self, most: int) -> Self:
        self._documents = self._documents[:most] if most else self._documents
        return self

    def hint(self, _index: object) -> Self:
        return self

    def batch_size(self, _size: int) -> Self:
        return self

    def __iter__(self) -> Iterator[Document]:
        return (project(document, self._fields) for document in self._documents)


def _field(document: Document, path: str) -> Any:
    found: Any = document
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


class Collection:
    """The methods of pymongo's collection that Warren uses.

    Documents are converted to BSON and back, as by a server.
    """

    def __init__(self, database: Database, name: str) -> None:
        self.database, self.name = database, name
        self._lock = database.lock
        self._documents: dict[Any, Document] = {}
        self._indexes: list[Any] = []

    def with_options(self, **_options: Any) -> Self:
        return self

    def create_index(self, keys: Any) -> str:
        if keys not in self._indexes:
            self._indexes.append(keys)
        return "_".join(f"{name}_{way}" for name, way in keys)

    def index_information(self) -> dict[str, Any]:
        """Return the indexes by name."""
        own: list[Any] = [[("_id", 1)]]
        return {"_".join(f"{name}_{way}" for name, way in keys): {"key": keys} for keys in own + self._indexes}

    def find(
        self, query: Document | None = None, fields: Mapping[str, Any] | None = None, *, sort: Any = None
    ) -> Cursor:
        with self._lock:
            found = [copy.deepcopy(document) for document in self._documents.values() if matches(document, query or {})]
        return Cursor(found, fields).sort(sort) if sort else Cursor(found, fields)

    def find_one(self, query: Document | None = None, fields: Any = None, *, sort: Any = None) -> Document | None:
        return next(iter(self.find(query, fields, sort=sort)), None)

    def count_documents(self, query: Document) -> int:
        return sum(1 for _ in self.find(query))

    def aggregate(self, stages: Sequence[Document]) -> Iterator[Document]:
        return aggregate(list(self.find()), stages)

    def insert_one(self, document: Mapping[str, Any]) -> None:
        with self._lock:
            stored = _stored(document)
            if stored["_id"] in self._documents:
                raise DuplicateKeyError(f"{self.name} has _id {stored['_id']!r}", _DUPLICATE_KEY)
            self._documents[stored["_id"]] = stored

    def insert_many(self, documents: Sequence[Mapping[str, Any]], *, ordered: bool = True) -> None:
        errors = []
        for index, document in enumerate(documents):
            try:
                self.insert_one(document)
            except DuplicateKeyError:
                errors.append({"index": index, "code": _DUPLICATE_KEY})
                if ordered:
                    break
        if errors:
            raise BulkWriteError({"writeErrors": errors})

    def update_one(self, query: Document, change: Document, *, upsert: bool = False) -> SimpleNamespace:
        found, _ = self._change(query, lambda found, new: _updated(found, change, new=new), upsert=upsert)
        return SimpleNamespace(matched_count=int(found))

    def update_many(self, query: Document, change: Document) -> None:
        with self._lock:
            for key in [found["_id"] for found in self.find(query)]:
                self.update_one({"_id": key}, change)

    def replace_one(self, query: Document, document: Mapping[str, Any], *, upsert: bool = False) -> None:
        self._change(query, lambda found, _: {"_id": found["_id"], **document}, upsert=upsert)

    def find_one_and_update(
        self,
        query: Document,
        change: Document,
        projection: Mapping[str, Any] | None = None,
        *,
        upsert: bool = False,
        return_document: bool = ReturnDocument.BEFORE,
    ) -> Document | None:
        if return_document is not ReturnDocument.AFTER:
            raise NotImplementedError("the database in memory returns documents as they are after a change")
        found = self._change(query, lambda one, new: _updated(one, change, new=new), upsert=upsert)[1]
        return copy.deepcopy(project(found, projection)) if found else None

    def find_one_and_delete(self, query: Document) -> Document | None:
        with self._lock:
            found = self.find_one(query)
            return self._documents.pop(found["_id"]) if found else None

    def delete_one(self, query: Document) -> None:
        self.find_one_and_delete(query)

    def delete_many(self, query: Document) -> None:
        with self._lock:
            for key in [found["_id"] for found in self.find(query)]:
                del self._documents[key]

    def bulk_write(self, operations: Sequence[Any], *, ordered: bool = True) -> None:  # noqa: ARG002 - none fails
        for operation in operations:
            if isinstance(operation, ReplaceOne):
                self.replace_one(dict(operation._filter), operation._doc, upsert=bool(operation._upsert))
            else:
                self.update_one(operation._filter, operation._doc, upsert=bool(operation._upsert))

    def _change(
        self, query: Document, change: Callable[[Document, bool], Document], *, upsert: bool
    ) -> tuple[bool, Document | None]:
        """Change the first document that matches.

        Return whether there was one, and the document after the change.
        """
        with self._lock:
            found = self.find_one(query)
            if found is None and not upsert:
                return False, None
            new = found is None
            changed = _stored(change(begun(query) if found is None else found, new))
            if new and changed["_id"] in self._documents:
                raise DuplicateKeyError(f"{self.name} has _id {changed['_id']!r}", _DUPLICATE_KEY)
            self._documents[changed["_id"]] = changed
            return not new, changed


def _updated(document: Document, change: Document, *, new: bool) -> Document:
    update(document, change, new=new)
    return document


def _stored(document: Mapping[str, Any]) -> Document:
    """Return a document as a server would return it."""
    raw = document.raw if isinstance(document, RawBSONDocument) else bson.encode(document)
    return {"_id": bson.ObjectId(), **bson.decode(raw, _CODEC)}


class Database:
    """Collections by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.RLock()
        self._moment = now()
        self._collections: dict[str, Collection] = {}
        self.client = SimpleNamespace(
            admin=self,
            close=lambda: None,
            topology_description=SimpleNamespace(has_writable_server=lambda: True),
        )

    def __getitem__(self, name: str) -> Collection:
        with self.lock:
            return self._collections.setdefault(name, Collection(self, name))

    def later(self) -> datetime:
        """Return the time, later than any returned before, so that all files are ordered."""
        with self.lock:
            self._moment = max(now(), self._moment + timedelta(milliseconds=1))
            return self._moment

    def command(self, _name: str) -> Document:
        return {"ok": 1, "localTime": now()}

    def bucket(self, name: str, piece_bytes: int) -> Bucket:
        return Bucket(self, name, piece_bytes)


class Bucket:
    """The methods of GridFS's bucket that Warren uses, on two collections."""

    def __init__(self, database: Database, name: str, piece_bytes: int) -> None:
        self._database = database
        self._files, self._pieces = database[f"{name}.files"], database[f"{name}.chunks"]
        self._piece_bytes = piece_bytes

    def open_upload_stream(self, name: str, *, metadata: Document) -> AbstractContextManager[_Upload]:
        return _Upload(self._keep, name, metadata)

    def open_download_stream(self, file_id: Any) -> AbstractContextManager[IO[bytes]]:
        file = self._files.find_one({"_id": file_id})
        if file is None:
            raise gridfs.NoFile(f"no file with _id {file_id!r}")
        pieces = self._pieces.find({"files_id": file_id}).sort("n")
        content = b"".join(piece["data"] for piece in pieces)
        if len(content) != file["length"]:
            raise gridfs.errors.CorruptGridFile(f"file {file_id!r} has {len(content)} of {file['length']} bytes")
        return nullcontext(io.BytesIO(content))

    def delete(self, file_id: Any) -> None:
        self._files.delete_one({"_id": file_id})
        self._pieces.delete_many({"files_id": file_id})

    def _keep(self, upload: _Upload) -> None:
        content = upload.getvalue()
        size = self._piece_bytes
        for number, start in enumerate(range(0, len(content), size)):
            piece = {"files_id": upload._id, "n": number, "data": content[start : start + size]}
            self._pieces.insert_one(piece)
        about = {"filename": upload.name, "metadata": upload.metadata, "uploadDate": self._database.later()}
        self._files.insert_one({"_id": upload._id, "length": len(content), "chunkSize": size, **about})


class _Upload(io.BytesIO):
    """A file that is stored when its block ends without an error."""

    def __init__(self, keep: Callable[[_Upload], None], name: str, metadata: Document) -> None:
        super().__init__()
        self._keep, self.name, self.metadata = keep, name, metadata
        self._id = bson.ObjectId()

    def __exit__(self, kind: Any, *error: Any) -> None:
        if kind is None:
            self._keep(self)
        super().__exit__(kind, *error)
