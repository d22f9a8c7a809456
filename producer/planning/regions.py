"""Regions: one grid under one estimator, cut into blocks by the values that matter."""

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

# Blocks of a plan at most, so that it takes megabytes, and values of an axis that are told apart.
MOST_BLOCKS = 10_000
# Trials that share a fit at most: a unit is never cut, so it bounds a message, and what a lost worker costs.
MOST_SHARING = 1000

# Offsets and rounds of the trials of a unit.
_Unit: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


class Axis(NamedTuple):
    """A parameter's values, how many, and by how much a point's number grows from one to the next."""

    name: str
    column: Sequence[Json]
    size: int
    stride: int


def axes_of(grid: Grid) -> list[Axis]:
    """Return the axes of a grid, slowest first."""
    return [Axis(*axis) for axis in zip(grid.names, grid.columns, grid.sizes, grid.strides, strict=True)]


def units_of(trials: Iterable[tuple[int, int]]) -> list[_Unit]:
    """Cut trials that share a fit into units, of the most rounds first.

    Parameters
    ----------
    trials : iterable of (int, int)
        Offset and rounds of each.
    """
    ordered = sorted(trials, key=lambda trial: (-trial[1], trial[0]))
    pieces = (ordered[start : start + MOST_SHARING] for start in range(0, len(ordered), MOST_SHARING))
    return [(tuple(offset for offset, _ in piece), tuple(rounds for _, rounds in piece)) for piece in pieces]


class Region:
    """The blocks of one grid under one estimator.

    Parameters
    ----------
    first : int
        Number of its first point.
    estimator : dict
        Encoded estimator.
    axes : sequence of Axis
        Of its parameters, slowest first.
    block_of : callable
        Returns a block of one trial, numbered 0.
    share_fits : bool
        Let trials that differ in their rounds alone make a unit.
    most_blocks : int, default=MOST_BLOCKS
        How many there may be; where values make more, the longest axes are not told apart.
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
            # Too many to find out where fits can be shared: every trial is by itself.
            self._rounds, deciding = None, []
        must = {axis.name for axis in deciding}
        binning = {prefix + name for name in library.binning} if library else set()

        def told_apart(name: str) -> bool:
            # Trials with the same other steps shall be neighbours.
            prepares = bool(prefix) and not name.startswith(prefix)
            return name in must or name in binning or prepares or changes_cost(base, name)

        self._outer = [
            axis for axis in axes if axis is not self._rounds and (told_apart(axis.name) or _asks_for_gpu(axis))
        ]
        while _cases(self._outer) > most_blocks:
            longest = max((axis for axis in self._outer if axis.name not in must), key=lambda axis: axis.size)
            self._outer = [axis for axis in self._outer if axis is not longest]
        outer = {axis.name for axis in self._outer}
        self._inner = [axis for axis in axes if axis.name not in outer and axis is not self._rounds]
        self._splits = _cases([*self._outer, *([self._rounds] if self._rounds else [])]) <= most_blocks
        self._units: dict[bool, list[_Unit]] = {}
        self._cells: dict[int, list[Block]] = {}
        # A value in the middle stands for all that are not told apart.
        typical = {axis.name: axis.column[axis.size // 2] for axis in self._inner}
        for digits in product(*(range(axis.size) for axis in self._outer)):
            chosen = [*zip(self._outer, digits, strict=True)]
            start = first + sum(axis.stride * digit for axis, digit in chosen)
            self._cells[start] = self._cut(start, typical | {axis.name: axis.column[digit] for axis, digit in chosen})

    @property
    def blocks(self) -> Iterator[Block]:
        """The blocks, in the order of the grid."""
        return chain.from_iterable(self._cells.values())

    def home(self, number: int) -> tuple[Block, int]:
        """Return the block of a trial, and the first point of its unit there."""
        cell = self._first + sum(self._part(number, axis) for axis in self._outer)
        part = self._part(number, self._rounds) if self._rounds else 0
        for block in self._cells[cell]:
            if part in block.offsets:
                return block, number - part
        return self._cells[cell][0], number

    def _part(self, number: int, axis: Axis) -> int:
        """Return what an axis adds to the number of a point."""
        return (number - self._first) // axis.stride % axis.size * axis.stride

    def _cut(self, start: int, point: dict[str, Json]) -> list[Block]:
        """Return the blocks that have these values."""
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
        """Return the units of all trials that differ in their rounds alone."""
        together: list[tuple[int, int]] = []
        alone: list[_Unit] = []
        for digit, value in enumerate(axis.column):
            trial, offset = resolve(self._estimator, point | {axis.name: value}), digit * axis.stride
            # Of whole numbers, one that can be shared speaks for all.
            if shared and ((type(value) is int and value > 0) or trial.shared_key is not None):
                together.append((offset, trial.rounds))
            else:
                alone.append(((offset,), (trial.rounds,)))
        return [*units_of(together), *alone]


def _asks_for_gpu(axis: Axis) -> bool:
    """Say whether a value of an axis asks for a GPU, itself or in an estimator."""
    return not isinstance(axis.column, range) and any(
        asks_for_gpu(axis.name, value) or mentions_gpu(value) for value in axis.column
    )


def _cases(axes: Iterable[Axis]) -> int:
    return math.prod(axis.size for axis in axes)


def _rounds_axis(axes: Sequence[Axis], library: Library, prefix: str) -> Axis | None:
    by_name = {axis.name.removeprefix(prefix): axis for axis in axes if axis.name.startswith(prefix)}
    found = next((by_name[name] for name in library.rounds if name in by_name), None)
    return found if found and found.size <= MOST_BLOCKS else None
