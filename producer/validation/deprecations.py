"""What a library still trains and will drop: told once, in our words, for the fits that would warn run elsewhere."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from warren.versions import versions

logger = logging.getLogger(__name__)

# What XGBoost deprecates, since when, and what to write instead.
# https://github.com/dmlc/xgboost/releases: 3.3 (gblinear), 3.4 (dart, XGBRF*)
_BOOSTERS = {
    "dart": ((3, 4), "the tree booster with rate_drop, skip_drop or one_drop"),
    "gblinear": ((3, 3), "scikit-learn's linear models"),
}
_FOREST = ((3, 4), "XGBClassifier or XGBRegressor with num_parallel_tree and n_estimators=1, or scikit-learn's forests")


def tell_deprecated(encoded: Any) -> None:
    """Say once in a process what of a study its library deprecates.

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
        "XGBoost %s deprecates %s and a later release will drop it: use %s. Workers still train it, without a word",
        installed,
        what,
        instead,
    )


def _found(encoded: Any) -> Iterator[tuple[str, tuple[tuple[int, int], str]]]:
    """Yield what is deprecated in an encoded value, with since when and what instead."""
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
