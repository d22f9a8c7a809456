"""Blocks: the parts of a grid whose units cost the same, in closed form.

A *unit* is trials that may share a fit, or one trial. A grid's axes are told apart: the number of rounds makes the
trials of a unit; axes that change what a fit costs, what is binned or whether fits can be shared cut the grid into
blocks; the rest makes the units of a block, however many. So a plan is as large as the values that matter, and
never as large as the grid.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from producer.planning.cost import Cost


class Unit(NamedTuple):
    """Trials that may share a fit, the one with the most rounds first; or one trial.

    Attributes
    ----------
    numbers : tuple of int
        Trials of the study.
    shares : tuple of float
        Expected seconds of each: of the one fit, what its rounds are of the rounds of all.
    seconds : float
        Expected seconds of all.
    guess : bool
        The cost is only guessed.
    """

    numbers: tuple[int, ...]
    shares: tuple[float, ...]
    seconds: float
    guess: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Units of one cost.

    Attributes
    ----------
    first : int
        Number of the first unit's first point.
    across : tuple of (int, int)
        Size and stride of each axis that leads from unit to unit.
    offsets : tuple of int
        From a unit's first point to each of its trials, most rounds first.
    rounds : tuple of int
        Rounds of each of them.
    cost : Cost
        Expected, of a trial on all folds.
    bins : str
        What is binned: blocks with the same text can use the same bins.
    guess : bool
        The cost is only guessed.
    on_gpu : bool
        Its trials ask for a GPU; where too many axes were told apart already, the one that stands for them does.
    """

    first: int
    across: tuple[tuple[int, int], ...]
    offsets: tuple[int, ...]
    rounds: tuple[int, ...]
    cost: Cost
    bins: str
    guess: bool
    on_gpu: bool = False

    @property
    def n_units(self) -> int:
        """Number of units."""
        return math.prod(size for size, _ in self.across)

    @property
    def seconds(self) -> float:
        """Expected seconds of a unit."""
        return self.cost.seconds(self.rounds[0])

    def units(self, finished: Collection[int] = ()) -> Iterator[Unit]:
        """Yield the units without their finished trials, lazily."""
        whole = self._unit((), range(len(self.offsets)))
        for between in _sums(self.across):
            first = self.first + between
            numbers = tuple([first + offset for offset in self.offsets])
            left = self.left(first, finished) if finished else numbers
            if len(left) == len(numbers):
                yield whole._replace(numbers=numbers)
            elif left:
                yield self._unit(tuple(numbers[position] for position in left), left)

    def left(self, first: int, finished: Collection[int]) -> Sequence[int]:
        """Return the positions in `offsets` of a unit's trials that are not finished."""
        return [position for position, offset in enumerate(self.offsets) if first + offset not in finished]

    def _unit(self, numbers: tuple[int, ...], positions: Sequence[int]) -> Unit:
        seconds = self.cost.seconds(self.rounds[positions[0]])
        part = seconds / sum(self.rounds[position] for position in positions)
        # Microseconds are enough, and short in a message.
        shares = tuple(round(part * self.rounds[position], 6) for position in positions)
        return Unit(numbers, shares, seconds, self.guess)


def _sums(axes: tuple[tuple[int, int], ...]) -> Iterator[int]:
    """Yield what the digits of some axes add to a number, the last axis the fastest."""
    if not axes:
        yield 0
        return
    (size, stride), rest = axes[0], axes[1:]
    for start in range(0, size * stride, stride):
        for more in _sums(rest):
            yield start + more
