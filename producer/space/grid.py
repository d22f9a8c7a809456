"""Grids: values by parameter name, and checks of the grids that users pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from warren.errors import InputError

ParamGrid: TypeAlias = Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Sequence[Any]]]
"""One or several grids of name to list of values, as for scikit-learn's ``GridSearchCV``."""


@dataclass(frozen=True, slots=True)
class Grid:
    """One grid with points numbered in mixed radix: names are sorted, and the last changes fastest.

    Attributes
    ----------
    names : tuple of str
        Names of its parameters, in order.
    columns : tuple of sequence
        The values of each parameter; a ``range`` stays a range.
    sizes : tuple of int
        Number of values of each parameter.
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
        """The difference of a point's number for each digit."""
        return tuple(math.prod(self.sizes[position + 1 :]) for position in range(len(self.sizes)))

    def digits(self, offset: int) -> list[int]:
        """Return a point's number in mixed radix; the last digit changes fastest."""
        found = [0] * len(self.sizes)
        for position in reversed(range(len(self.sizes))):
            offset, found[position] = divmod(offset, self.sizes[position])
        return found


def _size(values: Sequence[Any]) -> int:
    if isinstance(values, range):  # len() overflows beyond sys.maxsize
        return (values[-1] - values[0]) // values.step + 1 if values else 0
    return len(values)


def place(grid: int | None, name: object, value: int | None = None) -> str:
    """Return the place of a value in the user's notation; `grid` is None for a single grid."""
    found = f"param_grid[{name!r}]" if grid is None else f"param_grid[{grid}][{name!r}]"
    return found if value is None else f"{found}[{value}]"


def check_grids(grids: ParamGrid) -> list[dict[str, Sequence[Any]]]:
    """Check the grids that a user passed, and return them as a list.

    Raises
    ------
    InputError
        There are no grids or values, a name is not text, or values are not a sequence.
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
        raise InputError("param_grid=[] is empty: pass at least one grid, such as {'max_depth': [3, 5]}")
    for position, grid in enumerate(listed):
        if not isinstance(grid, Mapping):
            raise InputError(f"param_grid[{position}] = {grid!r}: pass a dict of parameter name to list of values")
    return [_check_grid(grid, position) for position, grid in enumerate(listed)]


def _check_grid(grid: Mapping[Any, Any], position: int | None) -> dict[str, Sequence[Any]]:
    checked = {}
    for name, values in grid.items():
        where = place(position, name)
        if not isinstance(name, str):
            raise InputError(f"{where}: a parameter's name must be text, not {type(name).__name__}")
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
        # An array's items stay NumPy scalars, as ParameterGrid yields them; a Series is not indexed
        # by position.
        return tuple(values) if isinstance(values, np.ndarray) else tuple(values.tolist())
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes, bytearray, memoryview)):
        return tuple(values)
    kind = type(values).__name__
    if isinstance(values, AbstractSet):
        raise InputError(f"{where} is a {kind}, which has no order: pass a list, such as sorted(...)")
    if isinstance(values, Iterator):
        raise InputError(f"{where} is a {kind}, which can be read only once: pass list(...)")
    if isinstance(values, Mapping):
        raise InputError(f"{where} is a {kind}: pass a list of values, such as list(...) of its keys or values")
    if hasattr(values, "rvs"):
        raise InputError(f"{where} is a distribution: a grid needs a list of values; RandomizedSearchCV draws from one")
    shown = repr(values) if len(repr(values)) <= 60 else repr(values)[:57] + "..."
    raise InputError(f"{where} = {shown}: pass a list of values, [{shown}] for a single one")
