"""Data: what travels exactly, and what is refused."""

import io
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
from catboost import CatBoostClassifier
from lightgbm import LGBMRanker
from sklearn.cluster import KMeans
from sklearn.feature_selection import RFE
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from producer.space.space import Space
from producer.validation import check_estimators, frame_columns, prepare
from warren.errors import InputError
from warren.storage.dataset import Dataset, dataset_parts, digest, read_dataset, write_parts

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 1, 0, 1, 0, 1])


def ready(X=X, y=Y, model=None, **more):
    candidates = check_estimators(LogisticRegression() if model is None else model, Space([{}]))
    return prepare(X, y, candidates=candidates, **more)


def refuses(message: str, **more) -> None:
    with pytest.raises(InputError, match=message):
        ready(**more)


def there_and_back(dataset: Dataset) -> Dataset:
    stream = io.BytesIO()
    write_parts(dataset_parts(dataset), stream)
    return read_dataset(stream.getvalue())


# ---------------------------------------------------------------------------------- X


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


LABELS = list("fedcba")
FRAME = pd.DataFrame(
    {
        "float": [1.5, np.nan, 3, 4, 5, -0.0],
        "small": np.arange(6, dtype="int8"),
        "bool": [True, False] * 3,
        "text": ["a", "b", "ü", "", "b", "c"],
        "gaps": pd.Series(["a", np.nan, "c", "d", "e", "f"], dtype=object, index=LABELS),
        "nones": pd.Series(["a", None, "c", "d", "e", "f"], dtype=object, index=LABELS),
        "category": pd.Categorical(["x", None, "z", "x", "x", "z"], categories=["z", "x", "unused"], ordered=True),
        "coded": pd.Categorical([3, 1, 3, 1, None, 1]),
        "nullable": pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
        "boolean": pd.array([True, None] * 3, dtype="boolean"),
        "string": pd.array(["a", None] * 3, dtype="string"),
        "python": pd.array(["a", None] * 3, dtype=pd.StringDtype("python", na_value=np.nan)),
        "half": np.arange(6, dtype="float16"),
    },
    index=LABELS,
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


DAYS = pd.date_range("2020", periods=6)
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
    pd.Index(LABELS, name="label"),
    pd.Index(LABELS, dtype=object),
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


# ---------------------------------------------------------------------------------- y


TEXT = ["a", "bc"] * 3
# A classifier that takes numbers as objects, too.
ANY_LABELS = CatBoostClassifier()
LABELLED = {
    "array": Y,
    "list": Y.tolist(),
    "list of text": TEXT,
    "list of lists": Y.reshape(-1, 1).tolist(),
    "bools": Y.astype(bool),
    "bytes": Y.astype("int8"),
    "floats": Y.astype(float),
    "objects": Y.astype(object),
    "column": Y.reshape(-1, 1),
    "columns": np.column_stack([Y, 1 - Y]),
    "series": pd.Series(Y, index=list("abcdef"), name="label"),
    "series of Int64": pd.Series(Y, dtype="Int64", name=("a", 1)),
    "series of categories": pd.Series(pd.Categorical(TEXT, ["bc", "c", "a"], ordered=True)),
    "series of text": pd.Series(TEXT),
    "series of objects": pd.Series(TEXT, dtype=object),
    "series of strings": pd.Series(TEXT, dtype="string"),
    "array of text": np.array(TEXT),
    "objects of text": np.array(TEXT, dtype=object),
    "column of objects": np.array(TEXT, dtype=object).reshape(-1, 1),
    "categories": pd.Categorical(TEXT),
    "pandas' array": pd.array(Y, dtype="Int8"),
    "frame": pd.DataFrame({"y": Y}, index=DAYS),
    "frame of two": pd.DataFrame({"y": Y, "z": 1 - Y}),
    "frame of categories": pd.DataFrame({0: pd.Categorical(TEXT)}),
}


@pytest.mark.parametrize("name", LABELLED)
def test_labels_arrive_as_they_were_sent(name: str):
    y = LABELLED[name]
    found = there_and_back(ready(y=y, model=ANY_LABELS)[0]).y
    assert type(found) is type(y)
    if isinstance(y, pd.DataFrame):
        pd.testing.assert_frame_equal(found, y)
    elif isinstance(y, pd.Series):
        pd.testing.assert_series_equal(found, y)
    else:
        assert repr(found) == repr(y)
        assert getattr(found, "dtype", None) == getattr(y, "dtype", None)


def test_labels_are_an_array_for_splits_and_counts():
    for y in LABELLED.values():
        target = ready(y=y, model=ANY_LABELS).y
        assert target.dtype.kind in "biufU"
        assert target.ravel().tolist() == np.asarray(y).ravel().tolist()


def test_texts_of_variable_width_arrive_as_one_width():
    found = there_and_back(ready(y=np.array(TEXT, dtype=np.dtypes.StringDType()))[0]).y
    assert (found.dtype, found.tolist()) == (np.dtype("<U2"), TEXT)


def values(X, y):
    prepared = ready(X, y, ANY_LABELS)
    parts = dataset_parts(prepared.dataset)
    return prepared.values_digest(parts) or digest(parts)


def test_rows_that_are_numbered_and_the_container_of_labels_make_no_other_study():
    bare = pd.DataFrame(X, columns=["a", "b"])
    shuffled = bare.set_axis([3, 1, 2, 5, 4, 0])
    days = bare.set_axis(DAYS)
    assert values(bare, Y) == values(shuffled, Y) == values(shuffled, pd.Series(Y, index=shuffled.index))
    same = [Y, Y.tolist(), pd.Series(Y), pd.Series(Y, index=[3, 1, 2, 5, 4, 0], name="label")]
    assert {values(shuffled, y) for y in same} == {digest(dataset_parts(Dataset(X=bare, y=Y)))}
    text = [np.array(TEXT), TEXT, pd.Series(TEXT), pd.Series(TEXT, dtype=object), np.array(TEXT, dtype=object)]
    assert {values(X, y) for y in text} == {digest(dataset_parts(Dataset(X=X, y=np.array(TEXT))))}
    others = [Y, Y.reshape(-1, 1), pd.DataFrame({"y": Y}), pd.DataFrame({"z": Y}), pd.Series(Y, dtype="category")]
    others += [Y.astype(object), pd.Series(Y, dtype="Int64"), pd.Series(Y, index=DAYS), Y.astype("int8")]
    assert len({values(X, y) for y in others}) == len(others)
    assert len({values(one, Y) for one in (bare, days, bare.set_axis(LABELS))}) == 3
    assert values(days, pd.Series(Y, index=DAYS)) == values(days, Y)
    assert values(bare.rename_axis(columns="what"), Y) == values(bare, Y)


def test_what_the_names_of_columns_are_called_travels():
    frame = pd.DataFrame(X, columns=pd.Index(["a", "b"], name="what"))
    y = pd.DataFrame(Y, columns=pd.Index(["y"], name=("label", 1)))
    found = there_and_back(ready(frame, y)[0])
    pd.testing.assert_frame_equal(found.X, frame)
    pd.testing.assert_frame_equal(found.y, y)
    refuses(
        "row of X's column names has a name of type frozenset",
        X=pd.DataFrame(X, columns=pd.Index(["a", "b"], name=frozenset())),
    )


def test_several_outputs_travel():
    both = np.column_stack([Y, Y * 2.5])
    assert there_and_back(ready(y=both, model=Ridge())[0]).y.tolist() == both.tolist()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, np.nan, 1, np.nan, 1], r"y has 2 missing value\(s\) \(NaN or None\) among 6: drop those rows"),
        ([0, 1, None, 1, 0, 1], "y has 1 missing"),
        (["a", "b", None] * 2, "y has 2 missing"),
        (pd.Series(["a", None] * 3), "y has 3 missing"),
        (pd.Series([1, None] * 3, dtype="Int64"), "y has 3 missing"),
        (pd.Categorical(["a", None] * 3), "y has 3 missing"),
        ([0, 1, np.inf, 1, 0, -np.inf], r"y has 2 infinite value\(s\)"),
        ([0, 1, "a", 1, 0, 1], "y mixes int, str"),
        (np.array([0, 1, "a", 1, 0, 1], dtype=object), "y mixes or holds int, str"),
        (pd.DataFrame({("a", 1): Y}), r"y has columns named \('a', 1\)"),
        (["a", np.nan] * 3, "y mixes float, str"),
        (np.arange(6).astype("datetime64[s]"), "y has dtype datetime64"),
        (Y * 1j, "y has dtype complex128"),
        (np.array([b"a", b"b"] * 3), "y has dtype .S1"),
        (Y.reshape(1, 6, 1), r"y has shape \(1, 6, 1\)"),
        (np.zeros((6, 0)), r"y has shape \(6, 0\)"),
        (5, "y=5: pass a list"),
        ("abcdef", "y='abcdef': pass a list"),
        (scipy.sparse.csr_matrix(Y), "y is sparse"),
        (Y[:5], "lengths differ: X 6, y 5; each needs one entry per row of X"),
        ([1] * 6, "y has only one class, 1: a classifier needs at least two"),
        (["no"] * 6, "y has only one class, 'no'"),
        (np.linspace(0, 1, 6) + 0.1, "y holds fractions, such as 0.1: LogisticRegression is a classifier"),
        (np.arange(6) + 1.7e9 + 0.5, "y holds fractions, such as 1700000000.5"),
        (Y.astype(object), r"y has dtype object and holds numbers, such as 0: LogisticRegression.*y.astype\(int64\)"),
        (pd.Series(Y.astype(bool), dtype=object), r"holds numbers, such as False: .*y.astype\(bool\)"),
        (None, "y=None: LogisticRegression can't be fitted without y"),
    ],
)
def test_a_y_that_can_not_be_used_is_refused(y, message: str):
    refuses(message, y=y)


