"""The expected seconds of one fit, rounds and all."""

from __future__ import annotations

from collections.abc import Mapping

from producer.planning.cost import Shape, fit_cost
from warren.encoding.codec import Json
from warren.libraries.resolve import resolve


def fit_seconds(estimator: Json, params: Mapping[str, Json], rows: int, columns: int, classes: int) -> float:
    trial = resolve(estimator, params)
    return fit_cost(trial, Shape(rows, columns, classes)).seconds(trial.rounds)
