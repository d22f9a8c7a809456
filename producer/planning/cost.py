"""The expected cost of a fit: seconds on one thread, by its library's formula (`Library.cost`).

For a pipeline, the formula is that of its last step, and the other steps are a guess; so are all
other estimators.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from warren.encoding.codec import Json
from warren.libraries.resolve import ResolvedTrial
from warren.libraries.tree_cost import number_or

# Upper bound of estimates in seconds: a message can't hold infinity.
_LONGEST = 1e9
# Guessed seconds of an unknown fit: per value of X, and at least.
_GUESS_A_VALUE = 3e-7
_SHORTEST_GUESS = 5e-4
# Parameters that multiply the guess, relative to 100, a common default.
_REPEATS = frozenset({"n_estimators", "max_iter", "n_iter", "iterations"})


class Shape(NamedTuple):
    """The data of one fit: training rows, columns, and classes (0 without classes)."""

    rows: int
    columns: int
    classes: int


class Cost(NamedTuple):
    """Seconds of a fit: a fixed part, and a part per round."""

    fixed: float
    per_round: float

    def seconds(self, rounds: int) -> float:
        """Return the seconds of a fit with `rounds` rounds."""
        return min(self.fixed + self.per_round * rounds, _LONGEST)

    def times(self, factor: float) -> Cost:
        """Return the cost of `factor` fits."""
        return Cost(self.fixed * factor, self.per_round * factor)


def class_name(estimator: Json) -> str:
    """Return the name of an encoded estimator's class, without its module."""
    return str((estimator or {}).get("__estimator__", "")).rpartition(".")[2]


def is_guess(trial: ResolvedTrial) -> bool:
    """Return whether the cost of a trial, or of its pipeline's other steps, is only a guess."""
    return trial.library is None or bool(trial.prefix)


def changes_cost(trial: ResolvedTrial, name: str) -> bool:
    """Return whether a parameter changes the expected cost of such trials."""
    if trial.library is None or not name.startswith(trial.prefix):
        return name.rpartition("__")[2] in _REPEATS
    own = name.removeprefix(trial.prefix)
    return own in trial.library.cost.names or own in trial.library.rounds


def fit_cost(trial: ResolvedTrial, shape: Shape) -> Cost:
    """Return the expected cost of one fit on one thread.

    Parameters
    ----------
    trial : ResolvedTrial
    shape : Shape
        The shape of the data.

    Returns
    -------
    Cost
        Grows with rows, columns, depth, leaves and classes, or stays equal. A network's rounds are
        its epochs. Without a library it is a guess (see `is_guess`) without rounds.
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
