"""Sets, splitters, scorers, distributions and generators inside estimators: there and back, and
what is refused."""

from __future__ import annotations

import base64
import inspect
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from beside import X, Y
from lightgbm import LGBMClassifier
from sklearn import model_selection
from sklearn.base import clone
from sklearn.ensemble import (
    RandomForestClassifier,
)
from sklearn.feature_selection import RFECV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, fbeta_score, get_scorer, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import (
    KFold,
    PredefinedSplit,
    RandomizedSearchCV,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from producer.validation.estimators import settled
from warren.encoding.codec import decode, encode, encode_estimator, readable
from warren.encoding.tagged_objects import SPLITTERS
from warren.errors import InputError
from warren.networks import KerasModel
from warren.safety.parameter_checks import check_estimator, check_value

TREE = DecisionTreeClassifier(max_depth=3, random_state=0)


def there_and_back(value: Any) -> Any:
    encoded = json.loads(json.dumps(encode(value, "value"), allow_nan=False))
    check_value(encoded, "value")
    back = decode(encoded)
    assert encode(back, "value") == encoded
    return back


def used(draws: int) -> np.random.RandomState:
    """Return a generator that has drawn, an odd number of Gaussians, so that it keeps one."""
    made = np.random.RandomState(7)
    made.normal(size=draws)
    return made


# --------------------------------------------------------------------- there and back


@pytest.mark.parametrize(
    "value",
    [{0, 1}, set(), {"b", "a"}, {(0, "x"), None, 1.5, True}, frozenset({2, 3}), frozenset()],
    ids=["numbers", "empty", "text", "mixed", "frozen", "frozen and empty"],  # repr is another in each process
)
def test_a_set_comes_back_as_it_was(value: Any) -> None:
    back = there_and_back(value)
    assert (type(back), back) == (type(value), value)
    assert isinstance(readable(encode(value, "value")), list)


def test_a_set_of_text_is_written_alike_in_every_process() -> None:
    """Whose hashes of text differ; the name of a study must not."""
    members = "{'a', 'b', 'c', 'd', 'e', 'f', 'g', (1, 'x'), 2.5, None}"
    code = f"from warren.encoding.codec import encode; print(encode({members}, 'x'))"
    told = {subprocess.check_output([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}) for seed in "123"}
    assert len(told) == 1


@pytest.mark.parametrize("name", ["sensor", 3])
def test_an_index_with_a_name_comes_back_as_it_was(name: Any) -> None:
    value = pd.Index(["a", "b"], name=name)
    back = there_and_back(value)
    assert back.equals(value)
    assert back.name == name
    assert readable(encode(value, "value")) == ["a", "b"]
    # Without one it is written as ever, and so names the same study.
    assert encode(value.rename(None), "value") == {"__index__": ["a", "b"]}


SPLITS: list[Any] = [
    KFold(3),
    KFold(3, shuffle=True, random_state=4),
    KFold(shuffle=True, random_state=used(3)),
    StratifiedKFold(3),
    model_selection.GroupKFold(4),
    model_selection.StratifiedGroupKFold(3, shuffle=True, random_state=1),
    model_selection.RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=0),
    ShuffleSplit(3, test_size=0.2, random_state=0),
    model_selection.StratifiedShuffleSplit(2, train_size=4, random_state=0),
    model_selection.GroupShuffleSplit(2, random_state=0),
    TimeSeriesSplit(3, max_train_size=20, gap=1),
    model_selection.LeaveOneOut(),
    model_selection.LeavePOut(2),
    model_selection.LeaveOneGroupOut(),
    model_selection.LeavePGroupsOut(2),
    PredefinedSplit([0, 1, -1, 0, 1]),
]


@pytest.mark.parametrize("splitter", SPLITS, ids=lambda one: type(one).__name__)
def test_a_splitter_splits_as_it_did(splitter: Any) -> None:
    back = there_and_back(splitter)
    assert type(back) is type(splitter)
    assert readable(encode(splitter, "value")).startswith(f"{type(splitter).__name__}(")
    n = 5 if isinstance(splitter, PredefinedSplit) else 12
    x, y = np.arange(n * 2.0).reshape(n, 2), np.arange(n) % 2
    groups = np.arange(n) // 2 if "Group" in type(splitter).__name__ else None
    expected = [*clone(splitter, safe=False).split(x, y, groups)]
    for (train, test), (wanted, held) in zip(back.split(x, y, groups), expected, strict=True):
        np.testing.assert_array_equal(train, wanted)
        np.testing.assert_array_equal(test, held)


def test_the_list_of_splitters_is_that_of_scikit_learn() -> None:
    for name, params in SPLITTERS.items():
        assert {*inspect.signature(getattr(model_selection, name)).parameters} == params, name
    others = {
        name
        for name, found in vars(model_selection).items()
        if hasattr(found, "get_n_splits") and not name.startswith("_") and not inspect.isabstract(found)
    }
    assert others == {*SPLITTERS} | {"BaseCrossValidator", "BaseShuffleSplit"} & others


