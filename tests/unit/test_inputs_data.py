"""Data: what travels exactly, and what is refused."""

import io
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from catboost import CatBoostClassifier
from lightgbm import LGBMRanker
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from xgboost import XGBClassifier

from producer.inputs import check_estimators, data, prepare
from producer.space import Space
from tuning.dataset import Dataset, dataset_parts, digest, read_dataset, write_parts
from tuning.errors import InputError

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
    expected = FRAME.reset_index(drop=True)
    pd.testing.assert_frame_equal(found.drop(columns="python"), expected.drop(columns="python"))
    assert found["python"].tolist()[::2] == ["a"] * 3
    assert found["gaps"].dtype == found["nones"].dtype == object
    assert np.isnan(found["gaps"][1])
    assert found["nones"][1] is None
    assert np.signbit(found["float"][5])


def test_row_labels_and_notes_of_a_frame_are_no_data():
    noted = FRAME.reset_index(drop=True)
    noted.attrs["source"] = object()
    assert digest(dataset_parts(ready(noted)[0])) == digest(dataset_parts(ready(FRAME)[0]))
    assert "source" in noted.attrs
    assert FRAME.index.tolist() == LABELS


@pytest.mark.parametrize(
    "columns", [[0, 1], [7, 3], np.array([5, 6], dtype=np.int32), pd.Index([np.int64(1), 2], dtype=object)]
)
def test_columns_named_by_numbers_stay_so(columns):
    found = there_and_back(ready(pd.DataFrame(X, columns=columns))[0]).X
    assert found.columns.tolist() == list(columns)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pd.date_range("2020", periods=6), "column 'when' of X holds datetime64.*dt.year"),
        (pd.date_range("2020", periods=6, tz="UTC"), "column 'when' of X holds datetime64"),
        (pd.to_timedelta(range(6), unit="s"), "holds timedelta64"),
        (pd.period_range("2020", periods=6, freq="M"), r"holds period\[M\]"),
        (pd.interval_range(0, 6), "holds interval"),
        (np.arange(6) * 1j, "has dtype complex128"),
        (np.arange(6, dtype=np.longdouble), "column 'when' of X has dtype"),
        (
            pd.Series(["a"] * 6, dtype=pd.ArrowDtype(pa.string())),
            r"has dtype string\[pyarrow\]: make .*astype\('str'\)",
        ),
        (pd.cut(pd.Series(range(6)), 2), "has categories of type Interval.*rename_categories"),
        (pd.Categorical(pd.date_range("2020", periods=6)), "has categories of type Timestamp"),
        (pd.Categorical(["a", 1] * 3), "has categories of type int, str"),
        (pd.arrays.SparseArray([0, 1] * 3), "is sparse"),
        (pd.Series([[1]] * 6), "of dtype object and holds list"),
        (pd.Series([{}] * 6), "holds dict"),
        (pd.Series([date(2020, 1, 1)] * 6, dtype=object), "holds date"),
        (pd.Series([datetime(2020, 1, 1)] * 6, dtype=object), "holds datetime"),
        (pd.Series([Decimal(1)] * 6), "holds Decimal"),
        (pd.Series([True, None] * 3, dtype=object), r"holds bool.*X\['when'\].astype"),
        (pd.Series(["a", 1] * 3, dtype=object), "holds int, str"),
        (pd.Series(["a", None, np.nan] * 2, dtype=object), "marks missing values as NaN and None"),
        (pd.Series(["a", pd.NA] * 3, dtype=object), "marks missing values as <NA>"),
        (pd.Series(["\ud800"] * 6, dtype=object), "no Unicode"),
    ],
)
def test_a_column_that_no_estimator_takes_or_that_would_change_is_named(values, message: str):
    refuses(message, X=pd.DataFrame({"fine": range(6), "when": values}))


def test_a_type_that_would_arrive_as_another_is_refused(monkeypatch):
    monkeypatch.setattr(data, "read_dataset", lambda _: Dataset(X=FRAME.astype({"small": "int64"}).iloc[:1]))
    refuses(r"column 'small' of X has dtype dtype\('int8'\), which would arrive as dtype\('int64'\)", X=FRAME)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["a", "a"], "several columns named 'a'"),
        ([("a", 1), ("a", 2)], r"columns named \('a', 1\)"),
        ([1.5, "a"], "columns named 1.5"),
        ([True, False], "columns named True, False"),
        ([1, "a"], "text and others that are integers"),
    ],
)
def test_names_of_columns_are_text_or_integers_each_its_own(columns, message: str):
    frame = pd.DataFrame(X)
    frame.columns = pd.Index(columns, tupleize_cols=False)
    refuses(message, X=frame)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (X * 1j, "dtype complex128"),
        (X.astype("datetime64[s]"), "dtype datetime64"),
        (X.astype(np.longdouble), "dtype .*float.*: pass real numbers"),
        (np.array([["a", 1]] * 6, dtype=object), "dtype object: pass X.astype"),
        (np.array([[None, 1]] * 6, dtype=object), "dtype object"),
        ([["a", 1]] * 6, "X mixes int, str"),
        ([[1], [1, 2]], "X is no array"),
        (np.arange(6.0), r"X has 1 dimension\(s\)"),
        (pd.Series(range(6)), r"X has 1 dimension\(s\)"),
        (np.zeros((6, 2, 2)), r"X has 3 dimension\(s\)"),
        (3, r"X has 0 dimension\(s\)"),
        (np.zeros((0, 2)), "X has no rows"),
        (np.zeros((6, 0)), "X has no columns"),
        (pd.DataFrame(index=range(6)), "X has no columns"),
        (FRAME.iloc[:0], "X has no rows"),
        (scipy.sparse.csr_matrix(X * 1j), "sparse with dtype complex128"),
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


