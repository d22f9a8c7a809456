"""Data frames, their columns and row labels as Arrow streams and back, with exact types.

An Arrow stream (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format) keeps
numbers, text, times, periods and most categories. Other columns are converted to types that it
keeps, with a note of their original type.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pandas.core.arrays.arrow import extension_types  # type: ignore[attr-defined] # noqa: F401 - Arrow's periods, intervals

from warren.encoding.arrow import read_stream
from warren.encoding.cells import UnfitObjectError, from_text, to_text

# Fields of Arrow's pandas metadata with versions of software; they must not change the digest of
# the data.
_VERSIONS = ("creator", "pandas_version")
# Key of the note on columns of a frame that are one array with another memory layout than Arrow's.
_LAYOUT = b"warren.layout"
# Keys of the notes on row labels, and on the frame that holds y.
_LABELS, _TARGET = b"warren.labels", b"warren.target"


class UnfitColumnError(TypeError):
    """A column can't be sent.

    Parameters
    ----------
    name : object
        The column's name.
    holds : str
        The type of its content.
    """

    def __init__(self, name: Any, holds: str) -> None:
        super().__init__(f"column {name!r} holds {holds}")
        self.name = name
        self.holds = holds


def frame_to_arrow(frame: pd.DataFrame, more: dict[bytes, bytes] | None = None) -> NDArray[np.uint8]:
    """Return a frame without its row labels as the bytes of an Arrow stream.

    Parameters
    ----------
    frame : DataFrame
        Its columns are named by text or integers.
    more : dict of bytes to bytes, default={}
        Further notes for the stream's metadata.

    Returns
    -------
    ndarray of uint8
        The stream.

    Raises
    ------
    UnfitColumnError
        A column contains values that can't be sent.
    """
    notes: list[dict[str, Any]] = []
    table_of: Any = frame.set_axis(range(frame.shape[1]), axis=1)
    for position, name in enumerate(frame.columns):
        try:
            column, note = carried(frame.iloc[:, position])
        except UnfitObjectError as exc:
            raise UnfitColumnError(name, str(exc)) from exc
        if column is not None:
            table_of.isetitem(position, column)
        notes.append({"name": name} | note)
    # Arrow's column names are text; those of a frame may be integers, so they are in the notes.
    names = [str(name) for name in frame.columns]
    try:
        table = pa.Table.from_pandas(table_of.set_axis(names, axis=1), preserve_index=False)
    except pa.ArrowException as exc:
        raise TypeError(str(exc)) from exc
    pandas_notes = json.loads(table.schema.metadata[b"pandas"])
    for field in _VERSIONS:
        pandas_notes.pop(field, None)
    for position, note in enumerate(notes):
        if note.get("as") == "arrow":  # pandas can't read the names of all of Arrow's types
            pandas_notes["columns"][position]["numpy_type"] = "object"
    metadata = {b"pandas": json.dumps(pandas_notes).encode(), b"warren": json.dumps(notes).encode()} | (more or {})
    if runs := _rows_first(frame):
        metadata[_LAYOUT] = json.dumps(runs).encode()
    sink = io.BytesIO()
    # Text that was concatenated is stored in several chunks, which are not part of the content.
    table = table.replace_schema_metadata(metadata).combine_chunks()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


def arrow_to_frame(stream: NDArray[np.uint8]) -> pd.DataFrame:
    """Return the frame that `frame_to_arrow` wrote, with rows numbered from 0."""
    return _read(stream)[0]


def _read(stream: NDArray[np.uint8]) -> tuple[pd.DataFrame, dict[bytes, bytes]]:
    table = read_stream(stream.tobytes())
    metadata = dict(table.schema.metadata)
    notes = json.loads(metadata[b"warren"])
    # Columns of Arrow's own types keep those types.
    kept = {position for position, note in enumerate(notes) if note.get("as") == "arrow"}
    frame: Any = table.select([position for position in range(len(notes)) if position not in kept]).to_pandas()
    for position in sorted(kept):
        array = pd.arrays.ArrowExtensionArray(table.column(position))
        frame.insert(position, table.column_names[position], array, allow_duplicates=True)
    for position, note in enumerate(notes):
        restored = _restored(frame.iloc[:, position], table.column(position), note)
        if restored is not None:
            frame.isetitem(position, restored)
    if _LAYOUT in metadata:
        frame = _laid_out(frame, json.loads(metadata[_LAYOUT]))
    return cast("pd.DataFrame", frame.set_axis([note["name"] for note in notes], axis=1)), metadata


# ------------------------------ columns


def carried(column: pd.Series[Any]) -> tuple[pd.Series[Any] | None, dict[str, Any]]:
    """Return a column that Arrow can store, or None for this one, and a note on the original.

    Arrow has one missing value. A text column of dtype object may contain None or NaN, which
    CatBoost treats differently.

    Raises
    ------
    UnfitObjectError, UnfitColumnError
        It contains values that can't be sent.
    """
    dtype: Any = column.dtype
    note: dict[str, Any] = {"dtype": str(dtype)}
    if isinstance(dtype, pd.CategoricalDtype):
        return _carried_categories(column, note)
    if isinstance(dtype, pd.SparseDtype):
        sparse: Any = column.sparse
        dense = sparse.to_dense()
        inner, inside = carried(dense)
        fill = to_text(dtype.fill_value)
        return dense if inner is None else inner, note | {"as": "sparse", "fill": fill, "inside": inside}
    if isinstance(dtype, pd.ArrowDtype):
        return None, note if dtype.kind in "biuf" else note | {"as": "arrow"}
    if pd.api.types.is_object_dtype(dtype):
        missing = column.isna()
        if is_text(column[~missing]) and one_mark(column[missing]):
            return None, note | {"nan": any(value is not None for value in column[missing])}
        return _as_text(column), note | {"as": "objects"}
    if isinstance(dtype, np.dtype) and dtype.kind == "c":
        return _as_text(column), note | {"as": "objects"}
    return None, note


def _carried_categories(column: pd.Series[Any], note: dict[str, Any]) -> tuple[pd.Series[Any] | None, dict[str, Any]]:
    categories = column.cat.categories
    numbers = pd.api.types.is_numeric_dtype(categories.dtype)
    if (numbers or is_text(categories)) and not isinstance(categories.dtype, pd.ArrowDtype):
        return None, note | {"categories": str(categories.dtype)}
    text = base64.b64encode(index_to_arrow(categories).tobytes()).decode()
    return column.cat.codes, note | {"as": "codes", "of": text, "ordered": bool(column.cat.ordered)}


def _as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    return pd.Series([to_text(value) for value in column], index=column.index, dtype=object)


def _restored(column: pd.Series[Any], arrow: Any, note: dict[str, Any]) -> Any:
    """Return a column as it was before `carried`; None if it needs no change."""
    match note.get("as"):
        case "objects":
            values = np.empty(len(column), dtype=object)
            values[:] = [from_text(text) for text in arrow.to_pylist()]
            return pd.Series(values, dtype=note["dtype"])
        case "codes":
            categories = arrow_to_index(np.frombuffer(base64.b64decode(note["of"]), dtype=np.uint8))
            return pd.Series(pd.Categorical.from_codes(column, categories, ordered=note["ordered"]))
        case "sparse":
            dense = _restored(column, arrow, note["inside"])
            dense = column if dense is None else dense
            return dense.astype(pd.SparseDtype(dense.dtype, from_text(note["fill"])))
        case "arrow":
            return None
    if note["dtype"] == "object":
        missing = np.nan if note["nan"] else None
        return pd.Series([missing if value is None else value for value in arrow.to_pylist()], dtype=object)
    if "categories" in note:
        return column.cat.rename_categories(column.cat.categories.astype(note["categories"]))
    return None


def is_text(values: Any) -> bool:
    """Return whether values, none of which is missing, are all text that Arrow can store."""
    if not all(isinstance(value, str) for value in values):
        return False
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True


def one_mark(missing: pd.Series[Any]) -> bool:
    """Return whether missing values are all None or all NaN, so that a note can describe them."""
    kinds = {"None" if value is None else "NaN" if isinstance(value, float) else "another" for value in missing}
    return kinds <= {"None"} or kinds <= {"NaN"}


# ------------------------------ row labels


def index_to_arrow(index: pd.Index[Any]) -> NDArray[np.uint8]:
    """Return row labels as the bytes of an Arrow stream.

    Raises
    ------
    UnfitColumnError
        A label or name can't be sent.
    """
    levels = [index.get_level_values(number) for number in range(index.nlevels)]
    note: dict[str, Any] = {"levels": index.nlevels}
    try:
        note["names"] = [to_text(name) for name in index.names]
    except UnfitObjectError as exc:
        raise UnfitColumnError("name", str(exc)) from exc
    if isinstance(index, pd.RangeIndex):
        note["range"] = [index.start, index.stop, index.step]
        levels = []
    elif index.nlevels == 1 and getattr(index, "freq", None) is not None and hasattr(index, "tz"):
        note["freq"] = index.freqstr  # type: ignore[attr-defined]  # a DatetimeIndex
    elif index.nlevels > 1:
        note["multi"] = True
    frame = pd.DataFrame({number: pd.Series(level, dtype=level.dtype) for number, level in enumerate(levels)})
    return frame_to_arrow(frame, {_LABELS: json.dumps(note).encode()})


def arrow_to_index(stream: NDArray[np.uint8]) -> pd.Index[Any]:
    """Return the row labels that `index_to_arrow` wrote."""
    frame, metadata = _read(stream)
    note = json.loads(metadata[_LABELS])
    names = [from_text(name) for name in note["names"]]
    if "range" in note:
        start, stop, step = note["range"]
        return pd.RangeIndex(start, stop, step, name=names[0])
    levels = [pd.Index(frame.iloc[:, number], dtype=frame.dtypes.iloc[number]) for number in range(note["levels"])]
    if "multi" in note:
        return pd.MultiIndex.from_arrays(levels, names=names)
    index: pd.Index[Any] = levels[0].rename(names[0])
    if "freq" in note:
        index.freq = note["freq"]  # type: ignore[attr-defined]  # of a DatetimeIndex
    return index


def index_parts(name: str, index: pd.Index[Any]) -> dict[str, NDArray[np.uint8]]:
    """Return row labels as a part of a dataset with this name.

    Nothing if rows are numbered from 0.
    """
    plain = isinstance(index, pd.RangeIndex) and (index.start, index.step, index.name) == (0, 1, None)
    return {} if plain else {name: index_to_arrow(index)}


# ------------------------------ parts of a dataset


def matrix_parts(X: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Split a data frame X into parts: columns, row labels, and the columns' name if any.

    Raises
    ------
    UnfitColumnError
        It contains values that can't be sent.
    """
    called = {} if X.columns.name is None else {"X_columns": np.array(to_text(X.columns.name))}
    return {"X_arrow": frame_to_arrow(X), **index_parts("X_index", X.index), **called}


