"""Parameter spaces: lists of grids whose points are computed lazily.

The order is that of ``sklearn.model_selection.ParameterGrid``: one grid after the other, keys
sorted, the last key changes fastest. A point's number is its position in that order. In mixed radix
it gives the point's values without computing the points before it.
"""

from __future__ import annotations

import numbers
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any, TypeAlias

import numpy as np

from producer.space.columns import unpacked
from producer.space.grid import Grid, ParamGrid, check_grids, place
from warren.encoding.codec import Json, decode, encode
from warren.errors import InputError, short
from warren.safety.parameter_checks import LARGEST_INT, check_value

Point: TypeAlias = dict[str, Any]


class Space:
    """A parameter space: lazy, with random access, in scikit-learn's order.

    It needs memory only for its lists of values, not for its points: a ``range`` stays a range.

    Parameters
    ----------
    grids : dict of str to sequence, or iterable of such dicts
        Values by parameter name: a list, tuple, ``range``, 1-D ndarray or pandas Series or Index.
        An empty dict in a list is one point without parameters.

    Raises
    ------
    InputError
        There are no grids or values, a name is not text, or values are not a sequence.

    Examples
    --------
    >>> space = Space({"max_depth": range(3, 6), "eta": [0.1, 0.3]})
    >>> len(space), space[3]
    (6, {'eta': 0.3, 'max_depth': 3})
    """

    def __init__(self, grids: ParamGrid) -> None:
        self._single = isinstance(grids, Mapping)
        self._grids = tuple(Grid.of(grid) for grid in check_grids(grids))
        self._ends = list(accumulate(grid.size for grid in self._grids))
        self._encoded: dict[tuple[str, ...], tuple[Grid, ...]] = {}

    @property
    def size(self) -> int:
        """Number of points; unlike ``len``, it may exceed ``sys.maxsize``."""
        return self._ends[-1]

    @property
    def grids(self) -> tuple[dict[str, Sequence[Any]], ...]:
        """The grids: values by name, sorted by name."""
        return tuple(dict(zip(grid.names, grid.columns, strict=True)) for grid in self._grids)

    def __len__(self) -> int:
        return self.size

    def __repr__(self) -> str:
        return f"<Space: {self.size:,} points, {len(self._grids)} grid(s)>"

    def __iter__(self) -> Iterator[Point]:
        return self.points()

    def __getitem__(self, number: int) -> Point:
        number = number + self.size if number < 0 else number
        for _, point in self._walk(self._grids, (number,)):
            return point
        raise AssertionError("a walk over one number yields one point")

    def points(self, start: int = 0, stop: int | None = None) -> Iterator[Point]:
        """Yield the points from number `start` to before `stop`; None is the end."""
        end = self.size if stop is None else min(stop, self.size)
        return (point for _, point in self._walk(self._grids, range(max(start, 0), end)))

    def at(self, numbers: Iterable[int]) -> Iterator[Point]:
        """Yield the points with these numbers; ascending order is fastest."""
        return (point for _, point in self._walk(self._grids, numbers))

    def where(self, grid: int, name: str, value: int | None = None) -> str:
        """Return the place of a value in the user's notation: ``param_grid[1]['eta'][0]``."""
        return place(None if self._single else grid, name, value)

    def replaced(self, change: Callable[[str, Any], Any]) -> Space:
        """Return a space with new values: `change` gets each value's place and the value."""
        grids = [
            {
                name: column
                if isinstance(column, range)
                else [change(self.where(grid, name, position), value) for position, value in enumerate(column)]
                for name, column in values.items()
            }
            for grid, values in enumerate(self.grids)
        ]
        return Space(grids[0] if self._single else grids)

    def encode(self, allow: Iterable[str] = ()) -> list[Json]:
        """Return the space as JSON, the same for equal spaces; `decode` reads it.

        Parameters
        ----------
        allow : iterable of str, default=()
            Further allowed estimator names.

        Returns
        -------
        list of dict
            Lists of encoded values by name; ``{"__range__": [start, stop, step]}`` for a range.

        Raises
        ------
        InputError
            A value can't be encoded (see `warren.encoding.codec.encode`).
        """
        return [
            {name: _pack(column) for name, column in zip(grid.names, grid.columns, strict=True)}
            for grid in self.encoded_grids(allow)
        ]

    @classmethod
    def decode(cls, encoded: list[Json], allow: Iterable[str] = ()) -> Space:
        """Return the space that `encode` wrote.

        Parameters
        ----------
        encoded : list of dict
            The result of `encode` or `producer.space.columns.packed`, also after storage as JSON or
            BSON.
        allow : iterable of str, default=()
            Further allowed estimator names.

        Returns
        -------
        Space
            An equal space.

        Raises
        ------
        InputError
            The value is not an encoded space, or has an estimator or a parameter that is not
            allowed.
        """
        allowed = tuple(allow)
        grids = unpacked(encoded)
        return cls([{name: _unpack(name, values, allowed) for name, values in grid.items()} for grid in grids])

    def encoded_points(
        self, numbers: Iterable[int] | None = None, allow: Iterable[str] = ()
    ) -> Iterator[tuple[int, dict[str, Json]]]:
        """Return points as JSON; each value is encoded once, not once per trial.

        Parameters
        ----------
        numbers : iterable of int, default=None
            Numbers of the points; ascending order is fastest. None is all.
        allow : iterable of str, default=()
            Further allowed estimator names.

        Returns
        -------
        iterator of (int, dict)
            Number and encoded parameters. The dicts are new, but share their values: don't change
            those.

        Raises
        ------
        InputError
            A value can't be encoded; raised at the call, not by the iterator.
        """
        return self._walk(self.encoded_grids(allow), range(self.size) if numbers is None else numbers)

    def encoded_grids(self, allow: Iterable[str] = ()) -> tuple[Grid, ...]:
        """Return the grids with their values as JSON; a range stays a range.

        Parameters
        ----------
        allow : iterable of str, default=()
            Further allowed estimator names.

        Returns
        -------
        tuple of Grid
            The encoded grids.

        Raises
        ------
        InputError
            A value can't be encoded.
        """
        allowed = tuple(allow)
        if allowed not in self._encoded:
            # The points of a random search repeat a few estimators: encode each once.
            known: dict[int, Json] = {}
            self._encoded[allowed] = tuple(
                Grid(
                    grid.names,
                    tuple(
                        self._encode_column(position, name, column, allowed, known)
                        for name, column in zip(grid.names, grid.columns, strict=True)
                    ),
                    grid.sizes,
                    grid.size,
                )
                for position, grid in enumerate(self._grids)
            )
        return self._encoded[allowed]

    def _encode_column(
        self, grid: int, name: str, column: Sequence[Any], allow: tuple[str, ...], known: dict[int, Json]
    ) -> Sequence[Json]:
        if isinstance(column, range):  # its items are JSON already
            if any(abs(bound) > LARGEST_INT for bound in (column.start, column.stop, column.step)):
                raise InputError(f"{self.where(grid, name)} = {column}: integers must fit in 64 bits")
            return column
        found = []
        for i, value in enumerate(column):
            if not hasattr(value, "get_params"):
                found.append(encode(value, self.where(grid, name, i), allow))
                continue
            if id(value) not in known:
                known[id(value)] = encode(value, self.where(grid, name, i), allow)
            found.append(known[id(value)])
        return tuple(found)

    def _walk(self, grids: tuple[Grid, ...], wanted: Iterable[int]) -> Iterator[tuple[int, Point]]:
        """Yield points by number; recompute only digits that differ from the previous point."""
        start = end = previous = -1
        grid, point = grids[0], Point()
        digits: list[int] = []
        for number in wanted:
            if start <= number < end:
                rest, rest_before, position = number - start, previous - start, len(digits)
                while rest != rest_before:
                    position -= 1
                    size = grid.sizes[position]
                    rest, digit = divmod(rest, size)
                    rest_before //= size
                    if digit != digits[position]:
                        digits[position] = digit
                        point[grid.names[position]] = grid.columns[position][digit]
            else:
                if not 0 <= number < self.size:
                    raise IndexError(f"point {number} of a space of {self.size}")
                which = bisect_right(self._ends, number)
                grid, end = grids[which], self._ends[which]
                start = end - grid.size
                digits = grid.digits(number - start)
                point = {
                    name: column[digit] for name, column, digit in zip(grid.names, grid.columns, digits, strict=True)
                }
            previous = number
            yield number, point.copy()


