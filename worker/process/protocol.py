"""The messages between a worker and its training process, and how they are sent and received.

Two connections join the two processes. On the first, the worker sends `EvaluateChunk`. The training
process answers `TrialsBegin`, then `FoldsDone`, `EpochsDone` and `TrialEnded` as they occur, and
`ChunkEnded` at the end; or `ChunkRefused`. Meanwhile the worker may send `StopAfter`, and
afterwards `ResultsDurable`. On the second connection, the training process asks for what only the
worker may read and write, and waits: the answer to `ReadBlob` is `BlobContent`, to `StoreModel` it
is `ModelStored`, to `ReadStates` it is `StudyStates`; each may also be answered by
`QuestionFailed`.

A message is sent as BSON: its fields, and the record's name as ``message``. A field called
``content`` follows as plain bytes, because it may be larger than the limit of a BSON document.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, is_dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal, TypeAlias, get_args

from pydantic import TypeAdapter, ValidationError

from warren.errors import MessageError
from warren.storage.documents import pack, unpack

READ_BYTES = 16 * 1024**2
"""Bytes of a blob in one answer: few round trips for gigabytes, but little memory in the worker."""

StopPoint: TypeAlias = Literal["trial", "fold"]
"""Where a training process stops.

After the trials that share the current fit, or after their current fold. A network stops at a
checkpoint if that comes first.
"""

# ------------------------------ from the worker to its training process


@dataclass(frozen=True, kw_only=True)
class EvaluateChunk:
    """Evaluate a chunk."""

    # The published message.
    body: bytes
    # Trials that have a result.
    skip: set[int] = field(default_factory=set)
    # Number of this attempt, by trial, for trials that had one before.
    attempts: dict[int, int] = field(default_factory=dict)
    # Trials that must not share a fit, even if the chunk allows it.
    alone: set[int] = field(default_factory=set)
    # Finished folds, by trial and fold, in the form of `worker.training.fit_and_score.FoldResult`.
    folds: dict[int, dict[str, dict[str, Any]]] = field(default_factory=dict)
    # Whether another process may have left checkpoints of these trials.
    left_behind: bool = True


@dataclass(frozen=True, kw_only=True)
class StopAfter:
    """Stop early; the process answers with `ChunkEnded`, as at the end of a chunk."""

    what: StopPoint


@dataclass(frozen=True, kw_only=True)
class ResultsDurable:
    """Every result of the last chunk is in the database: its checkpoints may be deleted."""

    # Whether the study no longer needs the chunk's other trials either.
    given_up: bool


# ------------------------------ from the training process to its worker


@dataclass(frozen=True, kw_only=True)
class TrialsBegin:
    """Data and libraries are loaded: the first trial begins."""


@dataclass(frozen=True, kw_only=True)
class FoldDone:
    """A finished fold of a trial that has not ended."""

    number: int
    fold: int
    # In the form of `worker.training.fit_and_score.FoldResult`.
    result: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class FoldsDone:
    """Folds of the current trials are finished."""

    folds: list[FoldDone]


@dataclass(frozen=True, kw_only=True)
class EpochsDone:
    """Epochs of the current network are finished."""

    # The trial, its fold, and the number of the network within the fold's fit.
    number: int
    fold: int
    network: int
    # The curve so far: see `worker.training.epochs.Curve`.
    epochs: dict[str, list[Any]]
    # Epochs in the last checkpoint, and whether there is a place for checkpoints.
    kept: int
    checkpointed: bool
    # Seconds of the fit that checkpoints have saved so far.
    saved_seconds: float
    # The first fields of the trial's document.
    about: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrialEnded:
    """A trial has a result."""

    number: int
    # BSON, which the worker stores unchanged.
    document: bytes
    # The part of this process's output that belongs to a failed trial.
    output_part: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChunkEnded:
    """All trials have ended, or the process stopped early on request."""

    # Whether there may be checkpoints of the chunk's trials, which are deleted on `ResultsDurable`.
    keeps_checkpoints: bool = False


@dataclass(frozen=True, kw_only=True)
class ChunkRefused:
    """No trial of the chunk can be evaluated."""

    reason: str


# ------------------------------ questions of the training process, and their answers


@dataclass(frozen=True, kw_only=True)
class ReadBlob:
    """Read data or splits of the chunk, starting at a byte."""

    digest: str
    start: int


@dataclass(frozen=True, kw_only=True)
class BlobContent:
    """`READ_BYTES` of a blob, or fewer at its end."""

    content: bytes


@dataclass(frozen=True, kw_only=True)
class StoreModel:
    """Store the fitted model of a trial: see `worker.database.PackedModel`."""

    number: int
    # Dotted name of the estimator's class.
    cls: str
    format: str
    facts: dict[str, Any]
    content: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ModelStored:
    """The entry on the model for the trial's document."""

    document: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ReadStates:
    """Read the states of studies, and which of these trials have a result; trials by study."""

    trials: dict[str, list[int]]


@dataclass(frozen=True, kw_only=True)
class StudyStates:
    """States of the studies that exist, and the trials that have a result."""

    states: dict[str, str]
    ended: dict[str, list[int]]


@dataclass(frozen=True, kw_only=True)
class QuestionFailed:
    """The worker can't answer."""

    error: Literal["StoreError", "StudyError"]
    text: str


Message: TypeAlias = (
    EvaluateChunk | StopAfter | ResultsDurable
    | TrialsBegin | FoldsDone | EpochsDone | TrialEnded | ChunkEnded | ChunkRefused
    | ReadBlob | BlobContent | StoreModel | ModelStored | ReadStates | StudyStates | QuestionFailed
)  # fmt: skip

# The validator of each record, by its name; built once here, which takes some milliseconds.
_RECORDS: dict[str, TypeAdapter[Message]] = {cls.__name__: TypeAdapter(cls) for cls in get_args(Message)}
_WITH_CONTENT = frozenset({BlobContent.__name__, StoreModel.__name__})


def send(connection: Connection, message: Message) -> None:
    """Send a message.

    Raises
    ------
    ConnectionError
        The other process is gone.
    """
    name = type(message).__name__
    document = {"message": name} | _plain(message)
    content = document.pop("content", None)
    connection.send_bytes(pack(document))
    if content is not None:
        connection.send_bytes(content)


def receive(connection: Connection) -> Message:
    """Wait for a message.

    Raises
    ------
    EOFError, ConnectionError
        The other process is gone.
    MessageError
        The bytes are not a message.
    """
    packed = connection.recv_bytes()
    try:
        document = unpack(packed)
        name = str(document.pop("message", None))
        if name in _WITH_CONTENT:
            document["content"] = connection.recv_bytes()
        return _RECORDS[name].validate_python(document)
    except (EOFError, ConnectionError):
        raise
    except ValidationError as exc:
        raise MessageError(f"not a {name}: {exc.errors()[0]['msg']}") from exc
    except Exception as exc:  # not BSON, or an unknown name
        raise MessageError(f"{len(packed)} bytes that are not a message: {type(exc).__name__}") from exc


def _plain(value: Any) -> Any:
    """Return a value that BSON can hold: records as documents, keys as text, sets as lists."""
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, AbstractSet)):
        return [_plain(item) for item in value]
    return value
