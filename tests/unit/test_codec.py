"""Parameters as JSON and back."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from faulty import ALLOW, Sleeps
from hypothesis import given
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_selector
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from warren.encoding.codec import decode, encode, encode_estimator, readable
from warren.errors import InputError

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(),
    st.text(),
    st.sampled_from(["__float__", "nan"]),
)
KEYS = st.one_of(st.text(), st.integers(-9, 9), st.booleans(), st.tuples(st.integers(0, 9)))
RESERVED = ("__float__", "__tuple__", "__dict__", "__estimator__")


def values(keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(keys, inner, max_size=4),
        ),
        max_leaves=12,
    )


def through_json(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value, "value"), allow_nan=False)))


def exactly(value: Any) -> Any:
    """Return a value as text that tells types, bits of floats and the order of keys apart."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value.hex()
    if isinstance(value, list | tuple):
        return type(value).__name__, [exactly(one) for one in value]
    if isinstance(value, dict):
        return [(exactly(key), exactly(one)) for key, one in value.items()]
    return type(value).__name__, value


@given(values(KEYS | st.sampled_from(RESERVED)))
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    assert exactly(through_json(value)) == exactly(value)


def keys_of(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *(key for one in value.values() for key in keys_of(one))]
    return [key for one in value for key in keys_of(one)] if isinstance(value, list) else []


@given(values(KEYS))
def test_a_trial_document_has_keys_of_text_and_no_reserved_one(value: Any) -> None:
    keys = keys_of(readable(encode(value, "value")))
    assert all(isinstance(key, str) for key in keys)
    assert not set(keys) & set(RESERVED)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(7), 7),
        (np.uint8(7), 7),
        (np.float64(0.1), 0.1),
        (np.float32(0.1), 0.10000000149011612),
        (np.bool_(True), True),
        (np.str_("gbtree"), "gbtree"),
    ],
)
def test_numpy_scalars_become_python_s(value: Any, expected: Any) -> None:
    found = through_json(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2, 3)), {"__tuple__": [1, {"__tuple__": [2, 3]}]}),
        (math.inf, {"__float__": "inf"}),
        (-math.inf, {"__float__": "-inf"}),
        (math.nan, {"__float__": "nan"}),
        ({0: 1.5}, {"__dict__": [[0, 1.5]]}),
        ({"__x": 1}, {"__dict__": [["__x", 1]]}),
        ({"a": [None]}, {"a": [None]}),
        (np.array([[0.5], [math.inf]]), {"__array__": ["float64", [[0.5], [{"__float__": "inf"}]]]}),
        (LGBMClassifier(), {"__estimator__": "lightgbm.LGBMClassifier", "params": {}}),
    ],
)
def test_what_json_lacks_is_an_object_with_one_reserved_key(value: Any, expected: Any) -> None:
    assert encode(value, "value") == expected


@pytest.mark.parametrize(
    ("value", "way_out"),
    [
        (len, "a callable can't be sent, because a message must not run code; pass the name of a built-in objective"),
        (lambda y, p: (y, p), "a callable can't be sent"),
        (np.ones((3, 2, 1)), r"an array can't be sent as a parameter, unless it is flat .*; pass value.tolist\(\)"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "an array can't be sent"),
        (np.array([1, None], dtype=object), "an array can't be sent"),
        (np.array([["a"]]), "an array can't be sent"),
        (make_column_selector(pattern="(a+)+$"), "is not an allowed selector of columns: its pattern repeats what"),
        (LogisticRegression, r"a class can't be sent; pass an instance, LogisticRegression\(\)"),
        ({1, b"x"}, "a bytes can't be sent as JSON; pass None, a bool, a number, text, or lists of these"),
        (1 + 2j, "a complex can't be sent"),
        (b"x", "a bytes can't be sent"),
        (object(), "a object can't be sent"),
        (2**63, "integers must fit in 64 bits"),
        (-(2**63), "integers must fit in 64 bits"),
    ],
)
def test_a_value_that_can_not_travel_is_named_with_the_way_out(value: Any, way_out: str) -> None:
    with pytest.raises(InputError, match=rf"^param_grid\['x'\]\[3\] = .*{way_out}"):
        encode(value, "param_grid['x'][3]")
    with pytest.raises(InputError, match=way_out):
        encode({"a": [(value,)]}, "param_grid['x'][3]")


def test_a_long_value_is_cut_in_the_error() -> None:
    with pytest.raises(InputError) as caught:
        encode(bytes(1000), "x")
    assert len(str(caught.value)) < 200


def test_nesting_has_an_end() -> None:
    value: Any = 1
    for _ in range(30):
        value = [value]
    assert through_json(value) == value
    for _ in range(5000):
        value = [value]
    with pytest.raises(InputError, match="nested deeper than 32 levels"):
        encode(value, "x")


# ------------------------------------------------------------------------- estimators


def same(one: Any, other: Any) -> bool:
    """Say whether two estimators are built alike."""
    return type(one) is type(other) and repr(one.get_params()) == repr(other.get_params())


