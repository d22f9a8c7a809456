"""In which order a study's trials are published: the longest first, and those that may share a fit side by side."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import TypeAlias

from producer.planning.blocks import Block, Unit
from producer.planning.cost import Shape, class_name, fit_cost, is_guess
from producer.planning.regions import MOST_BLOCKS, Axis, Region, axes_of, units_of
from producer.space.space import Space
from warren.encoding.codec import Json
from warren.encoding.estimators import outermost, replaces_tail, with_step
from warren.libraries.resolve import ResolvedTrial, resolve

# Number, encoded estimator, encoded parameters.
_Point: TypeAlias = tuple[int, Json, dict[str, Json]]


@dataclass(frozen=True, slots=True)
class _Fork:
    """A grid where the value of one axis decides what estimator a trial ends with: a part for each."""

    axis: Axis
    parts: list[_Part]


# A grid under one estimator; None where it is of one point.
_Part: TypeAlias = "_Fork | Region | None"


class Plan:
    """The order of a study's trials: walked, never written out.

    Trials that differ in their rounds alone make a unit, the one with the most rounds first: a worker blames the first
    unfinished trial of a chunk when its process dies. Those that ask for a GPU are first, for other workers take them,
    and hardly a chunk has both. Units with the longest expected fits come first, so that no long
    one is left for the end; of equal ones those that can use the same bins follow each other, and then the order is
    the grid's. It takes the memory of at most `regions.MOST_BLOCKS` blocks, of grids of one point (which are in memory
    already), and of `finished`.

    Parameters
    ----------
    space : Space
    estimator : dict or None
        The study's encoded estimator; None where every trial brings its own.
    shape : Shape
        Of the training part of a fold.
    n_splits : int
        Number of folds.
    estimator_in_grid : bool, default=False
        The parameter "estimator" of a grid is the trial's estimator, not a parameter of it.
    share_fits : bool, default=True
        False makes every trial a unit.
    corrections : mapping of str to float, default=None
        What measured times are of those expected, by the estimator's class name; None is nothing measured.
    finished : set of int, default=frozenset()
        Trials to leave out.
    allow : iterable of str, default=()
        Further estimator names.

    Attributes
    ----------
    n_trials, n_units : int
        How many there are, without what is finished.
    seconds : float
        What they are expected to take on one thread.

    Raises
    ------
    InputError
        A value can't travel.
    """

    def __init__(
        self,
        space: Space,
        estimator: Json,
        shape: Shape,
        n_splits: int,
        *,
        estimator_in_grid: bool = False,
        share_fits: bool = True,
        corrections: Mapping[str, float] | None = None,
        finished: AbstractSet[int] = frozenset(),
        allow: Iterable[str] = (),
    ) -> None:
        self._share_fits = share_fits
        self._shape, self._n_splits, self._corrections = shape, n_splits, corrections or {}
        self._finished = finished
        grids = space.encoded_grids(allow)
        self._starts = [*accumulate((grid.size for grid in grids), initial=0)][:-1]
        all_axes = [axes_of(grid) for grid in grids]
        n_parts = sum(_count(estimator, axes, estimator_in_grid) for axes in all_axes)
        self._most_blocks = max(MOST_BLOCKS // max(n_parts, 1), 1)
        points: list[_Point] = []
        regions: list[Region] = []
        self._parts = [
            self._part(start, estimator, axes, estimator_in_grid, points, regions)
            for start, axes in zip(self._starts, all_axes, strict=True)
        ]
        self._single = self._group(points)
        self._blocks = sorted(
            chain(self._single, *(region.blocks for region in regions)),
            key=lambda block: (not block.on_gpu, -block.seconds, block.bins, block.first, block.offsets[0]),
        )
        self.n_trials = space.size - len(finished)
        self.n_units = sum(block.n_units for block in self._blocks)
        self.seconds = math.fsum(block.seconds * block.n_units for block in self._blocks)
        for block, first in self._begun():
            left = block.left(first, finished)
            self.n_units -= not left
            self.seconds += block.cost.seconds(block.rounds[left[0]]) - block.seconds if left else -block.seconds
        self.seconds = max(self.seconds, 0.0)

    def units(self) -> Iterator[Unit]:
        """Yield the units in their order, without what is finished."""
        for block in self._blocks:
            yield from block.units(self._finished)

    def _part(
        self,
        first: int,
        estimator: Json,
        axes: list[Axis],
        own: bool,
        points: list[_Point],
        regions: list[Region],
    ) -> _Part:
        """Take a grid apart by the estimators that its trials end with."""
        fork = _fork(estimator, axes, own)
        if fork is None:
            if all(axis.size == 1 for axis in axes):
                points.append((first, estimator, {axis.name: axis.column[0] for axis in axes}))
                return None
            regions.append(
                Region(
                    first,
                    estimator,
                    axes,
                    self._block,
                    share_fits=self._share_fits,
                    most_blocks=self._most_blocks,
                )
            )
            return regions[-1]
        others = [axis for axis in axes if axis is not fork]
        return _Fork(
            fork,
            [
                self._part(
                    first + digit * fork.stride, _forked(estimator, fork, value, own), others, False, points, regions
                )
                for digit, value in enumerate(fork.column)
            ],
        )

    def _block(self, trial: ResolvedTrial) -> Block:
        """Return a block of one trial, numbered 0."""
        name = class_name(trial.start)
        return Block(
            first=0,
            across=(),
            offsets=(0,),
            rounds=(trial.rounds,),
            cost=fit_cost(trial, self._shape).times(self._n_splits * self._corrections.get(name, 1.0)),
            bins=trial.bins,
            guess=is_guess(trial) and name not in self._corrections,
            on_gpu=trial.wants_gpu,
        )

    def _group(self, points: Iterable[_Point]) -> list[Block]:
        """Return the blocks of grids of one point each, as a random search makes them: each holds one unit."""
        blocks: dict[str, Block] = {}
        trials: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, estimator, params in points:
            trial = resolve(estimator, params)
            group = trial.group(number, share=self._share_fits)
            trials[group].append((number, trial.rounds))
            if group not in blocks:
                blocks[group] = self._block(trial)
        return [
            replace(block, offsets=numbers, rounds=rounds)
            for group, block in blocks.items()
            for numbers, rounds in units_of(trials[group])
        ]

    def _begun(self) -> Iterator[tuple[Block, int]]:
        """Yield the block and first point of each unit that has a finished trial, without a walk over the others."""
        if not self._finished:
            return
        for block in self._single:
            if len(block.left(0, self._finished)) < len(block.offsets):
                yield block, 0
        for number in self._finished:
            region = self._region(number)
            if region is not None:
                block, first = region.home(number)
                # Its first finished trial speaks for a unit.
                if number == next(first + offset for offset in block.offsets if first + offset in self._finished):
                    yield block, first

    def _region(self, number: int) -> Region | None:
        grid = bisect_right(self._starts, number) - 1
        part = self._parts[grid]
        while isinstance(part, _Fork):
            part = part.parts[(number - self._starts[grid]) // part.axis.stride % part.axis.size]
        return part


def _fork(estimator: Json, axes: list[Axis], own: bool) -> Axis | None:
    """Return the axis whose values are estimators to start from, or replace what an estimator ends with."""
    if own and (found := next((axis for axis in axes if axis.name == "estimator"), None)):
        return found
    # From the outside in: a step that is put there may be a pipeline itself.
    forks = [axis for axis in axes if replaces_tail(estimator, axis.name)]
    return min(forks, key=lambda axis: outermost(axis.name), default=None)


def _forked(estimator: Json, fork: Axis, value: Json, own: bool) -> Json:
    return value if own and fork.name == "estimator" else with_step(estimator, fork.name, value)


def _count(estimator: Json, axes: list[Axis], own: bool) -> int:
    """Return how many parts a grid is taken apart into."""
    fork = _fork(estimator, axes, own)
    if fork is None:
        return int(any(axis.size > 1 for axis in axes))
    others = [axis for axis in axes if axis is not fork]
    return sum(_count(_forked(estimator, fork, value, own), others, False) for value in fork.column)
