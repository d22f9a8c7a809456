"""Networks: keep the weights after each trial's epochs, and restore them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from warren.networks.estimator import has_epoch, restore_epoch
from worker.fitting.learner import Derived, Fold, Learner


class NetworkLearner(Learner):
    """Fits `warren.networks.KerasModel`.

    The watch over the fit decides which epochs are kept (`warren.networks.watch`).
    """

    def contained(self, estimator: Any, rounds: Sequence[int], fold: Fold, derived: Derived) -> list[int]:  # noqa: ARG002
        """Return the epochs that were kept; for a large network, not all."""
        return [epoch for epoch in rounds if has_epoch(estimator, epoch)]

    def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
        """Descend: a network can go back to earlier weights, but not forward again."""
        for epoch in sorted(set(rounds), reverse=True):
            restore_epoch(estimator, epoch)
            yield epoch


LEARNER = NetworkLearner()
