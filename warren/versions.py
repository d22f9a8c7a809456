"""Versions of libraries: recorded with every result, and compared between notebook and workers."""

from __future__ import annotations

import contextlib
import functools
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any, TypeAlias

from warren.libraries.registry import BOOSTING, LIBRARIES

Json: TypeAlias = Any  # as in warren.encoding.codec, which imports NumPy; an idle worker does not need it

# Distributions that affect every number, with their usual names.
_ALWAYS = {"warren": "Warren", "numpy": "NumPy", "scipy": "SciPy", "scikit-learn": "scikit-learn", "pandas": "pandas"}
# Distributions to record for libraries with another name or several, by the package of an
# estimator.
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
    """Return the versions, in this process, of everything that affects a result.

    Parameters
    ----------
    *packages : str
        Top-level packages of the estimators, for example ``xgboost``.

    Returns
    -------
    dict of str to str
        ``python``, ``warren``, ``numpy``, ``scipy``, ``scikit-learn``, ``pandas``, and the
        estimators' own packages; for a network TensorFlow and Keras. Packages that are not
        installed are left out.
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
    """Return the top-level packages of all estimators in an encoded value, sorted."""
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
    """Return the versions, in this process, that affect the scores and models of a study.

    Parameters
    ----------
    encoded : Json
        Its estimators, and its grids if they contain estimators.
    X : str
        Class of its data: pandas matters only for data frames.

    Returns
    -------
    dict of str to str
        Versions by library.
    """
    found = versions(*packages_in(encoded))
    return {name: version for name, version in found.items() if name != "pandas" or X == "DataFrame"}


def seen_in(documents: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the versions with which some trials were trained, by library."""
    found: dict[str, set[str]] = {}
    for document in documents:
        versions = document.get("versions")
        for library, version in versions.items() if isinstance(versions, Mapping) else ():
            found.setdefault(library, set()).add(str(version))
    return {library: sorted(found[library]) for library in sorted(found)}


def differences(ours: Mapping[str, str], theirs: Mapping[str, Iterable[str]]) -> tuple[str, str]:
    """Compare versions of two sides.

    Parameters
    ----------
    ours : dict of str to str
        Versions by library; only these libraries are compared.
    theirs : dict of str to iterable of str
        Versions on the other side; several if its processes differ.

    Returns
    -------
    tuple of str
        The versions that differ, ours and theirs: ``("NumPy 2.5.1", "NumPy 2.4.6 or 2.5.1")``;
        empty texts if none differs. Python's patch release and builds of one version are ignored.
    """
    differing: tuple[list[str], list[str]] = ([], [])
    for library in [*(name for name in _TITLES if name in ours), *sorted(ours.keys() - _TITLES.keys())]:
        own = _shown(library, ours[library])
        others = sorted({_shown(library, version) for version in theirs.get(library, ())})
        if others and others != [own]:
            title = _TITLES.get(library, library)
            differing[0].append(f"{title} {own}")
            differing[1].append(f"{title} {' or '.join(others)}")
    return ", ".join(differing[0]), ", ".join(differing[1])


def _shown(library: str, version: str) -> str:
    release = version.partition("+")[0]
    return ".".join(release.split(".")[:2]) if library == "python" else release