@pytest.mark.parametrize(
    "scorer",
    [
        get_scorer("roc_auc"),
        make_scorer(accuracy_score),
        make_scorer(fbeta_score, beta=2),
        make_scorer(log_loss, greater_is_better=False, response_method="predict_proba", labels=[0, 1]),
        make_scorer(roc_auc_score, response_method=("decision_function", "predict_proba"), max_fpr=0.5),
    ],
    ids=repr,
)
def test_a_scorer_scores_as_it_did(scorer: Any) -> None:
    back = there_and_back(scorer)
    assert repr(back) == repr(scorer)
    model = LogisticRegression().fit(X, Y)
    assert back(model, X, Y) == scorer(model, X, Y)
    assert isinstance(readable(encode(scorer, "value")), str)


def profit(y_true: Any, y_pred: Any) -> float:
    return float(np.sum(y_true == y_pred))


def test_a_scorer_of_one_s_own_travels_where_it_is_named() -> None:
    name = f"{__name__}.profit"
    encoded = encode(make_scorer(profit), "x", [name])
    assert decode(encoded, [name])._score_func is profit
    with pytest.raises(InputError, match="not on the allow-list"):
        decode(encoded)
    with pytest.raises(InputError, match=r"^estimator: RFECV\(scoring=\.\.\.\) = .*profit can't be sent"):
        encode_estimator(RFECV(TREE, scoring=make_scorer(profit)), "estimator")


@pytest.mark.parametrize(
    "value",
    [
        scipy.stats.loguniform(0.01, 10),
        scipy.stats.randint(1, 9),
        scipy.stats.uniform(loc=-1, scale=3.5),
        scipy.stats.norm(),
        scipy.stats.truncnorm(-np.inf, 2, loc=1),
        scipy.stats.reciprocal(1, 2),
    ],
    ids=lambda one: one.dist.name,
)
def test_a_distribution_draws_as_it_did(value: Any) -> None:
    back = there_and_back(value)
    assert type(back) is type(value)
    np.testing.assert_array_equal(back.rvs(9, random_state=0), value.rvs(9, random_state=0))
    assert readable(encode(value, "value")).startswith(f"{value.dist.name}(")


@pytest.mark.parametrize("draws", [0, 1, 2, 5, 700])
def test_a_generator_draws_on_where_it_was(draws: int) -> None:
    value = used(draws)
    before = value.get_state(legacy=True)
    back = there_and_back(value)
    # It was looked at, and not asked: as if a copy had been made.
    assert all(np.array_equal(one, other) for one, other in zip(before, value.get_state(legacy=True), strict=True))
    np.testing.assert_array_equal(back.normal(size=9), value.normal(size=9))
    np.testing.assert_array_equal(back.randint(99, size=700), value.randint(99, size=700))


def test_generators_are_told_apart_where_people_read() -> None:
    one, other = (readable(encode(np.random.RandomState(seed), "x")) for seed in (0, 1))
    assert one != other
    assert one.startswith("RandomState(")


class _OwnSplitter(KFold):
    pass


