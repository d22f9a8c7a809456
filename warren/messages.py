"""The messages: a chunk of trials as self-contained JSON with a schema version, without pickle.

They contain the objective by value and the data by reference. Records are frozen. `decode_chunk` is
the only reader, and raises one error, `MessageError`, for any problem of a body. Publishers are not
trusted: a decoded chunk takes bounded memory, fits into MongoDB's documents, and has no parameter
that reaches a file or code (`warren.safety.parameter_checks`). `warren.safety.allowlist` checks
classes by name.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, FailFast, Field, Tag, ValidationError
from pydantic_core import from_json

from warren.errors import InputError, MessageError, plain, short
from warren.safety.parameter_checks import LARGEST_INT, LARGEST_PARAMS, TrialCheck, check_estimator
from warren.safety.scorers import check_keywords
from warren.sklearn_config import Configuration

LARGEST_BODY = 15 * 2**20
"""Most bytes of a message. RabbitMQ 4 refuses messages above 16 MiB."""
MOST_ITEMS = 2_000_000
"""Most values in a message, by its commas and brackets; each takes up to 100 bytes in memory."""
MOST_TRIALS = 250_000
"""Most trials of a chunk: as many as fit into the largest message."""
MOST_SCORES = 500_000
"""Most scores of a trial: folds by metrics and parts, and two times per fold."""

# Most characters of an error, which is in a header, a log line and the study's document.
_LONGEST_REASON = 500

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""SHA-256 of a content, hexadecimal."""
STUDY_ID = "^[a-z0-9][a-z0-9-]{0,199}$"
"""The pattern of a study's id."""
StudyId = Annotated[str, Field(pattern=STUDY_ID)]
"""Study ids of `submit`. No colon, because trials are ``<study>:<number>``, and no query syntax."""
Count = Annotated[int, Field(ge=0, le=LARGEST_INT, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Metric = Annotated[str, Field(pattern="^(_|_?[A-Za-z0-9-][A-Za-z0-9_-]*)$", max_length=100)]
"""Becomes fields of a trial document, ``mean_test_<metric>``."""
ScorerName = Annotated[str, Field(pattern="^[a-z0-9_]{1,100}$")]
ResponseMethod = Literal["predict", "predict_proba", "decision_function"]


# Later fields of an objective; studies without them keep their ids.
_LATER_FIELDS = ("validation", "weigh_scores", "keep_model", "configuration", "dataset_values")


class Record(BaseModel):
    """A frozen record: unknown fields are refused; NaN and infinities are sent as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class MetricScorer(Record):
    """A scorer made of a metric function, as by `sklearn.metrics.make_scorer`.

    Attributes
    ----------
    function : str
        Dotted name of the function (`warren.safety.scorers`).
    greater_is_better : bool
        If false, the sign of the function's result is changed.
    response_method : str or tuple of str
        The estimator's method for the function's input; of several, the first that exists.
    kwargs : dict
        Encoded keywords of the function (`warren.encoding.codec`).
    """

    function: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)+$", max_length=200)]
    greater_is_better: Flag = True
    response_method: ResponseMethod | Annotated[tuple[ResponseMethod, ...], Field(min_length=1, max_length=3)] = (
        "predict"
    )
    kwargs: dict[str, Any] = {}


def _form(scorer: object) -> str:
    return "name" if isinstance(scorer, str) else "own" if scorer is None else "metric"


Scoring: TypeAlias = Annotated[
    Annotated[ScorerName, Tag("name")] | Annotated[MetricScorer, Tag("metric")] | Annotated[None, Tag("own")],
    Discriminator(_form),
]
"""A scikit-learn scorer's name, a scorer made of a metric function, or None for ``score``."""


class Objective(Record):
    """What a trial evaluates.

    Attributes
    ----------
    estimator : dict or None
        Encoded estimator (`warren.encoding.codec`); None if each trial has its own.
    dataset : str
        Digest of X, y and sample weights in the bucket ``datasets``.
    dataset_values : str or None
        Digest of the same values without irrelevant containers: plain row numbers, a Series or list
        around labels. It replaces `dataset` in the study's identity; None if both are equal.
    splits : str
        Digest of the train and test indices, in the same bucket.
    validation : str or None
        Digest of the indices, in the same bucket, that divide each fold's training part into rows
        to fit on and rows that early stopping watches; None lets it watch the held-out part.
    n_splits : int
        Number of folds.
    scorers : dict of str to (str, MetricScorer or None)
        Scorer by metric, in the user's order: a scikit-learn scorer's name, a scorer made of a
        metric function, or None for the estimator's own ``score``.
    refit : str
        The metric that determines the best trial.
    error_score : float or "raise"
        Score of a fold that fails.
    return_train_score : bool
        Whether to score the training part, too.
    weigh_scores : bool
        Whether scorers that accept weights get those of the data, too.
    keep_model : bool
        Fit on all rows, score nothing, and store the fitted model in the bucket ``models``.
    configuration : Configuration
        scikit-learn's configuration for fitting, scoring and storing.
    """

    estimator: dict[str, Any] | None
    dataset: Digest
    dataset_values: Digest | None = None
    splits: Digest
    validation: Digest | None = None
    n_splits: Annotated[int, Field(ge=1, strict=True)]
    scorers: Annotated[dict[Metric, Scoring], Field(min_length=1)]
    refit: Metric
    error_score: float | Literal["raise"]
    return_train_score: Flag
    weigh_scores: Flag = True
    keep_model: Flag = False
    configuration: Configuration = Configuration()

    def identity(self) -> dict[str, Any]:
        """Return the fields of the objective; a later field is left out at its default."""
        usual = {name for name in _LATER_FIELDS if getattr(self, name) == type(self).model_fields[name].default}
        found = self.model_dump(exclude=usual | {"dataset_values"})
        return found | {"dataset": self.dataset_values or self.dataset}

    @property
    def parts(self) -> list[str]:
        """The scores: ``["test_accuracy", "train_accuracy"]``, the latter only if requested."""
        parts = ("test", "train") if self.return_train_score else ("test",)
        return [f"{part}_{metric}" for metric in self.scorers for part in parts]

    @property
    def failed_score(self) -> float:
        """Score of a failed fold; NaN if failures raise when results are read."""
        return math.nan if self.error_score == "raise" else self.error_score


class Trial(Record):
    """One point of the space.

    Attributes
    ----------
    number : int
        Its number in the study.
    params : dict
        Its encoded parameters (`warren.encoding.codec`).
    estimator : dict or None
        Its own encoded estimator, if the grid has a list of them; None is the objective's.
    estimated_seconds : float
        Expected seconds of its fits on one thread; trials that share a fit divide its time.
    """

    number: Count
    params: dict[str, Any]
    estimator: dict[str, Any] | None = None
    estimated_seconds: Annotated[float, Field(ge=0, le=1e100, allow_inf_nan=False, strict=True)] = 0.0


class Chunk(Record):
    """The trials of one message: the unit of delivery and acknowledgement.

    Attributes
    ----------
    schema_version : int
        Version of this format; a worker dead-letters unknown versions.
    study_id : str
        The study.
    generation : int
        The study's publication that this is part of. A worker drops chunks older than the study's
        own generation: a later publication contains their unfinished trials.
    index : int
        Number of the chunk in its publication.
    objective : Objective
        What every trial of the chunk evaluates.
    trials : tuple of Trial
        At least one.
    trial_timeout : float or None
        Seconds for one trial on all folds; None is the worker's own limit.
    share_fits : bool
        Whether adjacent trials that differ only in rounds share one fit per fold.
    """

    schema_version: Literal[1] = 1
    study_id: StudyId
    generation: Annotated[int, Field(ge=1, le=LARGEST_INT, strict=True)]
    index: Count
    objective: Objective
    trials: Annotated[tuple[Trial, ...], FailFast(), Field(min_length=1, max_length=MOST_TRIALS)]
    trial_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)] | None = None
    share_fits: Flag = True


