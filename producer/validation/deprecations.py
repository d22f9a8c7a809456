"""Warns of deprecated parts of XGBoost in a study: the fits that would warn run on workers."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from warren.versions import versions

logger = logging.getLogger(__name__)

# What XGBoost deprecates, since which release, and the replacement.
# https://github.com/dmlc/xgboost/releases: 3.3 (gblinear), 3.4 (dart, XGBRF*)
_BOOSTERS = {
    "dart": ((3, 4), "the tree booster with rate_drop, skip_drop or one_drop"),
    "gblinear": ((3, 3), "scikit-learn's linear models"),
}
_FOREST = ((3, 4), "XGBClassifier or XGBRegressor with num_parallel_tree and n_estimators=1, or scikit-learn's forests")


def tell_deprecated(encoded: Any) -> None:
    """Warn once per process of deprecated parts of a study.

    Parameters
    ----------
    encoded : Json
        The study's estimator and its grids.
    """
    installed = versions("xgboost").get("xgboost")
    if installed is None:
        return
    release = tuple(int(part) for part in installed.split(".")[:2])
    for what, (since, instead) in dict(_found(encoded)).items():
        if release >= since:
            _tell(what, installed, instead)


@functools.cache
def _tell(what: str, installed: str, instead: str) -> None:
    logger.warning(
        "XGBoost %s deprecates %s and a later release will drop it: use %s. Workers still train it, without a warning",
        installed,
        what,
        instead,
    )


def _found(encoded: Any) -> Iterator[tuple[str, tuple[tuple[int, int], str]]]:
    """Yield the deprecated parts of an encoded value, each with its release and replacement."""
    if isinstance(encoded, Mapping):
        package, _, name = str(encoded.get("__estimator__", "")).rpartition(".")
        if package.startswith("xgboost") and name.startswith("XGBRF"):
            yield name, _FOREST
        for key, value in encoded.items():
            if str(key).rpartition("__")[2] == "booster":
                for booster in value if isinstance(value, list) else [value]:
                    if isinstance(booster, str) and booster in _BOOSTERS:
                        yield f"booster={booster!r}", _BOOSTERS[booster]
            yield from _found(value)
    elif isinstance(encoded, list):
        for value in encoded:
            yield from _found(value)
