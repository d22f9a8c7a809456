"""What a fit is expected to cost: seconds on one thread, by the formula of its library (`Library.cost`).

Of a pipeline, its last step has the formula, and the rest is a guess; so is every other estimator.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from warren.encoding.codec import Json
from warren.libraries.resolve import ResolvedTrial
from warren.libraries.tree_cost import number_or

# Seconds: no estimate is above, whatever a parameter says; a message carries no infinity.
_LONGEST = 1e9
# Seconds of a fit that nothing is known of: so much a value of X, and at least what any fit takes.
_GUESS_A_VALUE = 3e-7
_SHORTEST_GUESS = 5e-4
# Parameters that such a fit's time grows with, from a hundred on as most defaults are.
_REPEATS = frozenset({"n_estimators", "max_iter", "n_iter", "iterations"})


class Shape(NamedTuple):
    """Data of one fit: its training rows, its columns, and its classes (0 where there are none)."""

    rows: int
    columns: int
    classes: int


class Cost(NamedTuple):
    """Seconds of a fit: once, and for each round."""

    fixed: float
    per_round: float

    def seconds(self, rounds: int) -> float:
        """Return the seconds of a fit of so many rounds."""
        return min(self.fixed + self.per_round * rounds, _LONGEST)

    def times(self, factor: float) -> Cost:
        """Return the cost of so many fits."""
        return Cost(self.fixed * factor, self.per_round * factor)


def class_name(estimator: Json) -> str:
    """Return the name of an encoded estimator's class, without its module."""
    return str((estimator or {}).get("__estimator__", "")).rpartition(".")[2]


def is_guess(trial: ResolvedTrial) -> bool:
    """Say whether nothing is known of a trial's cost, or of the other steps of its pipeline."""
    return trial.library is None or bool(trial.prefix)


def changes_cost(trial: ResolvedTrial, name: str) -> bool:
    """Say whether a parameter changes what trials like this one are expected to cost."""
    if trial.library is None or not name.startswith(trial.prefix):
        return name.rpartition("__")[2] in _REPEATS
    own = name.removeprefix(trial.prefix)
    return own in trial.library.cost.names or own in trial.library.rounds


def fit_cost(trial: ResolvedTrial, shape: Shape) -> Cost:
    """Return the expected seconds of one fit on one thread, apart from its rounds.

    Parameters
    ----------
    trial : ResolvedTrial
    shape : Shape
        Of the data.

    Returns
    -------
    Cost
        Never less for more rows, columns, depth, leaves or classes. A network's rounds are its epochs. Without a
        library a plain guess (see `is_guess`), without rounds.
    """
    rows, columns, classes = shape
    if trial.library is None:
        together = {**trial.start.get("params", {}), **trial.assigned}
        repeats = math.prod(
            max(number_or(value, 100), 0) / 100
            for name, value in together.items()
            if name.rpartition("__")[2] in _REPEATS
        )
        return Cost(min(max(rows * columns * _GUESS_A_VALUE * repeats, _SHORTEST_GUESS), _LONGEST), 0.0)
    classes = 0 if class_name(trial.final).endswith("Regressor") else classes
    fixed, per_round = trial.library.cost.seconds(trial.params, rows, columns, classes)
    prepared = rows * columns * _GUESS_A_VALUE if trial.prefix else 0.0
    return Cost(min(fixed + prepared, _LONGEST), min(per_round, _LONGEST))
