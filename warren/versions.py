"""Versions of what makes a number: recorded with every result, and compared where notebook and workers differ."""

from __future__ import annotations

import contextlib
import functools
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any, TypeAlias

from warren.libraries.registry import BOOSTING, LIBRARIES

Json: TypeAlias = Any  # as in warren.encoding.codec, which brings NumPy: an idle worker does without

# Distributions that have a part in every number, as people write their names.
_ALWAYS = {"warren": "Warren", "numpy": "NumPy", "scipy": "SciPy", "scikit-learn": "scikit-learn", "pandas": "pandas"}
# What to record of libraries whose distribution has another name or several, by the package of an estimator.
_DISTRIBUTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sklearn": {},
    **{package: library.distributions for package, library in LIBRARIES.items() if library.distributions},
}
_TITLES = {
    "python": "Python",
    **_ALWAYS,
    **{package: library.title for package, library in BOOSTING.items()},
    "tensorflow": "TensorFlow",
    "keras": "Keras",
}


@functools.cache
def versions(*packages: str) -> dict[str, str]:
    """Versions, in this process, of what makes a result.

    Parameters
    ----------
    *packages : str
        Top-level packages of the estimators, ``xgboost`` for one.

    Returns
    -------
    dict of str to str
        ``python``, ``warren``, ``numpy``, ``scipy``, ``scikit-learn``, ``pandas``, and the estimators' own packages;
        of a network TensorFlow and Keras. What is not installed is not named.
    """
    found = {"python": platform.python_version()}
    for name in _ALWAYS:
        found[name] = metadata.version(name)
    for package in packages:
        for library, distributions in _DISTRIBUTIONS.get(package, {package: (package,)}).items():
            for name in distributions:
                with contextlib.suppress(metadata.PackageNotFoundError):
                    found[library] = metadata.version(name)
                    break
    return found


def packages_in(encoded: Json) -> tuple[str, ...]:
    """Return the top-level packages of all estimators in an encoded value, those of steps and members too, sorted."""
    found: set[str] = set()
    waiting = [encoded]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            if "__estimator__" in value:
                found.add(str(value["__estimator__"]).partition(".")[0])
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
    return tuple(sorted(found))


def relevant(encoded: Json, X: str) -> dict[str, str]:
    """Return the versions, in this process, that the numbers and models of a study depend on.

    Parameters
    ----------
    encoded : Json
        Its estimators, as far as grids bring their own the grids too.
    X : str
        Class of its data: pandas has a part only in data frames.
    """
    found = versions(*packages_in(encoded))
    return {name: one for name, one in found.items() if name != "pandas" or X == "DataFrame"}


def seen_in(documents: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the versions that some trials were trained with, by library."""
    found: dict[str, set[str]] = {}
    for document in documents:
        versions = document.get("versions")
        for library, version in versions.items() if isinstance(versions, Mapping) else ():
            found.setdefault(library, set()).add(str(version))
    return {library: sorted(found[library]) for library in sorted(found)}


def differences(ours: Mapping[str, str], theirs: Mapping[str, Iterable[str]]) -> tuple[str, str]:
    """Compare two sides.

    Parameters
    ----------
    ours : dict of str to str
        Versions by library: those that count.
    theirs : dict of str to iterable of str
        What the other side has; several where its processes differ.

    Returns
    -------
    tuple of str
        What of ours differs from theirs, and theirs: ``("NumPy 2.5.1", "NumPy 2.4.6 or 2.5.1")``; empty texts where
        nothing does. The last number of Python's version and the builds of one version make no difference.
    """
    told: tuple[list[str], list[str]] = ([], [])
    for library in [*(name for name in _TITLES if name in ours), *sorted(ours.keys() - _TITLES.keys())]:
        mine = _shown(library, ours[library])
        others = sorted({_shown(library, version) for version in theirs.get(library, ())})
        if others and others != [mine]:
            title = _TITLES.get(library, library)
            told[0].append(f"{title} {mine}")
            told[1].append(f"{title} {' or '.join(others)}")
    return ", ".join(told[0]), ", ".join(told[1])


def _shown(library: str, version: str) -> str:
    release = version.partition("+")[0]
    return ".".join(release.split(".")[:2]) if library == "python" else release
