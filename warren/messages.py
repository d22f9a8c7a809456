"""What travels: a chunk of trials, as JSON with a schema version, self-contained, no pickle.

Objective by value, data by reference. The records are frozen; `decode_chunk` is the only way in and
raises one error, `MessageError`, for whatever is wrong with a body. Anybody who may publish can send anything:
what comes out of `decode_chunk` takes bounded memory, fits in MongoDB's documents, and holds no parameter that
reaches a file or code (`warren.safety.parameter_checks`). Classes by name are `warren.safety.allowlist`'s.
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
"""Bytes of a message. RabbitMQ 4 refuses messages above 16 MiB."""
MOST_ITEMS = 2_000_000
"""Values in a message, by its commas and brackets; each takes up to 100 bytes of memory once it is read."""
MOST_TRIALS = 250_000
"""Trials of a chunk: as many as fit into the largest message."""
MOST_SCORES = 500_000
"""Scores of a trial: folds by metrics and parts, and the two times of a fold. More would not fit into its document."""

# Characters of an error; it stands in a header, a log line and the study's document.
_LONGEST_REASON = 500

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""SHA-256 of a content, hexadecimal."""
STUDY_ID = "^[a-z0-9][a-z0-9-]{0,199}$"
"""What the id of a study is spelled like."""
StudyId = Annotated[str, Field(pattern=STUDY_ID)]
"""What `submit` makes. No colon, for trials are called ``<study>:<number>``, and nothing that a query could mean."""
Count = Annotated[int, Field(ge=0, le=LARGEST_INT, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Metric = Annotated[str, Field(pattern="^(_|_?[A-Za-z0-9-][A-Za-z0-9_-]*)$", max_length=100)]
"""Becomes fields of a trial document, ``mean_test_<metric>``."""
ScorerName = Annotated[str, Field(pattern="^[a-z0-9_]{1,100}$")]
ResponseMethod = Literal["predict", "predict_proba", "decision_function"]


# Fields of an objective that earlier studies did not have, and without which their ids stay as they are.
_LATER_FIELDS = ("validation", "weigh_scores", "keep_model", "configuration", "dataset_values")


class Record(BaseModel):
    """A frozen record: unknown fields are refused, NaN and infinities travel as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class MetricScorer(Record):
    """A scorer made of a metric function, as `sklearn.metrics.make_scorer` makes it.

    Attributes
    ----------
    function : str
        Dotted name of the function (`warren.safety.scorers`).
    greater_is_better : bool
        Otherwise the sign of what it returns is changed.
    response_method : str or tuple of str
        What of the estimator it is given; of several the first that the estimator has.
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
"""Name of one of scikit-learn's scorers, one made of a metric function, or None for the estimator's own ``score``."""


class Objective(Record):
    """What a trial evaluates.

    Attributes
    ----------
    estimator : dict or None
        Encoded estimator (`warren.encoding.codec`); None when each trial brings its own.
    dataset : str
        Digest of X, y and sample weights in the bucket ``datasets``.
    dataset_values : str or None
        Digest of the same without what says nothing: mere numbers of rows, a Series or list around labels. It stands
        for the dataset in the study's identity; None where there is nothing such.
    splits : str
        Digest of the train and test indices, in the same bucket.
    validation : str or None
        Digest of indices that cut each fold's training part into rows to fit on and rows that early stopping watches,
        in the same bucket; None lets it watch the held-out part.
    n_splits : int
        Number of folds.
    scorers : dict of str to (str, MetricScorer or None)
        Scorer by metric, in the user's order: a scikit-learn scorer's name, one made of a metric function, or None for
        the estimator's own ``score``.
    refit : str
        The metric that says which trial is best.
    error_score : float or "raise"
        Score of a fold that fails.
    return_train_score : bool
        Score the training part too.
    weigh_scores : bool
        Hand the data's weights to the scorers that take some, beside the fits.
    keep_model : bool
        Fit on all rows, score nothing, and keep the fitted model in the bucket ``models``.
    configuration : Configuration
        scikit-learn's, around everything that is fitted, scored and kept.
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
        """Return what the objective is made of; a field that came later is no part of it until it is asked for."""
        usual = {name for name in _LATER_FIELDS if getattr(self, name) == type(self).model_fields[name].default}
        found = self.model_dump(exclude=usual | {"dataset_values"})
        return found | {"dataset": self.dataset_values or self.dataset}

    @property
    def parts(self) -> list[str]:
        """What is scored: ``["test_accuracy", "train_accuracy"]``, the training part only if asked for."""
        parts = ("test", "train") if self.return_train_score else ("test",)
        return [f"{part}_{metric}" for metric in self.scorers for part in parts]

    @property
    def failed_score(self) -> float:
        """Score of a fold that fails; NaN where failures are raised when results are read."""
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
        Its own encoded estimator, where the grid has a list of them; None is the objective's.
    estimated_seconds : float
        What the planner expects its fits to take on one thread; a fit that trials share is split among them.
    """

    number: Count
    params: dict[str, Any]
    estimator: dict[str, Any] | None = None
    estimated_seconds: Annotated[float, Field(ge=0, le=1e100, allow_inf_nan=False, strict=True)] = 0.0


class Chunk(Record):
    """The trials that one queue message carries: the unit of delivery and acknowledgement.

    Attributes
    ----------
    schema_version : int
        Version of this format; a worker dead-letters what it does not know instead of guessing.
    study_id : str
        The study.
    generation : int
        Which publication of the study this is. A worker drops chunks older than the study's own
        generation: a later publication carries their unfinished trials.
    index : int
        Number of the chunk in its publication.
    objective : Objective
        What every trial of the chunk evaluates.
    trials : tuple of Trial
        At least one.
    trial_timeout : float or None
        Seconds for one trial on all folds; None is the worker's own limit.
    share_fits : bool
        Neighbouring trials that differ in their rounds alone share one fit a fold.
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
        Whatever a queue delivered. Of a key that is written twice the last counts.

    Returns
    -------
    Chunk

    Raises
    ------
    MessageError
        The body is too large, no JSON, of another schema version; a field is missing, unknown or out of range; or a
        parameter reaches what it must not. The text repeats no more than the beginning of a value.
    """
    try:
        check_body(body)
        chunk = Chunk.model_validate_json(body)
        check_objective(chunk.objective)
        _check_trials(chunk, large=len(body) > LARGEST_PARAMS)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        # Names of fields are ours, keys of dicts may be anything.
        where = ".".join(plain(part) if isinstance(part, str) else str(part) for part in first["loc"]) or "body"
        raise MessageError(
            f"{where}: {first['msg']} ({exc.error_count()} problem(s) in {len(body)} bytes)"[:_LONGEST_REASON]
        ) from None
    except InputError as exc:
        raise MessageError(str(exc)[:_LONGEST_REASON]) from None
    return chunk


def is_study_id(value: object) -> bool:
    """Say whether something is what `submit` calls a study: it becomes names of files and folders."""
    return isinstance(value, str) and re.fullmatch(STUDY_ID[1:-1], value) is not None


def check_body(body: bytes) -> None:
    """Refuse a body before it is parsed that would take too much memory; the producer asks before it publishes.

    Raises
    ------
    InputError
    """
    if len(body) > LARGEST_BODY:
        raise InputError(f"a message of {len(body) / 2**20:.0f} MiB: at most {LARGEST_BODY // 2**20}")
    if len(body) > MOST_ITEMS and (items := sum(map(body.count, (b",", b"[", b"{")))) > MOST_ITEMS:
        raise InputError(f"a message of {items:,} values: at most {MOST_ITEMS:,}")


def check_objective(objective: Objective) -> None:
    """Refuse an objective that no worker can evaluate; the producer asks before it stores one.

    Raises
    ------
    InputError
        Its estimator is none or reaches what it must not, a metric function is given what it can't take, the best
        metric is none of its metrics, or there are more scores than fit into a trial's document.
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
    """Refuse trials that come twice or have no estimator, and parameters that are too large or reach too far."""
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
    """Whose chunk a message is: enough to tell the study of it."""

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
    """Read whose chunk a body is that `decode_chunk` refuses, of another schema version for one.

    Parameters
    ----------
    body : bytes
        Whatever a queue delivered.

    Returns
    -------
    Address or None
        None where it does not say, or says what no study could be. The numbers are those that can be read, each
        once, at most `MOST_TRIALS`. Nothing of it was checked against a study: anybody can write a name.
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
