"""Archives of fitted estimators, in the format of skops.

This adds support for objects that skops can't write portably.

Anyone with skops can read them. Objects that are created by a call use one of a few harmless
classes, which `producer.models.trusted_types` lists: a type that is added here must be added there.
"""

from __future__ import annotations

import functools
import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import scipy.sparse
import skops.io
from numpy.lib.array_utils import byte_bounds
from scipy.interpolate import BSpline
from scipy.stats import rv_continuous
from scipy.stats._distn_infrastructure import rv_frozen
from sklearn.cluster import Birch, BisectingKMeans
from skops.io._general import dict_get_state
from skops.io._numpy import ndarray_get_state
from skops.io._utils import _get_state, get_state

State = dict[str, Any]
"""The JSON that skops writes for one object."""

# Types of dictionary keys that survive skops's conversion to text; others come back changed, or not
# at all.
_TEXTUAL = (str, int, float, np.str_, np.integer, np.floating)

# An array that lies in memory this many times larger than its content is copied, as a column of a
# table is; others keep their memory layout.
_MOST_APART = 2

# Types that a column of objects may hold, and so an encoder's categories; each is created by a call
# of its own class.
_OBJECTS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    date: lambda value: (value.year, value.month, value.day),
    time: lambda value: (value.hour, value.minute, value.second, value.microsecond),
    datetime: lambda value: (*value.timetuple()[:6], value.microsecond, value.tzinfo),
    timedelta: lambda value: (value.days, value.seconds, value.microseconds),
    timezone: lambda value: (value.utcoffset(None),),
    ZoneInfo: lambda value: (value.key,),
    Decimal: lambda value: (str(value),),
    UUID: lambda value: (str(value),),
}
# The precision of a pandas timestamp's text, by its unit.
_PRECISIONS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}

LINKED = "_linked"
"""Attribute of an estimator in an archive: its objects that refer to each other, as rows."""
# Estimators whose objects refer to each other, and the classes of those objects.
_HOLDERS = (Birch, BisectingKMeans)
_LINKED_CLASSES = frozenset({"_CFNode", "_CFSubcluster", "_BisectingTree"})


def dumps(estimator: Any) -> bytes:
    """Return the archive of a fitted estimator.

    Parameters
    ----------
    estimator : estimator instance
        Fitted.

    Returns
    -------
    bytes
        To be read by ``skops.io.loads`` or by `producer.models.load`; only the latter restores
        `LINKED` objects.

    Raises
    ------
    TypeError
        It holds an object that can't be written.
    """
    _teach_skops()
    return bytes(skops.io.dumps(estimator))


@functools.cache
def _teach_skops() -> None:
    """Register how skops writes types that it does not support, in a form that it can read."""
    _get_state.register(dict)(_dict_state)
    _get_state.register(np.ndarray)(_array_state)
    _get_state.register(np.memmap)(lambda value, context: _array_state(np.asarray(value), context))
    for sparse in (scipy.sparse.spmatrix, scipy.sparse.sparray):
        _get_state.register(sparse)(_sparse_state)
    _get_state.register(BSpline)(_spline_state)
    _get_state.register(rv_frozen)(_distribution_state)
    for cls in _HOLDERS:
        _get_state.register(cls)(_holder_state)
    for kind, arguments in _OBJECTS.items():
        _teach(kind, kind.__module__, kind.__name__, arguments)
    try:
        import pandas as pd
    except ImportError:
        return
    _get_state.register(pd.Index)(_index_state)
    _teach(pd.Timestamp, "pandas", "Timestamp", _moment)
    _teach(type(pd.NaT), "pandas", "Timestamp", lambda _: ("NaT",))
    _teach(pd.Timedelta, "pandas", "Timedelta", lambda value: (value.asm8,))
    _teach(pd.Period, "pandas", "Period", lambda value: (None, value.freqstr, value.ordinal))
    _teach(pd.Interval, "pandas", "Interval", lambda value: (value.left, value.right, value.closed))


def _teach(kind: type, module: str, name: str, arguments: Callable[[Any], tuple[Any, ...]]) -> None:
    _get_state.register(kind)(lambda value, context: _call(module, name, arguments(value), context))


def _moment(value: Any) -> tuple[Any, ...]:
    """Return arguments for `pandas.Timestamp`: text in UTC, seven unused parts, a zone."""
    if value.tzinfo is None:
        return (value.asm8,)
    text = value.tz_convert("UTC").isoformat(timespec=_PRECISIONS[value.unit])
    return (text, *[None] * 7, value.tzinfo)


