"""Every library that Warren knows, by its package: a line a library."""

from __future__ import annotations

from collections.abc import Mapping

from warren.libraries.catboost import CATBOOST
from warren.libraries.keras import NETWORKS
from warren.libraries.library import Library
from warren.libraries.lightgbm import LIGHTGBM
from warren.libraries.xgboost import XGBOOST

BOOSTING: Mapping[str, Library] = {
    XGBOOST.package: XGBOOST,
    LIGHTGBM.package: LIGHTGBM,
    CATBOOST.package: CATBOOST,
}
"""The boosting libraries, whose classes take more names than their constructors show, and check none."""

LIBRARIES: Mapping[str, Library] = {**BOOSTING, NETWORKS.package: NETWORKS}
"""Everything that is trained round by round."""

# A dotted name must lead to a class of one of these, by public modules only; WARREN_ALLOW adds single classes.
ALLOWED_PACKAGES = ("sklearn", *LIBRARIES)
"""Packages whose estimators a message may name."""

THREADS = frozenset({"n_jobs"}).union(*(library.threads for library in LIBRARIES.values()))
"""Every name for the number of threads, scikit-learn's included; a worker sets it."""


def library_of(name: str) -> Library | None:
    """Return the library of an estimator class that is trained round by round, or None.

    Parameters
    ----------
    name : str
        The class's dotted name, as messages have it.
    """
    library = LIBRARIES.get(name.partition(".")[0])
    return library if library and name in library.classes else None
