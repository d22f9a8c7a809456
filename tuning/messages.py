"""What travels: a chunk of trials, as JSON with a schema version, self-contained, no pickle.

Objective by value, data by reference. The records are frozen; `decode_chunk` is the only way in and
raises one error, `MessageError`, for whatever is wrong with a body.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuning.errors import MessageError

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""SHA-256 of a content, hexadecimal."""


class Record(BaseModel):
    """A frozen record: unknown fields are refused, NaN and infinities travel as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Objective(Record):
    """What a trial evaluates.

    Attributes
    ----------
    estimator : dict or None
        Encoded estimator (`tuning.codec`); None when each trial brings its own.
    dataset : str
        Digest of X, y and sample weights in the bucket ``datasets``.
    splits : str
        Digest of the train and test indices, in the same bucket.
    validation : str or None
        Digest of indices that cut each fold's training part into rows to fit on and rows that early stopping watches,
        in the same bucket; None lets it watch the held-out part.
    n_splits : int
        Number of folds.
    scorers : dict of str to (str or None)
        Metric name to scikit-learn scorer name, in the user's order; None is the estimator's own ``score``.
    refit : str
        The metric that says which trial is best.
    error_score : float or "raise"
        Score of a fold that fails.
    return_train_score : bool
        Score the training part too.
    """

    estimator: dict[str, Any] | None
    dataset: Digest
    splits: Digest
    validation: Digest | None = None
    n_splits: Annotated[int, Field(ge=1)]
    scorers: Annotated[dict[str, str | None], Field(min_length=1)]
    refit: str
    error_score: float | Literal["raise"]
    return_train_score: bool

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
        Its encoded parameters (`tuning.codec`).
    estimator : dict or None
        Its own encoded estimator, where the grid has a list of them; None is the objective's.
    estimated_seconds : float
        What the planner expects its fits to take on one thread; a fit that trials share is split among them.
    """

    number: Annotated[int, Field(ge=0)]
    params: dict[str, Any]
    estimator: dict[str, Any] | None = None
    estimated_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


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
        Seconds for one trial on all folds; None is no limit.
    share_fits : bool
        Neighbouring trials that differ in their rounds alone share one fit a fold.
    """

    schema_version: Literal[1] = 1
    study_id: Annotated[str, Field(min_length=1, max_length=200)]
    generation: Annotated[int, Field(ge=1)]
    index: Annotated[int, Field(ge=0)]
    objective: Objective
    trials: Annotated[tuple[Trial, ...], Field(min_length=1)]
    trial_timeout: Annotated[float, Field(gt=0)] | None = None
    share_fits: bool = True


def encode_chunk(chunk: Chunk) -> bytes:
    """Return the message body of a chunk: UTF-8 JSON."""
    return chunk.model_dump_json().encode()


def decode_chunk(body: bytes) -> Chunk:
    """Read a message body.

    Parameters
    ----------
    body : bytes
        Whatever a queue delivered.

    Returns
    -------
    Chunk

    Raises
    ------
    MessageError
        The body is no JSON, of another schema version, or a field is missing, unknown or out of range.
    """
    try:
        return Chunk.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise MessageError(f"{where}: {first['msg']} ({exc.error_count()} problem(s) in {len(body)} bytes)") from None