def texts_to_arrow(texts: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a flat array of texts and missing values as an Arrow stream."""
    return frame_to_arrow(pd.DataFrame({"text": pd.Series(texts, dtype=object)}))


def array_to_arrow(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return an array of objects, of one or two dimensions, as an Arrow stream."""
    note = {"kind": "array", "dimensions": array.ndim}
    return frame_to_arrow(pd.DataFrame(array, dtype=object), {_TARGET: json.dumps(note).encode()})


def _to_array(frame: pd.DataFrame, note: dict[str, Any]) -> NDArray[Any]:
    array: NDArray[Any] = frame.to_numpy(dtype=object)
    return array if note["dimensions"] > 1 else array[:, 0]


def read_matrix(parts: dict[str, NDArray[Any]]) -> Any:
    """Return the X of a dataset's parts."""
    if "X_text" in parts:
        return arrow_to_frame(parts["X_text"])["text"].to_numpy()
    if "X_objects" in parts:
        frame, metadata = _read(parts["X_objects"])
        return _to_array(frame, json.loads(metadata[_TARGET]))
    found = arrow_to_frame(parts["X_arrow"])
    if "X_index" in parts:
        found.index = arrow_to_index(parts["X_index"])
    if "X_columns" in parts:
        found.columns.name = from_text(parts["X_columns"].item())
    return found


def target_parts(y: Any) -> dict[str, NDArray[Any]]:
    """Split a y of pandas, or an array of objects, into parts.

    Parameters
    ----------
    y : Series, DataFrame, pandas' own array, or ndarray of dtype object
        The target.

    Returns
    -------
    dict of str to ndarray
        The parts by name.

    Raises
    ------
    UnfitColumnError
        It contains values that can't be sent.
    """
    if isinstance(y, np.ndarray):
        return {"y_arrow": array_to_arrow(y)}
    if isinstance(y, pd.DataFrame):
        frame, note = y, {"kind": "frame", "name": to_text(y.columns.name)}
    elif isinstance(y, pd.Series):
        frame, note = y.to_frame(0), {"kind": "series", "name": to_text(y.name)}
    else:
        frame, note = pd.Series(y).to_frame(0), {"kind": "values"}
    return {
        "y_arrow": frame_to_arrow(frame, {_TARGET: json.dumps(note).encode()}),
        **index_parts("y_index", frame.index),
    }


def read_target(parts: dict[str, NDArray[Any]]) -> Any:
    """Return the y from the parts of `target_parts`."""
    frame, metadata = _read(parts["y_arrow"])
    if "y_index" in parts:
        frame.index = arrow_to_index(parts["y_index"])
    note = json.loads(metadata[_TARGET])
    match note["kind"]:
        case "array":
            return _to_array(frame, note)
        case "frame":
            frame.columns.name = from_text(note["name"])
            return frame
        case "series":
            return frame.iloc[:, 0].rename(from_text(note["name"]))
    return frame.iloc[:, 0].array


# ------------------------------ memory layout


def _rows_first(frame: pd.DataFrame) -> list[tuple[int, int]]:
    """Return the runs of columns, as start and end, that are one array stored row by row.

    A frame made from an array has such runs; Arrow stores columns. The layout changes the last bit
    of sums, and so the results of linear algebra.
    """
    head, runs, start = frame.iloc[:2], [], 0
    dtypes = [dtype if isinstance(dtype, np.dtype) and dtype.kind != "O" else None for dtype in frame.dtypes]
    while start < len(dtypes) - 1:
        width = 1
        if dtypes[start] is not None and dtypes[start] == dtypes[start + 1]:
            pair = head.iloc[:, start : start + 2].to_numpy()  # a view, if these two are in one array
            if pair.strides[1] == pair.itemsize < pair.strides[0]:
                width = pair.strides[0] // pair.itemsize
                whole = head.iloc[:, start : start + width].to_numpy()
                if whole.shape[1] == width and whole.strides == pair.strides:
                    runs.append((start, start + width))
        start += width
    return runs


def _laid_out(frame: pd.DataFrame, runs: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """Return a frame whose runs of columns are stored row by row."""
    pieces, end = [], 0
    for start, stop in runs:
        rows = np.ascontiguousarray(frame.iloc[:, start:stop].to_numpy())
        # A copy would be stored by columns again.
        pieces += [frame.iloc[:, end:start], pd.DataFrame(rows, columns=frame.columns[start:stop], copy=False)]
        end = stop
    pieces = [piece for piece in (*pieces, frame.iloc[:, end:]) if piece.shape[1]]
    return pieces[0] if len(pieces) == 1 else pd.concat(pieces, axis=1)
