"""Warns of deprecated parts of a library in a study: the fits that would warn run on workers."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from warren.libraries.library import Library
from warren.libraries.registry import LIBRARIES
from warren.versions import versions

logger = logging.getLogger(__name__)


def tell_deprecated(encoded: Any) -> None:
    """Warn once per process of deprecated parts of a study.

    Parameters
    ----------
    encoded : Json
        The study's estimator and its grids.
    """
    for library in LIBRARIES.values():
        found = dict.fromkeys(_found(encoded, library)) if library.deprecated else {}
        installed = versions(library.package).get(library.package) if found else None
        if installed is None:
            continue
        release = tuple(int(part) for part in installed.split(".")[:2])
        for what in found:
            since, instead = library.deprecated[what]
            if release >= since:
                _tell(library.title, installed, what, instead)


@functools.cache
def _tell(title: str, installed: str, what: str, instead: str) -> None:
    logger.warning(
        "%s %s deprecates %s and a later release will drop it: use %s. Workers still train it, without a warning",
        title,
        installed,
        what,
        instead,
    )


def _found(encoded: Any, library: Library) -> Iterator[str]:
    """Yield the deprecated parts of an encoded value, as `Library.deprecated` names them."""
    if isinstance(encoded, Mapping):
        package, _, name = str(encoded.get("__estimator__", "")).rpartition(".")
        if package.partition(".")[0] == library.package and name in library.deprecated:
            yield name
        for key, value in encoded.items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and (what := f"{str(key).rpartition('__')[2]}={one!r}") in library.deprecated:
                    yield what
            yield from _found(value, library)
    elif isinstance(encoded, list):
        for value in encoded:
            yield from _found(value, library)
