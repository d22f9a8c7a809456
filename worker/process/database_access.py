"""What a training process needs of the database: it asks its worker, for it has no password.

Beside the connection that carries chunks and results there is a second one. The training process asks there and waits;
a thread of the worker's answers. It hands out what the chunk in hand is made of, stores the model that its trial keeps,
and says which studies go on. Whatever runs in a training process can ask for no more.

A question and its answer are BSON, and each may be followed by content:

===========  ==============================================  =========================================
``blob``     ``digest``                                      nothing; the blob follows
``model``    ``number``, ``format``, ``class``, ``facts``;   what the trial's document says of it
             the model follows
``going``    ``trials``: numbers by study                    ``states`` by study, ``ended`` numbers by study
===========  ==============================================  =========================================

An answer that can't be given is ``error``, the name of a class, and ``text``.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from warren.errors import StoreError, StudyError
from warren.messages import Chunk
from warren.retry import patiently
from warren.storage.documents import Document, pack, trial_id, unpack

if TYPE_CHECKING:
    from warren.storage.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A fitted model, ready to be stored.

    Attributes
    ----------
    format : str
        ``xgboost-ubj``, ``lightgbm-text``, ``catboost-cbm`` or ``skops``.
    content : bytes
    facts : dict
        What the format leaves out and the estimator's class needs: JSON.
    """

    format: str
    content: bytes
    facts: Document = field(default_factory=dict)


class Supplies(Protocol):
    """What an evaluator needs beside its chunk; a training process has it as `Asking`."""

    def blob(self, digest: str) -> bytes:
        """Return data or splits of the chunk in hand.

        Raises
        ------
        StudyError
            They are not in the database.
        """

    def keep_model(self, number: int, model: Packed, cls: str) -> Document:
        """Store the model of a trial, fitted, of a class by its dotted name; return what its document says of it."""

    def going(self, trials: Mapping[str, Iterable[int]]) -> tuple[dict[str, str], set[tuple[str, int]]]:
        """Return the states of studies, as far as there are such, and which of their trials have a result.

        Raises
        ------
        StoreError
            The database is away.
        """


class Asking:
    """The training process's end.

    Parameters
    ----------
    connection : Connection
        To its worker.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def blob(self, digest: str) -> bytes:
        """Return data or splits of the chunk in hand."""
        self._ask({"ask": "blob", "digest": digest})
        return self._connection.recv_bytes()

    def keep_model(self, number: int, model: Packed, cls: str) -> Document:
        """Store the model of a trial."""
        question = {"ask": "model", "number": number, "format": model.format, "class": cls, "facts": model.facts}
        return self._ask(question, model.content)

    def going(self, trials: Mapping[str, Iterable[int]]) -> tuple[dict[str, str], set[tuple[str, int]]]:
        """Return the states of studies, and which of their trials have a result."""
        said = self._ask({"ask": "going", "trials": {study: [*numbers] for study, numbers in trials.items()}})
        return said["states"], {(study, number) for study, numbers in said["ended"].items() for number in numbers}

    def _ask(self, question: Document, content: bytes | None = None) -> Document:
        self._connection.send_bytes(pack(question))
        if content is not None:
            self._connection.send_bytes(content)
        answer = unpack(self._connection.recv_bytes())
        if "error" in answer:
            raise (StoreError if answer["error"] == StoreError.__name__ else StudyError)(answer["text"])
        return answer


class Supplier:
    """The worker's end: answers one training process after the other.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._chunk: Chunk | None = None
        self._socket: socket.socket | None = None
        self._ended = threading.Event()

    def begin(self) -> socket.socket:
        """Answer a new training process; return its end of the connection."""
        self.end()
        ours, theirs = socket.socketpair()
        self._socket, self._ended = ours, threading.Event()
        connection = Connection(os.dup(ours.fileno()))
        threading.Thread(target=self._serve, args=(connection, self._ended), name="supplier", daemon=True).start()
        return theirs

    def turn_to(self, chunk: Chunk) -> None:
        """Hand out what belongs to a chunk from now on."""
        self._chunk = chunk

    def end(self) -> None:
        """Answer no more; harmless when nobody asks."""
        self._ended.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the other side has ended first
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    def _serve(self, connection: Connection, ended: threading.Event) -> None:
        # A database that is away is no fault of the chunk's. It is waited for as long as the training process is there.
        patient = patiently(
            StoreError,
            "a training process waits for the database",
            logger,
            server="the database",
            stop=lambda _: ended.is_set(),
            wait=lambda seconds: cast("None", ended.wait(seconds)),
        )
        with connection, contextlib.suppress(EOFError, ConnectionError):
            while True:
                self._serve_one(connection, patient)

    def _serve_one(self, connection: Connection, patient: Callable[..., Any]) -> None:
        """Answer one question, and keep nothing of it: data are large."""
        question = unpack(connection.recv_bytes())
        model = connection.recv_bytes() if question.get("ask") == "model" else b""
        try:
            answer, content = self._answer(question, model, patient)
        except (StudyError, StoreError) as exc:
            answer, content = {"error": type(exc).__name__, "text": str(exc)}, None
        except Exception as exc:  # a question that is none, or a bug: the chunk ends with a reason
            logger.exception("could not answer a training process")
            answer, content = {"error": StudyError.__name__, "text": f"its worker failed: {type(exc).__name__}"}, None
        connection.send_bytes(pack(answer))
        if content is not None:
            connection.send_bytes(content)

    def _answer(self, question: Document, model: bytes, patient: Callable[..., Any]) -> tuple[Document, bytes | None]:
        chunk = self._chunk
        match question:
            case {"ask": "blob", "digest": str(digest)} if chunk is not None and digest in _digests(chunk):
                return {}, patient(self._store.datasets.get, digest)
            case {"ask": "model", "number": int(number)} if chunk is not None and _keeps(chunk, number):
                packed = Packed(format=question["format"], content=model, facts=question["facts"])
                return patient(keep_model, self._store, chunk.study_id, number, packed, question["class"]), None
            case {"ask": "going", "trials": dict(trials)}:
                states = {study: found["state"] for study in trials if (found := self._store.study(study, ("state",)))}
                ended = self._store.trials.finished_numbers
                return {"states": states, "ended": {study: [*ended(study, trials[study])] for study in trials}}, None
        raise StudyError(f"a training process asks for what does not belong to its chunk: {question}")


def keep_model(store: Store, study_id: str, number: int, model: Packed, cls: str) -> Document:
    """Store the model of a study's trial; return what the trial's document says of it.

    Raises
    ------
    StoreError
        The database is away.
    """
    digest = hashlib.sha256(model.content).hexdigest()
    # A name of its own, not the content's digest: nobody else points to it, so it goes with its study.
    name = f"{trial_id(study_id, number)}:{digest}"

    def write(stream: IO[bytes]) -> None:
        stream.write(model.content)

    store.models.put(name, write, {"study": study_id, "format": model.format, "class": cls})
    return {
        "file": name,
        "format": model.format,
        "sha256": digest,
        "bytes": len(model.content),
        "class": cls,
        "facts": model.facts,
    }


def _digests(chunk: Chunk) -> set[str | None]:
    """Return the blobs that a chunk is made of."""
    return {chunk.objective.dataset, chunk.objective.splits, chunk.objective.validation}


def _keeps(chunk: Chunk, number: int) -> bool:
    """Say whether a chunk has a trial whose model is kept."""
    return chunk.objective.keep_model and any(trial.number == number for trial in chunk.trials)
