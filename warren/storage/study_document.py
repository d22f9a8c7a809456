"""The document of a study in the collection ``studies``: its fields, and defaults for older ones.

`StudyDocument` has all fields, and is written. A document may have megabytes (its space, its dead
letters), and workers read it every second: so a reader names the part that it needs, and the store
reads only the fields of that part.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from warren.errors import StudyError, plain, short
from warren.messages import StudyId
from warren.seeds import seed_of
from warren.storage.documents import Document, now
from warren.storage.progress_counts import no_counts

_Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """Converts nothing, and accepts any value in fields that a reader does not need."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Best(Record):
    """The best score so far, and its trial: negative, so that MongoDB prefers the lower number."""

    score: float
    minus_number: int


class Measured(Record):
    """Expected and measured times of an estimator's trials."""

    trials: _Count = 0
    estimated_seconds: float = 0.0
    fit_seconds: float = 0.0


class Progress(Record):
    """The running count of a study (`warren.storage.progress_counts`)."""

    complete: _Count = 0
    failed: _Count = 0
    dead: _Count = 0
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    saved_seconds: float = 0.0
    last_result_at: datetime | None = None
    best: Best | None = None
    estimators: dict[str, Measured] = {}
    versions: dict[str, list[str]] = {}

    @property
    def done(self) -> int:
        """Trials that have ended."""
        return self.complete + self.failed


class Estimate(Record):
    """The plan of a publication for an estimator (`producer.planning.calibration`)."""

    correction: float
    planned_seconds: float
    before: Measured


class Letter(Record):
    """A message that no worker can use (`warren.storage.dead_letters`)."""

    generation: int = 0
    index: int = 0
    numbers: list[int]
    reason: str


class Missing(Record):
    """Lost trials (`producer.results.missing_trials`)."""

    publication: int
    at: datetime | None = None
    since: datetime | None = None
    trials: _Count
    sure: bool
    certain: bool = False


class Data(Record):
    """Facts about the data, for people."""

    X: str
    shape: list[_Count]
    n_samples: _Count
    bytes: _Count


def problem_of(exc: ValidationError) -> str:
    """Return the first problem of a document, and its field."""
    first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(plain(part) if isinstance(part, str) else str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"


class StudyKey(Record):
    """The id of a study. The parts below add the fields for their readers."""

    id: StudyId = Field(alias="_id")

    @classmethod
    def read(cls, document: Document) -> Self:
        """Read a document, or some of its fields.

        Raises
        ------
        StudyError
            It is not a study: a field is missing, or has a value that no version writes.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as exc:
            raise StudyError(
                f"document {short(document.get('_id'))} of the collection studies is invalid ({problem_of(exc)})"
            ) from None

    @classmethod
    def projection(cls) -> dict[str, int]:
        """Return the fields to read, as a MongoDB projection."""
        return {field.alias or name: 1 for name, field in cls.model_fields.items()}


class StudyState(StudyKey):
    """Whether a study runs, and its generation, for workers."""

    state: Literal["RUNNING", "PAUSED", "CANCELLED", "COMPLETE"]
    generation: int = 0
    publications: int | None = None


class StudyMeasures(StudyKey):
    """Expected and measured times of a study's trials."""

    progress: Progress = Progress()
    estimates: dict[str, Estimate] | None = None
    data: Data | None = None


class StudyProgress(StudyMeasures, StudyState):
    """The progress of a study."""

    name: str
    n_trials: _Count
    progress: Progress
    created_at: datetime
    submitted_at: datetime | None = None
    finished_at: datetime | None = None
    queue: str | None = None
    gpu_trials: int = 0
    versions: dict[str, str] = {}
    missing: Missing | None = None
    results_file: str | None = None


class StudyStatus(StudyProgress):
    """The progress of a study, and its dead letters."""

    dead_letters: list[Letter] = []


class DeadChunks(StudyState):
    """The chunks of a study that no worker can use, by name."""

    dead_chunks: list[str] = []


class StudyDefinition(StudyKey):
    """A study's definition with its signature, without its space, which may be large.

    The objective is unparsed: the signature covers its stored form, also from earlier versions.
    """

    name: str
    n_trials: _Count
    objective: Document
    estimator_in_grid: bool = False
    space_sha256: str | None = None
    signature: str | None = None


class StudySpace(StudyDefinition):
    """A study's definition with its space."""

    space: Any


class StudyPlan(StudyDefinition, StudyProgress):
    """A study's definition and run settings, without its space, for a publication."""

    data: Data
    n_splits: _Count = 0
    # Studies of earlier versions have no training rows and no classes.
    train_rows: _Count | None = None
    n_classes: _Count = 0
    n_chunks: _Count | None = None
    share_fits: bool = True
    trial_timeout: float | None = None
    priority: int = 1
    noted: list[int] = []


class StudyDocument(StudySpace, StudyPlan, StudyStatus, DeadChunks):
    """All fields. Fields that are not set are not written."""

    seed: int | None = None
    model_of: str | None = None

    @classmethod
    def new(cls, study_id: str, **fields: Any) -> Self:
        """Return the document of a new study."""
        return cls(
            _id=study_id,
            state="RUNNING",
            generation=0,
            publications=0,
            seed=seed_of(study_id),
            created_at=now(),
            submitted_at=None,
            finished_at=None,
            progress=Progress.model_validate(no_counts()),
            dead_letters=[],
            **fields,
        )

    def to_document(self, names: Iterable[str] | None = None) -> Document:
        """Return the document to write, or some of its fields."""
        return self.model_dump(by_alias=True, exclude_unset=True, include=None if names is None else set(names))
