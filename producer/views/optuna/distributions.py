"""Optuna's distributions of a space's parameters, and values that they can hold.

Optuna knows numbers between two bounds, and choices of None, bools, numbers and text. All other
values of a grid (tuples, dicts, estimators, infinities) become readable text.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from producer.space.columns import values_of
from producer.space.space import Space
from warren.encoding.codec import Json, readable

Value: TypeAlias = bool | int | float | str | None
"""A parameter value of an Optuna trial."""

# Most characters of a choice: it labels an axis.
_LONGEST_CHOICE = 80
# A logarithmic scale needs so many values, and so large a ratio of the largest to the smallest.
_LOG_VALUES, _LOG_GROWTH = 3, 10.0


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """A study's parameters for Optuna.

    Attributes
    ----------
    distributions : dict of str to BaseDistribution
        By parameter name, for all grids of the study.
    space : Space
        The study's space, with values that the distributions can hold.
    """

    distributions: Mapping[str, BaseDistribution]
    space: Space

    @classmethod
    def of(cls, encoded: Sequence[Mapping[str, Json]]) -> Parameters:
        """Read a study's encoded space, without importing its estimators.

        Parameters
        ----------
        encoded : sequence of dict
            A study document's ``space``, as `producer.space.space.Space.encode` returned it.
        """
        grids = [{name: values_of(packed) for name, packed in grid.items()} for grid in encoded]
        columns: dict[str, _Column] = {}
        for grid in grids:
            for name, values in grid.items():
                columns.setdefault(name, _Column()).add(values)
        return cls(
            distributions={name: column.distribution() for name, column in columns.items()},
            space=Space([{name: columns[name].translate(values) for name, values in grid.items()} for grid in grids]),
        )


class _Column:
    """All values of one parameter in all grids. Add every grid before reading anything else."""

    def __init__(self) -> None:
        self._ranges: list[range] = []
        # By JSON text, which distinguishes 1, 1.0 and true; == does not.
        self._found: dict[str, Json] = {}

    def add(self, values: Sequence[Json]) -> None:
        if isinstance(values, range):
            self._ranges.append(values)
        else:
            self._found |= {_key(value): value for value in values}

    @cached_property
    def _kind(self) -> type[int] | type[float] | None:
        """`int` or `float` if all values are such numbers; None if they are choices."""
        numbers = self._found.values()
        if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in numbers):
            return None
        if len(set(numbers)) < len(numbers):  # 1 and 1.0, which differ for max_features
            return None
        return int if all(isinstance(value, int) for value in numbers) else float

    @cached_property
    def _choices(self) -> dict[str, Value]:
        """The choice of each value, by its JSON text; no two choices are equal."""
        found = self._found | {_key(value): value for numbers in self._ranges for value in numbers}
        return _make_distinct({key: _shown(value) for key, value in found.items()}, found)

    def distribution(self) -> BaseDistribution:
        kind = self._kind
        if kind is None:
            return CategoricalDistribution(tuple(self._choices.values()))
        bounds = [
            bound
            for interval in self._ranges
            for bound in (min(interval[0], interval[-1]), max(interval[0], interval[-1]))
        ]
        numbers = sorted([*self._found.values(), *bounds])
        log = not self._ranges and _even_in_logarithms(numbers)
        if kind is int:
            return IntDistribution(numbers[0], numbers[-1], log=log)
        return FloatDistribution(float(numbers[0]), float(numbers[-1]), log=log)

    def translate(self, values: Sequence[Json]) -> Sequence[Value]:
        """Return the values of one grid in the form that the distribution holds."""
        kind = self._kind
        if kind is int:
            return values
        if kind is float:
            return [float(value) for value in values]
        choices = self._choices
        return [choices[_key(value)] for value in values]


def _key(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


def _shown(value: Json) -> Value:
    """Return a value as a choice: estimators as class names, other objects as text."""
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, Mapping) and "__estimator__" in value:
        return str(value["__estimator__"]).rpartition(".")[2]
    return _readable(value)


def _readable(value: Json) -> str:
    """Return a value as readable text."""
    if isinstance(value, Mapping) and "__tuple__" in value:
        items = [_readable(item) for item in value["__tuple__"]]
        return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
    text = readable(value)
    return text if isinstance(text, str) and isinstance(value, Mapping) else repr(text)


def _make_distinct(shown: dict[str, Value], found: Mapping[str, Json]) -> dict[str, Value]:
    """Replace equal choices by different texts, and shorten long ones."""
    if len(set(shown.values())) < len(shown):
        # Show estimators of one class with their parameters, and 1, 1.0 and True, which Python
        # holds equal, as text.
        counts = Counter(shown.values())
        shown = {key: _readable(found[key]) if counts[value] > 1 else value for key, value in shown.items()}
    taken: dict[Value, int] = {}
    distinct: dict[str, Value] = {}
    for key, value in shown.items():
        if isinstance(value, str) and len(value) > _LONGEST_CHOICE:
            value = f"{value[:_LONGEST_CHOICE]}..."
        taken[value] = taken.get(value, 0) + 1
        distinct[key] = value if taken[value] == 1 else f"{value} #{taken[value]}"
    return distinct


def _even_in_logarithms(numbers: Sequence[float]) -> bool:
    """Return whether sorted numbers, such as 0.01, 0.1, 1, are spaced more evenly on a log axis."""
    if len(numbers) < _LOG_VALUES or numbers[0] <= 0 or numbers[-1] / numbers[0] < _LOG_GROWTH:
        return False
    return _unevenness([math.log(number) for number in numbers]) < _unevenness(numbers)


def _unevenness(numbers: Sequence[float]) -> float:
    """Return the variance of the gaps between sorted numbers, in units of the mean gap."""
    gaps = [(after - before) / (numbers[-1] - numbers[0]) for before, after in pairwise(numbers)]
    mean = 1 / len(gaps)
    return sum((gap - mean) ** 2 for gap in gaps) / mean**2
