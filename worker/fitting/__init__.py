"""How an estimator is fitted on a fold: the boosting libraries share binned data and score prefixes of one fit.

Each learner runs the library's own ``fit``; it only hands over binned data that is there already, and lets the
fitted estimator answer as the model of its first rounds.
"""

from __future__ import annotations

import functools
from typing import Any

from sklearn.pipeline import Pipeline

from warren.libraries.registry import LIBRARIES
from warren.safety.allowlist import package_of_type
from worker.fitting.learner import Fold, Learner, is_network

__all__ = ["Fold", "Learner", "learner_of"]


@functools.cache
def _learner(library: str) -> Learner:
    """Return a library's learner; the library itself is imported only now."""
    match library:
        case "xgboost":
            from worker.fitting.xgboost_fits import XGBoostLearner

            return XGBoostLearner()
        case "lightgbm":
            from worker.fitting.lightgbm_fits import LightGBMLearner

            return LightGBMLearner()
        case "catboost":
            from worker.fitting.catboost_fits import CatBoostLearner

            return CatBoostLearner()
        case "networks":
            from worker.fitting.keras_fits import NetworkLearner

            return NetworkLearner()
    return Learner()


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
    library = package_of_type(cls)
    if is_network(cls):
        return _learner(library)
    words = LIBRARIES.get(library)  # type: ignore[call-overload]  # any name may be asked for
    return _learner(library if words and f"{library}.{cls.__name__}" in words.classes else "")
