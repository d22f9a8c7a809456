"""The options of a study: their types, defaults and descriptions.

`producer.submit` documents them. The searches, a study's file and the command line use this record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from warren.errors import InputError, short

# Most characters of a study's name, which appears in ids, progress bars and tables.
LONGEST_NAME = 100
# Priorities: a study's share of the workers. AMQP has one byte for it; nine values are enough, and
# they have one digit.
_HIGHEST_PRIORITY = 9

_Name: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\x00]*$")
]


def _option(default: Any, description: str, needs: str = "") -> Any:
    """Return a field with its description for help, and what an error message asks for."""
    return Field(default, description=description, json_schema_extra={"needs": needs})


class StudyOptions(BaseModel):
    """How a study is scored and run, and its name; `producer.submit` documents each option.

    The record checks what needs neither data nor estimators. It converts only NumPy's scalars.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    scoring: Any = _option(None, "Scorers by name; none is the estimator's own score")
    cv: Any = _option(5, "Number of folds, or a splitter")
    refit: str | None = _option(
        None, "Of several metrics, the one that says which trial is best; none is the first", "the name of a metric"
    )
    n_chunks: Annotated[int, Field(ge=1)] | None = _option(
        None, "Messages to cut the grid into", "an integer, at least 1"
    )
    share_fits: bool = _option(
        True, "Fit trials once that differ in their boosting rounds or epochs alone", "True or False"
    )
    name: _Name | None = _option(
        None,
        "The study's name",
        # Arguments of a command have lone surrogates for bytes that are not UTF-8.
        f"text in Unicode of 1 to {LONGEST_NAME} characters, without a NUL (a terminal's locale may be wrong)",
    )
    error_score: float | Literal["raise"] = _option(
        math.nan, "Score of a fold that fails, or raise", "a number, nan for one, or 'raise'"
    )
    return_train_score: bool = _option(False, "Score the training parts too", "True or False")
    trial_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = _option(
        None, "Seconds for one trial on all its folds", "seconds, more than 0"
    )
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = _option(
        None,
        "Share of each training part that early stopping watches in place of the held-out part",
        "a share between 0 and 1, 0.1 for one",
    )
    priority: Annotated[int, Field(ge=1, le=_HIGHEST_PRIORITY)] = _option(
        1,
        "Share of the workers next to other studies",
        f"a whole number from 1 to {_HIGHEST_PRIORITY}, the study's share of workers",
    )
    device: Literal["cpu", "gpu"] | None = _option(
        None, "Device of the fits: cpu, or gpu with workers that have one", "'gpu' or 'cpu'"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_numpy(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {name: value.item() if getattr(value, "ndim", None) == 0 else value for name, value in given.items()}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Select the options from named values, and check them.

        Raises
        ------
        InputError
            A value is invalid.
        """
        options = {name: given[name] for name in cls.model_fields if name in given}
        try:
            return cls.model_validate(options)
        except ValidationError as exc:
            name = str(exc.errors(include_url=False, include_context=False)[0]["loc"][0])
            raise InputError(f"{name}={short(options[name])}: pass {cls.needs(name)}") from None

    @classmethod
    def needs(cls, name: str) -> str:
        """Return what an option accepts, for an error message."""
        field = cls.model_fields[name]
        extra = field.json_schema_extra
        needs = str(extra["needs"]) if isinstance(extra, dict) else ""
        return f"{needs}, or None" if field.default is None else needs
