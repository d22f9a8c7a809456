"""Data and splits as bytes and back: exact, and digested by what they are."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from warren.encoding.cells import from_text
from warren.encoding.frames import UnfitColumnError
from warren.storage.dataset import (
    Dataset,
    dataset_parts,
    digest,
    matrix_bytes,
    read_dataset,
    read_splits,
    splits_parts,
    write_parts,
)

ONE = np.array([[1.0, 2.0], [3.0, np.nan], [-0.0, np.inf]])


def there_and_back(dataset: Dataset) -> Dataset:
    stream = io.BytesIO()
    write_parts(dataset_parts(dataset), stream)
    return read_dataset(stream.getvalue())


def digest_of(X: Any, y: Any = None, sample_weight: Any = None) -> str:
    return digest(dataset_parts(Dataset(X=X, y=y, sample_weight=sample_weight)))


def assert_same_array(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert (one.flags.c_contiguous, one.flags.f_contiguous) == (other.flags.c_contiguous, other.flags.f_contiguous)
    assert one.tobytes() == other.tobytes()


# -------------------------------------------------------------------------- arrays


@given(
    hypothesis_numpy.arrays(
        hypothesis_numpy.floating_dtypes(sizes=[16, 32, 64])
        | hypothesis_numpy.integer_dtypes()
        | hypothesis_numpy.unsigned_integer_dtypes()
        | hypothesis_numpy.boolean_dtypes(),
        hypothesis_numpy.array_shapes(min_dims=2, max_dims=2, max_side=5),
    ),
    st.sampled_from("CF"),
)
def test_an_array_comes_back_bit_for_bit(array: Any, order: Any) -> None:
    X = np.asarray(array, order=order)
    back = there_and_back(Dataset(X=X))
    assert_same_array(back.X, X)
    assert (back.y, back.sample_weight) == (None, None)
    assert digest_of(back.X) == digest_of(X)


@pytest.mark.parametrize(
    "y",
    [
        np.array([0, 1, 2], dtype=np.int8),
        np.array(["a", "long label", "é"]),
        np.array([True, False, True]),
        np.array([0.1, 0.2, 0.3], dtype=np.float32),
        np.array([[0, 1], [1, 0], [1, 1]]),
    ],
    ids=lambda y: f"{y.dtype} {y.ndim}",
)
def test_y_and_weights_come_back_bit_for_bit(y: Any) -> None:
    weights = np.array([0.1, 2.0, 0.0], dtype=np.float32)
    back = there_and_back(Dataset(X=ONE, y=y, sample_weight=weights))
    assert back.y is not None
    assert back.sample_weight is not None
    assert_same_array(back.y, y)
    assert_same_array(back.sample_weight, weights)


def test_a_column_of_documents_comes_back() -> None:
    X = np.array(["a text", "", "änother"])
    assert_same_array(there_and_back(Dataset(X=X)).X, X)


def test_objects_are_never_pickled() -> None:
    with pytest.raises(UnfitColumnError, match="holds dict"):
        there_and_back(Dataset(X=np.array([[{}, "a"]], dtype=object)))
    stream = io.BytesIO()
    np.savez(stream, X=np.array([{}]))
    with pytest.raises(ValueError, match="of shape .* and type object"):
        read_dataset(stream.getvalue())


@pytest.mark.parametrize(
    "text",
    [
        '{"call": 1}',
        '{"date": 5}',
        '{"date": "x"}',
        '{"numpy": ["O", 1]}',
        '{"a": 1, "b": 2}',
        "[1]",
        "{}",
        "",
        "{",
        '{"datetime": ["2020-01-01", "/etc/passwd", 0]}',
        '{"decimal": "x"}',
        '{"missing": "?"}',
    ],
)
def test_text_that_is_no_plain_object_is_one_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_text(text)


def test_equal_content_has_an_equal_digest() -> None:
    strided = np.arange(24.0).reshape(4, 6)[::2, ::3]
    assert digest_of(strided) == digest_of(strided.copy())
    assert digest_of(ONE, np.array([1, 2, 3])) == digest_of(ONE.copy(), np.array([1, 2, 3]))


def test_a_digest_is_the_same_on_every_machine() -> None:
    assert (
        digest_of(np.arange(6.0).reshape(3, 2), np.array([0, 1, 0]))
        == "433e0aedf84987a7a26f9c8ad5e0d3a3bf0eea5bbe222cc72698a6eaf2bf2674"
    )
    splits = [(np.array([0, 1]), np.array([2])), (np.array([2]), np.array([0, 1]))]
    assert digest(splits_parts(splits)) == "9a0d3cbb7404b7b4cc361367f3bcd9742be71fc40701054ff6ba76e95d849a0c"


def test_whatever_an_estimator_could_tell_apart_has_another_digest() -> None:
    square = np.arange(9.0).reshape(3, 3)
    y = np.array([0, 1, 1])
    different = [
        digest_of(square),
        digest_of(square.T.copy()),
        digest_of(np.asfortranarray(square)),
        digest_of(square.astype(np.float32)),
        digest_of(square.astype(np.int64)),
        digest_of(square.reshape(1, 9)),
        digest_of(square + 1e-12),
        digest_of(np.where(square == 0, -0.0, square)),
        digest_of(square, y),
        digest_of(square, y.astype(np.int32)),
        digest_of(square, y.astype(str)),
        digest_of(square, y[:, np.newaxis]),
        digest_of(square, None, y.astype(float)),
        digest_of(square, y.astype(float)),
        digest_of(scipy.sparse.csr_matrix(square)),
        digest_of(scipy.sparse.csr_array(square)),
        digest_of(pd.DataFrame(square)),
    ]
    assert len(set(different)) == len(different)


# -------------------------------------------------------------------------- frames

COLUMNS: dict[str, Any] = {
    "float": pd.Series([0.1, np.nan, -0.0, np.inf]),
    "float32": pd.Series([0.1, np.nan, 1, 2], dtype="float32"),
    "int8": pd.Series([1, -2, 3, 4], dtype="int8"),
    "uint64": pd.Series([2**64 - 1, 0, 1, 2], dtype="uint64"),
    "bool": pd.Series([True, False, True, True]),
    "text": pd.Series(["a", "", "é", "b"]),
    "text with gaps": pd.Series(["a", None, "b", "a"]),
    "string": pd.Series(["a", None, "b", "a"], dtype="string"),
    "object text": pd.Series(["a", "b", "c", "a"], dtype=object),
    "object text with None": pd.Series(["a", None, "b", "a"], dtype=object),
    "object text with NaN": pd.Series(["a", np.nan, "b", "a"], dtype=object),
    "object of None": pd.Series([None] * 4, dtype=object),
    "object of NaN": pd.Series([np.nan] * 4, dtype=object),
    "nullable int": pd.Series([1, None, 3, 4], dtype="Int16"),
    "nullable float": pd.Series([0.5, None, 3, 4], dtype="Float64"),
    "nullable bool": pd.Series([True, None, False, True], dtype="boolean"),
    "category": pd.Series(["x", None, "y", "x"], dtype="category"),
    "ordered": pd.Series(pd.Categorical(["S", "L", None, "M"], ["S", "M", "L"], ordered=True)),
    "unused": pd.Series(pd.Categorical(["b", "b", "a", "b"], ["c", "b", "never", "a"])),
    "category of object": pd.Series(pd.Categorical(["b", "a", None, "b"], pd.Index(["b", "a"], dtype=object))),
    "category of int": pd.Series([30, 10, None, 30], dtype=pd.CategoricalDtype([30, 10, 20])),
    "category of int32": pd.Series([3, 1, 1, 3]).astype(pd.CategoricalDtype(pd.Index([3, 1], dtype="int32"))),
    "category of float": pd.Series([0.5, 0.1, None, 0.5], dtype="category"),
    "category of bool": pd.Series([True, False, True, True], dtype="category"),
    "category of nothing": pd.Series([None] * 4, dtype="category"),
}


def assert_same_column(one: Any, other: Any) -> None:
    pd.testing.assert_series_equal(one, other, check_exact=True, check_freq=False)
    assert one.dtype == other.dtype
    if isinstance(one.dtype, pd.CategoricalDtype):
        assert list(one.cat.categories) == list(other.cat.categories)
        assert one.cat.categories.dtype == other.cat.categories.dtype
        assert one.cat.codes.tolist() == other.cat.codes.tolist()
        assert one.cat.codes.dtype == other.cat.codes.dtype
    if one.dtype == object:
        assert [type(value) for value in one] == [type(value) for value in other]
    if one.dtype.kind == "f":
        assert np.signbit(one).tolist() == np.signbit(other).tolist()


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back_as_it_was(name: str) -> None:
    frame = pd.DataFrame({name: COLUMNS[name]})
    back = there_and_back(Dataset(X=frame)).X
    assert list(back.columns) == [name]
    assert_same_column(back[name], frame[name])
    assert digest_of(back) == digest_of(frame)


def test_a_frame_of_every_kind_comes_back_as_it_was() -> None:
    frame = pd.DataFrame(COLUMNS)
    back = there_and_back(Dataset(X=frame)).X
    assert list(back.columns) == list(frame.columns)
    assert isinstance(back.index, pd.RangeIndex)
    for name in COLUMNS:
        assert_same_column(back[name], frame[name])


@pytest.mark.parametrize("names", [[0, 1], [7, 3], ["0", "1"], ["", "a b"], ["1", "é"], range(2)], ids=repr)
def test_names_of_columns_keep_their_type(names: Any) -> None:
    frame = pd.DataFrame(np.ones((2, 2)), columns=names)
    back = there_and_back(Dataset(X=frame)).X
    assert [(type(name), name) for name in back.columns] == [(type(name), name) for name in frame.columns]


def test_every_kind_of_column_has_a_digest_of_its_own() -> None:
    digests = {digest_of(pd.DataFrame({"c": column})) for column in COLUMNS.values()}
    assert len(digests) == len(COLUMNS)


def test_what_differs_in_a_frame_differs_in_the_digest() -> None:
    sizes = pd.Series(pd.Categorical(["S", "L"], ["S", "M", "L"]))
    different = [
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"b": [1, 2]}),
        pd.DataFrame({0: [1, 2]}),
        pd.DataFrame({"0": [1, 2]}),
        pd.DataFrame({"a": [2, 1]}),
        pd.DataFrame({"a": [1, 2]}, dtype="int32"),
        pd.DataFrame({"a": [1, 2], "b": [1, 2]}),
        pd.DataFrame({"b": [1, 2], "a": [1, 2]}),
        pd.DataFrame({"a": sizes}),
        pd.DataFrame({"a": sizes.cat.as_ordered()}),
        pd.DataFrame({"a": sizes.cat.remove_unused_categories()}),
        pd.DataFrame({"a": sizes.cat.reorder_categories(["L", "M", "S"])}),
    ]
    assert len({digest_of(frame) for frame in different}) == len(different)


def test_how_a_frame_was_put_together_is_no_matter() -> None:
    frame = pd.DataFrame(COLUMNS)
    noise = frame.iloc[[1, 0]]
    pieces = pd.concat([noise, frame.iloc[:1], frame.iloc[1:], noise]).iloc[2:6].reset_index(drop=True)
    pieces = pieces.astype(frame.dtypes.to_dict())
    for name in COLUMNS:
        assert_same_column(pieces[name], frame[name])
        assert digest_of(pieces[[name]]) == digest_of(frame[[name]]), name
    assert digest_of(pieces) == digest_of(frame) == digest_of(frame.copy())


# -------------------------------------------------------------------------- sparse


@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_])
def test_a_sparse_matrix_comes_back_as_it_was(make: Any, dtype: Any) -> None:
    X = make((np.array([1, 0, 3], dtype=dtype), np.array([2, 1, 0]), np.array([0, 2, 2, 3])), shape=(3, 5))
    back = there_and_back(Dataset(X=X)).X
    assert type(back) is type(X)
    assert back.shape == X.shape
    for part in ("data", "indices", "indptr"):
        assert_same_array(getattr(back, part), getattr(X, part))
    assert digest_of(back) == digest_of(X)


# -------------------------------------------------------------------------- splits


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9),
            st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_splits_come_back_as_they_were(sides: list[tuple[list[int], list[int]]]) -> None:
    splits = [(np.array(train, dtype=np.int64), np.array(test, dtype=np.int64)) for train, test in sides]
    stream = io.BytesIO()
    write_parts(splits_parts(splits), stream, compress=True)
    back = read_splits(stream.getvalue(), most_rows=100)
    assert len(back) == len(splits)
    for ours, theirs in zip(back, splits, strict=True):
        assert_same_array(ours[0], theirs[0])
        assert_same_array(ours[1], theirs[1])


def test_an_index_beyond_32_bits_comes_back() -> None:
    stream = io.BytesIO()
    write_parts(splits_parts([(np.array([2**40]), np.array([1]))]), stream, compress=True)
    [(train, test)] = read_splits(stream.getvalue(), most_rows=100)
    assert (train.tolist(), test.tolist()) == ([2**40], [1])


def test_folds_cut_elsewhere_have_another_digest() -> None:
    one = [(np.array([0, 1]), np.array([2, 3])), (np.array([2, 3]), np.array([0, 1]))]
    other = [(np.array([0, 1, 2]), np.array([2, 3])), (np.array([3]), np.array([0, 1]))]
    assert len({digest(splits_parts(splits)) for splits in (one, other, one[:1], one[::-1])}) == 4
    assert digest(splits_parts(one)) == digest(splits_parts([(a.astype(np.int32), b) for a, b in one]))


# ---------------------------------------------------------------------------- bytes


def test_bytes_are_those_of_all_that_is_held() -> None:
    assert matrix_bytes(None) == 0
    assert matrix_bytes(np.ones((3, 2), dtype=np.float32)) == 24
    sparse = scipy.sparse.csr_matrix(np.eye(3))
    assert matrix_bytes(sparse) == sparse.data.nbytes + sparse.indices.nbytes + sparse.indptr.nbytes
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": pd.Series(["x" * 100, "y"], dtype=object)})
    assert matrix_bytes(frame) > 16 + 100
    y, weights = np.arange(3), np.ones(3)
    assert Dataset(X=ONE, y=y, sample_weight=weights).nbytes == ONE.nbytes + y.nbytes + weights.nbytes


def test_a_frame_made_of_an_array_lies_in_memory_as_it_did() -> None:
    """Linear algebra rounds otherwise where numbers lie otherwise."""
    rows = np.arange(12.0).reshape(4, 3)
    for frame in (
        pd.DataFrame(rows, columns=list("abc"), copy=False),
        pd.DataFrame(np.asfortranarray(rows), copy=False),
        pd.DataFrame({"a": rows[:, 0], "b": rows[:, 1]}),
        pd.DataFrame(rows, columns=list("abc"), copy=False).assign(d=1.0),
        pd.DataFrame(rows.astype(np.float32), columns=list("abc"), copy=False),
        pd.DataFrame(rows, columns=list("abc"), copy=False).assign(text="x", d=1.0),
        pd.DataFrame(rows, columns=list("abc"), copy=False).iloc[:, 1:].assign(text="x"),
    ):
        found = there_and_back(Dataset(X=frame)).X
        pd.testing.assert_frame_equal(found, frame)
        assert found.to_numpy().strides == frame.to_numpy().strides
        assert found.take([2, 0]).to_numpy().strides == frame.take([2, 0]).to_numpy().strides
        numbers = [found.take([2, 0]).iloc[:, :2].to_numpy(), frame.take([2, 0]).iloc[:, :2].to_numpy()]
        assert numbers[0].strides == numbers[1].strides
