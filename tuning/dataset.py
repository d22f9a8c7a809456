"""Data and splits as bytes and back: exact, digested by content, no pickle.

A blob is a NumPy ``.npz`` archive (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)
read with ``allow_pickle=False``. A data frame lies in it as an Arrow stream
(https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format), which keeps categories,
their order and missing values. So does a list of texts that no array of one width holds well.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Matrix: TypeAlias = Any
"""What scikit-learn takes as X: ndarray, CSR matrix or data frame."""
Indices: TypeAlias = NDArray[np.int64]
Split: TypeAlias = tuple[Indices, Indices]
"""Train and test indices of one fold."""

# Fields of Arrow's pandas metadata that name versions of software, not data; the digest must not see them.
_VERSIONS = ("creator", "pandas_version")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What trials are evaluated on.

    Attributes
    ----------
    X : ndarray, CSR matrix or DataFrame of shape (n_samples, ...)
        Images are an array of three or four dimensions.
        An array of dtype object is flat and holds texts, and None or NaN where one is missing.
    y : ndarray of shape (n_samples,) or (n_samples, n_outputs), or None
    sample_weight : ndarray of shape (n_samples,), or None
    """

    X: Matrix
    y: NDArray[Any] | None = None
    sample_weight: NDArray[np.float64] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the arrays take."""
        return sum(matrix_bytes(part) for part in (self.X, self.y, self.sample_weight))


def matrix_bytes(matrix: Matrix) -> int:
    """Return the bytes of memory that an array, sparse matrix or frame takes; None takes none."""
    if matrix is None:
        return 0
    if hasattr(matrix, "memory_usage"):
        return int(matrix.memory_usage(deep=True, index=False).sum())
    if hasattr(matrix, "indptr"):
        return int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)
    if matrix.dtype == object:
        return int(matrix.nbytes) + sum(map(sys.getsizeof, matrix.flat))
    return int(matrix.nbytes)


# Says which columns of a frame are an array that lies otherwise than Arrow's.
_LAYOUT = b"warren.layout"


def _frame_to_arrow(frame: pd.DataFrame) -> NDArray[np.uint8]:
    import pyarrow as pa

    # Arrow's column names are text, a frame's may be integers: those travel in the notes.
    table = pa.Table.from_pandas(frame.set_axis([str(name) for name in frame.columns], axis=1), preserve_index=False)
    pandas_notes = json.loads(table.schema.metadata[b"pandas"])
    for field in _VERSIONS:
        pandas_notes.pop(field, None)
    notes = {b"pandas": json.dumps(pandas_notes).encode(), b"warren": json.dumps(_column_notes(frame)).encode()}
    if runs := _rows_first(frame):
        notes[_LAYOUT] = json.dumps(runs).encode()
    sink = io.BytesIO()
    # Text that was put together from pieces lies in pieces, which are no content.
    table = table.replace_schema_metadata(notes).combine_chunks()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


def _column_notes(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Say of each column what Arrow forgets: which missing value it holds, and the dtype of its categories.

    Arrow has one missing value. A text column of dtype object may hold None or NaN, which CatBoost tells apart.
    """
    notes: list[dict[str, Any]] = []
    for name, column in frame.items():
        note: dict[str, Any] = {"name": name, "dtype": str(column.dtype)}
        if column.dtype == object:
            note["nan"] = any(value is not None for value in column[column.isna()])
        elif hasattr(column, "cat"):
            note["categories"] = str(column.cat.categories.dtype)
        notes.append(note)
    return notes


