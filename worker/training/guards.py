"""The last check, in the training process: of objects, parameters and files to open.

A message was checked before (`warren.safety.parameter_checks`), by its names of classes and
parameters. Here the objects themselves are checked, and each parameter once more by the rules of
its class (`warren.safety.parameter_rules.check_class`):

- `warren.encoding.codec.decode` checks every class that it calls;
- ``set_params`` checks from now on, whether a trial calls it or an inner search that sets its
  candidates;
- `warren.safety.built_estimators.check_built` checks a whole estimator before it is fitted.

If a message's function transforms X or y, its result must be an array, frame or matrix with as many
rows (`check_table`). And no boosting library may read data from a file: its matrices refuse file
names.

The guards also hold in the processes that joblib starts.
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

# Classes that define their own ``set_params``, and classes of a library's data matrices: module and
# class.
_SETTERS = tuple(library.base_class for library in LIBRARIES.values() if library.base_class)
_MATRICES = tuple(matrix for library in LIBRARIES.values() for matrix in library.matrices)
_Guard: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

# Packages of frames; if a frame exists, its package is loaded.
_FRAMES = frozenset({"pandas", "polars"})


def install() -> None:
    """Install guards on all loaded libraries; what is guarded already is skipped."""
    for cls, method, guard in _places():
        own = getattr(cls, method)
        if not hasattr(own, "_guarded"):
            guarded = functools.wraps(own)(guard(own))
            guarded._guarded = True  # type: ignore[attr-defined]
            setattr(cls, method, guarded)
    if BACKENDS["loky"] is not _Guarded:
        register_parallel_backend("loky", _Guarded)


def uninstall() -> None:
    """Remove the guards, for a process that is a worker only for a while."""
    for cls, method, _ in _places():
        found = vars(cls).get(method)
        if hasattr(found, "_guarded"):
            setattr(cls, method, found.__wrapped__)  # type: ignore[union-attr]
    register_parallel_backend("loky", _Processes)


def _places() -> Iterator[tuple[type, str, _Guard]]:
    """Yield the methods to guard in the loaded libraries, each with its guard."""
    yield BaseEstimator, "set_params", _checks_parameters
    for method in ("transform", "inverse_transform"):  # they return what a function made
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
    """joblib's processes, with these guards installed in each."""

    def submit(self, func: Callable[[], Any], callback: Any = None) -> Any:
        """Run a function in a process, and guard the libraries that it loads."""
        return super().submit(functools.partial(_run, func), callback)


def _run(func: Callable[[], Any]) -> Any:
    install()
    return func()


def _checks_parameters(own: Callable[..., Any]) -> Callable[..., Any]:
    def set_params(self: Any, **params: Any) -> Any:
        cls: type = type(self)
        # Nested parameters are set by the same method of the inner estimator; boosting libraries
        # have none.
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
        # A function that is not from a message belongs to the operator, and may return anything.
        if any(function_name(func) is not None for func in (self.func, self.inverse_func)):
            check_table(made, X)
        return made

    return transform


def _opens_no_file(own: Callable[..., Any]) -> Callable[..., Any]:
    def make(self: Any, *args: Any, **kwargs: Any) -> None:
        data = args[0] if args else kwargs.get("data")
        if isinstance(data, (str, bytes, os.PathLike)):
            raise InputError(f"X = {short(data)} is the name of a file, but a worker reads no files: pass a table")
        own(self, *args, **kwargs)

    return make


def check_table(made: Any, given: Any) -> None:
    """Refuse a function's result that is not a table, or has another number of rows.

    Parameters
    ----------
    made : any
        What the function returned.
    given : array, frame or matrix
        Its input.

    Raises
    ------
    InputError
        The result is not a table, or has another number of rows.
    """
    if made is given:
        return
    shape = getattr(made, "shape", ())
    known = isinstance(made, np.ndarray) or issparse(made) or type(made).__module__.partition(".")[0] in _FRAMES
    if not known or not shape:
        raise InputError(
            f"a function made {short(made)}, a {type(made).__name__}, of X or y: it must return an array, frame or "
            "sparse matrix with as many rows"
        )
    rows = given.shape[0] if getattr(given, "shape", ()) else len(given)
    if shape[0] != rows:
        raise InputError(f"a function made {shape[0]:,} rows of {rows:,}: it must return as many")


def checked_once(make: Callable[[], Any], allow: Collection[str]) -> Callable[[], Any]:
    """Return a function that builds estimators, after a check of the first (`check_built`).

    Parameters
    ----------
    make : callable
        Builds a new estimator each time, all alike: checking one is enough.
    allow : collection of str
        Further allowed estimator names.

    Returns
    -------
    callable
        Checks once, then builds.
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
