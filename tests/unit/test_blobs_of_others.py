"""A blob is somebody else's: what it inflates to, what its headers promise, and whether it is what
its name says."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from blobs import Blobs
from sklearn.preprocessing import OneHotEncoder
from stored_models import brought_back
from test_data_cache import SPLITS, X, cache_of

import worker.training.model_archive
from warren.encoding.arrays import read_arrays
from warren.encoding.arrow import read_stream
from warren.errors import InputError, StudyError
from warren.storage import results_table
from warren.storage.dataset import Dataset, dataset_parts, digest, read_dataset, read_splits, splits_parts, write_parts

FRAME = pd.DataFrame({"a": np.arange(50.0), "b": ["x", None] * 25, "c": pd.Categorical(["p", "q"] * 25)})


def archive(compress: bool = False, **parts: Any) -> bytes:
    stream = io.BytesIO()
    write_parts(parts, stream, compress=compress)
    return stream.getvalue()


def promising(shape: tuple[int, ...], content: bytes = b"12345678", dtype: str = "<f8") -> bytes:
    """An archive with an array whose header says what it likes."""
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"shape": shape, "fortran_order": False, "descr": dtype})
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        made.writestr("X.npy", array.getvalue() + content)
    return stream.getvalue()


@pytest.mark.slow
def test_a_few_bytes_become_no_quarter_of_a_gigabyte() -> None:
    bomb = archive(compress=True, X=np.zeros(2**25))
    assert len(bomb) < 300_000
    with pytest.raises(ValueError, match="decompress to 268,435,584, where"):
        read_dataset(bomb)
    splits = archive(compress=True, **splits_parts([(np.zeros(2**24, np.int64), np.ones(1, np.int64))]))
    with pytest.raises(ValueError, match=r"decompress to .*, where 1,069,056 are the most"):
        read_splits(splits, most_rows=40)


@pytest.mark.parametrize(
    "blob",
    [promising((10**12,)), promising((0,)), promising((10**9,), b"", "<U0"), promising((1,), dtype="|O")],
    ids=["more than there is", "less than there is", "nothing, often", "objects"],
)
def test_a_header_promises_what_lies_behind_it(blob: bytes) -> None:
    with pytest.raises(ValueError, match="an array of shape"):
        read_arrays(blob)


def test_splits_of_many_folds_of_few_rows_come_back() -> None:
    """They shrink a hundredfold, and are no attack for it."""
    rows = np.arange(400)
    splits = [(np.delete(rows, one), rows[one : one + 1]) for one in rows]
    blob = archive(compress=True, **splits_parts(splits))
    assert len(blob) * 20 < 4 * 400 * 400
    assert len(read_splits(blob, digest(splits_parts(splits)), most_rows=400 * 400)) == 400


@pytest.mark.parametrize("X", [X, scipy.sparse.csr_matrix(X), FRAME], ids=["array", "sparse", "frame"])
def test_a_blob_is_what_its_name_says(X: Any) -> None:
    parts = dataset_parts(Dataset(X=X))
    name = digest(parts)
    blob = archive(**parts)
    read_dataset(blob, name)
    with pytest.raises(ValueError, match="its content does not match the digest in its name"):
        read_dataset(archive(**parts, sample_weight=np.ones(3)), name)


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: blob[: len(blob) // 2],
        lambda blob: b"",
        lambda blob: blob[:200] + bytes(50) + blob[250:],
        lambda blob: archive(X=np.ones((40, 4))),
        lambda blob: archive(compress=True, X=np.zeros(10**6)),
        lambda blob: promising((2**40,)),
    ],
    ids=["half of it", "nothing", "zeros in it", "another", "a bomb", "a promise"],
)
@pytest.mark.parametrize("which", ["dataset", "splits"])
def test_a_damaged_blob_ends_its_chunk_with_its_name(damage: Any, which: str) -> None:
    blobs = Blobs()
    cache, objective = cache_of(blobs)
    name = getattr(objective, which)
    blobs.content[name] = damage(blobs.content[name])
    with pytest.raises(InputError, match=f"blob {name[:12]} can't be read as what the chunk calls it"):
        cache.fold(objective, 0)


def test_an_error_of_any_kind_of_a_reader_names_the_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, objective = cache_of(Blobs())
    for error in (MemoryError(), NotImplementedError("what"), RecursionError(), AttributeError("none")):

        def fail(*_: Any, error: Exception = error, **__: Any) -> Any:
            raise error

        monkeypatch.setattr("worker.training.data_cache.read_dataset", fail)
        with pytest.raises(InputError, match=f"blob {objective.dataset[:12]} can't be read .*{type(error).__name__}"):
            cache.fold(objective, 0)


def test_sparse_data_stay_within_their_columns() -> None:
    matrix = scipy.sparse.csr_matrix(X)
    matrix.indices[3] = 10**6
    with pytest.raises(ValueError, match="indices must be < 4"):
        read_dataset(archive(**dataset_parts(Dataset(X=matrix))))


def stream_of(table: pa.Table, compression: str | None = None) -> bytes:
    made = io.BytesIO()
    with pa.ipc.new_stream(made, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return made.getvalue()


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize("column", [pa.array([0.0] * 10**5), pa.array(["x"] * 10**5).dictionary_encode()])
def test_no_column_inflates(compression: str, column: pa.Array) -> None:
    assert read_stream(stream_of(pa.table({"it": column}))).num_rows == 10**5
    with pytest.raises(ValueError, match="compressed"):
        read_stream(stream_of(pa.table({"it": column}), compression))


def test_a_column_of_nothing_is_no_longer_than_its_bytes() -> None:
    with pytest.raises(ValueError, match="rows in"):
        read_stream(stream_of(pa.table({"it": pa.nulls(10**7)})))


def test_a_columns_offsets_stay_within_it() -> None:
    stream = stream_of(pa.table({"it": ["a" * 77, "b" * 22]}))
    offsets, far = (np.array(numbers, dtype=np.int32).tobytes() for numbers in ([0, 77, 99], [0, 10**6, 2 * 10**6]))
    assert stream.count(offsets) == 1
    with pytest.raises((pa.ArrowInvalid, ValueError)):
        read_stream(stream.replace(offsets, far))


def parquet(table: pa.Table) -> bytes:
    made = io.BytesIO()
    pq.write_table(table, made, compression="zstd")
    return made.getvalue()


def test_a_table_of_results_is_of_its_trials() -> None:
    columns = results_table.schema(["test_score"])
    one = {"number": 0, "state": "COMPLETE", "split_test_score": [0.5, 0.5]}
    kept = results_table.to_parquet(results_table.as_table([one], columns))
    found = results_table.from_parquet(kept, columns, 1, 2)
    assert found is not None
    assert found.num_rows == 1
    many = parquet(results_table.as_table([one | {"number": number} for number in range(5000)], columns))
    long = parquet(results_table.as_table([one | {"split_test_score": [0.5] * 10**5}], columns))
    texts = parquet(results_table.as_table([one | {"error": "x" * 10**6}], columns))
    for wrong in (many, long, texts):
        with pytest.raises(StudyError, match="for 1 trials"):
            results_table.from_parquet(wrong, columns, 1, 2)
    with pytest.raises(StudyError, match="can't be read"):
        results_table.from_parquet(kept[:-50], columns, 1, 2)


def test_sparse_parts_of_a_model_inflate_to_no_more_than_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = OneHotEncoder().fit(np.arange(5).reshape(-1, 1))
    encoder.held_ = scipy.sparse.csr_matrix(np.ones((300, 300)))
    assert brought_back(encoder, OneHotEncoder()).held_.nnz == 90_000
    plainly = scipy.sparse.save_npz
    monkeypatch.setattr(
        worker.training.model_archive.scipy.sparse,
        "save_npz",
        lambda file, matrix, compressed: plainly(file, matrix, compressed=True),
    )
    with pytest.raises(StudyError, match="decompress to"):
        brought_back(encoder, OneHotEncoder())


def test_splits_are_read_by_whoever_stored_them() -> None:
    blob = archive(compress=True, **splits_parts(SPLITS))
    assert all(
        np.array_equal(ours, theirs)
        for one, other in zip(read_splits(blob, most_rows=80), SPLITS, strict=True)
        for ours, theirs in zip(one, other, strict=True)
    )
