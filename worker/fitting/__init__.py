"""Fits estimators on a fold, and shares fits and prepared data between trials.

Each learner runs the library's own ``fit``. It only passes binned data that already exists, and
lets the fitted estimator predict as the model of its first rounds. A pipeline's learner shares the
steps before the last.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from sklearn.pipeline import Pipeline

from warren.libraries.keras import NETWORKS
from warren.libraries.registry import BOOSTING, library_of
from warren.safety.allowlist import package_of_type
from worker.database import PackedModel
from worker.fitting.learner import Fold, Learner

__all__ = ["Fold", "Learner", "learner_of", "packed_by_library"]

# Fits estimators without rounds of their own.
_ANY = Learner()


@functools.cache
def _learner(package: str) -> Learner:
    """Return the learner in a library's file in this folder; only this imports the library."""
    name = "keras" if package == NETWORKS.package else package
    found: Learner = importlib.import_module(f"worker.fitting.{name}_fits").LEARNER
    return found


def learner_of(cls: type[Any], allow: tuple[str, ...] = (), *, in_place: bool = False) -> Learner:
    """Return the learner for estimators of a class.

    Parameters
    ----------
    cls : type
        An estimator class. A subclass of a library's class may have changed its ``fit``, so its own
        ``fit`` is used.
    allow : tuple of str, default=()
        Further allowed names of estimators, which may be steps of a pipeline.
    in_place : bool, default=False
        Whether the estimator, or a part of it, may write into its input.

    Returns
    -------
    Learner
        Fits and scores estimators of this class.
    """
    if cls is Pipeline:
        from worker.fitting.pipeline import PipelineLearner

        opener = functools.partial(learner_of, allow=allow, in_place=in_place)
        return PipelineLearner(opener, allow, in_place=in_place)
    library = library_of(f"{package_of_type(cls)}.{cls.__name__}")
    return _learner(library.package) if library else _ANY


def packed_by_library(estimator: Any) -> PackedModel | None:
    """Return a fitted estimator in its library's own format; None where that has none for it."""
    package = package_of_type(type(estimator))
    return _learner(package).pack(estimator) if package in BOOSTING else None
