"""Labels, weights and groups: what arrives exactly as it was sent, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from catboost import CatBoostClassifier
from lightgbm import LGBMRanker
from prepared import DAYS, ROW_LABELS, X, Y, ready, refuses, there_and_back
from sklearn.cluster import KMeans
from sklearn.feature_selection import RFE
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from warren.storage.dataset import Dataset, dataset_parts, digest

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


def test_numbered_rows_and_the_type_of_y_change_no_study_id():
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
    assert len({values(one, Y) for one in (bare, days, bare.set_axis(ROW_LABELS))}) == 3
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
