"""The classes that a message may name: the only way from text to code.

A name is resolved only if it consists of public modules (no part begins with an underscore, no
module is for tests) of an allowed package, and leads to a class of such a package with ``fit``,
``get_params`` and ``set_params``; or if the setting ``WARREN_ALLOW`` lists exactly this name.
Inside an estimator it may also be a kernel of a Gaussian process, which has no ``fit``. Functions
have separate rules, in `warren.encoding.values`.

A class of a package other than scikit-learn is named ``package.Class``: the modules of these
packages also hold foreign classes, and classes that start clusters, servers and indexes.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from warren.errors import InputError
from warren.libraries.registry import ALLOWED_PACKAGES

_NAME = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", re.ASCII)
_METHODS = ("fit", "get_params", "set_params")
# Kernels: parameters of other estimators, fitted as part of a Gaussian process.
_KERNELS = "sklearn.gaussian_process.kernels"
# The package whose users import classes from its modules.
_OF_MODULES = "sklearn"
# Our own networks: messages and documents use this name for their package, wherever its code is.
_NETWORKS, _NETWORKS_MODULE = "networks", "warren.networks"
# Characters of a name; the longest name of an estimator has 60.
_LONGEST = 200
# Modules without models: tests, foreign code, and modules that look for a cluster.
_OTHER_MODULES = frozenset(
    {
        *("tests", "testing", "conftest", "externals", "experimental", "estimator_checks"),
        *("dask", "spark", "widget", "hnsw", "eval", "federated", "tracker"),
    }
)

# Classes that scikit-learn's public modules contain only after another import.
_ENABLED_BY = {
    "sklearn.impute.IterativeImputer": "sklearn.experimental.enable_iterative_imputer",
    "sklearn.model_selection.HalvingGridSearchCV": "sklearn.experimental.enable_halving_search_cv",
    "sklearn.model_selection.HalvingRandomSearchCV": "sklearn.experimental.enable_halving_search_cv",
}


def _check_name(name: str, allow: Iterable[str]) -> None:
    if name in allow:
        return
    package, *modules = name.split(".")
    known = package in ALLOWED_PACKAGES and _OTHER_MODULES.isdisjoint(modules[:-1])
    deep = package != _OF_MODULES and len(modules) > 1
    if not known or deep or len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise InputError(
            f"estimator {name[:_LONGEST]!r} is not on the allow-list: use a public class of "
            f"{', '.join(ALLOWED_PACKAGES)}, or name it in WARREN_ALLOW where workers and producers run"
        )


def resolve(name: str, allow: Iterable[str] = (), *, inner: bool = False) -> type:
    """Return the class of an allowed dotted name; this imports its module.

    Parameters
    ----------
    name : str
        For example ``xgboost.XGBClassifier``.
    allow : iterable of str, default=()
        Further names, spelled exactly as allowed (the setting ``WARREN_ALLOW``).
    inner : bool, default=False
        Whether it is a parameter of another estimator, and may be a kernel.

    Returns
    -------
    type
        An estimator class or a kernel class.

    Raises
    ------
    InputError
        The name is not on the allow-list, its module is not installed, or it is not an estimator
        class.
    """
    _check_name(name, allow)
    found = _load(name)
    if not inner and not hasattr(found, "fit"):
        raise InputError(f"estimator {name!r} is a kernel: it is a parameter of a Gaussian process, not an estimator")
    package, modules = package_of_type(found), found.__module__.split(".")[1:]
    if name not in allow and (package not in ALLOWED_PACKAGES or not _OTHER_MODULES.isdisjoint(modules)):
        raise InputError(
            f"estimator {name!r} is {found.__module__}.{found.__qualname__}, which is not on the allow-list"
        )
    return found


def package_of_type(cls: type) -> str:
    """Return the package of a class, by its name in messages."""
    return package_of_module(cls.__module__)


def package_of_module(module: str) -> str:
    """Return the package of a module, by its name in messages.

    It is ``networks`` for modules of `warren.networks`.
    """
    return _NETWORKS if f"{module}.".startswith(f"{_NETWORKS_MODULE}.") else module.partition(".")[0]


def look_up(name: str) -> Any:
    """Return the object with a dotted name, or None if its module does not have it.

    Parameters
    ----------
    name : str
        The caller must have checked that it may be looked up, and must check the result.

    Returns
    -------
    any
        The object.

    Raises
    ------
    InputError
        Its module can't be imported here.
    """
    module_name, _, last = name.rpartition(".")
    if name == f"{_NETWORKS}.KerasModel":
        module_name = _NETWORKS_MODULE
    try:
        if name in _ENABLED_BY:
            importlib.import_module(_ENABLED_BY[name])
        return getattr(importlib.import_module(module_name), last, None)
    except Exception as exc:  # without a system library, a library raises OSError or an error of its own
        own = name.partition(".")[0] not in ALLOWED_PACKAGES
        remedy = "; name its folder in WARREN_PATH where workers and producers run" if own else ""
        raise InputError(f"{name!r}: its module can't be imported here ({exc}){remedy}") from exc


@functools.cache
def _load(name: str) -> type:
    """Return the estimator or kernel class of a checked name."""
    try:
        found = look_up(name)
    except InputError as exc:
        raise InputError(f"estimator {exc}") from exc
    lacking = [method for method in _METHODS if not callable(getattr(found, method, None))]
    if not isinstance(found, type) or (lacking and not (name.rpartition(".")[0] == _KERNELS and lacking == ["fit"])):
        raise InputError(f"estimator {name!r} is no estimator class: it needs {', '.join(_METHODS)}")
    return found


def _public_modules(cls: type) -> Iterator[str]:
    """Yield the modules that may export a class, shortest first, up to its first private part."""
    parts = cls.__module__.split(".")
    for length in range(1, len(parts) + 1):
        if parts[length - 1].startswith("_"):
            return
        yield ".".join(parts[:length])


@functools.cache
def public_name(cls: type) -> str:
    """Return the shortest public name of a class in an allowed package, or "".

    The deny-list uses this name, so a message must not use another one.
    """
    package = package_of_type(cls)
    if package == _NETWORKS:
        return f"{package}.{cls.__name__}"
    if package in ALLOWED_PACKAGES:
        for module in _public_modules(cls):
            if getattr(importlib.import_module(module), cls.__name__, None) is cls:
                return f"{module}.{cls.__name__}"
    return ""


def dotted_name(cls: type, allow: Iterable[str] = ()) -> str:
    """Return the shortest allowed name of an estimator class.

    Parameters
    ----------
    cls : type
        The class of an estimator instance.
    allow : iterable of str, default=()
        Further allowed names.

    Returns
    -------
    str
        A name for which `resolve` returns `cls`.

    Raises
    ------
    InputError
        No allowed name leads to this class.
    """
    full = f"{cls.__module__}.{cls.__qualname__}"
    if full in allow:
        return full
    if public := public_name(cls):
        _check_name(public, allow)
        return public
    _check_name(full if "<" not in full else cls.__qualname__, allow)
    raise InputError(f"estimator {full!r} has no public name: use a class that its package exports")
