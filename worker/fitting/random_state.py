"""The random generators that a fit may draw from: NumPy's global one, and those that fitted steps hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

# How deep a fitted step is looked into, and how many items of a list or dict.
_DEEPEST, _MOST_ITEMS = 6, 1000
# What estimators without a random state draw from.
GLOBAL: np.random.RandomState = np.random.mtrand._rand


def held_by(value: Any, depth: int = 0) -> Iterator[np.random.RandomState]:
    """Yield the generators that a fitted step, or what is in it, has of its own and may draw from to transform."""
    if isinstance(value, np.random.RandomState):
        if value is not GLOBAL:
            yield value
        return
    items: Iterable[Any] = ()
    if isinstance(value, (list, tuple)) and len(value) <= _MOST_ITEMS:
        items = value
    elif isinstance(value, dict) and len(value) <= _MOST_ITEMS:
        items = value.values()
    elif isinstance(value, BaseEstimator):
        items = vars(value).values()
    for item in items if depth <= _DEEPEST else ():
        yield from held_by(item, depth + 1)


class Dice:
    """Generators as they are now: says whether somebody has drawn from them since, and puts them back."""

    def __init__(self, held: Iterable[np.random.RandomState]) -> None:
        self.held = tuple(held)
        self._states = self._now()

    def _now(self) -> list[Any]:
        return [one.get_state() for one in self.held]

    @property
    def rolled(self) -> bool:
        """Whether one is not where it was."""
        return not all(
            one[0] == other[0] and np.array_equal(one[1], other[1]) and one[2:] == other[2:]
            for one, other in zip(self._states, self._now(), strict=True)
        )

    def put_back(self) -> None:
        """Let them draw again what they have drawn since."""
        for held, state in zip(self.held, self._states, strict=True):
            held.set_state(state)