def encode_chunk(chunk: Chunk) -> bytes:
    """Return the message body of a chunk: UTF-8 JSON."""
    return chunk.model_dump_json().encode()


def decode_chunk(body: bytes) -> Chunk:
    """Read a message body.

    Parameters
    ----------
    body : bytes
        Any content of a queue. If a key is repeated, the last one counts.

    Returns
    -------
    Chunk

    Raises
    ------
    MessageError
        The body is too large, is not JSON, or has another schema version; a field is missing,
        unknown or out of range; or a parameter reaches what it must not. The text repeats only the
        beginning of a value.
    """
    try:
        check_body(body)
        chunk = Chunk.model_validate_json(body)
        check_objective(chunk.objective)
        _check_trials(chunk, large=len(body) > LARGEST_PARAMS)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        # Field names are Warren's; keys of dicts may be anything.
        where = ".".join(plain(part) if isinstance(part, str) else str(part) for part in first["loc"]) or "body"
        raise MessageError(
            f"{where}: {first['msg']} ({exc.error_count()} problem(s) in {len(body)} bytes)"[:_LONGEST_REASON]
        ) from None
    except InputError as exc:
        raise MessageError(str(exc)[:_LONGEST_REASON]) from None
    return chunk


def is_study_id(value: object) -> bool:
    """Return whether something is a study id of `submit`: it becomes names of files and folders."""
    return isinstance(value, str) and re.fullmatch(STUDY_ID[1:-1], value) is not None