def _pack(column: Sequence[Json]) -> Json:
    if isinstance(column, range):
        return {"__range__": [column.start, column.stop, column.step]}
    return list(column)


def _unpack(name: str, values: Json, allow: tuple[str, ...]) -> Sequence[Any]:
    match values:
        case list():
            # Refuse in a document what is refused in a message.
            check_value(values, f"param_grid[{short(name)}]", named=False)
            return [decode(value, allow) for value in values]
        case {"__range__": [int(start), int(stop), int(step)], **rest} if step and not rest:
            return range(start, stop, step)
    raise InputError(f"the encoded values of parameter {name!r} are neither a list nor a range")


def split_sizes(n: int, n_chunks: int) -> Iterator[int]:
    """Return the sizes of chunks of `n` points; they differ by at most one, the larger first.

    Parameters
    ----------
    n : int
        Number of points.
    n_chunks : int
        Number of chunks; there are never more chunks than points.

    Returns
    -------
    iterator of int
        ``min(n, n_chunks)`` sizes that add up to `n`.

    Raises
    ------
    InputError
        `n_chunks` is not an integer, or is less than 1; raised at the call.
    """
    if isinstance(n_chunks, (bool, np.bool_)) or not isinstance(n_chunks, numbers.Integral):
        raise InputError(f"n_chunks={n_chunks!r}: needs an integer, at least 1")
    if n_chunks < 1:
        raise InputError(f"n_chunks={n_chunks}: needs at least 1")
    chunks = min(n, int(n_chunks))
    size, larger = divmod(n, max(chunks, 1))
    return (size + (index < larger) for index in range(chunks))


def split_params(param_grid: ParamGrid, n_chunks: int) -> Iterator[list[Point]]:
    """Cut a grid lazily into lists of points, in the order of scikit-learn's ``ParameterGrid``.

    Parameters
    ----------
    param_grid : dict of str to sequence, or list of such dicts
        As for `sklearn.model_selection.GridSearchCV`; a billion points take no memory.
    n_chunks : int
        Number of lists. Their lengths differ by at most one, and none is empty: a grid with fewer
        points than `n_chunks` gives one list per point.

    Returns
    -------
    iterator of list of dict
        Parameters by name.

    Raises
    ------
    InputError
        `param_grid` is empty or has values that are not a sequence, or `n_chunks` is less than 1;
        raised at the call.

    Examples
    --------
    >>> [len(chunk) for chunk in split_params({"max_depth": range(2, 9), "eta": [0.1, 0.3]}, 4)]
    [4, 4, 3, 3]
    """
    space = Space(param_grid)
    sizes = split_sizes(space.size, n_chunks)
    points = iter(space)
    return (list(islice(points, size)) for size in sizes)
