"""Stores many single points as columns, so that the document of a random search stays small.

In a measured database, updating a document with 10,000 grids of one point each took a second; with
columns, less than a tenth of it. Few points, and larger grids, stay unchanged, because they are
easier to read.

::

    [{"C": [0.5], "kernel": ["rbf"]}, {"C": [2.0], "kernel": ["rbf"]}, ...]
    [{"__points__": [{"C": [0.5, 2.0, ...], "kernel": ["rbf", "rbf", ...]}], "__order__": []}]

Points with other names make another table; the order then has the table of each point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from warren.encoding.codec import Json
from warren.errors import InputError

# Least points to store as columns.
_MANY = 100


def packed(grids: list[Json]) -> list[Json]:
    """Return an encoded space in the form of a study's document.

    Parameters
    ----------
    grids : list of dict
        The result of `producer.space.space.Space.encode`.

    Returns
    -------
    list of dict
        `grids`, or one dict of columns if there are many grids of one point each.
    """
    if len(grids) < _MANY or not all(
        isinstance(values, list) and len(values) == 1 for grid in grids for values in grid.values()
    ):
        return grids
    tables: dict[tuple[str, ...], int] = {}
    columns: list[dict[str, list[Any]]] = []
    order = []
    for grid in grids:
        table = tables.setdefault(tuple(grid), len(tables))
        if table == len(columns):
            columns.append({name: [] for name in grid})
        for name, (value,) in grid.items():
            columns[table][name].append(value)
        order.append(table)
    return [{"__points__": columns, "__order__": order if len(columns) > 1 or not columns[0] else []}]


def unpacked(encoded: Json) -> list[Json]:
    """Return the encoded grids of a result of `packed`.

    Raises
    ------
    InputError
        The value is not an encoded space.
    """
    match encoded:
        case [{"__points__": [*tables], "__order__": [*order], **rest}] if not rest and all(map(_is_table, tables)):
            try:
                return _points(tables, order)
            except (IndexError, TypeError, StopIteration):
                raise InputError("the points of an encoded space don't match their order") from None
        case [*grids] if all(isinstance(grid, Mapping) and "__points__" not in grid for grid in grids):
            return list(grids)
    raise InputError("an encoded space must be a list of grids")


def values_of(encoded: Json) -> Sequence[Json]:
    """Return a parameter's values in an encoded grid: a range, which may be long, or a list."""
    if isinstance(encoded, Mapping):
        start, stop, step = encoded["__range__"]
        return range(start, stop, step)
    return list(encoded)


def _is_table(table: Json) -> bool:
    return isinstance(table, Mapping) and all(isinstance(column, list) for column in table.values())


def _points(tables: list[Mapping[str, list[Any]]], order: list[int]) -> list[Json]:
    rows = [zip(*table.values(), strict=False) if table else iter(lambda: (), None) for table in tables]
    places = order or [0] * len(next(iter(tables[0].values())))
    return [{name: [value] for name, value in zip(tables[place], next(rows[place]), strict=True)} for place in places]
