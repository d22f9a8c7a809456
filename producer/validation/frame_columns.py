"""Checks that columns and row labels of pandas objects can be sent unchanged."""

from __future__ import annotations

import io
import numbers
from typing import Any

import numpy as np
import pandas as pd

from producer.formatting import listing
from warren.encoding import frames
from warren.encoding.cells import UnfitObjectError, to_text
from warren.errors import InputError
from warren.storage.dataset import Dataset, dataset_parts, read_dataset, write_parts

# Most bytes of a number by NumPy's dtype kind: longer ones differ between machines.
_LARGEST_ITEM = {"f": 8, "c": 16}


def is_long(dtype: np.dtype[Any]) -> bool:
    """Return whether a dtype's numbers differ between machines."""
    return dtype.itemsize > _LARGEST_ITEM.get(dtype.kind, dtype.itemsize)


def checked_frame(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Check a frame, and return it without its ``attrs``, which estimators don't use."""
    names = list(frame.columns)
    if unfit := [name for name in names if isinstance(name, bool) or not isinstance(name, (str, numbers.Integral))]:
        raise InputError(f"{where} has columns named {listing(map(repr, unfit))}: use text or integers as names")
    if len({isinstance(name, str) for name in names}) > 1:
        raise InputError(f"{where} mixes text and integers as column names: use {where}.columns.astype(str)")
    if twice := sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []:
        raise InputError(f"{where} has several columns named {listing(map(repr, twice))}: give each its own name")
    for position, name in enumerate(names):
        check_column(frame.iloc[:, position], f"column {name!r} of {where}", f"{where}[{name!r}].astype(str)")
    bare = frame.copy(deep=False)
    bare.attrs = {}
    if any(not isinstance(name, (str, int)) for name in names):
        bare = bare.set_axis([int(name) for name in names], axis=1)
    check_labels(bare.index, where)
    check_name(bare.columns.name, f"the row of {where}'s column names", f"{where}.rename_axis(columns=None)")
    return bare


def check_name(name: Any, where: str, way_out: str) -> None:
    """Refuse a name of a Series or an index that can't be sent."""
    try:
        to_text(name)
    except UnfitObjectError as exc:
        raise InputError(f"{where} has a name of type {exc}, which can't be sent: {way_out} removes it") from None


def check_column(column: pd.Series[Any], where: str, way_out: str) -> None:
    """Refuse a column with objects that can't be sent, or machine-dependent numbers."""
    try:
        frames.carried(column)
    except (UnfitObjectError, frames.UnfitColumnError) as exc:
        holds = exc.holds if isinstance(exc, frames.UnfitColumnError) else str(exc)
        raise InputError(
            f"{where} holds objects of type {holds}, which can't be sent: use text, bytes, numbers, dates, times, None "
            f"or tuples of these, for example by {way_out}"
        ) from None
    if isinstance(column.dtype, np.dtype) and is_long(column.dtype):
        raise InputError(f"{where} has dtype {column.dtype}, which differs between machines: convert it to float64")


def check_labels(index: pd.Index[Any], where: str) -> None:
    """Refuse row labels that can't be sent."""
    try:
        frames.index_parts("index", index)
    except frames.UnfitColumnError as exc:
        raise InputError(
            f"{where} has row labels, or a name of these, of type {exc.holds}, which can't be sent: "
            f"{where}.reset_index(drop=True) removes them"
        ) from None


def check_carried(dataset: Dataset) -> None:
    """Encode and decode the first row, and refuse types that change on the way."""
    there, X, y = io.BytesIO(), dataset.X, dataset.y
    head = Dataset(
        X=X.iloc[:1] if isinstance(X, pd.DataFrame) else np.zeros((1, 1)),
        y=y.iloc[:1] if isinstance(y, (pd.DataFrame, pd.Series)) else None,
    )
    try:
        write_parts(dataset_parts(head), there)
        back = read_dataset(there.getvalue())
    except (ValueError, TypeError, NotImplementedError) as exc:  # pyarrow's errors are of these
        raise InputError(f"X or y can't be sent: {exc}") from exc
    for where, left, returned in (("X", head.X, back.X), ("y", head.y, back.y)):
        for name, sent, received in zip(_names(left), _dtypes(left), _dtypes(returned), strict=True):
            if not _same_type(sent, received):
                raise InputError(
                    f"column {name!r} of {where} has dtype {sent!r}, which would arrive as {received!r}: pass it as "
                    f"{received!r}"
                )


def _names(data: Any) -> list[Any]:
    return list(data.columns) if isinstance(data, pd.DataFrame) else [getattr(data, "name", None)]


def _dtypes(data: Any) -> list[Any]:
    return list(data.dtypes) if isinstance(data, pd.DataFrame) else [getattr(data, "dtype", None)]


def _same_type(left: Any, returned: Any) -> bool:
    if isinstance(left, pd.StringDtype) and isinstance(returned, pd.StringDtype):
        # The storage of the text may differ, but not the missing value.
        return (left.na_value is pd.NA) == (returned.na_value is pd.NA)
    if isinstance(left, pd.CategoricalDtype) and isinstance(returned, pd.CategoricalDtype):
        sent, received = left.categories, returned.categories
        return (
            left.ordered == returned.ordered and list(sent) == list(received) and _same_type(sent.dtype, received.dtype)
        )
    return bool(left == returned)