@pytest.mark.parametrize(
    ("value", "way_out"),
    [
        (_OwnSplitter(3), r"a splitter of your own can't be sent; pass one of sklearn\.model_selection"),
        (np.random.RandomState(np.random.PCG64(0)), "a RandomState can't be sent"),
        (scipy.stats.rv_discrete(values=([1, 2], [0.5, 0.5]))(), "can't be sent"),
        ({frozenset({1})}, "is not a set of numbers, text and tuples of them"),
        (get_scorer, "a callable can't be sent"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_another_object_does_not_travel(value: Any, way_out: str) -> None:
    with pytest.raises(InputError, match=way_out):
        encode(value, "value")


# ---------------------------------------------------------------- what no producer sends

STATE = encode(np.random.RandomState(0), "x")["__random_state__"]
SCORER = encode(make_scorer(fbeta_score, beta=2), "x")["__scorer__"]


@pytest.mark.parametrize(
    "value",
    [
        {"__set__": [[1]]},
        {"__set__": [{"a": 1}]},
        {"__set__": [{"__estimator__": "sklearn.svm.SVC", "params": {}}]},
        {"__frozenset__": {"a": 1}},
        {"__index__": {"labels": ["a"]}},
        {"__index__": {"labels": ["a"], "name": ["b"]}},
        {"__index__": {"labels": [1.5], "name": "b"}},
        {"__splitter__": ["os.system", {}]},
        {"__splitter__": ["KFold", {"n_splits": "3"}]},
        {"__splitter__": ["KFold", {"splits": 3}]},
        {"__splitter__": ["KFold", {"n_splits": {"__estimator__": "sklearn.svm.SVC", "params": {}}}]},
        {"__splitter__": ["BaseCrossValidator", {}]},
        {"__splitter__": "KFold"},
        {"__scorer__": "roc auc"},
        {"__scorer__": {"function": "os.system"}},
        {"__scorer__": SCORER | {"response_method": "fit"}},
        {"__scorer__": SCORER | {"response_method": []}},
        {"__scorer__": SCORER | {"kwargs": {"score_func": 1}}},
        {"__scorer__": SCORER | {"kwargs": {"a b": 1}}},
        {"__scorer__": SCORER | {"function": "system"}},
        {"__scorer__": SCORER | {"kwargs": {"a": {"__random_state__": STATE}}}},
        {"__distribution__": ["norm", ["0"], {}]},
        {"__distribution__": ["norm.__class__", [], {}]},
        {"__distribution__": ["norm", [], {"a b": 1}]},
        {"__distribution__": ["norm", [True], {}]},
        {"__random_state__": [STATE[0][:-8], *STATE[1:]]},
        {"__random_state__": ["é", *STATE[1:]]},
        {"__random_state__": [base64.b64encode(bytes(2496)).decode(), *STATE[1:]]},
        {"__random_state__": [STATE[0], 625, 0, 0.0]},
        {"__random_state__": [STATE[0], -1, 0, 0.0]},
        {"__random_state__": [STATE[0], 1, 2, 0.0]},
        {"__random_state__": [STATE[0], 1, 0, "x"]},
        {"__random_state__": 0},
    ],
    ids=lambda one: str(one)[:70],
)  # fmt: skip
def test_an_object_that_nobody_has_sent_is_refused(value: Any) -> None:
    for refuse in (lambda: check_value(value, "x"), lambda: decode(value)):
        with pytest.raises(InputError, match=r"is not |misuses the reserved key"):
            refuse()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"__splitter__": ["KFold", {"n_splits": -1}]}, "can't be made here: k-fold cross-validation requires"),
        ({"__splitter__": ["LeavePOut", {}]}, "can't be made here: .*missing 1 required"),
        ({"__scorer__": "no_such_scorer"}, "no scorer is called 'no_such_scorer' here"),
        (
            {"__scorer__": SCORER | {"function": "os.system"}},
            "is not on the allow-list",
        ),
        ({"__distribution__": ["no_such", [], {}]}, "is not a distribution of scipy.stats here"),
        ({"__distribution__": ["gaussian_kde", [1, 2], {}]}, "is not a distribution of scipy.stats here"),
        ({"__distribution__": ["norm", [], {"no_such": 1}]}, "can't be made here"),
    ],
)  # fmt: skip
def test_an_object_of_no_known_library_is_refused(value: Any, message: str) -> None:
    check_value(value, "x")
    with pytest.raises(InputError, match=message):
        decode(value)


def test_an_object_is_no_way_around_a_rule() -> None:
    scorer = encode(make_scorer(fbeta_score, beta=2), "x")
    for name, params in {
        "sklearn.feature_extraction.text.CountVectorizer": {"tokenizer": scorer},
        "sklearn.preprocessing.FunctionTransformer": {"func": scorer},
        "sklearn.pipeline.Pipeline": {"memory": {"__set__": ["/x"]}},
        "xgboost.XGBClassifier": {"eval_metric": scorer},
        "lightgbm.LGBMClassifier": {"metric": {"__set__": ["auc fs=/x"]}},
        "catboost.CatBoostClassifier": {"train_dir": {"__frozenset__": ["/x"]}},
    }.items():
        with pytest.raises(InputError):
            check_estimator({"__estimator__": name, "params": params}, "x")


def test_what_a_search_inside_draws_is_held_to_the_rules_of_its_estimator() -> None:
    drawn = scipy.stats.uniform(0.1, 0.5)
    for grid in ({"learning_rate": drawn}, {"num_leaves": scipy.stats.randint(3, 9), "metric": ["auc"]}):
        check_estimator(encode_estimator(RandomizedSearchCV(LGBMClassifier(), grid), "x"), "x")
    check_estimator(encode_estimator(RandomizedSearchCV(KerasModel(), {"epochs": scipy.stats.randint(1, 3)}), "x"), "x")
    for grid in ({"snapshot_freq": drawn}, {"num_machines": drawn}):
        with pytest.raises(InputError, match=r"\['(snapshot_freq|num_machines)'\] = 0.5"):
            check_estimator(encode_estimator(RandomizedSearchCV(LGBMClassifier(), grid), "x"), "x")
    with pytest.raises(InputError, match="LightGBM takes numbers"):
        check_estimator(encode_estimator(LGBMClassifier(learning_rate=drawn), "x"), "x")


def test_xgboost_s_generator_becomes_a_number_as_scikit_learn_clones_it() -> None:
    def made() -> Any:
        one = XGBClassifier(random_state=np.random.RandomState(0))
        return Pipeline([("scale", StandardScaler()), ("clf", one)])

    expected = clone(made())["clf"].get_params()["random_state"]
    encoded = encode_estimator(settled(made()), "x")
    assert encoded["params"]["steps"][1]["__tuple__"][1]["params"]["random_state"] == expected
    for other in (None, TREE, RandomForestClassifier(random_state=np.random.RandomState(0)), XGBClassifier):
        assert settled(other) is other