@pytest.mark.parametrize(
    ("y", "dtype"),
    [
        (Y, "int64"),
        (Y.tolist(), "int64"),
        (Y.astype(bool), "bool"),
        (Y.astype("int8"), "int8"),
        (Y.astype(object), "int64"),
        (Y.astype(float), "float64"),
        (pd.Series(Y, index=list("abcdef")), "int64"),
        (pd.Series(Y, dtype="Int64"), "int64"),
        (pd.Series(Y, dtype="category"), "int64"),
        (["a", "bc"] * 3, "<U2"),
        (np.array(["a", "bc"] * 3, dtype=object), "<U2"),
        (pd.Series(["a", "bc"] * 3), "<U2"),
        (pd.Series(["a", "bc"] * 3, dtype="string"), "<U2"),
        (pd.Categorical(["a", "bc"] * 3), "<U2"),
        (pd.DataFrame({"y": Y}), "int64"),
        (np.array(["a", "bc"] * 3, dtype=np.dtypes.StringDType()), "<U2"),
    ],
)
def test_labels_and_numbers_travel_without_objects(y, dtype: str):
    found = there_and_back(ready(y=y)[0]).y
    assert found is not None
    assert found.dtype == np.dtype(dtype)
    assert found.ravel().tolist() == np.asarray(y).ravel().tolist()


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
        (["a", np.nan] * 3, "y mixes float, str"),
        (np.arange(6).astype("datetime64[s]"), "y has dtype datetime64"),
        (Y * 1j, "y has dtype complex128"),
        (np.array([b"a", b"b"] * 3), "y has dtype .S1"),
        (Y.reshape(1, 6, 1), r"y has shape \(1, 6, 1\)"),
        (np.zeros((6, 0)), r"y has shape \(6, 0\)"),
        (5, "y=5: pass a list"),
        ("abcdef", "y='abcdef': pass a list"),
        (scipy.sparse.csr_matrix(Y), "y is sparse"),
        (Y[:5], "lengths differ: X 6, y 5; each needs one entry a row of X"),
        ([1] * 6, "y has one class only, 1: a classifier needs at least two"),
        (["no"] * 6, "y has one class only, 'no'"),
        (np.linspace(0, 1, 6) + 0.1, "y holds fractions, 0.1 for one: LogisticRegression is a classifier"),
        (np.arange(6) + 1.7e9 + 0.5, "y holds fractions, 1700000000.5 for one"),
        (None, "y=None: LogisticRegression can't be fitted without y"),
    ],
)
def test_a_y_that_can_not_be_used_is_refused(y, message: str):
    refuses(message, y=y)


def test_a_regressor_needs_numbers():
    refuses("y holds text, 'a' for one: Ridge is a regressor", y=["a", "b"] * 3, model=Ridge())
    assert ready(y=[1.5] * 6, model=Ridge())[0].y.tolist() == [1.5] * 6


@pytest.mark.parametrize("model", [KMeans(), LGBMRanker()])
def test_y_may_be_left_out_where_none_is_needed(model):
    assert ready(y=None, model=model)[0].y is None


def test_xgboost_takes_only_classes_that_count_from_zero():
    refuses(
        "y has the classes 'a', 'b': XGBClassifier takes only 0 to 1.*LabelEncoder",
        y=["a", "b"] * 3,
        model=XGBClassifier(),
    )
    refuses("y has the classes 1, 2: XGBClassifier takes only 0 to 1", y=Y + 1, model=XGBClassifier())
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
        ([1, 1, 1, 1, 1, -2], r"sample_weight has 1 negative value\(s\), -2.0 the least"),
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
    refuses("KNeighborsClassifier.fit takes none", sample_weight=np.ones(6), model=KNeighborsClassifier())


@pytest.mark.parametrize("groups", [[1, 1, 2, 2, 3, 3], ["a", "b", "c"] * 2, pd.Series(["a", "b", "c"] * 2)])
def test_groups_are_labels(groups):
    found = ready(groups=groups)[1]
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
