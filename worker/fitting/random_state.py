"""The random generators that a fit may use: NumPy's global one, and those that fitted steps own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

# How deep to look into a fitted step, and how many items of a list or dict to inspect.
_DEEPEST, _MOST_ITEMS = 6, 1000
# The generator of estimators without a random state.
GLOBAL: np.random.RandomState = np.random.mtrand._rand


def held_by(value: Any, depth: int = 0) -> Iterator[np.random.RandomState]:
    """Yield the generators that a fitted step, or an object in it, owns and may use."""
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
    """Remembers the state of generators: tells whether they were used since, and restores them."""

    def __init__(self, held: Iterable[np.random.RandomState]) -> None:
        self.held = tuple(held)
        self._states = self._now()

    def _now(self) -> list[Any]:
        return [generator.get_state() for generator in self.held]

    @property
    def rolled(self) -> bool:
        """Whether one of them was used since."""
        return not all(
            before[0] == after[0] and np.array_equal(before[1], after[1]) and before[2:] == after[2:]
            for before, after in zip(self._states, self._now(), strict=True)
        )

    def put_back(self) -> None:
        """Restore their states, so that they draw the same numbers again."""
        for generator, state in zip(self.held, self._states, strict=True):
            generator.set_state(state)
