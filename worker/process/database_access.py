"""How a training process reads and writes the database: it asks its worker, for it has no password.

It asks over a connection of its own and waits; a thread of the worker's answers. The worker hands out the data of the
current chunk, stores the models of its trials, and says how far studies are. Code that runs in a training process can
ask for no more. The messages are in `worker.process.protocol`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar, cast

from warren.errors import StoreError, StudyError, short
from warren.messages import Chunk
from warren.retry import patiently
from warren.storage.documents import Document, trial_id
from warren.storage.study_document import StudyState
from worker.process import protocol

if TYPE_CHECKING:
    from warren.storage.store import Store

logger = logging.getLogger(__name__)

A = TypeVar("A", protocol.BlobContent, protocol.ModelStored, protocol.StudyStates)


@dataclass(frozen=True, kw_only=True)
class PackedModel:
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


class DatabaseAccess(Protocol):
    """What an evaluator needs of the database; a training process has it as `RemoteDatabaseAccess`."""

    def blob(self, digest: str) -> bytes:
        """Return data or splits of the current chunk.

        Raises
        ------
        StudyError
            They are not in the database.
        """

    def store_model(self, number: int, model: PackedModel, cls: str) -> Document:
        """Store the fitted model of a trial, of a class by its dotted name; return what its document says of it."""

    def study_states(self, trials: Mapping[str, Iterable[int]]) -> tuple[dict[str, str], set[tuple[str, int]]]:
        """Return the states of studies, as far as they exist, and which of their trials have a result.

        Raises
        ------
        StoreError
            The database can't be reached.
        """


class RemoteDatabaseAccess:
    """The training process's end.

    Parameters
    ----------
    connection : Connection
        To its worker.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def blob(self, digest: str) -> bytes:
        """Return data or splits of the current chunk."""
        blob = io.BytesIO()
        while True:
            content = self._ask(protocol.ReadBlob(digest=digest, start=blob.tell()), protocol.BlobContent).content
            blob.write(content)
            if len(content) < protocol.READ_BYTES:
                return blob.getvalue()

    def store_model(self, number: int, model: PackedModel, cls: str) -> Document:
        """Store the model of a trial."""
        return self._ask(protocol.StoreModel(number=number, cls=cls, **vars(model)), protocol.ModelStored).document

    def study_states(self, trials: Mapping[str, Iterable[int]]) -> tuple[dict[str, str], set[tuple[str, int]]]:
        """Return the states of studies, and which of their trials have a result."""
        found = self._ask(
            protocol.ReadStates(trials={study: [*numbers] for study, numbers in trials.items()}), protocol.StudyStates
        )
        return found.states, {(study, number) for study, numbers in found.ended.items() for number in numbers}

    def _ask(self, question: protocol.Message, expected: type[A]) -> A:
        protocol.send(self._connection, question)
        answer = protocol.receive(self._connection)
        if isinstance(answer, expected):
            return answer
        failed = cast("protocol.QuestionFailed", answer)
        raise (StoreError if failed.error == "StoreError" else StudyError)(failed.text)


class DatabaseAccessServer:
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
        threading.Thread(
            target=self._serve, args=(connection, self._ended), name="database-access", daemon=True
        ).start()
        return theirs

    def turn_to(self, chunk: Chunk) -> None:
        """Hand out what belongs to a chunk from now on."""
        self._chunk = chunk

    def end(self) -> None:
        """Answer no more; harmless when no training process asks."""
        self._ended.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the other side has ended first
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    def _serve(self, connection: Connection, ended: threading.Event) -> None:
        # A database that can't be reached is not the chunk's fault: wait as long as the training process is there.
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
        try:
            answer = self._answer(protocol.receive(connection), patient)
        except StoreError as exc:
            answer = protocol.QuestionFailed(error="StoreError", text=str(exc))
        except StudyError as exc:
            answer = protocol.QuestionFailed(error="StudyError", text=str(exc))
        except (EOFError, ConnectionError):
            raise
        except Exception as exc:  # no question of this version, or a bug: the chunk ends with a reason
            logger.exception("could not answer a training process")
            answer = protocol.QuestionFailed(error="StudyError", text=f"its worker failed: {type(exc).__name__}")
        protocol.send(connection, answer)

    def _answer(self, question: protocol.Message, patient: Callable[..., Any]) -> protocol.Message:
        chunk = self._chunk
        match question:
            case protocol.ReadBlob(digest=digest, start=start) if chunk is not None and digest in _digests(chunk):
                return protocol.BlobContent(
                    content=patient(self._store.datasets.get, digest, start, protocol.READ_BYTES)
                )
            case protocol.StoreModel(number=number, cls=cls) if chunk is not None and _keeps_model(chunk, number):
                model = PackedModel(format=question.format, content=question.content, facts=question.facts)
                return protocol.ModelStored(
                    document=patient(store_model, self._store, chunk.study_id, number, model, cls)
                )
            case protocol.ReadStates(trials=trials):
                states: dict[str, str] = {
                    study: found.state for study in trials if (found := self._store.study(study, StudyState))
                }
                ended = self._store.trials.finished_numbers
                return protocol.StudyStates(
                    states=states, ended={study: [*ended(study, trials[study])] for study in trials}
                )
        raise StudyError(f"a training process asks for what does not belong to its chunk: {short(question)}")


def store_model(store: Store, study_id: str, number: int, model: PackedModel, cls: str) -> Document:
    """Store the model of a study's trial; return what the trial's document says of it.

    Raises
    ------
    StoreError
        The database can't be reached.
    """
    digest = hashlib.sha256(model.content).hexdigest()
    # A name of its own, not the content's digest: no other document refers to it, so it is deleted with its study.
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


def _keeps_model(chunk: Chunk, number: int) -> bool:
    """Say whether a chunk has a trial whose model is kept."""
    return chunk.objective.keep_model and any(trial.number == number for trial in chunk.trials)
