"""How an estimator is fitted on a fold: the boosting libraries share binned data and score prefixes of one fit.

Each learner runs the library's own ``fit``; it only hands over binned data that is there already, and lets the
fitted estimator answer as the model of its first rounds.
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

# Fits whatever trains in no rounds of its own.
_ANY = Learner()


@functools.cache
def _learner(package: str) -> Learner:
    """Return the learner of a library's file in this folder; the library itself is imported only now."""
    name = "keras" if package == NETWORKS.package else package
    found: Learner = importlib.import_module(f"worker.fitting.{name}_fits").LEARNER
    return found


def learner_of(cls: type[Any], allow: tuple[str, ...] = (), *, in_place: bool = False) -> Learner:
    """Return how estimators of a class are fitted.

    Parameters
    ----------
    cls : type
        An estimator class. One that inherits from a library's may have changed its ``fit``, and is fitted as it says
        itself.
    allow : tuple of str, default=()
        Further names of estimators, which may be steps of a pipeline.
    in_place : bool, default=False
        It, or something in it, may write into its data.

    Returns
    -------
    Learner
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
