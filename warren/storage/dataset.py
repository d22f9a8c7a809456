"""Data and splits as bytes and back: exact, identified by a digest, without pickle.

A blob is a NumPy ``.npz`` archive
(https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), which is read with
``allow_pickle=False``. pandas objects are stored in it as Arrow streams (`warren.encoding.frames`),
and so are arrays of objects and texts that an array of fixed width can't hold well.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from warren.encoding.arrays import read_arrays

# Largest size of splits: a row is in one part of each split, as 4 bytes; a splitter that draws rows
# repeatedly has it more often.
_BYTES_A_ROW = 512
_SMALL_BYTES = 2**20

Matrix: TypeAlias = Any
"""X in a form that scikit-learn accepts: ndarray, CSR matrix or data frame."""
Target: TypeAlias = Any
"""y as scikit-learn accepts it: ndarray, list, Series, pandas' own array, or data frame."""
Indices: TypeAlias = NDArray[np.int64]
Split: TypeAlias = tuple[Indices, Indices]
"""Train and test indices of one fold."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The data of a study.

    Attributes
    ----------
    X : ndarray, CSR matrix or DataFrame of shape (n_samples, ...)
        Images are an array of three or four dimensions. A flat array of dtype object contains
        texts, with None or NaN for missing ones.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
        As the user passed it.
    sample_weight : ndarray of shape (n_samples,), or None
        Weight of each row.
    """

    X: Matrix
    y: Target | None = None
    sample_weight: NDArray[np.float64] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of memory for the arrays."""
        return sum(matrix_bytes(part) for part in (self.X, self.y, self.sample_weight))


def matrix_bytes(matrix: Matrix) -> int:
    """Return the bytes of memory of an array, sparse matrix or frame; 0 for None."""
    if matrix is None:
        return 0
    if hasattr(matrix, "memory_usage"):
        return int(np.sum(matrix.memory_usage(deep=True)))
    if hasattr(matrix, "indptr"):
        return int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)
    if isinstance(matrix, list):
        return sum(map(sys.getsizeof, matrix)) + sys.getsizeof(matrix)
    if matrix.dtype == object:
        return int(matrix.nbytes) + sum(map(sys.getsizeof, matrix.flat))
    return int(matrix.nbytes)


def dataset_parts(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """Split a dataset into named arrays, none of them of dtype object."""
    X, parts = dataset.X, {}
    if hasattr(X, "indptr"):
        kind = "csr_array" if type(X).__name__.endswith("array") else "csr_matrix"
        parts = {"X_data": X.data, "X_indices": X.indices, "X_indptr": X.indptr, "X_shape": np.array(X.shape)}
        parts["X_kind"] = np.array(kind)
    elif hasattr(X, "iloc"):
        from warren.encoding import frames

        parts = frames.matrix_parts(X)
    elif X.dtype == object:
        from warren.encoding import frames

        parts = {"X_text": frames.texts_to_arrow(X)} if X.ndim == 1 else {"X_objects": frames.array_to_arrow(X)}
    else:
        parts = {"X": X}
    if dataset.sample_weight is not None:
        parts["sample_weight"] = dataset.sample_weight
    return parts | _target_parts(dataset.y)


def _target_parts(y: Target) -> dict[str, NDArray[Any]]:
    if y is None:
        return {}
    if isinstance(y, list):
        return {"y": np.asarray(y), "y_kind": np.array("list")}
    if isinstance(y, np.ndarray) and y.dtype != object:
        return {"y": y}
    from warren.encoding import frames

    return frames.target_parts(y)


def splits_parts(splits: Sequence[Split]) -> dict[str, NDArray[Any]]:
    """Turn train and test indices into flat arrays."""
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
        The result of `dataset_parts` or `splits_parts`.

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


def _read(blob: bytes, name: str | None, most_bytes: int | None = None) -> dict[str, NDArray[Any]]:
    parts = read_arrays(blob, most_bytes)
    if name is not None and digest(parts) != name:
        raise ValueError("its content does not match the digest in its name: it is damaged, or was changed")
    return parts


def read_dataset(blob: bytes, name: str | None = None) -> Dataset:
    """Return the dataset that `write_parts` wrote.

    Parameters
    ----------
    blob : bytes
        The archive.
    name : str, default=None
        Its digest, to be checked; see `digest`.

    Returns
    -------
    Dataset
        The data.

    Raises
    ------
    ValueError
        Its content has another digest, or is larger after decompression than allowed.
    Exception
        Any error of the readers of its parts, if it is not a dataset.
    """
    parts = _read(blob, name)
    X: Matrix
    if "X_indptr" in parts:
        import scipy.sparse

        make = scipy.sparse.csr_array if parts["X_kind"].item() == "csr_array" else scipy.sparse.csr_matrix
        X = make((parts["X_data"], parts["X_indices"], parts["X_indptr"]), shape=tuple(parts["X_shape"].tolist()))
        X.check_format(full_check=True)  # compiled code uses its indices without a check
    elif parts.keys() & {"X_arrow", "X_text", "X_objects"}:
        from warren.encoding import frames

        X = frames.read_matrix(parts)
    else:
        X = parts["X"]
    return Dataset(X=X, y=_read_target(parts), sample_weight=parts.get("sample_weight"))


def _read_target(parts: dict[str, NDArray[Any]]) -> Target:
    if "y_arrow" in parts:
        from warren.encoding import frames

        return frames.read_target(parts)
    return parts["y"].tolist() if "y_kind" in parts else parts.get("y")


def read_splits(blob: bytes, name: str | None = None, most_rows: int | None = None) -> list[Split]:
    """Return the splits that `write_parts` wrote, as arrays of indices.

    Parameters
    ----------
    blob : bytes
        The archive.
    name : str, default=None
        Its digest, to be checked.
    most_rows : int, default=None
        Rows of the data times the number of splits: all parts together may have a few times as
        many. None if all parts together take no more bytes than the archive.

    Returns
    -------
    list of tuple of ndarray
        Train and test indices of each fold.

    Raises
    ------
    ValueError, LookupError
        As in `read_dataset`.
    """
    most_bytes = None if most_rows is None else _SMALL_BYTES + _BYTES_A_ROW * most_rows
    parts = _read(blob, name, most_bytes)
    sides = [
        np.split(parts[name].astype(np.int64), np.cumsum(parts[f"{name}_sizes"])[:-1]) for name in ("train", "test")
    ]
    return list(zip(*sides, strict=True))
