"""The document of a study in the collection ``studies``: its fields, and what older documents lack.

`StudyDocument` is all of it, and what is written. A document may hold megabytes (its space, its dead letters), and a
worker reads it every second: so readers name the part that they need, and the store reads the fields of that part.
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
    """Nothing is converted, and fields that are not asked for may be anything."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Best(Record):
    """The best score so far, and the trial that has it: negative, so that MongoDB prefers the lower number."""

    score: float
    minus_number: int


class Measured(Record):
    """What the trials of an estimator were expected to take, and took."""

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
    """What a publication planned for an estimator (`producer.planning.calibration`)."""

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
    """Trials of which nothing is seen (`producer.results.missing_trials`)."""

    publication: int
    at: datetime | None = None
    since: datetime | None = None
    trials: _Count
    sure: bool
    certain: bool = False


class Data(Record):
    """What a person wants to know of the data."""

    X: str
    shape: list[_Count]
    n_samples: _Count
    bytes: _Count


def problem_of(exc: ValidationError) -> str:
    """Return what is wrong with a document first, and where."""
    first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(plain(part) if isinstance(part, str) else str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"


class StudyKey(Record):
    """The id of a study. The parts below add what their readers need."""

    id: StudyId = Field(alias="_id")

    @classmethod
    def read(cls, document: Document) -> Self:
        """Read a document, or as much of it as was asked for.

        Raises
        ------
        StudyError
            It is no study's: a field is missing, or holds what no version writes.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as exc:
            raise StudyError(
                f"document {short(document.get('_id'))} of the collection studies is invalid ({problem_of(exc)})"
            ) from None

    @classmethod
    def projection(cls) -> dict[str, int]:
        """Return the fields that are read, as MongoDB takes them."""
        return {field.alias or name: 1 for name, field in cls.model_fields.items()}


class StudyState(StudyKey):
    """Whether a study runs, and how often it was published: what a worker asks for."""

    state: Literal["RUNNING", "PAUSED", "CANCELLED", "COMPLETE"]
    generation: int = 0
    publications: int | None = None


class StudyMeasures(StudyKey):
    """What the trials of a study were expected to take, and took."""

    progress: Progress = Progress()
    estimates: dict[str, Estimate] | None = None
    data: Data | None = None


class StudyProgress(StudyMeasures, StudyState):
    """How far a study is."""

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
    """How far a study is, and what of it no worker can use."""

    dead_letters: list[Letter] = []


class DeadChunks(StudyState):
    """The chunks of a study that no worker can use, by name."""

    dead_chunks: list[str] = []


class StudyDefinition(StudyKey):
    """What a study is, and who says so; all but its space, which may be large.

    The objective is as it lies there: its signature covers that, also where an earlier version wrote it.
    """

    name: str
    n_trials: _Count
    objective: Document
    estimator_in_grid: bool = False
    space_sha256: str | None = None
    signature: str | None = None


class StudySpace(StudyDefinition):
    """What a study is."""

    space: Any


class StudyPlan(StudyDefinition, StudyProgress):
    """What a study is and how it is run, all but its space: what a publication needs."""

    data: Data
    n_splits: _Count = 0
    # Studies of earlier versions know neither their training rows nor their classes.
    train_rows: _Count | None = None
    n_classes: _Count = 0
    n_chunks: _Count | None = None
    share_fits: bool = True
    trial_timeout: float | None = None
    priority: int = 1
    noted: list[int] = []


class StudyDocument(StudySpace, StudyPlan, StudyStatus, DeadChunks):
    """All of it. What is not set is not written."""

    seed: int | None = None
    model_of: str | None = None

    @classmethod
    def new(cls, study_id: str, **fields: Any) -> Self:
        """Return the document of a study that begins."""
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
        """Return what is written, or some fields of it."""
        return self.model_dump(by_alias=True, exclude_unset=True, include=None if names is None else set(names))