def check_body(body: bytes) -> None:
    """Refuse a body that would take too much memory to parse; the producer checks it, too.

    Raises
    ------
    InputError
    """
    if len(body) > LARGEST_BODY:
        raise InputError(f"a message of {len(body) / 2**20:.0f} MiB: at most {LARGEST_BODY // 2**20}")
    if len(body) > MOST_ITEMS and (items := sum(map(body.count, (b",", b"[", b"{")))) > MOST_ITEMS:
        raise InputError(f"a message of {items:,} values: at most {MOST_ITEMS:,}")


def check_objective(objective: Objective) -> None:
    """Refuse an objective that no worker can evaluate; the producer checks it before storing.

    Raises
    ------
    InputError
        Its estimator is invalid or reaches what it must not, a metric function has invalid
        arguments, the refit metric is not one of the metrics, or the scores don't fit into a
        trial's document.
    """
    if objective.estimator is not None:
        check_estimator(objective.estimator, "objective.estimator")
    for metric, scorer in objective.scorers.items():
        if isinstance(scorer, MetricScorer):
            check_keywords(scorer.kwargs, f"objective.scorers[{metric!r}].kwargs")
    if objective.refit not in objective.scorers:
        raise InputError(f"objective.refit={objective.refit!r} is none of the metrics {short(list(objective.scorers))}")
    scores = objective.n_splits * (2 + len(objective.scorers) * (1 + objective.return_train_score))
    if scores > MOST_SCORES:
        raise InputError(
            f"{objective.n_splits:,} splits and {len(objective.scorers)} metric(s) make {scores:,} numbers a trial, "
            f"and its document holds {MOST_SCORES:,}: use fewer splits or metrics"
        )


def _check_trials(chunk: Chunk, *, large: bool) -> None:
    """Refuse repeated trials, trials without an estimator, and parameters that are too large."""
    if chunk.objective.keep_model and len(chunk.trials) > 1:
        raise InputError(f"trials: {len(chunk.trials):,} of an objective whose model is kept, which has one")
    checked = TrialCheck(chunk.objective.estimator)
    seen: set[int] = set()
    for position, trial in enumerate(chunk.trials):
        where = f"trials.{position}"
        if trial.number in seen:
            raise InputError(f"{where}.number={trial.number} is in the chunk twice")
        seen.add(trial.number)
        if trial.estimator is not None:
            check_estimator(trial.estimator, f"{where}.estimator")
            TrialCheck(trial.estimator)(trial.params, f"{where}.params")
        elif chunk.objective.estimator is None:
            raise InputError(f"{where}.estimator is missing, and the objective has none")
        else:
            checked(trial.params, f"{where}.params")
        if large and (size := len(json.dumps([trial.estimator, trial.params]))) > LARGEST_PARAMS:
            raise InputError(f"{where}: {size:,} bytes of parameters, and a trial's document takes {LARGEST_PARAMS:,}")


@dataclass(frozen=True)
class Address:
    """The study, chunk and trials of a message: enough to note it in the study."""

    study_id: str
    generation: int
    index: int
    numbers: list[int]


class _Envelope(BaseModel):
    """The part of a message that every version has."""

    study_id: StudyId
    generation: Annotated[int, Field(ge=1, le=LARGEST_INT)]
    index: Count


def address_of(body: bytes) -> Address | None:
    """Read the address of a body that `decode_chunk` refuses, such as one of another version.

    Parameters
    ----------
    body : bytes
        Any content of a queue.

    Returns
    -------
    Address or None
        None if the body has no valid address. The trial numbers are the readable ones, each once,
        at most `MOST_TRIALS`. Nothing was compared with a study: anyone can write an address.
    """
    try:
        check_body(body)
        content = from_json(body, cache_strings=False)
        found = _Envelope.model_validate(content, strict=True)
    except (InputError, ValueError):  # of JSON and of pydantic
        return None
    trials = content.get("trials")
    numbers: dict[int, None] = {}
    for trial in trials[:MOST_TRIALS] if isinstance(trials, list) else ():
        number = trial.get("number") if isinstance(trial, dict) else None
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= LARGEST_INT:
            numbers[number] = None
    return Address(found.study_id, found.generation, found.index, list(numbers))
