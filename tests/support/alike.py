"""Two fitted estimators compared bit for bit: everything that they hold, and everything that
they answer."""

from __future__ import annotations

import inspect
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse

# Methods that change an estimator or write files, and private ones.
_CHANGES = (
    *("fit", "partial_fit", "set_", "load_", "save_", "_", "copy", "plot", "export", "select_", "grid_", "random"),
    "get_metadata_routing",
)
_NOTHING = object()


def assert_alike(ours: Any, theirs: Any, X: Any, y: Any = None, *, but: Set[str] = frozenset()) -> None:
    """Compare two fitted estimators.

    Parameters
    ----------
    ours, theirs : estimator instances
    X : matrix
        What methods are called with that take something.
    y : array-like, default=None
        For ``score``.
    but : set of str
        Names of attributes and methods that may differ.
    """
    different = [*_different(ours, theirs, "", set(), but), *_answers(ours, theirs, X, y, but)]
    assert not different, "\n".join(different[:20])


def _answers(ours: Any, theirs: Any, X: Any, y: Any, but: Set[str]) -> Iterator[str]:
    names = {name for name in (*_dir(ours), *_dir(theirs)) if not name.startswith(_CHANGES)} - but
    for name in sorted(names):
        mine, other = _got(lambda: getattr(ours, name)), _got(lambda: getattr(theirs, name))  # noqa: B023 - called here
        if callable(other) and not isinstance(other, type):
            given = _arguments(other, X, y)
            if given is not None:
                mine, other = _got(lambda: mine(*given)), _got(lambda: other(*given))  # noqa: B023 - called here
            else:
                mine = other = None
        yield from _different(mine, other, f".{name}", set(), but)


def _dir(one: Any) -> list[str]:
    return dir(type(one)) + list(vars(one))


def _got(call: Callable[[], Any]) -> Any:
    """Return what a call returns or how it fails; generators as lists."""
    np.random.seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = call()
            return list(found) if isinstance(found, types.GeneratorType) else found
        except Exception as exc:  # noqa: BLE001 - both must fail alike
            return f"{type(exc).__name__}: {exc}"


def _arguments(method: Any, X: Any, y: Any) -> tuple[Any, ...] | None:
    """Return what a method is called with; None where that is anything but nothing, X,
    or X and y."""
    try:
        needed = [
            one.name
            for one in inspect.signature(method).parameters.values()
            if one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        ]
    except (TypeError, ValueError):
        return None
    known = {"X": X, "y": y, "data": X}
    return tuple(known[name] for name in needed) if known.keys() >= set(needed) else None


def _different(ours: Any, theirs: Any, where: str, seen: set[int], but: Set[str]) -> Iterator[str]:
    """Yield where two values differ."""
    if ours is theirs or (id(theirs) in seen and hasattr(theirs, "__dict__")):
        return
    if theirs is np.random.mtrand._rand and isinstance(ours, np.random.RandomState):
        return  # NumPy's own, of this process
    seen.add(id(theirs))
    if type(ours) is not type(theirs):
        yield f"{where}: {type(ours)} and no {type(theirs)}: {ours!r:.80} and no {theirs!r:.80}"
        return
    match theirs:
        case Mapping():
            keys = [{(type(key), key) for key in one} for one in (ours, theirs)]
            if keys[0] != keys[1]:
                yield f"{where}: keys {list(ours)[:20]} and no {list(theirs)[:20]}"
                return
            for key in theirs:
                yield from _different(ours[key], theirs[key], f"{where}[{key!r}]", seen, but)
        case list() | tuple():
            if len(ours) != len(theirs):
                yield f"{where}: {len(ours)} and no {len(theirs)} items"
            for number, (mine, other) in enumerate(zip(ours, theirs, strict=False)):
                yield from _different(mine, other, f"{where}[{number}]", seen, but)
        case np.ndarray():
            if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
                yield f"{where}: {ours.dtype} {ours.shape} and no {theirs.dtype} {theirs.shape}"
            elif theirs.dtype == object:
                yield from _different(ours.ravel().tolist(), theirs.ravel().tolist(), where, seen, but)
            elif theirs.dtype.names:  # between the fields lies anything
                fields = ({name: one[name] for name in theirs.dtype.names} for one in (ours, theirs))
                yield from _different(*fields, where, seen, but)
            elif np.ascontiguousarray(ours).tobytes() != np.ascontiguousarray(theirs).tobytes():
                yield f"{where}: {ours!r:.200} and no {theirs!r:.200}"
        case _ if scipy.sparse.issparse(theirs):
            sides = [(one.shape, one.format, one.dtype) for one in (ours, theirs)]
            if sides[0] != sides[1] or _unequal(*(one.toarray().tobytes() for one in (ours, theirs))):
                yield f"{where}: {ours!r} and no {theirs!r}"
        case pd.DataFrame() | pd.Series() | pd.Index():
            if not ours.equals(theirs):
                yield f"{where}: {ours!r:.200} and no {theirs!r:.200}"
        case _ if (mine := _inside(ours, but)) is not None:
            yield from _different(mine, _inside(theirs, but), where, seen, but)
        case _ if _unequal(ours, theirs):
            yield f"{where}: {ours!r:.120} and no {theirs!r:.120}"


def _inside(value: Any, but: Set[str]) -> Any:
    """Return what an object holds, as something that can be compared; None of what
    holds nothing."""
    match type(value).__name__:
        case "RandomState":
            return value.get_state(legacy=False)
        case "Generator":
            return value.bit_generator.state
        case "Booster" if type(value).__module__.startswith("xgboost"):
            return [bytes(value.save_raw("ubj")), value.attributes(), value.feature_names, value.feature_types]
        case "Booster":  # the text ends with parameters, the number of threads among them
            return [value.model_to_string(num_iteration=-1).partition("parameters:")[0], value.best_iteration]
        case "BSpline":
            return [value.t, value.c, value.k, value.extrapolate, value.axis]
        case "rv_continuous_frozen" | "rv_discrete_frozen":
            return [value.dist.name, value.args, value.kwds]
        case "_CatBoost" | "_MetadataHashProxy":
            return []
    if isinstance(value, (type, types.FunctionType, types.MethodType, types.BuiltinFunctionType, np.ufunc)):
        return None
    inside = getattr(value, "__dict__", None)
    if inside is not None:
        return {name: one for name, one in sorted(inside.items()) if name not in but}
    try:
        return value.__reduce__()[1:] if type(value).__module__.startswith(("sklearn.", "_loss")) else None
    except TypeError:
        return None


def _unequal(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, (float, np.floating)):
        return bool(np.asarray(ours).tobytes() != np.asarray(theirs).tobytes())
    try:
        return bool(ours != theirs)
    except ValueError:
        return repr(ours) != repr(theirs)