def _arrow_to_frame(stream: NDArray[np.uint8]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    with pa.ipc.open_stream(stream.tobytes()) as reader:
        table = reader.read_all()
    frame: Any = table.to_pandas()
    notes = json.loads(table.schema.metadata[b"warren"])
    for position, note in enumerate(notes):
        if note["dtype"] == "object":
            missing = np.nan if note["nan"] else None
            values = [missing if value is None else value for value in table.column(position).to_pylist()]
            frame.isetitem(position, pd.Series(values, dtype=object))
        elif "categories" in note:
            column = frame.iloc[:, position]
            categories = column.cat.categories.astype(note["categories"])
            frame.isetitem(position, column.cat.rename_categories(categories))
    if _LAYOUT in table.schema.metadata:
        frame = _laid_out(frame, json.loads(table.schema.metadata[_LAYOUT]))
    return cast("pd.DataFrame", frame.set_axis([note["name"] for note in notes], axis=1))


def _rows_first(frame: pd.DataFrame) -> list[tuple[int, int]]:
    """Return the runs of columns, first and behind the last, that are one array which lies row by row.

    A frame made of an array has such, Arrow's lie by columns. Sums over it, and so what linear algebra makes of it,
    differ with that in the last bit.
    """
    head, runs, start = frame.iloc[:2], [], 0
    dtypes = [dtype if isinstance(dtype, np.dtype) and dtype.kind != "O" else None for dtype in frame.dtypes]
    while start < len(dtypes) - 1:
        width = 1
        if dtypes[start] is not None and dtypes[start] == dtypes[start + 1]:
            pair = head.iloc[:, start : start + 2].to_numpy()  # a view, where these two are of one array
            if pair.strides[1] == pair.itemsize < pair.strides[0]:
                width = pair.strides[0] // pair.itemsize
                whole = head.iloc[:, start : start + width].to_numpy()
                if whole.shape[1] == width and whole.strides == pair.strides:
                    runs.append((start, start + width))
        start += width
    return runs


def _laid_out(frame: pd.DataFrame, runs: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """Return a frame whose runs of columns lie row by row."""
    import pandas as pd

    pieces, end = [], 0
    for start, stop in runs:
        rows = np.ascontiguousarray(frame.iloc[:, start:stop].to_numpy())
        # A copy would lie by columns again.
        pieces += [frame.iloc[:, end:start], pd.DataFrame(rows, columns=frame.columns[start:stop], copy=False)]
        end = stop
    pieces = [piece for piece in (*pieces, frame.iloc[:, end:]) if piece.shape[1]]
    return pieces[0] if len(pieces) == 1 else pd.concat(pieces, axis=1)


def dataset_parts(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """Take a dataset apart into named arrays, none of them of dtype object."""
    X, parts = dataset.X, {}
    if hasattr(X, "indptr"):
        kind = "csr_array" if type(X).__name__.endswith("array") else "csr_matrix"
        parts = {"X_data": X.data, "X_indices": X.indices, "X_indptr": X.indptr, "X_shape": np.array(X.shape)}
        parts["X_kind"] = np.array(kind)
    elif hasattr(X, "iloc"):
        parts = {"X_arrow": _frame_to_arrow(X)}
    elif X.dtype == object and X.ndim == 1:
        import pandas as pd

        parts = {"X_text": _frame_to_arrow(pd.DataFrame({"text": pd.Series(X, dtype=object)}))}
    else:
        parts = {"X": X}
    for name in ("y", "sample_weight"):
        if (array := getattr(dataset, name)) is not None:
            parts[name] = array
    return parts


def splits_parts(splits: Sequence[Split]) -> dict[str, NDArray[Any]]:
    """Take train and test indices apart into arrays of one length each."""
    largest = max(int(side.max()) for split in splits for side in split)
    dtype = np.uint32 if largest < 2**32 else np.uint64
    return {
        name: np.concatenate([split[side] for split in splits]).astype(dtype)
        for side, name in enumerate(("train", "test"))
    } | {
        f"{name}_sizes": np.array([len(split[side]) for split in splits], dtype=np.int64)
        for side, name in enumerate(("train", "test"))
    }


def digest(parts: dict[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of named arrays: names, dtypes, shapes, memory order and bytes.

    Parameters
    ----------
    parts : dict of str to ndarray
        What `dataset_parts` or `splits_parts` returned.

    Returns
    -------
    str
        64 hexadecimal digits, the same on every machine.
    """
    found = hashlib.sha256()
    for name, array in sorted(parts.items()):
        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        found.update(json.dumps([name, array.dtype.str, array.shape, fortran]).encode())
        found.update(np.ascontiguousarray(array.T if fortran else array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def write_parts(parts: dict[str, NDArray[Any]], stream: IO[bytes], *, compress: bool = False) -> None:
    """Write named arrays to an open binary stream as ``.npz``."""
    (np.savez_compressed if compress else np.savez)(stream, allow_pickle=False, **parts)


def _read(blob: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
        return dict(archive)


def read_dataset(blob: bytes) -> Dataset:
    """Return the dataset that `write_parts` wrote."""
    parts = _read(blob)
    X: Matrix
    if "X_indptr" in parts:
        import scipy.sparse

        make = scipy.sparse.csr_array if parts["X_kind"].item() == "csr_array" else scipy.sparse.csr_matrix
        X = make((parts["X_data"], parts["X_indices"], parts["X_indptr"]), shape=tuple(parts["X_shape"].tolist()))
    elif "X_arrow" in parts:
        X = _arrow_to_frame(parts["X_arrow"])
    elif "X_text" in parts:
        X = _arrow_to_frame(parts["X_text"])["text"].to_numpy()
    else:
        X = parts["X"]
    return Dataset(X=X, y=parts.get("y"), sample_weight=parts.get("sample_weight"))


def read_splits(blob: bytes) -> list[Split]:
    """Return the splits that `write_parts` wrote, as index arrays that NumPy indexes with."""
    parts = _read(blob)
    sides = [
        np.split(parts[name].astype(np.int64), np.cumsum(parts[f"{name}_sizes"])[:-1]) for name in ("train", "test")
    ]
    return list(zip(*sides, strict=True))
