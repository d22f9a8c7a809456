"""Regions: one grid under one estimator, cut into blocks by the values that matter."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import NamedTuple, TypeAlias

from producer.planning.blocks import Block
from producer.planning.cost import Cost, changes_cost, rounds_of_fit
from producer.space.grid import Grid
from warren.encoding.codec import Json
from warren.encoding.estimators import tail_of
from warren.libraries.devices import asks_for_gpu, mentions_gpu, wants_gpu
from warren.libraries.registry import Library, library_of, merged, shared_fit

# Blocks of a plan at most, so that it takes megabytes, and values of an axis that are told apart.
MOST_BLOCKS = 10_000
# Trials that share a fit at most: a unit is never cut, so it bounds a message, and what a lost worker costs.
MOST_SHARING = 1000

Price: TypeAlias = Callable[[Json, Mapping[str, Json]], Cost]
"""Expected cost of a trial on all folds, by its encoded estimator and parameters."""

# Offsets and rounds of the trials of a unit.
_Group: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


class Axis(NamedTuple):
    """A parameter's values, how many, and by how much a point's number grows from one to the next."""

    name: str
    column: Sequence[Json]
    size: int
    stride: int


def axes_of(grid: Grid) -> list[Axis]:
    """Return the axes of a grid, slowest first."""
    return [Axis(*axis) for axis in zip(grid.names, grid.columns, grid.sizes, grid.strides, strict=True)]


def binned_by(estimator: Json, params: Mapping[str, Json]) -> str:
    """Return a text that is the same for trials that can use the same bins, or the same other steps of a pipeline."""
    tail = tail_of(estimator, params)
    library = library_of(tail.estimator)
    prepared = "" if tail.before is None else json.dumps(tail.before, sort_keys=True)
    if library is None:
        return prepared
    together = merged(tail.estimator, tail.params)
    bins = {name: together[name] for name in sorted(library.binning & together.keys())}
    return prepared + json.dumps([tail.estimator["__estimator__"], bins])


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
    price : callable
        Cost of a trial on all folds.
    guess : bool
        The cost is only guessed.
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
        price: Price,
        *,
        guess: bool,
        share_fits: bool,
        most_blocks: int = MOST_BLOCKS,
    ) -> None:
        self._first, self._estimator, self._price, self._guess = first, estimator, price, guess
        tail = tail_of(estimator, {})
        library, prefix = library_of(tail.estimator), tail.prefix
        self._rounds = _rounds_axis(axes, library, prefix) if library and share_fits else None
        deciding = [axis for axis in axes if library and self._rounds and _decides(axis, library, prefix)]
        if _cases(deciding) > most_blocks:
            # Too many to find out where fits can be shared: every trial is by itself.
            self._rounds, deciding = None, []
        must = {axis.name for axis in deciding}
        binning = {prefix + name for name in library.binning} if library else set()

        def told_apart(name: str) -> bool:
            prepares = bool(prefix) and not name.startswith(
                prefix
            )  # trials with the same other steps shall be neighbours
            return name in must or name in binning or prepares or changes_cost(estimator, name)

        self._outer = [
            axis for axis in axes if axis is not self._rounds and (told_apart(axis.name) or _asks_for_gpu(axis))
        ]
        while _cases(self._outer) > most_blocks:
            longest = max((axis for axis in self._outer if axis.name not in must), key=lambda axis: axis.size)
            self._outer = [axis for axis in self._outer if axis is not longest]
        outer = {axis.name for axis in self._outer}
        self._inner = [axis for axis in axes if axis.name not in outer and axis is not self._rounds]
        self._splits = _cases([*self._outer, *([self._rounds] if self._rounds else [])]) <= most_blocks
        self._groups: dict[bool, list[_Group]] = {}
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
        inner, axis = self._inner, self._rounds
        if axis is None:
            groups: list[_Group] = [((0,), (rounds_of_fit(self._estimator, point),))]
        else:
            shared = shared_fit(self._estimator, point | {axis.name: 1}) is not None
            if shared or self._splits:
                if shared not in self._groups:
                    self._groups[shared] = self._group(axis, point, shared)
                groups = self._groups[shared]
            else:
                middle = point | {axis.name: axis.column[axis.size // 2]}
                inner, groups = [*inner, axis], [((0,), (rounds_of_fit(self._estimator, middle),))]
        cost, bins = self._price(self._estimator, point), binned_by(self._estimator, point)
        across, on_gpu = tuple((axis.size, axis.stride) for axis in inner), wants_gpu(self._estimator, point)
        return [
            Block(
                first=start,
                across=across,
                offsets=offsets,
                rounds=rounds,
                cost=cost,
                bins=bins,
                guess=self._guess,
                on_gpu=on_gpu,
            )
            for offsets, rounds in groups
        ]

    def _group(self, axis: Axis, point: dict[str, Json], shared: bool) -> list[_Group]:
        """Return the trials of each unit, of all that differ in their rounds alone."""
        together: list[tuple[int, int]] = []
        alone: list[tuple[int, int]] = []
        for digit, value in enumerate(axis.column):
            there = point | {axis.name: value}
            # Of whole numbers, one that can be shared speaks for all.
            fits = shared and ((type(value) is int and value > 0) or shared_fit(self._estimator, there) is not None)
            (together if fits else alone).append((digit * axis.stride, rounds_of_fit(self._estimator, there)))
        together.sort(key=lambda trial: -trial[1])
        units = [together[start : start + MOST_SHARING] for start in range(0, len(together), MOST_SHARING)]
        return [
            (tuple(offset for offset, _ in unit), tuple(rounds for _, rounds in unit))
            for unit in (*units, *([trial] for trial in alone))
        ]


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


def _decides(axis: Axis, library: Library, prefix: str) -> bool:
    """Say whether fits can be shared under some values of a parameter only: of the last step, if it is a pipeline's."""
    name = axis.name.removeprefix(prefix)
    if axis.size == 1 or not axis.name.startswith(prefix) or name in library.rounds or name in library.threads:
        return False
    if name in library.required:
        return not isinstance(axis.column, range) and None in axis.column
    if not isinstance(axis.column, range) and any(isinstance(value, dict) for value in axis.column):
        return True
    return name not in library.free and name not in library.binning
