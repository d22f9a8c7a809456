"""Blocks: the parts of a grid whose units have equal costs, in closed form.

A *unit* is a set of trials that may share a fit, or one trial. A grid has three kinds of axes: the
number of rounds gives the trials of a unit; axes that change a fit's cost, its binned data or
whether fits can be shared divide the grid into blocks; all others give the units of a block. So a
plan's size depends only on the axes that matter, not on the size of the grid.
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
        Numbers of the trials.
    shares : tuple of float
        Expected seconds of each trial: its share of the fit by its number of rounds.
    seconds : float
        Expected seconds of the unit.
    guess : bool
        Whether the cost is only a guess.
    """

    numbers: tuple[int, ...]
    shares: tuple[float, ...]
    seconds: float
    guess: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Units of equal cost.

    Attributes
    ----------
    first : int
        Number of the first unit's first point.
    across : tuple of (int, int)
        Size and stride of each axis across the units.
    offsets : tuple of int
        Offsets of a unit's trials from its first point, most rounds first.
    rounds : tuple of int
        Rounds of each of these trials.
    cost : Cost
        Expected cost of a trial on all folds.
    bins : str
        Identifies the binned data: blocks with the same text can use the same bins.
    guess : bool
        Whether the cost is only a guess.
    on_gpu : bool
        Whether its trials ask for a GPU; if too many axes matter, a typical trial decides.
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
        """Yield the units lazily, without their finished trials."""
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
    """Yield the offsets of all points along some axes; the last axis changes fastest."""
    if not axes:
        yield 0
        return
    (size, stride), rest = axes[0], axes[1:]
    for start in range(0, size * stride, stride):
        for more in _sums(rest):
            yield start + more
