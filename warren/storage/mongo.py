"""MongoDB's client: how it is opened whatever the URL says, and how to say that the server is not there or refuses."""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qsl

import gridfs
import pymongo
from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)
from pymongo.read_concern import ReadConcern

from warren.errors import InputError, StoreError
from warren.settings import Settings, redact
from warren.storage.documents import Document
from warren.tls import advice, mongo_options
from warren.urls import problem_of

logger = logging.getLogger(__name__)

Explained: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Returns a block in which what the driver raises becomes a `StoreError`."""


class StoreCollection:
    """One collection of a database; the base of those that say what lies in it.

    Parameters
    ----------
    collection : pymongo.collection.Collection
    explained : callable
        Returns a block in which a driver's error becomes a `StoreError`.

    Raises
    ------
    StoreError
        From every method: the server is unreachable or refuses.
    """

    def __init__(self, collection: Collection[Document], explained: Explained) -> None:
        self._collection = collection
        self._explained = explained


# Databases without a server, by the URL that stands for them: `warren.testing` puts them here.
IN_MEMORY: dict[str, Any] = {}

# Seconds after which a server that has not answered is taken for away: a network that was cut says nothing. The longest
# question, a count of a study of 100,000 trials, took 4 s on a slow server.
_ANSWER_SECONDS = 60.0
# A standalone server acknowledges from memory unless the journal is asked for; "majority" is the word for both kinds.
_DURABLE = WriteConcern(w="majority", j=True)
# What else decides is read where it was written: a secondary that lags knows nothing of the last results.
_PRIMARY = pymongo.ReadPreference.PRIMARY
# What is read decides what is trained, dropped and deleted: never what may still be taken back.
_KEPT = ReadConcern("majority")
# Options that name files, of which the driver says less.
_FILES = ("tlscafile", "tlscertificatekeyfile", "tlscrlfile")
# MongoDB's "Unauthorized", "AuthenticationFailed", and what Atlas says for that.
_MAY_NOT, _UNKNOWN_USER = 13, {18, 8000}
_ACTION = re.compile(r"to execute command (?:\(action: |\{ ?)(\w+)")


def open_database(settings: Settings) -> Database[Document]:
    """Open the database that ``MONGO_URL`` names. Nothing is asked of a server yet, not even its address.

    Whatever the URL says of it, writes are durable when they are acknowledged, and reads ask the primary.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    pymongo.database.Database

    Raises
    ------
    InputError
        The URL can't be read or names no database. The text carries no password.
    """
    url = settings.mongo_url
    if url in IN_MEMORY:
        return cast("Database[Document]", IN_MEMORY[url])
    shown = f"MONGO_URL {redact(url)!r} can't be used"
    written = "write mongodb://user:password@host:27017/tuning"
    if problem := problem_of(url, "mongodb", "mongodb+srv") or _missing_file(url):
        raise InputError(f"{shown}: {problem}. So {written}")
    wait = int(settings.connect_seconds * 1000)
    given: dict[str, Any] = mongo_options(settings)
    if "appname" not in _options(url):
        given["appname"] = "warren"
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            client: MongoClient[Document] = MongoClient(
                url,
                serverSelectionTimeoutMS=wait,
                connectTimeoutMS=wait,
                socketTimeoutMS=int(_ANSWER_SECONDS * 1000),
                tz_aware=True,
                tzinfo=UTC,
                # One date or text that Python can't hold, which anybody may have written, must not break a whole read.
                datetime_conversion="DATETIME_AUTO",
                unicode_decode_error_handler="replace",
                # The name server may be away, as any server: it is asked with the first question, and again.
                connect=not url.lower().startswith("mongodb+srv:"),
                **given,
            )
        remarks = [str(warning.message) for warning in heard]
        try:
            for remark in remarks:
                if not remark.startswith("Unknown option") and any(map(_secures, _named(remark, url))):
                    raise ConfigurationError(remark)
            level = client.read_concern if client.read_concern.level == "linearizable" else _KEPT
            found = client.get_default_database(write_concern=_DURABLE, read_preference=_PRIMARY, read_concern=level)
        except PyMongoError:
            client.close()
            raise
    except (InvalidURI, InvalidName, ConfigurationError, ValueError, OSError):
        # Without its cause: that repeats parts of the URL, and a traceback is shown in a notebook.
        raise InputError(f"{shown}, perhaps for an option behind its ?: {written}") from None
    _tell(tuple(dict.fromkeys(option for remark in remarks for option in _named(remark, url))))
    return found


def open_bucket(database: Database[Document], name: str, piece_bytes: int) -> gridfs.GridFSBucket:
    """Open a GridFS bucket of a database, whose files are stored in pieces of so many bytes."""
    if isinstance(database, Database):
        return gridfs.GridFSBucket(database, name, chunk_size_bytes=piece_bytes)
    return cast("gridfs.GridFSBucket", database.bucket(name, piece_bytes))  # in memory


def _options(url: str) -> dict[str, str]:
    """Return the options of a URL, their names in small letters, as the driver compares them."""
    return {key.lower(): value for key, value in parse_qsl(url.partition("?")[2], keep_blank_values=True)}


def _missing_file(url: str) -> str | None:
    for option, path in _options(url).items():
        if option in _FILES and not Path(path).is_file():
            return f"its option {option} names the file {path!r}, which is not there (seen from {Path.cwd()})"
    return None


def _named(remark: str, url: str) -> list[str]:
    """Return the options of a URL that a remark of the driver's is about; the remark may repeat a secret."""
    return [option for option in _options(url) if re.search(rf"\b{re.escape(option)}\b", remark, re.IGNORECASE)]


