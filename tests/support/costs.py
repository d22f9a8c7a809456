"""The expected seconds of one fit, rounds and all."""

from __future__ import annotations

from collections.abc import Mapping

from producer.planning.cost import Shape, fit_cost, rounds_of_fit
from warren.encoding.codec import Json


def fit_seconds(estimator: Json, params: Mapping[str, Json], rows: int, columns: int, classes: int) -> float:
    return fit_cost(estimator, params, Shape(rows, columns, classes)).seconds(rounds_of_fit(estimator, params))
