"""A training process reads and writes the database through its worker, because it has no password.

It sends questions over a separate connection and waits; a thread of the worker answers. The worker
sends the data of the current chunk, stores the models of its trials, and reports the states of
studies. It answers nothing else, so code in a training process has no other access. The messages
are in `worker.process.protocol`.
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
from multiprocessing.connection import Connection
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from warren.errors import StoreError, StudyError, short
from warren.messages import Chunk
from warren.retry import patiently
from warren.storage.documents import Document, trial_id
from warren.storage.study_document import StudyState
from worker.database import PackedModel
from worker.process import protocol

if TYPE_CHECKING:
    from warren.storage.store import Store

logger = logging.getLogger(__name__)

A = TypeVar("A", protocol.BlobContent, protocol.ModelStored, protocol.StudyStates)


class RemoteDatabaseAccess:
    """The training process's side: sends questions and waits for answers.

    Parameters
    ----------
    connection : Connection
        The connection to its worker.
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
    """The worker's side: answers the questions of one training process at a time.

    Parameters
    ----------
    store : Store
        The database that answers them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._chunk: Chunk | None = None
        self._socket: socket.socket | None = None
        self._ended = threading.Event()

    def begin(self) -> socket.socket:
        """Start to answer a new training process; return its end of the connection."""
        self.end()
        ours, theirs = socket.socketpair()
        self._socket, self._ended = ours, threading.Event()
        connection = Connection(os.dup(ours.fileno()))
        threading.Thread(
            target=self._serve, args=(connection, self._ended), name="database-access", daemon=True
        ).start()
        return theirs

    def turn_to(self, chunk: Chunk) -> None:
        """Answer questions about this chunk only, from now on."""
        self._chunk = chunk

    def end(self) -> None:
        """Stop answering; harmless when there is no training process."""
        self._ended.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the other side has ended first
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    def _serve(self, connection: Connection, ended: threading.Event) -> None:
        # An unreachable database is not the chunk's fault: wait as long as the training process
        # lives.
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
        """Answer one question; its data, which may be large, is freed when this returns."""
        try:
            answer = self._answer(protocol.receive(connection), patient)
        except StoreError as exc:
            answer = protocol.QuestionFailed(error="StoreError", text=str(exc))
        except StudyError as exc:
            answer = protocol.QuestionFailed(error="StudyError", text=str(exc))
        except (EOFError, ConnectionError):
            raise
        except Exception as exc:  # an unknown question, or a bug: the chunk ends with a reason
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
        raise StudyError(f"a training process asked for something that does not belong to its chunk: {short(question)}")


def store_model(store: Store, study_id: str, number: int, model: PackedModel, cls: str) -> Document:
    """Store the model of a study's trial; return the entry for the trial's document.

    Raises
    ------
    StoreError
        The database can't be reached.
    """
    digest = hashlib.sha256(model.content).hexdigest()
    # The name is unique, not the content's digest: no other document refers to it, so it can be
    # deleted with its study.
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
    """Return the digests of the blobs that a chunk uses."""
    return {chunk.objective.dataset, chunk.objective.splits, chunk.objective.validation}


def _keeps_model(chunk: Chunk, number: int) -> bool:
    """Return whether a chunk has this trial and keeps its model."""
    return chunk.objective.keep_model and any(trial.number == number for trial in chunk.trials)
