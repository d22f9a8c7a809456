"""A study's parameters as columns of the HParams table, each with its kind and possible values.

All rows of a column hold numbers, bools or text, so that the table can be sorted by it. Other
values (None among numbers, lists, estimators) become readable text.
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
"""The column with the class name of a trial's estimator."""

# Most values that a column offers as check boxes. For more, TensorBoard offers a regular
# expression, which does not suit numbers: they get a range.
_MOST_VALUES = 10
# Most texts of a column that are sent with each page.
_MOST_TEXTS = 100
# Most characters of a text in a cell.
_LONGEST = 120


class Kind(enum.StrEnum):
    """The kind of a column's values."""

    NUMBER = "number"
    BOOL = "bool"
    TEXT = "text"


@dataclass(frozen=True)
class Column:
    """The column of a parameter.

    Attributes
    ----------
    kind : Kind
    values : tuple or None
        All possible values, ascending; None if there are too many.
    bounds : tuple of (float, float) or None
        The least and the greatest, if there are too many numbers.
    """

    kind: Kind
    values: tuple[Value, ...] | None
    bounds: tuple[float, float] | None = None


class Columns:
    """The parameters of one or several studies.

    Parameters
    ----------
    found : dict of str to list
        By parameter name: its distinct values, as in trial documents.
    by_class : bool, default=True
        Whether the class name identifies an estimator; else its parameters are needed, too.
    """

    def __init__(self, found: Mapping[str, Sequence[Any]], *, by_class: bool = True) -> None:
        self._found = found
        self.by_class = by_class
        self.kinds = {name: _kind(values) for name, values in found.items()}

    @classmethod
    def of(cls, encoded: Sequence[Mapping[str, Json]], estimator: str, *, in_grid: bool) -> Columns:
        """Read a study's encoded space, without importing its estimators.

        Parameters
        ----------
        encoded : sequence of dict
            A study document's ``space``, as `producer.space.columns.unpacked` returns it.
        estimator : str
            Dotted name of the study's estimator; not used if the grid names estimators.
        in_grid : bool
            Whether ``estimator`` in a grid is the trial's estimator; else it is an ordinary
            parameter.
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
        # Several estimators of one class differ only by their parameters.
        if in_grid and max(Counter(classes.values()).values(), default=0) < 2:
            by_class = True
            found[ESTIMATOR] = {shown: shown for shown in classes.values()}
        return cls({name: list(column.values()) for name, column in found.items()}, by_class=by_class)

    @classmethod
    def merged(cls, several: Iterable[Columns]) -> Columns:
        """Return the columns of several studies in one table."""
        found: dict[str, dict[str, Any]] = {}
        for columns in several:
            for name, values in columns._found.items():
                found.setdefault(name, {}).update({_key(value): value for value in values})
        return cls({name: list(column.values()) for name, column in found.items()})

    def described(self) -> dict[str, Column]:
        """Return every column with its possible values."""
        return {name: _column(self.kinds[name], values) for name, values in self._found.items()}

    def row(self, document: Mapping[str, Any], kinds: Mapping[str, Kind]) -> dict[str, Value]:
        """Return the parameters of a trial document.

        Parameters
        ----------
        document : dict
            With ``params`` and ``estimator``.
        kinds : dict of str to Kind
            The column kinds of the whole table, which may hold several studies.
        """
        params = dict(document.get("params") or {})
        if self.by_class:
            params[ESTIMATOR] = document.get("estimator") or params.get(ESTIMATOR)
        return {name: cell(value, kinds.get(name, Kind.TEXT)) for name, value in params.items()}


def cell(value: Any, kind: Kind) -> Value:
    """Return a value in the form that a column of this kind holds."""
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
    # The table is sent as JSON, which has no infinities.
    numbers = (
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )
    return Kind.NUMBER if all(numbers) else Kind.TEXT


def _column(kind: Kind, values: Iterable[Any]) -> Column:
    cells = sorted({cell(value, kind) for value in values})  # all of one kind, so they can be compared
    if kind is Kind.NUMBER and len(cells) > _MOST_VALUES:
        return Column(kind, None, (float(cells[0]), float(cells[-1])))
    return Column(kind, tuple(cells) if len(cells) <= _MOST_TEXTS else None)
