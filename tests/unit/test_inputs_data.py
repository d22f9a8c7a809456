"""X: what arrives exactly as it was sent, and what is refused."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from prepared import DAYS, ROW_LABELS, X, Y, ready, refuses, there_and_back

from producer.validation import frame_columns
from warren.storage.dataset import Dataset, dataset_parts, digest


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_keeps_dtype_and_memory_order(dtype: str, order: str):
    array = np.asarray(X % 2, dtype=dtype, order=order)
    found = there_and_back(ready(array)[0]).X
    assert found.dtype == array.dtype
    assert found.flags.c_contiguous == array.flags.c_contiguous
    assert np.array_equal(found, array)


@pytest.mark.parametrize(
    "values",
    [
        X.tolist(),
        X.astype(object),
        [[True, 2], [3, 4.5], [5, 6], [7, 8], [9, 10], [11, 12]],
        np.where(X > 3, X, np.nan),
        X[::-1],
        np.asfortranarray(X),
    ],
)
def test_what_holds_numbers_becomes_an_array_of_numbers(values):
    found = ready(values)[0].X
    assert found.dtype == np.float64
    assert np.array_equal(found, np.array(values, dtype=float), equal_nan=True)


@pytest.mark.parametrize(
    "documents", [["a b", "c"] * 3, np.array(["a b", "c"] * 3, dtype=object), pd.Series(["a"] * 6)]
)
def test_documents_travel_as_text(documents):
    found = there_and_back(ready(documents)[0]).X
    assert found.dtype.kind == "U"
    assert found.tolist() == list(documents)


@pytest.mark.parametrize("make", ["csr_matrix", "csr_array", "csc_matrix", "csc_array", "coo_array", "lil_matrix"])
def test_sparse_formats_become_csr_of_their_kind(make: str):
    matrix = getattr(scipy.sparse, make)(X)
    found = there_and_back(ready(matrix)[0]).X
    assert type(found).__name__ == ("csr_array" if make.endswith("array") else "csr_matrix")
    assert np.array_equal(found.toarray(), X)


FRAME = pd.DataFrame(
    {
        "float": [1.5, np.nan, 3, 4, 5, -0.0],
        "small": np.arange(6, dtype="int8"),
        "bool": [True, False] * 3,
        "text": ["a", "b", "ü", "", "b", "c"],
        "gaps": pd.Series(["a", np.nan, "c", "d", "e", "f"], dtype=object, index=ROW_LABELS),
        "nones": pd.Series(["a", None, "c", "d", "e", "f"], dtype=object, index=ROW_LABELS),
        "category": pd.Categorical(["x", None, "z", "x", "x", "z"], categories=["z", "x", "unused"], ordered=True),
        "coded": pd.Categorical([3, 1, 3, 1, None, 1]),
        "nullable": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
        "boolean": pd.array([True, None] * 3, dtype="boolean"),
        "string": pd.array(["a", None] * 3, dtype="string"),
        "python": pd.array(["a", None] * 3, dtype=pd.StringDtype("python", na_value=np.nan)),
        "half": np.arange(6, dtype="float16"),
    },
    index=ROW_LABELS,
)


def test_a_frame_travels_exactly():
    found = there_and_back(ready(FRAME)[0]).X
    pd.testing.assert_frame_equal(found.drop(columns="python"), FRAME.drop(columns="python"))
    assert found["python"].tolist()[::2] == ["a"] * 3
    assert found["gaps"].dtype == found["nones"].dtype == object
    assert np.isnan(found["gaps"].iloc[1])
    assert found["nones"].iloc[1] is None
    assert np.signbit(found["float"].iloc[5])


def test_notes_of_a_frame_are_no_data():
    noted = FRAME.copy()
    noted.attrs["source"] = object()
    assert digest(dataset_parts(ready(noted)[0])) == digest(dataset_parts(ready(FRAME)[0]))
    assert "source" in noted.attrs


@pytest.mark.parametrize(
    "columns", [[0, 1], [7, 3], np.array([5, 6], dtype=np.int32), pd.Index([np.int64(1), 2], dtype=object)]
)
def test_columns_named_by_numbers_stay_so(columns):
    found = there_and_back(ready(pd.DataFrame(X, columns=columns))[0]).X
    assert found.columns.tolist() == list(columns)


COLUMNS = {
    "days": DAYS,
    "seconds": pd.Series(DAYS).astype("datetime64[s]"),
    "no time": pd.Series([pd.Timestamp("2020"), pd.NaT] * 3),
    "in UTC": DAYS.tz_localize("UTC"),
    "in a zone": DAYS.tz_localize("Europe/Berlin"),
    "ahead": DAYS.tz_localize(timezone(timedelta(hours=2))),
    "spans": pd.to_timedelta(range(6), unit="s"),
    "months": pd.period_range("2020", periods=6, freq="M"),
    "intervals": pd.interval_range(0, 6),
    "intervals of days": pd.IntervalIndex.from_breaks(pd.date_range("2020", periods=7), closed="left"),
    "complex": np.arange(6) * 1j,
    "cut": pd.cut(pd.Series(range(6)), 2),
    "categories of days": pd.Categorical(DAYS),
    "categories in a zone": pd.Categorical(DAYS.tz_localize("Europe/Berlin"), ordered=True),
    "categories of months": pd.Categorical(pd.period_range("2020", periods=6, freq="M")),
    "categories of dates": pd.Categorical([date(2020, 1, 1), date(2021, 1, 1), None] * 2),
    "mixed categories": pd.Categorical(["a", 1] * 3),
    "categories of pairs": pd.Series(pd.Categorical([(1, "a"), (2, "b")] * 3)),
    "sparse": pd.arrays.SparseArray([0, 1] * 3),
    "sparse fractions": pd.arrays.SparseArray([np.nan, 1.5] * 3),
    "Arrow's text": pd.Series(["a", None] * 3, dtype=pd.ArrowDtype(pa.string())),
    "Arrow's dates": pd.Series([date(2020, 1, 1)] * 6, dtype=pd.ArrowDtype(pa.date32())),
    "Arrow's lists": pd.Series([[1], []] * 3, dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "Arrow's decimals": pd.Series([Decimal("1.5")] * 6, dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
    "dates": pd.Series([date(2020, 1, 1), None] * 3, dtype=object),
    "moments": pd.Series([datetime(2020, 1, 1, 2, 3, 4, 5), datetime(2020, 1, 1, tzinfo=UTC)] * 3, dtype=object),
    "moments of pandas": pd.Series([pd.Timestamp("2020-01-01", tz="Asia/Tokyo"), pd.NaT] * 3, dtype=object),
    "times": pd.Series([time(1, 2), timedelta(1), pd.Timedelta(1, "s")] * 2, dtype=object),
    "zones": pd.Series([datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))] * 6, dtype=object),
    "decimals": pd.Series([Decimal("1.50"), Decimal("NaN")] * 3, dtype=object),
    "bools and gaps": pd.Series([True, None] * 3, dtype=object),
    "text and numbers": pd.Series(["a", 1, 2.5, -(2**70), 1j, float("inf")], dtype=object),
    "marks": pd.Series(["a", None, np.nan, pd.NA, pd.NaT, "b"], dtype=object),
    "another mark": pd.Series(["a", pd.NA] * 3, dtype=object),
    "half a character": pd.Series(["\ud800", "a"] * 3, dtype=object),
    "bytes": pd.Series([b"\x00a", "a", b""] * 2, dtype=object),
    "scalars": pd.Series([np.float32(0.1), np.int8(1), np.str_("a"), np.bool_(True), np.datetime64("2020", "s"), 1]),
    "others": pd.Series([UUID(int=5), Fraction(1, 3), (1, (None, "a")), pd.Period("2020", "Y"), pd.Interval(0, 1), 1]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_kind_travels(name: str):
    frame = pd.DataFrame({"fine": range(6), "when": COLUMNS[name]})
    found = there_and_back(ready(frame)[0]).X
    pd.testing.assert_frame_equal(found, frame, check_exact=True, check_freq=True)
    assert found.dtypes.tolist() == frame.dtypes.tolist()
    if found["when"].dtype == object:
        assert [(type(one), repr(one)) for one in found["when"]] == [(type(one), repr(one)) for one in frame["when"]]


def test_columns_of_all_kinds_travel_together():
    frame = pd.DataFrame({name: pd.Series(column) for name, column in COLUMNS.items()}, index=range(6))
    assert len({digest(dataset_parts(ready(frame[[name]])[0])) for name in COLUMNS}) == len(COLUMNS)
    pd.testing.assert_frame_equal(there_and_back(ready(frame)[0]).X, frame, check_exact=True)


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            pd.Series([[1]] * 6),
            "column 'when' of X holds objects of type list, which can't be sent: use text, bytes, num",
        ),
        (pd.Series([{}] * 6), "type dict"),
        (pd.Series(["a", 1, np.arange(2)] * 2, dtype=object), r"type ndarray.*X\['when'\].astype\(str\)"),
        (pd.Series([Colour.RED] * 6, dtype=object), "type Colour"),
        (pd.Series([lambda: 0] * 6), "type function"),
        (pd.Series([(1, [])] * 6), "type list"),
        (pd.Categorical([frozenset()] * 6), "type frozenset"),
        (np.arange(6, dtype=np.longdouble), "column 'when' of X has dtype .*, which differs between machines"),
    ],
)
def test_a_column_of_objects_that_are_not_plain_is_named(values, message: str):
    refuses(message, X=pd.DataFrame({"fine": range(6), "when": values}))


INDEXES = [
    pd.RangeIndex(5, 17, 2),
    pd.RangeIndex(6, name="row"),
    pd.Index([3, 1, 2, 2, 0, 9]),
    pd.Index(ROW_LABELS, name="label"),
    pd.Index(ROW_LABELS, dtype=object),
    pd.Index([1.5, np.nan, 2, 3, 4, 5]),
    pd.Index([1, None, 2, 3, 4, 5], dtype="Int64"),
    pd.Index(["a", 1, None, date(2020, 1, 1), (1, 2), b"x"]),
    DAYS,
    pd.date_range("2020", periods=6, freq="B", tz="Europe/Berlin", name=("when", 1)),
    pd.period_range("2020", periods=6, freq="M"),
    pd.interval_range(0, 6),
    pd.to_timedelta(range(6), unit="h"),
    pd.CategoricalIndex(list("abcabc"), ordered=True),
    pd.MultiIndex.from_product([["a", "b"], DAYS[:3]], names=["x", None]),
]


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: type(index).__name__)
def test_row_labels_travel(index: pd.Index):
    frame, y = pd.DataFrame(X, columns=["a", "b"], index=index), pd.Series(Y, index=index, name="label")
    found = there_and_back(ready(frame, y)[0])
    pd.testing.assert_frame_equal(found.X, frame)
    pd.testing.assert_series_equal(found.y, y)
    assert type(found.X.index) is type(index)


def test_row_labels_that_are_not_plain_are_refused():
    refuses(r"X has row labels, .* type object, which can't be sent: X.reset", X=pd.DataFrame(X, index=[object()] * 6))
    refuses(r"y has row labels", y=pd.Series(Y, index=pd.Index(range(6), name=frozenset())))
    refuses(r"y has a name of type frozenset, .*: y.rename", y=pd.Series(Y, name=frozenset()))


@pytest.mark.parametrize(
    "array",
    [
        np.array([["a", 1], ["b", None]] * 3, dtype=object),
        np.array([[date(2020, 1, 1), b"x"], [1.5, np.nan]] * 3, dtype=object),
        X.astype("datetime64[s]"),
        X.astype("timedelta64[m]"),
        X * 1j,
        np.array([[b"a", b"bc"]] * 6),
    ],
    ids=lambda array: str(array.dtype),
)
def test_an_array_of_any_kind_travels(array):
    found = there_and_back(ready(array)[0]).X
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert repr(found) == repr(array)


def test_a_type_that_would_arrive_as_another_is_refused(monkeypatch):
    monkeypatch.setattr(frame_columns, "read_dataset", lambda _: Dataset(X=FRAME.astype({"small": "int64"}).iloc[:1]))
    refuses(r"column 'small' of X has dtype dtype\('int8'\), which would arrive as dtype\('int64'\)", X=FRAME)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["a", "a"], "several columns named 'a'"),
        ([("a", 1), ("a", 2)], r"columns named \('a', 1\)"),
        ([1.5, "a"], "columns named 1.5"),
        ([True, False], "columns named True, False"),
        ([1, "a"], "mixes text and integers"),
    ],
)
def test_names_of_columns_are_text_or_integers_each_its_own(columns, message: str):
    frame = pd.DataFrame(X)
    frame.columns = pd.Index(columns, tupleize_cols=False)
    refuses(message, X=frame)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (X.astype(np.longdouble), "dtype .*float.*: pass numbers"),
        (np.array([["a", []]] * 6, dtype=object), "column 1 of X holds objects of type list"),
        (np.array([[["a", 1]]] * 6, dtype=object), "X is an array of dtype object: pass numbers"),
        ([["a", 1]] * 6, "X mixes int, str"),
        ([[1], [1, 2]], "X is not an array"),
        (np.arange(6.0), r"X has 1 dimension\(s\)"),
        (pd.Series(range(6)), r"X has 1 dimension\(s\)"),
        (np.zeros((6, 2, 2)), r"X has 3 dimension\(s\)"),
        (3, r"X has 0 dimension\(s\)"),
        (np.zeros((0, 2)), "X has no rows"),
        (np.zeros((6, 0)), "X has no columns"),
        (pd.DataFrame(index=range(6)), "X has no columns"),
        (FRAME.iloc[:0], "X has no rows"),
        (scipy.sparse.csr_matrix(X.astype(np.longdouble)), "sparse with dtype .*float"),
        (scipy.sparse.coo_array(np.arange(6.0)), r"sparse with 1 dimension"),
        (np.ma.masked_less(X, 3), r"X is a masked array: pass X.filled"),
        (X[:5], "lengths differ: X 5, y 6"),
    ],
)
def test_an_x_that_can_not_be_used_is_refused(values, message: str):
    refuses(message, X=values)


def test_frames_of_other_libraries_are_sent_through_pandas():
    class Frame:
        def to_pandas(self):
            raise AssertionError

    refuses(r"pass X.to_pandas\(\)", X=Frame())