@pytest.mark.parametrize(
    "estimator",
    [
        XGBClassifier(max_depth=3, learning_rate=0.1, eval_metric=["auc", "error"]),
        LGBMClassifier(num_leaves=7, min_data_in_bin=3),
        RandomForestClassifier(class_weight={0: 1.0, 1: 2.0}, max_features=None),
        BaggingClassifier(LGBMClassifier(max_depth=2), n_estimators=3),
        Pipeline(
            [("scale", StandardScaler(with_mean=False)), ("skip", "passthrough"), ("model", LogisticRegression())]
        ),
        VotingClassifier([("a", LogisticRegression(C=0.5)), ("b", DecisionTreeClassifier())], weights=[1, 2]),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_estimator_comes_back_as_it_was(estimator: Any) -> None:
    back = through_json(estimator)
    assert back is not estimator
    assert same(back, estimator)


def test_only_what_differs_from_the_defaults_travels() -> None:
    assert encode_estimator(XGBClassifier(missing=math.nan, max_depth=4), "estimator") == {
        "__estimator__": "xgboost.XGBClassifier",
        "params": {"max_depth": 4},
    }
    assert encode_estimator(DecisionTreeClassifier(max_depth=True), "estimator")["params"] == {"max_depth": True}
    assert encode_estimator(LogisticRegression(C=1), "estimator")["params"] == {"C": 1}


def test_catboost_travels_with_what_was_set() -> None:
    from catboost import CatBoostRegressor

    estimator = CatBoostRegressor(depth=3, cat_features=["a"], verbose=False)
    back = through_json(estimator)
    assert back.get_params() == estimator.get_params()


def test_a_parameter_that_can_not_travel_is_named_with_its_estimator() -> None:
    with pytest.raises(InputError, match=r"^estimator: XGBClassifier\(objective=\.\.\.\) = .*a callable can't be sent"):
        encode_estimator(XGBClassifier(objective=lambda y, p: (y, p)), "estimator")
    inner = BaggingClassifier(XGBClassifier(base_score=np.ones((2, 2, 2))))
    with pytest.raises(InputError, match=r"BaggingClassifier\(estimator=\.\.\.\): XGBClassifier\(base_score=\.\.\.\)"):
        encode_estimator(inner, "estimator")


def test_an_estimator_that_is_not_allowed_travels_neither_way() -> None:
    with pytest.raises(InputError, match=r"'faulty.Sleeps' is not on the allow-list"):
        encode(Sleeps(), "estimator")
    encoded = encode(Sleeps(seconds=0.5), "estimator", ALLOW.split(","))
    assert encoded == {"__estimator__": "faulty.Sleeps", "params": {"seconds": 0.5}}
    with pytest.raises(InputError, match="not on the allow-list"):
        decode(encoded)
    assert decode(encoded, ALLOW.split(",")).seconds == 0.5


def test_a_builder_is_given_class_and_parameters() -> None:
    encoded = encode(BaggingClassifier(LogisticRegression(C=2.0), n_estimators=3), "estimator")
    built = decode(encoded, build=lambda cls, params: (cls.__name__, params))
    assert built == ("BaggingClassifier", {"estimator": ("LogisticRegression", {"C": 2.0}), "n_estimators": 3})


@pytest.mark.parametrize(
    "encoded",
    [
        {"__float__": "0.5"},
        {"__float__": 1},
        {"__float__": "nan", "more": 1},
        {"__tuple__": 3},
        {"__tuple__": [], "more": 1},
        {"__dict__": [[1, 2, 3]]},
        {"__dict__": {"a": 1}},
        {"__estimator__": "sklearn.linear_model.LogisticRegression"},
        {"__estimator__": "sklearn.linear_model.LogisticRegression", "params": []},
        {"__estimator__": ["sklearn"], "params": {}},
        {"__estimator__": "sklearn.linear_model.LogisticRegression", "params": {}, "more": 1},
        {"__import__": "os"},
        [{"a": {"__class__": 1}}],
    ],
)
def test_a_misused_reserved_key_is_refused(encoded: Any) -> None:
    with pytest.raises(InputError, match="misuses the reserved key '__"):
        decode(encoded)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2.5, None)), [1, [2.5, None]]),
        ({0: (1,), "a": math.inf}, {"0": [1], "a": math.inf}),
        (
            Pipeline([("scale", StandardScaler()), ("model", LogisticRegression(C=0.5))]),
            "Pipeline(memory=None, steps=[['scale', 'StandardScaler()'], ['model', 'LogisticRegression(C=0.5)']], "
            "transform_input=None, verbose=False)",
        ),
        (LGBMClassifier(max_depth=3, boosting_type="dart"), "LGBMClassifier(boosting_type='dart', max_depth=3)"),
    ],
)
def test_a_trial_document_shows_values_as_a_person_reads_them(value: Any, expected: Any) -> None:
    assert readable(encode(value, "value")) == expected