def _secures(option: str) -> bool:
    """Say whether a connection without this option would be another one than was asked for."""
    return option.startswith(("tls", "ssl", "auth"))


@functools.cache
def _tell(options: tuple[str, ...]) -> None:
    """Log, once in a process, which options the driver goes on without."""
    if options:
        logger.warning("MongoDB's driver does not take options of MONGO_URL as they are: %s", ", ".join(options))


@contextlib.contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Make a `StoreError` of what the driver raises in a block."""
    try:
        yield
    except PyMongoError as exc:
        raise explain(settings, exc) from exc


def explain(settings: Settings, exc: PyMongoError) -> StoreError:
    """Return the error that a person reads for a driver's exception, without the password."""
    where = f"MongoDB at {redact(settings.mongo_url)}"
    code = exc.code if isinstance(exc, OperationFailure) else None
    # The second question of a user that is not known waits for a server, and says why only in its text.
    if code in _UNKNOWN_USER or (isinstance(exc, ConnectionFailure) and "authentication failed" in str(exc).lower()):
        return StoreError(f"{where} refused the user or password: check MONGO_URL (and its authSource)")
    if code == _MAY_NOT and "@" not in settings.mongo_url.partition("?")[0]:
        return StoreError(f"{where} asks for a user and a password: write mongodb://user:password@host:27017/tuning")
    if code == _MAY_NOT:
        action = _ACTION.search(str(exc))
        return StoreError(
            f"{where} knows the user, who may not do this{f' ({action[1]})' if action else ''}: grant it the role "
            "readWrite on the database; with read alone it can but look at studies"
        )
    if said := advice(exc, settings):
        return StoreError(f"{where}: {said}")
    if isinstance(exc, ConfigurationError) and exc.__cause__ is not None:  # of mongodb+srv, from its name server
        return StoreError(
            f"{where}: the name server does not say where that is ({type(exc.__cause__).__name__}): is it running, and "
            "is MONGO_URL right?"
        )
    if isinstance(exc, ConnectionFailure):
        return StoreError(
            f"{where} can't be reached ({type(exc).__name__}): is it running, and is MONGO_URL right? "
            "On a laptop, `warren up` or local_stack() starts one"
        )
    return StoreError(f"{where} refused: {exc}")