def test_numbers_as_objects_are_labels_to_those_who_take_them():
    labels = Y.astype(object)
    for model in (ANY_LABELS, RFE(ANY_LABELS), make_pipeline(StandardScaler(), ANY_LABELS), Ridge()):
        assert ready(y=labels, model=model).dataset.y.dtype == object
    refuses("RFE does not accept these as labels", y=labels, model=RFE(LogisticRegression()))


def test_a_regressor_needs_numbers():
    refuses("y holds text, such as 'a': Ridge is a regressor", y=["a", "b"] * 3, model=Ridge())
    assert ready(y=[1.5] * 6, model=Ridge())[0].y == [1.5] * 6


@pytest.mark.parametrize("model", [KMeans(), LGBMRanker()])
def test_y_may_be_left_out_where_none_is_needed(model):
    assert ready(y=None, model=model)[0].y is None


def test_xgboost_takes_only_classes_that_count_from_zero():
    refuses(
        "y has the classes 'a', 'b': XGBClassifier accepts only 0 to 1.*LabelEncoder",
        y=["a", "b"] * 3,
        model=XGBClassifier(),
    )
    refuses("y has the classes 1, 2: XGBClassifier accepts only 0 to 1", y=Y + 1, model=XGBClassifier())
    for y in (Y, Y.astype(bool), Y.astype(float)):
        ready(y=y, model=XGBClassifier())


