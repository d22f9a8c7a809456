"""A study's parameters as columns of a table: of which kind each is, and which values it may have.

A column holds numbers, bools or text, in every row the same: a table that is sorted by it compares them all. Everything
that is none of these (None among numbers, lists, estimators) becomes text, as a person would write it.
"""

from __future__ import annotations

import enum
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from producer.space.columns import values_of
from warren.encoding.codec import Json, readable

Value: TypeAlias = bool | float | str

ESTIMATOR = "estimator"
"""The column that says which estimator a trial had, by its class."""

# Values that a column offers to choose from. TensorBoard has boxes for so many, and for more a regular expression,
# which is no way to choose numbers: they get a range.
_MOST_VALUES = 10
# Texts that travel with each page, for it to match.
_MOST_TEXTS = 100
# Characters of a text: it stands in a cell.
_LONGEST = 120


class Kind(enum.StrEnum):
    """What a column holds."""

    NUMBER = "number"
    BOOL = "bool"
    TEXT = "text"


@dataclass(frozen=True)
class Column:
    """A parameter.

    Attributes
    ----------
    kind : Kind
    values : tuple or None
        All it may have, ascending; None where there are too many.
    bounds : tuple of (float, float) or None
        Least and most, of numbers that are too many.
    """

    kind: Kind
    values: tuple[Value, ...] | None
    bounds: tuple[float, float] | None = None


class Columns:
    """The parameters of one or several studies.

    Parameters
    ----------
    found : dict of str to list
        By name: the distinct values of it, as trial documents have them.
    by_class : bool, default=True
        Whether an estimator's class says which it is; else its parameters are needed too.
    """

    def __init__(self, found: Mapping[str, Sequence[Any]], *, by_class: bool = True) -> None:
        self._found = found
        self.by_class = by_class
        self.kinds = {name: _kind(values) for name, values in found.items()}

    @classmethod
    def of(cls, encoded: Sequence[Mapping[str, Json]], estimator: str, *, in_grid: bool) -> Columns:
        """Read a study's encoded space. No estimator is made, and no learner imported.

        Parameters
        ----------
        encoded : sequence of dict
            What `producer.space.columns.unpacked` returned of a study document's ``space``.
        estimator : str
            Dotted name of the study's estimator; any where the grid names them.
        in_grid : bool
            Whether ``estimator`` in a grid is the trial's estimator; else it is a parameter like any other.
        """
        found: dict[str, dict[str, Any]] = {}
        if by_class := not any(ESTIMATOR in grid for grid in encoded):
            short = estimator.rpartition(".")[2]
            found[ESTIMATOR] = {short: short}
        classes: dict[str, str] = {}
        for grid in encoded:
            for name, packed in grid.items():
                column = found.setdefault(name, {})
                for value in values_of(packed):
                    shown = readable(value)
                    column.setdefault(_key(shown), shown)
                    if name == ESTIMATOR and isinstance(value, Mapping) and "__estimator__" in value:
                        classes[_key(shown)] = str(value["__estimator__"]).rpartition(".")[2]
        # Several of one class are told apart by their parameters.
        if in_grid and max(Counter(classes.values()).values(), default=0) < 2:
            by_class = True
            found[ESTIMATOR] = {shown: shown for shown in classes.values()}
        return cls({name: list(column.values()) for name, column in found.items()}, by_class=by_class)

    @classmethod
    def merged(cls, several: Iterable[Columns]) -> Columns:
        """Return the columns of several studies in one table."""
        found: dict[str, dict[str, Any]] = {}
        for one in several:
            for name, values in one._found.items():
                found.setdefault(name, {}).update({_key(value): value for value in values})
        return cls({name: list(column.values()) for name, column in found.items()})

    def described(self) -> dict[str, Column]:
        """Return every column with the values it may have."""
        return {name: _column(self.kinds[name], values) for name, values in self._found.items()}

    def row(self, document: Mapping[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Value]:
        """Return the parameters of a trial document.

        Parameters
        ----------
        document : dict
            ``params`` and ``estimator`` of it.
        kinds : dict of str to Kind
            Of the whole table, which may hold other studies too.
        """
        params = dict(document.get("params") or {})
        if self.by_class:
            params[ESTIMATOR] = document.get("estimator") or params.get(ESTIMATOR)
        return {name: cell(value, kinds.get(name, Kind.TEXT)) for name, value in params.items()}


def cell(value: Any, kind: Kind) -> Value:
    """Return a value as a column of a kind holds it."""
    if kind is Kind.TEXT:
        text = value if isinstance(value, str) else repr(value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return bool(value) if kind is Kind.BOOL else float(value)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _kind(values: Iterable[Any]) -> Kind:
    values = list(values)
    if values and all(isinstance(value, bool) for value in values):
        return Kind.BOOL
    # JSON has no infinities, and the table travels as JSON.
    numbers = (isinstance(one, (int, float)) and not isinstance(one, bool) and math.isfinite(one) for one in values)
    return Kind.NUMBER if all(numbers) else Kind.TEXT


def _column(kind: Kind, values: Iterable[Any]) -> Column:
    cells = sorted({cell(value, kind) for value in values})  # of one kind, so that they compare
    if kind is Kind.NUMBER and len(cells) > _MOST_VALUES:
        return Column(kind, None, (float(cells[0]), float(cells[-1])))
    return Column(kind, tuple(cells) if len(cells) <= _MOST_TEXTS else None)
