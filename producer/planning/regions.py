"""Regions: a grid with one final estimator, divided into blocks by the axes that matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, product
from typing import NamedTuple, TypeAlias

from producer.planning.blocks import Block
from producer.planning.cost import changes_cost
from producer.space.grid import Grid
from warren.encoding.codec import Json
from warren.libraries.devices import asks_for_gpu, mentions_gpu
from warren.libraries.library import Library
from warren.libraries.resolve import ResolvedTrial, resolve
from warren.libraries.shared_fits import decides_sharing

# Most blocks of a plan, so that it takes only megabytes, and most distinguished values of an axis.
MOST_BLOCKS = 10_000
# Most trials that share a fit: a unit is never cut, so this bounds a message and the loss with a
# worker.
MOST_SHARING = 1000

# Offsets and rounds of the trials of a unit.
_Unit: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


class Axis(NamedTuple):
    """A parameter's values, their number, and the step of a point's number between them."""

    name: str
    column: Sequence[Json]
    size: int
    stride: int


def axes_of(grid: Grid) -> list[Axis]:
    """Return the axes of a grid, slowest first."""
    return [Axis(*axis) for axis in zip(grid.names, grid.columns, grid.sizes, grid.strides, strict=True)]


def units_of(trials: Iterable[tuple[int, int]]) -> list[_Unit]:
    """Cut trials that share a fit into units, most rounds first.

    Parameters
    ----------
    trials : iterable of (int, int)
        Offset and rounds of each trial.

    Returns
    -------
    list of (tuple of int, tuple of int)
        Offsets and rounds of each unit's trials.
    """
    ordered = sorted(trials, key=lambda trial: (-trial[1], trial[0]))
    pieces = (ordered[start : start + MOST_SHARING] for start in range(0, len(ordered), MOST_SHARING))
    return [(tuple(offset for offset, _ in piece), tuple(rounds for _, rounds in piece)) for piece in pieces]


class Region:
    """The blocks of one grid with one final estimator.

    Parameters
    ----------
    first : int
        Number of its first point.
    estimator : dict
        Encoded estimator.
    axes : sequence of Axis
        The axes of its parameters, slowest first.
    block_of : callable
        Returns a block of one trial with number 0.
    share_fits : bool
        Whether trials that differ only in their rounds make a unit.
    most_blocks : int, default=MOST_BLOCKS
        Most blocks; if the axes would make more, the values of the longest axes are not
        distinguished.
    """

    def __init__(
        self,
        first: int,
        estimator: Json,
        axes: Sequence[Axis],
        block_of: Callable[[ResolvedTrial], Block],
        *,
        share_fits: bool,
        most_blocks: int = MOST_BLOCKS,
    ) -> None:
        self._first, self._estimator, self._block_of = first, estimator, block_of
        base = resolve(estimator, {})
        library, prefix = base.library, base.prefix
        self._rounds = _rounds_axis(axes, library, prefix) if library and share_fits else None
        deciding = [
            axis
            for axis in axes
            if library
            and self._rounds
            and axis.name.startswith(prefix)
            and decides_sharing(library, axis.name.removeprefix(prefix), axis.column)
        ]
        if _cases(deciding) > most_blocks:
            # Too many cases to find out which trials can share fits: share none.
            self._rounds, deciding = None, []
        must = {axis.name for axis in deciding}
        binning = {prefix + name for name in library.binning} if library else set()

        def matters(name: str) -> bool:
            # Trials with equal preparing steps should be neighbours.
            prepares = bool(prefix) and not name.startswith(prefix)
            return name in must or name in binning or prepares or changes_cost(base, name)

        self._outer = [
            axis for axis in axes if axis is not self._rounds and (matters(axis.name) or _asks_for_gpu(axis))
        ]
        while _cases(self._outer) > most_blocks:
            longest = max((axis for axis in self._outer if axis.name not in must), key=lambda axis: axis.size)
            self._outer = [axis for axis in self._outer if axis is not longest]
        outer = {axis.name for axis in self._outer}
        self._inner = [axis for axis in axes if axis.name not in outer and axis is not self._rounds]
        self._splits = _cases([*self._outer, *([self._rounds] if self._rounds else [])]) <= most_blocks
        self._units: dict[bool, list[_Unit]] = {}
        self._cells: dict[int, list[Block]] = {}
        # The middle value represents an axis whose values are not distinguished.
        typical = {axis.name: axis.column[axis.size // 2] for axis in self._inner}
        for digits in product(*(range(axis.size) for axis in self._outer)):
            chosen = [*zip(self._outer, digits, strict=True)]
            start = first + sum(axis.stride * digit for axis, digit in chosen)
            self._cells[start] = self._cut(start, typical | {axis.name: axis.column[digit] for axis, digit in chosen})

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks in the grid's order."""
        return chain.from_iterable(self._cells.values())

    def home(self, number: int) -> tuple[Block, int]:
        """Return the block of a trial, and the first point of its unit."""
        cell = self._first + sum(self._part(number, axis) for axis in self._outer)
        part = self._part(number, self._rounds) if self._rounds else 0
        for block in self._cells[cell]:
            if part in block.offsets:
                return block, number - part
        return self._cells[cell][0], number

    def _part(self, number: int, axis: Axis) -> int:
        """Return the part of a point's number that an axis contributes."""
        return (number - self._first) // axis.stride % axis.size * axis.stride

    def _cut(self, start: int, point: dict[str, Json]) -> list[Block]:
        """Return the blocks with these values."""
        trial = resolve(self._estimator, point)
        inner, axis = self._inner, self._rounds
        if axis is None:
            units: list[_Unit] = [((0,), (trial.rounds,))]
        else:
            shared = resolve(self._estimator, point | {axis.name: 1}).shared_key is not None
            if shared or self._splits:
                if shared not in self._units:
                    self._units[shared] = self._cut_rounds(axis, point, shared)
                units = self._units[shared]
            else:
                middle = resolve(self._estimator, point | {axis.name: axis.column[axis.size // 2]})
                inner, units = [*inner, axis], [((0,), (middle.rounds,))]
        block, across = self._block_of(trial), tuple((axis.size, axis.stride) for axis in inner)
        return [replace(block, first=start, across=across, offsets=offsets, rounds=rounds) for offsets, rounds in units]

    def _cut_rounds(self, axis: Axis, point: dict[str, Json], shared: bool) -> list[_Unit]:
        """Return the units of all trials that differ only in their rounds."""
        together: list[tuple[int, int]] = []
        alone: list[_Unit] = []
        for digit, value in enumerate(axis.column):
            trial, offset = resolve(self._estimator, point | {axis.name: value}), digit * axis.stride
            # If one positive integer can be shared, all can.
            if shared and ((type(value) is int and value > 0) or trial.shared_key is not None):
                together.append((offset, trial.rounds))
            else:
                alone.append(((offset,), (trial.rounds,)))
        return [*units_of(together), *alone]


def _asks_for_gpu(axis: Axis) -> bool:
    """Return whether a value of an axis asks for a GPU, itself or inside an estimator."""
    return not isinstance(axis.column, range) and any(
        asks_for_gpu(axis.name, value) or mentions_gpu(value) for value in axis.column
    )


def _cases(axes: Iterable[Axis]) -> int:
    return math.prod(axis.size for axis in axes)


def _rounds_axis(axes: Sequence[Axis], library: Library, prefix: str) -> Axis | None:
    by_name = {axis.name.removeprefix(prefix): axis for axis in axes if axis.name.startswith(prefix)}
    found = next((by_name[name] for name in library.rounds if name in by_name), None)
    return found if found and found.size <= MOST_BLOCKS else None