def test_catboost_may_have_probabilities_for_classes():
    ready(y=np.linspace(0, 1, 6), model=CatBoostClassifier(loss_function="CrossEntropy"))


# ------------------------------------------------------------------- weights and groups


@pytest.mark.parametrize(
    ("weights", "dtype"),
    [([1, 2, 3, 4, 5, 0], "float64"), (np.ones(6, "float32"), "float32"), (pd.Series([0.5] * 6), "float64")],
)
def test_weights_are_floats(weights, dtype: str):
    found = there_and_back(ready(sample_weight=weights)[0]).sample_weight
    assert found is not None
    assert found.dtype == dtype
    assert found.tolist() == list(weights)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1] * 5, "lengths differ: X 6, y 6, sample_weight 5"),
        ([1, 1, 1, 1, 1, -2], r"sample_weight has 1 negative value\(s\), the least is -2.0"),
        ([1, 1, 1, 1, 1, np.nan], "sample_weight has 1 missing"),
        ([1, 1, 1, 1, 1, np.inf], "sample_weight has 1 infinite"),
        ([0] * 6, "sample_weight is 0 in every row"),
        (["a"] * 6, "sample_weight holds text"),
        (np.ones((6, 1)), r"sample_weight has shape \(6, 1\)"),
        (1.0, "sample_weight=1.0: pass a list"),
    ],
)
def test_weights_that_can_not_weigh_are_refused(weights, message: str):
    refuses(message, sample_weight=weights)


def test_weights_for_an_estimator_that_takes_none_are_refused():
    refuses("KNeighborsClassifier.fit accepts none", sample_weight=np.ones(6), model=KNeighborsClassifier())


@pytest.mark.parametrize("groups", [[1, 1, 2, 2, 3, 3], ["a", "b", "c"] * 2, pd.Series(["a", "b", "c"] * 2)])
def test_groups_are_labels(groups):
    found = ready(groups=groups).groups
    assert found is not None
    assert found.dtype != object
    assert found.tolist() == list(groups)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1], "lengths differ: X 6, y 6, groups 1"),
        ([1, None] * 3, "groups has 3 missing"),
        (np.ones((6, 2)), "groups has shape"),
    ],
)
def test_groups_that_can_not_group_are_refused(groups, message: str):
    refuses(message, groups=groups)
