"""The order in which a study's trials are published: longest first, and shared fits together."""

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
    """A grid in which one axis decides the final estimator of a trial: one part for each value."""

    axis: Axis
    parts: list[_Part]


# A grid with one final estimator; None for a grid of one point.
_Part: TypeAlias = "_Fork | Region | None"


class Plan:
    """The lazy order of a study's trials.

    Trials that differ only in their rounds make a unit, the one with the most rounds first: when a
    training process dies, its worker blames the first unfinished trial of the chunk. Trials that
    ask for a GPU come first, because other workers take them and a chunk should not mix both kinds.
    Then come the units with the longest expected fits, so that no long fit starts near the end;
    units of equal cost that can use the same bins are neighbours, and otherwise keep the grid's
    order. Memory is bounded by `regions.MOST_BLOCKS` blocks, the grids of one point (which are in
    memory already), and `finished`.

    Parameters
    ----------
    space : Space
    estimator : dict or None
        The study's encoded estimator; None if every trial has its own.
    shape : Shape
        The shape of the training part of a fold.
    n_splits : int
        Number of folds.
    estimator_in_grid : bool, default=False
        Whether the parameter "estimator" of a grid is the trial's estimator; else it is an ordinary
        parameter.
    share_fits : bool, default=True
        False makes every trial a unit.
    corrections : mapping of str to float, default=None
        Ratios of measured to expected times, by the estimator's class name; None without
        measurements.
    finished : set of int, default=frozenset()
        Trials to leave out.
    allow : iterable of str, default=()
        Further allowed estimator names.

    Attributes
    ----------
    n_trials, n_units : int
        Numbers of trials and units, without finished ones.
    seconds : float
        Their expected seconds on one thread.

    Raises
    ------
    InputError
        A value can't be encoded for a message.
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
        """Yield the units in order, without finished trials."""
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
        """Divide a grid by the final estimators of its trials."""
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
        """Return a block of one trial with number 0."""
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
        """Return blocks of one unit for grids of one point, as in a random search."""
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
        """Yield the block and first point of each unit that has a finished trial."""
        if not self._finished:
            return
        for block in self._single:
            if len(block.left(0, self._finished)) < len(block.offsets):
                yield block, 0
        for number in self._finished:
            region = self._region(number)
            if region is not None:
                block, first = region.home(number)
                # Yield a unit only for its first finished trial.
                if number == next(first + offset for offset in block.offsets if first + offset in self._finished):
                    yield block, first

    def _region(self, number: int) -> Region | None:
        grid = bisect_right(self._starts, number) - 1
        part = self._parts[grid]
        while isinstance(part, _Fork):
            part = part.parts[(number - self._starts[grid]) // part.axis.stride % part.axis.size]
        return part


def _fork(estimator: Json, axes: list[Axis], own: bool) -> Axis | None:
    """Return the axis that gives estimators or replaces their final step; else None."""
    if own and (found := next((axis for axis in axes if axis.name == "estimator"), None)):
        return found
    # Outermost first: the replacing step may be a pipeline itself.
    forks = [axis for axis in axes if replaces_tail(estimator, axis.name)]
    return min(forks, key=lambda axis: outermost(axis.name), default=None)


def _forked(estimator: Json, fork: Axis, value: Json, own: bool) -> Json:
    return value if own and fork.name == "estimator" else with_step(estimator, fork.name, value)


def _count(estimator: Json, axes: list[Axis], own: bool) -> int:
    """Return the number of parts that a grid is divided into."""
    fork = _fork(estimator, axes, own)
    if fork is None:
        return int(any(axis.size > 1 for axis in axes))
    others = [axis for axis in axes if axis is not fork]
    return sum(_count(_forked(estimator, fork, value, own), others, False) for value in fork.column)
