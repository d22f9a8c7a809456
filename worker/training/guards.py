"""The last look, in the process that trains: at what is built, at what is set on it, and at what a library may open.

A message was checked before (`warren.safety.parameter_checks`), by what it says of classes and names. Here the objects
themselves are looked at, and each parameter once more by the rules of the class that it is set on
(`warren.safety.parameter_rules.check_class`):

- `warren.encoding.codec.decode` does so for every class that it calls;
- ``set_params`` does from here on, whoever calls it: a trial, or a search inside that sets its candidates;
- `warren.safety.built_estimators.check_built` does for all of an estimator before it is fitted.

What a function of a message makes of X or y is an array, frame or matrix with as many rows (`check_table`), and no
boosting library reads data from a file: its own matrices take none by name.

These hold in the processes that joblib starts, too.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeAlias

import numpy as np
from joblib.parallel import BACKENDS, register_parallel_backend
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.preprocessing import FunctionTransformer

from warren.encoding.values import function_name
from warren.errors import InputError, short
from warren.libraries.registry import LIBRARIES
from warren.safety.allowlist import public_name
from warren.safety.built_estimators import check_built, encoded_value
from warren.safety.parameter_rules import check_class
from worker.fitting.random_state import GLOBAL, Dice

# Classes with a ``set_params`` of their own, and matrices that a library makes of data: module and class.
_SETTERS = tuple(library.base_class for library in LIBRARIES.values() if library.base_class)
_MATRICES = tuple(matrix for library in LIBRARIES.values() for matrix in library.matrices)
_Guard: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

# Packages of frames; whoever holds one has it loaded.
_FRAMES = frozenset({"pandas", "polars"})


def install() -> None:
    """Put guards on whatever is loaded; what has one is left."""
    for cls, method, guard in _places():
        own = getattr(cls, method)
        if not hasattr(own, "_guarded"):
            guarded = functools.wraps(own)(guard(own))
            guarded._guarded = True  # type: ignore[attr-defined]
            setattr(cls, method, guarded)
    if BACKENDS["loky"] is not _Guarded:
        register_parallel_backend("loky", _Guarded)


def uninstall() -> None:
    """Take the guards off again, for a process that is a worker only for a time."""
    for cls, method, _ in _places():
        found = vars(cls).get(method)
        if hasattr(found, "_guarded"):
            setattr(cls, method, found.__wrapped__)  # type: ignore[union-attr]
    register_parallel_backend("loky", _Processes)


def _places() -> Iterator[tuple[type, str, _Guard]]:
    """Yield what is guarded, and how, of the libraries that are loaded."""
    yield BaseEstimator, "set_params", _checks_parameters
    for method in ("transform", "inverse_transform"):  # they hand on what a function made
        yield FunctionTransformer, method, _checks_table
    for places, method, guard in (
        (_SETTERS, "set_params", _checks_parameters),
        (_MATRICES, "__init__", _opens_no_file),
    ):
        for module, name in places:
            if module in sys.modules:
                yield getattr(sys.modules[module], name), method, guard


_Processes: Any = BACKENDS["loky"]


class _Guarded(_Processes):  # type: ignore[misc]  # joblib has no types
    """joblib's processes, with these guards in each."""

    def submit(self, func: Callable[[], Any], callback: Any = None) -> Any:
        """Let a process run a function, whose libraries are loaded when it has read it."""
        return super().submit(functools.partial(_run, func), callback)


def _run(func: Callable[[], Any]) -> Any:
    install()
    return func()


def _checks_parameters(own: Callable[..., Any]) -> Callable[..., Any]:
    def set_params(self: Any, **params: Any) -> Any:
        cls: type = type(self)
        # What goes further in is set there by the same method; in a boosting library nothing is further in.
        nested = public_name(cls).startswith("sklearn.")
        check_class(
            cls,
            public_name(cls),
            {name: encoded_value(value) for name, value in params.items() if not (nested and "__" in name)},
        )
        return own(self, **params)

    return set_params


def _checks_table(own: Callable[..., Any]) -> Callable[..., Any]:
    def transform(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        made = own(self, X, *args, **kwargs)
        # A function that no message brings is one of the operator's, which may make what it likes.
        if any(function_name(one) is not None for one in (self.func, self.inverse_func)):
            check_table(made, X)
        return made

    return transform


def _opens_no_file(own: Callable[..., Any]) -> Callable[..., Any]:
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        data = args[0] if args else kwargs.get("data")
        if isinstance(data, (str, bytes, os.PathLike)):
            raise InputError(f"X = {short(data)} is the name of a file, and a worker reads none: pass a table")
        own(self, *args, **kwargs)

    return make


def check_table(made: Any, given: Any) -> None:
    """Refuse what a function made of X or y and is no table, or has other rows.

    Parameters
    ----------
    made : any
        What it returned.
    given : array, frame or matrix
        What it was given.

    Raises
    ------
    InputError
    """
    if made is given:
        return
    shape = getattr(made, "shape", ())
    known = isinstance(made, np.ndarray) or issparse(made) or type(made).__module__.partition(".")[0] in _FRAMES
    if not known or not shape:
        raise InputError(
            f"a function made {short(made)}, a {type(made).__name__}, of X or y: it must make an array, frame or "
            "sparse matrix with as many rows"
        )
    rows = given.shape[0] if getattr(given, "shape", ()) else len(given)
    if shape[0] != rows:
        raise InputError(f"a function made {shape[0]:,} rows of {rows:,}: it must make as many")


def looked_at(make: Callable[[], Any], allow: Collection[str]) -> Callable[[], Any]:
    """Return what makes an estimator after a look at another that was made in the same way (`check_built`).

    Parameters
    ----------
    make : callable
        Makes a new one each time, all alike: one look is enough.
    allow : collection of str
        Further estimator names.
    """

    @functools.cache
    def look() -> None:
        dice = Dice((GLOBAL,))
        check_built(make(), allow)
        dice.put_back()

    def made() -> Any:
        look()
        return make()

    return made
