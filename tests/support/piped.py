"""Pipelines on a fold as a worker evaluates them, and steps that note what is done with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import scipy.sparse
from folds import evaluate
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from worker.fitting import Fold, learner_of
from worker.training.data_cache import KeptDerived
from worker.training.fit_and_score import FoldResult

OWN = ("piped.Noted", "piped.Draws", "piped.DrawsLater", "piped.Sparse")


class Noted(TransformerMixin, BaseEstimator):
    """Notes what is done with it, and adds a number."""

    notes: ClassVar[list[str]] = []

    def __init__(self, more: float = 1.0, fails: str = "", name: str = "noted") -> None:
        self.more = more
        self.fails = fails
        self.name = name

    def fit(self, X: Any, y: Any = None) -> Noted:
        self.notes.append(f"{self.name} fit {len(X)}")
        if self.fails == "fit":
            raise RuntimeError("no fit today")
        return self

    def transform(self, X: Any) -> Any:
        self.notes.append(f"{self.name} transform {len(X)}")
        if self.fails == "transform" and len(X) == 80:
            raise RuntimeError("no held-out part today")
        return X + self.more


class Draws(Noted):
    """Draws from NumPy's global generator when it is fitted."""

    def fit(self, X: Any, y: Any = None) -> Noted:
        self.noise_ = np.random.normal(size=X.shape[1])
        return super().fit(X, y)

    def transform(self, X: Any) -> Any:
        return super().transform(X) * self.noise_


class DrawsLater(Noted):
    """Draws whenever it transforms."""

    def transform(self, X: Any) -> Any:
        return super().transform(X) + np.random.normal(size=X.shape)


class Sparse(Noted):
    """Makes its data sparse, with the entries out of order where it is called "unsorted"."""

    def transform(self, X: Any) -> Any:
        made = scipy.sparse.csr_matrix(super().transform(X))
        if self.name == "unsorted":
            made.indices, made.data = made.indices[::-1].copy(), made.data[::-1].copy()
            made.has_sorted_indices = False
        return made


def piped(last: Any, *steps: Any) -> Pipeline:
    return Pipeline([*((f"step{number}", step) for number, step in enumerate(steps)), ("clf", last)])


def opened(make: Callable[[], Any], of: Fold, kept: KeptDerived | None = None, **how: Any) -> list[FoldResult]:
    """Evaluate as a worker does."""
    return evaluate(make, of, learner=learner_of(type(make()), OWN), derived=kept, **how)


def as_scikit_learn(make: Callable[[], Any], of: Fold, **how: Any) -> list[FoldResult]:
    """Evaluate by the pipeline's own fit and predict alone."""
    return evaluate(make, of, **how)
