"""Plain Python objects as JSON text and back, with exact types: cells and labels of frames.

Types of JSON are written as they are; any other as an object with one key, which names the type::

    datetime.date(2020, 1, 2)     {"date": "2020-01-02"}
    Decimal("1.50")               {"decimal": "1.50"}
    numpy.float32(0.5)            {"numpy": ["<f4", 0.5]}
    (1, None)                     {"tuple": [1, null]}

No other types are supported: reading a text can't create other objects, and runs no foreign code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

Json: TypeAlias = Any

# NumPy's type letters: bool, int, unsigned int, float, text, bytes; and times and differences of
# times.
_KINDS, _TIMES = "biufUS", "mM"
_LARGEST_ITEM = 8


class UnfitObjectError(TypeError):
    """An object can't be sent; the text names its type."""


def to_text(value: Any) -> str:
    """Return a plain object as text.

    Raises
    ------
    UnfitObjectError
        Its type is not supported.
    """
    return json.dumps(_encoded(value))


def from_text(text: str) -> Any:
    """Return the object that `to_text` wrote.

    Raises
    ------
    ValueError
        It is not such a text.
    """
    try:
        return _decoded(json.loads(text))
    except (LookupError, TypeError, ArithmeticError) as exc:
        raise ValueError(f"{text[:60]!r} is not an object of a data frame") from exc


def _encoded(value: Any) -> Json:
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    if isinstance(value, np.generic):
        return {"numpy": _from_numpy(value)}
    name = "missing" if value is pd.NaT or value is pd.NA else _NAMES.get(kind)
    if name is None:
        raise UnfitObjectError(kind.__name__)
    return {name: _TYPES[name][1](value)}


def _decoded(encoded: Json) -> Any:
    if isinstance(encoded, list):
        raise TypeError("a list")
    if not isinstance(encoded, dict):
        return encoded
    [(name, inside)] = encoded.items()
    return _TYPES[name][2](inside)


def _from_numpy(value: np.generic) -> list[Json]:
    dtype = value.dtype
    if dtype.kind in _TIMES:
        return [dtype.str, int(value.astype(np.int64))]
    if dtype.kind not in _KINDS or (dtype.kind == "f" and dtype.itemsize > _LARGEST_ITEM):
        raise UnfitObjectError(type(value).__name__)
    return [dtype.str, _encoded(value.item())]


def _to_numpy(inside: Json) -> Any:
    dtype = np.dtype(inside[0])
    if dtype.kind not in _KINDS + _TIMES:
        raise ValueError(f"a scalar of dtype {dtype}")
    return np.array(_decoded(inside[1])).astype(dtype)[()]


def _zone(zone: tzinfo | None) -> Json:
    """Return a time zone as its name, or as its offset from UTC in seconds."""
    if zone is None or (isinstance(zone, ZoneInfo) and zone.key):
        return None if zone is None else zone.key
    if type(zone) is timezone:
        return zone.utcoffset(None).total_seconds()
    raise UnfitObjectError(f"a time with a time zone of type {type(zone).__name__}")


def _in_zone(zone: Json) -> tzinfo | None:
    if zone is None:
        return None
    return ZoneInfo(zone) if isinstance(zone, str) else timezone(timedelta(seconds=zone))


def _to_datetime(inside: Json) -> datetime:
    text, zone, fold = inside
    return datetime.fromisoformat(text).replace(tzinfo=_in_zone(zone), fold=fold)


def _from_timestamp(value: pd.Timestamp) -> Json:
    moment = value if value.tz is None else value.tz_convert("UTC").tz_localize(None)
    return [_from_numpy(moment.asm8), _zone(value.tz)]


def _to_timestamp(inside: Json) -> Any:
    moment = pd.Timestamp(_to_numpy(inside[0]))
    return moment if inside[1] is None else moment.tz_localize("UTC").tz_convert(_in_zone(inside[1]))


def _naive(value: time) -> str:
    if value.tzinfo is not None:
        raise UnfitObjectError("time with a time zone")
    return value.isoformat()


# By name: the type, and the functions that turn it into JSON and back.
_TYPES: dict[str, tuple[type | None, Callable[[Any], Json], Callable[[Json], Any]]] = {
    "float": (float, repr, float),
    "complex": (complex, repr, complex),
    "decimal": (Decimal, str, Decimal),
    "fraction": (Fraction, str, Fraction),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
    "uuid": (UUID, str, UUID),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, _naive, time.fromisoformat),
    "datetime": (
        datetime,
        lambda value: [value.replace(tzinfo=None, fold=0).isoformat(), _zone(value.tzinfo), value.fold],
        _to_datetime,
    ),
    "timedelta": (
        timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda inside: timedelta(*inside),
    ),
    "timestamp": (pd.Timestamp, _from_timestamp, _to_timestamp),
    "span": (
        pd.Timedelta,
        lambda value: _from_numpy(value.asm8),
        lambda inside: pd.Timedelta(_to_numpy(inside)),
    ),
    "period": (
        pd.Period,
        lambda value: [value.ordinal, value.freqstr],
        lambda inside: pd.Period(ordinal=inside[0], freq=inside[1]),
    ),
    "interval": (
        pd.Interval,
        lambda value: [_encoded(value.left), _encoded(value.right), value.closed],
        lambda inside: pd.Interval(_decoded(inside[0]), _decoded(inside[1]), inside[2]),
    ),
    "tuple": (
        tuple,
        lambda value: [_encoded(item) for item in value],
        lambda inside: tuple(_decoded(item) for item in inside),
    ),
    "missing": (None, str, {"NaT": pd.NaT, "<NA>": pd.NA}.__getitem__),
    "numpy": (None, _from_numpy, _to_numpy),
}
_NAMES = {kind: name for name, (kind, _, _) in _TYPES.items() if kind is not None}
