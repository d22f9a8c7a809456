"""Every library that Warren knows, by its package."""

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
"""The boosting libraries: their classes accept unlisted parameter names, and check none."""

LIBRARIES: Mapping[str, Library] = {**BOOSTING, NETWORKS.package: NETWORKS}
"""Every library that trains in rounds."""

# A dotted name must be a class of one of these, in public modules; WARREN_ALLOW adds single
# classes.
ALLOWED_PACKAGES = ("sklearn", *LIBRARIES)
"""Packages whose estimators a message may name."""

THREADS = frozenset({"n_jobs"}).union(*(library.threads for library in LIBRARIES.values()))
"""Every name for the number of threads, scikit-learn's included; a worker sets them."""


def library_of(name: str) -> Library | None:
    """Return the library of an estimator class that is trained in rounds, or None.

    Parameters
    ----------
    name : str
        The class's dotted name, as in messages.
    """
    library = LIBRARIES.get(name.partition(".")[0])
    return library if library and name in library.classes else None
