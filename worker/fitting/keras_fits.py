"""Networks: the weights after the epochs of each trial are kept on the way, and taken up one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from warren.networks.estimator import go_back, was_at
from worker.fitting.learner import Derived, Fold, Learner


class NetworkLearner(Learner):
    """Fits `networks.KerasModel`; which epochs are kept says the watch over the fit (`warren.networks.watch`)."""

    def contained(self, estimator: Any, rounds: Sequence[int], fold: Fold, derived: Derived) -> list[int]:  # noqa: ARG002
        """Return the epochs that were kept: of a network that is large, not all."""
        return [epoch for epoch in rounds if was_at(estimator, epoch)]

    def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
        """Descend: a network goes back, and not forward again."""
        for epoch in sorted(set(rounds), reverse=True):
            go_back(estimator, epoch)
            yield epoch


LEARNER = NetworkLearner()
