"""Trials that do nothing, or only wait: any other time is Warren's."""

from __future__ import annotations

import time
from typing import Any

from sklearn.base import BaseEstimator


class NoOp(BaseEstimator):
    """Learns nothing and scores 0, as the peers' functions return 0.

    Parameters
    ----------
    number : int, default=0
        Tells trials apart.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def fit(self, X: Any, y: Any = None) -> NoOp:  # noqa: ARG002 - scikit-learn's signature
        """Return the estimator as it is."""
        return self

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002 - scikit-learn's signature
        """Return 0."""
        return 0.0


class Sleep(NoOp):
    """Sleeps instead of fitting.

    Parameters
    ----------
    number : int, default=0
        Tells trials apart.
    seconds : float, default=0.5
        How long.
    """

    def __init__(self, number: int = 0, seconds: float = 0.5) -> None:
        super().__init__(number)
        self.seconds = seconds

    def fit(self, X: Any, y: Any = None) -> Sleep:
        """Sleep."""
        time.sleep(self.seconds)
        super().fit(X, y)
        return self


NAMES = ",".join(f"{cls.__module__}.{cls.__qualname__}" for cls in (NoOp, Sleep))
"""What ``WARREN_ALLOW`` must have for them."""
