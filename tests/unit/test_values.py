"""What the steps of pipelines hold besides numbers and text: sent and read again, and what
is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import VotingClassifier
from sklearn.feature_selection import SelectKBest, chi2, f_classif, mutual_info_classif, r_regression
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, CompoundKernel, Exponentiation, Matern, Product, Sum, WhiteKernel
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from producer.space.space import Space
from producer.validation import check_estimators
from warren.encoding.codec import decode, encode, encode_estimator, readable
from warren.errors import InputError
from warren.safety.allowlist import resolve
from warren.safety.parameter_checks import check_estimator, check_value


def there_and_back(value: Any) -> Any:
    encoded = json.loads(json.dumps(encode(value, "value"), allow_nan=False))
    check_value(encoded, "value")
    back = decode(encoded)
    assert encode(back, "value") == encoded
    return back


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (np.log1p, "numpy.log1p"),
        (np.abs, "numpy.absolute"),
        (np.nan_to_num, "numpy.nan_to_num"),
        (np.median, "numpy.median"),
        (scipy.special.expit, "scipy.special.expit"),
        (chi2, "sklearn.feature_selection.chi2"),
        (f_classif, "sklearn.feature_selection.f_classif"),
        (mutual_info_classif, "sklearn.feature_selection.mutual_info_classif"),
        (r_regression, "sklearn.feature_selection.r_regression"),
    ],
)
def test_a_function_travels_by_its_name(function: Any, name: str) -> None:
    assert encode(function, "value") == {"__function__": name}
    assert there_and_back(function) is function
    assert readable({"__function__": name}) == name


def test_every_ufunc_has_a_name_that_leads_back() -> None:
    for module in (np, scipy.special):
        for name, found in vars(module).items():
            if isinstance(found, np.ufunc) and not name.startswith("_"):
                assert there_and_back(found) is found


OWN = np.frompyfunc(lambda value: value, 1, 1)


@pytest.mark.parametrize("function", [lambda value: value, len, np.load, np.save, np.vectorize(abs), OWN, print])
def test_a_function_that_is_not_on_the_list_is_refused_with_the_way_out(function: Any) -> None:
    with pytest.raises(
        InputError, match=r"^estimator: FunctionTransformer\(func=\.\.\.\) = .*WARREN_ALLOW|can't be sent"
    ):
        encode_estimator(FunctionTransformer(function), "estimator")


def test_a_function_may_not_stand_where_text_is_cut() -> None:
    with pytest.raises(InputError, match="'tokenizer' is called"):
        check_estimator(
            {
                "__estimator__": "sklearn.feature_extraction.text.TfidfVectorizer",
                "params": {"tokenizer": {"__function__": "numpy.log1p"}},
            },
            "estimator",
        )


@pytest.mark.parametrize(
    "value",
    [
        np.array([1, 2, 3]),
        np.array([0.1, np.nan, -np.inf]),
        np.array([0.1, 0.2], dtype=np.float32),
        np.array([True, False]),
        np.array(["a", "bc"]),
        np.array(["a", "bc"], dtype=object),
        np.array([], dtype=np.int8),
        np.array([2**64 - 1], dtype=np.uint64)[:0],
    ],
    ids=repr,
)
def test_an_array_comes_back_as_it_was(value: Any) -> None:
    back = there_and_back(value)
    assert (type(back), back.dtype, back.shape) == (type(value), value.dtype, value.shape)
    np.testing.assert_array_equal(back, value)
    np.testing.assert_array_equal(readable(encode(value, "value")), value.tolist())


def test_one_long_text_does_not_make_an_array_take_the_memory_of_a_worker() -> None:
    """Every item takes as much as the longest: a message of a megabyte would be an array
    of gigabytes."""
    bomb = {"__array__": ["str", ["x" * 10_000, *["y"] * 10_000]]}
    with pytest.raises(InputError, match="far too long"):
        decode(bomb)
    with pytest.raises(InputError, match="far too long"):
        check_value(bomb, "value")
    names = np.array([*(f"a name {number}" for number in range(100)), "one that is quite long " * 10])
    np.testing.assert_array_equal(there_and_back(names), names)


@pytest.mark.parametrize("value", [pd.Index(["a", "b"]), pd.Index([3, 1]), pd.DataFrame({"x": [1], "y": [2]}).columns])
def test_names_of_columns_come_back_as_they_were(value: Any) -> None:
    assert there_and_back(value).equals(value)


@pytest.mark.parametrize(
    "value", [slice(0, 5), slice(None, -1, 2), slice("a", "c"), slice(np.int64(1), None)], ids=repr
)
def test_a_slice_comes_back_as_it_was(value: Any) -> None:
    assert there_and_back(value) == value
    assert readable(encode(value, "value")).startswith("slice(")


@pytest.mark.parametrize(
    "value",
    [
        *(np.float32, np.int8, np.bool_, np.object_, np.number, np.floating, float, int, bool, object, str),
        *map(np.dtype, ("float32", "uint8", "bool", "object")),
    ],
    ids=repr,
)
def test_a_type_comes_back_as_it_was(value: Any) -> None:
    back = there_and_back(value)
    assert type(back) is type(value)
    assert back is value or back == value


@pytest.mark.parametrize(
    "value", [bytes, dict, np.datetime64, np.dtype("M8[s]"), np.dtype([("a", int)]), np.dtype(">i4"), type]
)
def test_another_type_does_not_travel(value: Any) -> None:
    with pytest.raises(InputError, match="can't be sent"):
        encode(value, "value")


@pytest.mark.parametrize(
    "fields",
    [
        {"pattern": "^a"},
        {"dtype_include": np.number},
        {"dtype_include": [object, "category", "str"], "dtype_exclude": np.dtype("float64")},
        {"dtype_include": (np.float64,)},
        {},
    ],
)
def test_a_selector_of_columns_chooses_as_before(fields: dict[str, Any]) -> None:
    frame = pd.DataFrame({"a": [1], "b": [0.5], "c": ["x"], "ad": pd.Series(["y"], dtype="category")})
    selector = make_column_selector(**fields)
    back = there_and_back(selector)
    assert type(back) is make_column_selector
    assert back(frame) == selector(frame)
    assert readable(encode(selector, "value")).startswith("make_column_selector(")


@pytest.mark.parametrize(
    "name",
    [
        *("number", "object", "category", "string", "boolean", "Int64", "datetime", "datetimetz", "timedelta64[ns]"),
        *("datetime64", "datetime64[ns]", "datetime64[ns, UTC]", "datetime64[ns, Europe/Berlin]", "string[pyarrow]"),
        *("datetime64[ns, America/Argentina/Buenos_Aires]", "datetime64[us, UTC+01:00]", "Sparse[float64, 0]", "<f8"),
        *("period[D]", "interval[int64, right]", "timestamp[ns][pyarrow]"),
    ],
)
def test_a_selector_by_the_name_of_a_dtype_travels(name: str) -> None:
    back = there_and_back(make_column_selector(dtype_include=name, dtype_exclude=[name]))
    assert (back.dtype_include, back.dtype_exclude) == (name, [name])


def test_a_selector_of_one_s_own_does_not_travel() -> None:
    class Own(make_column_selector):
        pass

    with pytest.raises(InputError, match="a callable can't be sent"):
        encode(Own(), "value")


def test_what_set_output_said_travels() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("clf", LogisticRegression())]).set_output(transform="pandas")
    columns = ColumnTransformer([("scale", StandardScaler(), slice(0, 2)), ("rest", "passthrough", [2])])
    columns.set_output(transform="pandas").transformers[0][1].set_output(transform="default")
    for estimator in (pipeline, columns):
        back = there_and_back(estimator)
        check_estimator(encode(estimator, "estimator"), "estimator")
        frame = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 3)), columns=list("abc"))
        if estimator is columns:
            pd.testing.assert_frame_equal(back.fit_transform(frame), clone(estimator).fit_transform(frame))
        else:
            assert back[0]._sklearn_output_config == {"transform": "pandas"}
    assert readable(encode(StandardScaler().set_output(transform="pandas"), "value")).endswith(
        ").set_output(transform='pandas')"
    )


def test_an_output_that_nobody_knows_is_refused() -> None:
    scaler = StandardScaler()
    scaler._sklearn_output_config = {"transform": "spark"}
    with pytest.raises(InputError, match=r"StandardScaler.set_output\(.*spark.*use transform= one of default, pandas"):
        encode(scaler, "estimator")


KERNELS = [
    RBF(2.0),
    1.0 * RBF(np.array([1.0, 2.0])) + WhiteKernel(noise_level_bounds=(1e-5, np.inf)),
    Exponentiation(Matern(nu=np.inf), 2),
    CompoundKernel([RBF(), Matern()]),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_a_kernel_comes_back_as_it_was(kernel: Any) -> None:
    process = there_and_back(GaussianProcessRegressor(kernel=kernel))
    assert process.kernel == kernel


def test_a_kernel_is_no_estimator_of_a_study() -> None:
    with pytest.raises(InputError, match="is not an estimator"):
        check_estimators(RBF(), Space([{}]))
    for cls in (RBF, Sum, Product):
        name = f"sklearn.gaussian_process.kernels.{cls.__name__}"
        assert resolve(name, inner=True) is cls
        with pytest.raises(InputError, match="is a kernel: it is a parameter of a Gaussian process, not an estimator"):
            resolve(name)


def test_steps_as_values_travel_with_all_that_they_hold() -> None:
    pipeline = Pipeline([("scale", "passthrough"), ("best", SelectKBest()), ("clf", LogisticRegression())])
    grid = {
        "scale": ["passthrough", None, StandardScaler(), FunctionTransformer(np.log1p)],
        "best__score_func": [chi2, f_classif],
        "clf": [LogisticRegression(C=2.0), GaussianProcessRegressor(KERNELS[1])],
    }
    check_estimators(pipeline, Space([{name: values for name, values in grid.items() if name != "clf"}]))
    back = Space.decode(json.loads(json.dumps(Space(grid).encode())))
    assert [repr(one) for one in back.points()] == [repr(one) for one in Space(grid).points()]


def test_what_travelled_before_is_written_as_before() -> None:
    """The ids of studies are digests of this."""
    estimator = VotingClassifier([("a", OneHotEncoder(dtype=np.float64)), ("b", "drop")], weights=[1, 2])
    assert encode(estimator, "estimator") == {
        "__estimator__": "sklearn.ensemble.VotingClassifier",
        "params": {
            "estimators": [
                {"__tuple__": ["a", {"__estimator__": "sklearn.preprocessing.OneHotEncoder", "params": {}}]},
                {"__tuple__": ["b", "drop"]},
            ],
            "flatten_transform": True,
            "n_jobs": None,
            "verbose": False,
            "voting": "hard",
            "weights": [1, 2],
        },
    }


def test_a_message_that_was_not_checked_is_refused_by_the_decoder() -> None:
    for value in (
        {"__function__": "numpy.load"},
        {"__array__": ["int8", ["x"]]},
        {"__type__": "numpy.memmap"},
        {"__slice__": 1},
    ):
        with pytest.raises(InputError, match="is not |misuses"):
            decode(value)
