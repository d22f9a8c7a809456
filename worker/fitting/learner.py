"""The plain way to fit, and what a learner that knows its library can do better."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from tuning.dataset import Matrix

T = TypeVar("T")


class Part(NamedTuple):
    """Rows of a dataset: X, y and, if there are any, sample weights."""

    X: Matrix
    y: Any
    weight: Any = None


@dataclass(frozen=True, kw_only=True)
class Fold:
    """The data of one fold.

    Attributes
    ----------
    train, test : Part
        What is fitted on, and what is held out and scored.
    evaluation : Part or None
        What early stopping watches: the held-out part, or rows set apart from the training part.
    """

    train: Part
    test: Part
    evaluation: Part | None = None


class Derived(Protocol):
    """What was derived from one fold's training part, kept for the next fit on it."""

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return what is kept under `key`, or make it and keep it as `size` bytes."""


class Learner:
    """Fits as scikit-learn's searches do; the base of those that know a library."""

    def fit(self, estimator: Any, fold: Fold, derived: Derived) -> None:  # noqa: ARG002 - plain fits derive nothing
        """Fit an estimator on the training part, watching the evaluation part where the fold has one.

        Parameters
        ----------
        estimator : estimator instance
            Unfitted; fitted afterwards.
        fold : Fold
        derived : Derived
            Keeps what may be shared by fits on this fold.

        Raises
        ------
        Exception
            Whatever the estimator raises.
        """
        weights = {} if fold.train.weight is None else {"sample_weight": fold.train.weight}
        if fold.train.y is None:
            estimator.fit(fold.train.X, **weights)
        else:
            estimator.fit(fold.train.X, fold.train.y, **weights)

    def contained(self, estimator: Any, rounds: Sequence[int], fold: Fold, derived: Derived) -> list[int]:  # noqa: ARG002
        """Return those of some numbers of rounds of which a fitted estimator contains the model, as if fitted alone.

        Parameters
        ----------
        estimator : estimator instance
            Fitted on `fold` with ``max(rounds)`` rounds.
        rounds : sequence of int
            At least 1 each; the largest is always contained.
        fold, derived
            As for `fit`.
        """
        return list(rounds)

    def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
        """Let a fitted estimator be the model of its first rounds, for one number after the other.

        Parameters
        ----------
        estimator : estimator instance
            Fitted with at least ``max(rounds)`` rounds.
        rounds : sequence of int

        Yields
        ------
        int
            Each number once, in the order that suits the library; until the next, `estimator` predicts with as many.
        """
        raise NotImplementedError(f"{type(estimator).__name__} has no rounds")

    def best_iteration(self, estimator: Any) -> int | None:  # noqa: ARG002 - nothing else stops early in a known way
        """Return how many rounds early stopping has kept, counted from 1; None where it did not watch."""
        return None

    def chosen(self, estimator: Any) -> dict[str, Any]:  # noqa: ARG002 - nothing else chooses by the rounds
        """Return the parameters that a fitted estimator has chosen by itself, by the number of rounds."""
        return {}


def fingerprint(values: Any) -> str | None:
    """Return a digest of labels or weights, part of the key of what is derived from them; None for None."""
    if values is None:
        return None
    array = np.ascontiguousarray(values)
    return f"{array.dtype}{array.shape}{hashlib.blake2b(array.data, digest_size=16).hexdigest()}"
