"""MongoDB's client: open a database safely for any URL, and explain its errors."""

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
"""Returns a block that turns a driver's error into a `StoreError`."""


class StoreCollection:
    """The base class of a database's collections.

    Parameters
    ----------
    collection : pymongo.collection.Collection
    explained : callable
        Returns a block that turns a driver's error into a `StoreError`.

    Raises
    ------
    StoreError
        Every method raises it when the server is unreachable or refuses.
    """

    def __init__(self, collection: Collection[Document], explained: Explained) -> None:
        self._collection = collection
        self._explained = explained


# Databases without a server, by the URL that stands for them; `warren.testing` adds them.
IN_MEMORY: dict[str, Any] = {}

# Seconds after which a server that does not answer counts as away: a network that was cut reports
# nothing. The longest query, a count for a study of 100,000 trials, took 4 s on a slow server.
_ANSWER_SECONDS = 60.0
# A standalone server acknowledges from memory unless the journal is requested; "majority" works for
# both kinds of servers.
_DURABLE = WriteConcern(w="majority", j=True)
# Read from the primary: a secondary that lags does not have the last results.
_PRIMARY = pymongo.ReadPreference.PRIMARY
# What is read decides what is trained, dropped and deleted, so never read data that may be rolled
# back.
_KEPT = ReadConcern("majority")
# Options that name files; for missing files the driver's error is unclear.
_FILES = ("tlscafile", "tlscertificatekeyfile", "tlscrlfile")
# MongoDB's "Unauthorized", "AuthenticationFailed", and Atlas's code for the latter.
_MAY_NOT, _UNKNOWN_USER = 13, {18, 8000}
_ACTION = re.compile(r"to execute command (?:\(action: |\{ ?)(\w+)")


def open_database(settings: Settings) -> Database[Document]:
    """Open the database in ``MONGO_URL``, without contacting a server yet, not even DNS.

    Whatever the URL sets, writes are durable when they are acknowledged, and reads use the primary.

    Parameters
    ----------
    settings : Settings
        The URL and the waiting time.

    Returns
    -------
    pymongo.database.Database
        The database.

    Raises
    ------
    InputError
        The URL can't be read or names no database. The text contains no password.
    """
    url = settings.mongo_url
    if url in IN_MEMORY:
        return cast("Database[Document]", IN_MEMORY[url])
    shown = f"MONGO_URL {redact(url)!r} can't be used"
    form = "write mongodb://user:password@host:27017/tuning"
    if problem := problem_of(url, "mongodb", "mongodb+srv") or _missing_file(url):
        raise InputError(f"{shown}: {problem}. So {form}")
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
                # One date or text that Python can't hold, and that anyone may have written, must
                # not break a whole read.
                datetime_conversion="DATETIME_AUTO",
                unicode_decode_error_handler="replace",
                # DNS may be unreachable like any server: ask it only with the first query, and
                # again.
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
        # Without the cause: it repeats parts of the URL, and a notebook shows tracebacks.
        raise InputError(f"{shown}, perhaps because of an option after its ?: {form}") from None
    _warn_of_options(tuple(dict.fromkeys(option for remark in remarks for option in _named(remark, url))))
    return found


def open_bucket(database: Database[Document], name: str, piece_bytes: int) -> gridfs.GridFSBucket:
    """Open a GridFS bucket of a database, with files in pieces of so many bytes."""
    if isinstance(database, Database):
        return gridfs.GridFSBucket(database, name, chunk_size_bytes=piece_bytes)
    return cast("gridfs.GridFSBucket", database.bucket(name, piece_bytes))  # in memory


def _options(url: str) -> dict[str, str]:
    """Return the options of a URL with names in lower case, as the driver compares them."""
    return {key.lower(): value for key, value in parse_qsl(url.partition("?")[2], keep_blank_values=True)}


def _missing_file(url: str) -> str | None:
    for option, path in _options(url).items():
        if option in _FILES and not Path(path).is_file():
            return f"its option {option} names the file {path!r}, which does not exist (working folder: {Path.cwd()})"
    return None


def _named(remark: str, url: str) -> list[str]:
    """Return the options of a URL that a driver's warning mentions.

    The warning itself may repeat a secret.
    """
    return [option for option in _options(url) if re.search(rf"\b{re.escape(option)}\b", remark, re.IGNORECASE)]


def _secures(option: str) -> bool:
    """Return whether a connection without this option would be less secure than requested."""
    return option.startswith(("tls", "ssl", "auth"))


@functools.cache
def _warn_of_options(options: tuple[str, ...]) -> None:
    """Log, once in a process, which options the driver ignores or changes."""
    if options:
        logger.warning("MongoDB's driver ignores or changes options of MONGO_URL: %s", ", ".join(options))


@contextlib.contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Turn a driver's error in the block into a `StoreError`."""
    try:
        yield
    except PyMongoError as exc:
        raise explain(settings, exc) from exc


def explain(settings: Settings, exc: PyMongoError) -> StoreError:
    """Return a readable error for a driver's exception, without the password."""
    where = f"MongoDB at {redact(settings.mongo_url)}"
    code = exc.code if isinstance(exc, OperationFailure) else None
    # The second query of an unknown user waits for a server, and gives the cause only in its text.
    if code in _UNKNOWN_USER or (isinstance(exc, ConnectionFailure) and "authentication failed" in str(exc).lower()):
        return StoreError(f"{where} refused the user or password: check MONGO_URL (and its authSource)")
    if code == _MAY_NOT and "@" not in settings.mongo_url.partition("?")[0]:
        return StoreError(f"{where} asks for a user and a password: write mongodb://user:password@host:27017/tuning")
    if code == _MAY_NOT:
        action = _ACTION.search(str(exc))
        return StoreError(
            f"{where} refused an operation to this user{f' ({action[1]})' if action else ''}: grant the user the role "
            "readWrite on the database; with the role read, one can only look at studies"
        )
    if hint := advice(exc, settings):
        return StoreError(f"{where}: {hint}")
    if isinstance(exc, ConfigurationError) and exc.__cause__ is not None:  # from the name server, for mongodb+srv
        return StoreError(
            f"{where}: the name server does not know this name ({type(exc.__cause__).__name__}): is it running, and "
            "is MONGO_URL right?"
        )
    if isinstance(exc, ConnectionFailure):
        return StoreError(
            f"{where} can't be reached ({type(exc).__name__}): is it running, and is MONGO_URL right? "
            "On a laptop, `warren up` or local_stack() starts one"
        )
    return StoreError(f"{where} refused: {exc}")
