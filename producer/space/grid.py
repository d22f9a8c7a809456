"""Grids: values by parameter name, and the checks of what a user passes as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from warren.errors import InputError

ParamGrid: TypeAlias = Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Sequence[Any]]]
"""A grid, or several: name to list of values, as ``sklearn.model_selection.GridSearchCV`` takes it."""


@dataclass(frozen=True, slots=True)
class Grid:
    """One grid, and its points numbered in mixed radix: names sorted, the last fastest.

    Attributes
    ----------
    names : tuple of str
        Of its parameters, in order.
    columns : tuple of sequence
        The values of each; a ``range`` stays a range.
    sizes : tuple of int
        How many of each.
    size : int
        Number of points.
    """

    names: tuple[str, ...]
    columns: tuple[Sequence[Any], ...]
    sizes: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, values: Mapping[str, Sequence[Any]]) -> Grid:
        """Return the grid of a user's values by name."""
        names = tuple(sorted(values))
        columns = tuple(values[name] for name in names)
        sizes = tuple(_size(column) for column in columns)
        return cls(names, columns, sizes, math.prod(sizes))

    @property
    def strides(self) -> tuple[int, ...]:
        """By how much a point's number grows with each digit."""
        return tuple(math.prod(self.sizes[position + 1 :]) for position in range(len(self.sizes)))

    def digits(self, offset: int) -> list[int]:
        """Write the number of a point in mixed radix, the last digit the fastest."""
        found = [0] * len(self.sizes)
        for position in reversed(range(len(self.sizes))):
            offset, found[position] = divmod(offset, self.sizes[position])
        return found


def _size(values: Sequence[Any]) -> int:
    if isinstance(values, range):  # len() overflows beyond sys.maxsize
        return (values[-1] - values[0]) // values.step + 1 if values else 0
    return len(values)


def place(grid: int | None, name: object, value: int | None = None) -> str:
    """Say where a value stands, as the user would write it; `grid` None is a grid that is no member of a list."""
    found = f"param_grid[{name!r}]" if grid is None else f"param_grid[{grid}][{name!r}]"
    return found if value is None else f"{found}[{value}]"


def check_grids(grids: ParamGrid) -> list[dict[str, Sequence[Any]]]:
    """Return what a user passed as a list of grids.

    Raises
    ------
    InputError
        No grids, no values, a name that is not text, or values that are no sequence.
    """
    if isinstance(grids, Mapping):
        if not grids:
            raise InputError(
                "param_grid={} is empty: name a parameter and its values, or pass [{}] for one trial of the estimator"
            )
        return [_check_grid(grids, None)]
    if isinstance(grids, (str, bytes)) or not isinstance(grids, Iterable):
        raise InputError(
            f"param_grid={grids!r}: pass a dict of parameter name to list of values, or a list of such dicts"
        )
    listed = list(grids)
    if not listed:
        raise InputError("param_grid=[] is empty: pass at least one grid, {'max_depth': [3, 5]} for one")
    for position, grid in enumerate(listed):
        if not isinstance(grid, Mapping):
            raise InputError(f"param_grid[{position}] = {grid!r}: pass a dict of parameter name to list of values")
    return [_check_grid(grid, position) for position, grid in enumerate(listed)]


def _check_grid(grid: Mapping[Any, Any], position: int | None) -> dict[str, Sequence[Any]]:
    checked = {}
    for name, values in grid.items():
        where = place(position, name)
        if not isinstance(name, str):
            raise InputError(f"{where}: a parameter's name is text, not {type(name).__name__}")
        checked[str(name)] = _check_values(values, where)
        if not checked[str(name)]:
            raise InputError(f"{where} is empty: give parameter {name!r} at least one value, or leave it out")
    return checked


def _check_values(values: Any, where: str) -> Sequence[Any]:
    if isinstance(values, range):
        return values
    if isinstance(values, np.ndarray) or (hasattr(values, "tolist") and hasattr(values, "ndim")):
        if values.ndim != 1:
            raise InputError(f"{where} has {values.ndim} dimensions: pass a flat list of values")
        # An array's items stay NumPy scalars, as ParameterGrid yields them; a Series is not indexed by position.
        return tuple(values) if isinstance(values, np.ndarray) else tuple(values.tolist())
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes, bytearray, memoryview)):
        return tuple(values)
    kind = type(values).__name__
    if isinstance(values, AbstractSet):
        raise InputError(f"{where} is a {kind}, which has no order: pass a list, sorted(...) for one")
    if isinstance(values, Iterator):
        raise InputError(f"{where} is a {kind}, which can be read only once: pass list(...)")
    if isinstance(values, Mapping):
        raise InputError(f"{where} is a {kind}: pass a list of values, list(...) of its keys or values for one")
    if hasattr(values, "rvs"):
        raise InputError(f"{where} is a distribution: a grid needs a list of values; RandomizedSearchCV draws from one")
    shown = repr(values) if len(repr(values)) <= 60 else repr(values)[:57] + "..."
    raise InputError(f"{where} = {shown}: pass a list of values, [{shown}] for a single one")