def _call(module: str, name: str, arguments: tuple[Any, ...], context: Any) -> State:
    """Return the state of an object that a call creates."""
    loader = "ConstructorFromReduceNode"
    return {"__class__": name, "__module__": module, "__loader__": loader, "content": get_state(arguments, context)}


def _dict_state(value: dict[Any, Any], context: Any) -> State:
    kinds = {type(key) for key in value}
    textual = len(kinds) < 2 and all(issubclass(kind, _TEXTUAL) and kind is not bool for kind in kinds)
    if textual or type(value) not in (dict, OrderedDict):
        return dict(dict_get_state(value, context))
    return _call(type(value).__module__, type(value).__name__, (list(value.items()),), context)


def _array_state(array: np.ndarray[Any, Any], context: Any) -> State:
    """Write an array with its memory layout, on which the rounding of sums depends."""
    low, high = byte_bounds(array)
    plain = array.flags.c_contiguous or array.flags.f_contiguous or array.dtype.kind not in "biufc"
    if plain or high - low > _MOST_APART * array.nbytes or type(array) is not np.ndarray:
        return dict(ndarray_get_state(array, context))
    offset = array.__array_interface__["data"][0] - low
    memory = np.empty(high - low, np.uint8)
    copy = np.ndarray(array.shape, array.dtype, memory, offset, array.strides)
    memory[:] = 0
    copy[...] = array
    return _call("numpy", "ndarray", (array.shape, array.dtype.str, memory, offset, array.strides), context)


def _sparse_state(matrix: Any, context: Any) -> State:
    """Write a sparse matrix uncompressed.

    The reader refuses files that decompress to much more than their size.
    """
    held = io.BytesIO()
    scipy.sparse.save_npz(held, matrix, compressed=False)
    file = f"{context.memoize(matrix)}.npz"
    if file not in context.zip_file.namelist():
        context.zip_file.writestr(file, held.getbuffer())
    whose = {
        "__class__": type(matrix).__name__,
        "__module__": type(matrix).__module__,
        "__loader__": "SparseMatrixNode",
    }
    return whose | {"type": "scipy", "file": file}


def _spline_state(spline: BSpline, context: Any) -> State:
    # Not its attributes, which differ between versions of SciPy: 1.18 holds a `_BSpline` and
    # modules.
    arguments = (spline.t, np.moveaxis(spline.c, 0, spline.axis), spline.k, spline.extrapolate, spline.axis)
    return _call("scipy.interpolate", "BSpline", arguments, context)


def _distribution_state(frozen: rv_frozen, context: Any) -> State:
    arguments = frozen.args
    if frozen.kwds:
        shapes, loc, scale = frozen.dist._parse_args(*arguments, **frozen.kwds)
        arguments = (*shapes, loc, scale) if isinstance(frozen.dist, rv_continuous) else (*shapes, loc)
    return _call("scipy.stats", frozen.dist.name, tuple(arguments), context)


def _index_state(index: Any, context: Any) -> State:
    dtype = str(index.dtype)
    return _call("pandas", "Index", (index.tolist(), dtype, False, index.name), context)


def _holder_state(estimator: Any, context: Any) -> State:
    attributes = dict(estimator.__getstate__())
    roots = {name: value for name, value in attributes.items() if _is_linked(value)}
    kept = {name: value for name, value in attributes.items() if name not in roots}
    kept[LINKED] = _rows(roots)
    return {
        "__class__": type(estimator).__name__,
        "__module__": type(estimator).__module__,
        "__loader__": "ObjectNode",
        "content": get_state(kept, context),
    }


def _is_linked(value: Any) -> bool:
    return type(value).__name__ in _LINKED_CLASSES and type(value).__module__.startswith("sklearn.cluster.")


def _rows(roots: Mapping[str, Any]) -> State:
    """Return objects that refer to each other as rows that refer by number.

    References may form circles, or chains a thousand deep.
    """
    found = list(roots.values())
    numbers = {id(item): number for number, item in enumerate(found)}

    def number_of(item: Any) -> int:
        if id(item) not in numbers:
            numbers[id(item)] = len(found)
            found.append(item)
        return numbers[id(item)]

    rows = []
    for item in found:  # the list grows meanwhile
        links: dict[str, int | list[int]] = {}
        values = {}
        for name, value in vars(item).items():
            if _is_linked(value):
                links[name] = number_of(value)
            elif isinstance(value, list) and value and all(map(_is_linked, value)):
                links[name] = [number_of(linked) for linked in value]
            else:
                values[name] = value
        rows.append({"class": type(item).__name__, "values": values, "links": links})
    return {"roots": {name: numbers[id(item)] for name, item in roots.items()}, "rows": rows}
