"""What a parameter may not say, at submission and wherever an estimator is built."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import numpy as np
import pytest
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from producer.space.space import Space
from producer.validation import check_estimators
from warren.encoding.codec import decode, encode, encode_estimator, readable
from warren.encoding.encoded import Finder
from warren.errors import InputError
from warren.libraries.registry import ALLOWED_PACKAGES
from warren.safety.parameter_checks import (
    DEEPEST,
    TrialCheck,
    check_estimator,
    check_parameter,
    check_value,
    short,
)


def pipeline(model: Any) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("model", model)])


# ------------------------------------------------------------------------- at submission


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (CatBoostClassifier(train_dir="/tmp/x"), r"estimator: CatBoostClassifier\(train_dir=\.\.\.\) = '/tmp/x': "),
        (CatBoostClassifier(allow_writing_files=True), "lets CatBoost write files; leave it out"),
        (CatBoostClassifier(save_snapshot=True), "writes a file to go on from; leave it out"),
        (CatBoostClassifier(input_borders="b.tsv"), "names a file or folder, and a worker reads and writes none"),
        (LGBMClassifier(forcedsplits_filename="s.json"), r"LGBMClassifier\(forcedsplits_filename=\.\.\.\) = 's.json'"),
        (LGBMClassifier(fs="s.json"), "'fs' names a file or folder"),
        (LGBMClassifier(machines="10.0.0.1:80"), "opens connections to other machines"),
        (LGBMClassifier(objective="binary fs=s.json"), "LightGBM reads what follows a space as further parameters"),
        (XGBClassifier(process_type="update"), "changes a stored model; leave it out: every trial is trained from"),
        (XGBClassifier(xgb_model="m.json"), "names a stored model to go on from"),
        (Pipeline([("a", StandardScaler())], memory="/tmp/x"), "names a folder of pickled fits, which run code"),
        (pipeline(CatBoostClassifier(train_dir="/tmp/x")), r"Pipeline\(steps=\.\.\.\): CatBoostClassifier\(train_dir="),
        (BaggingClassifier(LGBMClassifier(fs="s.json")), r"BaggingClassifier\(estimator=\.\.\.\): LGBMClassifier\(fs="),
        (CountVectorizer(input="filename"), "reads the files that X names; pass the documents themselves as X"),
        (TfidfVectorizer(tokenizer="os.system"), "is called, and a message must not run code"),
        (FunctionTransformer("numpy.load"), "is called, and a message must not run code"),
        (RFE(LogisticRegression(), importance_getter="__class__.x"), "reads attributes by name; pass 'auto'"),
        (
            GridSearchCV(DecisionTreeClassifier(), {}, pre_dispatch="2**n_jobs"),
            "is an expression that joblib evaluates",
        ),
        (
            GridSearchCV(CatBoostClassifier(), {"train_dir": ["/tmp/x"]}),
            r"\['train_dir'\] = '/tmp/x': 'train_dir' names",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseEstimator | CatBoostClassifier) else "",
)
def test_an_estimator_that_reaches_a_file_or_code_is_refused_at_submission(estimator: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_estimators(estimator, Space([{}]))
    with pytest.raises(InputError, match=rf"^param_grid\['estimator'\]\[1\].*{message.removeprefix('estimator')}"):
        check_estimators(None, Space({"estimator": [DecisionTreeClassifier(), estimator]}))


@pytest.mark.parametrize(
    ("estimator", "grid", "message"),
    [
        (CatBoostClassifier(), {"train_dir": [None, "/tmp/x"]}, r"^param_grid\['train_dir'\]\[1\] = '/tmp/x'"),
        (CatBoostClassifier(), {"allow_writing_files": [False, True]}, r"^param_grid\['allow_writing_files'\]\[1\]"),
        (LGBMClassifier(), {"snapshot_freq": range(3)}, r"^param_grid\['snapshot_freq'\]"),
        (LGBMClassifier(), {"metric": ["auc", "auc fs=x"]}, r"^param_grid\['metric'\]\[1\] = 'auc fs=x': LightGBM"),
        (
            pipeline(CatBoostClassifier()),
            {"model__train_dir": ["/x"]},
            r"^param_grid\['model__train_dir'\]\[0\] = '/x'",
        ),
        (pipeline(StandardScaler()), {"memory": ["/x"]}, r"^param_grid\['memory'\]\[0\] = '/x'"),
        (
            pipeline(StandardScaler()),
            {"model": [LGBMClassifier()], "model__fs": ["/x"]},
            r"^param_grid\['model__fs'\]\[0\] = '/x': 'fs' names a file",
        ),
        (
            pipeline(StandardScaler()),
            {"model": [DecisionTreeClassifier(), LGBMClassifier(fs="/x")]},
            r"^param_grid\['model'\]\[1\]: LGBMClassifier\(fs=\.\.\.\) = '/x'",
        ),
        (Pipeline([("a.b", StandardScaler())]), {"a.b__with_mean": [True]}, "'a.b__with_mean' can't name a parameter"),
        (
            DecisionTreeClassifier(),
            {"class_weight": [{0: 1.0}, {0: "x" * 2**20}]},
            "parameters need up to 1,04.,... bytes",
        ),
    ],
)
def test_a_grid_that_reaches_a_file_or_code_is_refused_at_submission(
    estimator: Any, grid: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_estimators(estimator, Space(grid))


class OwnClassifier(ClassifierMixin, BaseEstimator):
    def __init__(self, data: str = "", memory: str = "", workers: int = 1) -> None:
        self.data = data
        self.memory = memory
        self.workers = workers

    def fit(self, X: Any, y: Any) -> None:
        pass


class OwnCatBoost(CatBoostClassifier):
    pass


def test_a_class_that_the_operator_named_takes_what_it_likes() -> None:
    name = f"{OwnClassifier.__module__}.OwnClassifier"
    estimator, grid = OwnClassifier(data="/srv/x"), {"memory": ["/srv/y"], "workers": [2]}
    assert check_estimators(estimator, Space(grid), [name])
    nested = {f"model__{key}": values for key, values in grid.items()}
    assert check_estimators(pipeline(estimator), Space(nested), [name])
    assert check_estimators(pipeline(StandardScaler()), Space({"model": [estimator]} | nested), [name])


def test_a_class_that_inherits_from_a_library_is_held_to_its_rules() -> None:
    name = f"{OwnCatBoost.__module__}.OwnCatBoost"
    encoded = encode_estimator(OwnCatBoost(train_dir="/tmp/x"), "estimator", [name])
    check_estimator(encoded, "estimator")
    with pytest.raises(InputError, match=r"OwnCatBoost\(train_dir=\.\.\.\) = '/tmp/x': 'train_dir' names a file"):
        decode(encoded, [name])


HARMLESS = [
    (XGBClassifier(callbacks=None, process_type="default"), {"eval_metric": [["auc", "error"]], "missing": [np.nan]}),
    (CatBoostClassifier(allow_writing_files=False, save_snapshot=False), {"class_weights": [{0: 1.0, 1: 2.0}]}),
    (CatBoostClassifier(), {"task_type": ["CPU"], "text_processing": [None], "loss_function": ["Logloss:border=0.4"]}),
    (LGBMClassifier(num_machines=1), {"class_weight": [{"data": 1.0}], "metric": ["auc,l2", ("auc", "l2"), ["auc"]]}),
    (pipeline(CatBoostClassifier()), {"model__task_type": ["CPU"], "model": [CatBoostClassifier(depth=3)]}),
    (CountVectorizer(vocabulary={"data": 0}), {"token_pattern": [r"(?u)\b\w\w+\b"], "input": ["content"]}),
    (RFE(LogisticRegression(), importance_getter="named_steps.model.coef_"), {"step": [1, 0.5]}),
    (GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 2]}, pre_dispatch="2*n_jobs"), {"refit": [True]}),
    (
        GridSearchCV(DecisionTreeClassifier(), {}, pre_dispatch=4),
        {"pre_dispatch": ["n_jobs*2", "1.5*n_jobs", "2 * n_jobs", "all", "8", 4, None]},
    ),
    (FeatureUnion([("my step", StandardScaler())]), {"my step__with_mean": [True]}),
    (VotingClassifier([("a", DecisionTreeClassifier())]), {"a": ["drop"], "weights": [[1.0]]}),
    (CalibratedClassifierCV(), {"estimator": [LGBMClassifier()], "estimator__num_leaves": range(2, 5)}),
]  # fmt: skip


@pytest.mark.parametrize(("estimator", "grid"), HARMLESS, ids=lambda value: type(value).__name__)
def test_what_is_harmless_is_taken(estimator: Any, grid: dict[str, Any]) -> None:
    space = Space(grid)
    encoded = check_estimators(estimator, space).encoded
    check = TrialCheck(json.loads(json.dumps(encoded)))
    for _, params in space.encoded_points():
        check(json.loads(json.dumps(params)), "trials.0.params")


# ------------------------------------------------------------------------------- values


def test_every_level_that_can_be_sent_can_be_read() -> None:
    value: Any = 1
    for level in range(DEEPEST):
        value = [value] if level % 3 else (value,) if level % 2 else {level: value}
    check_value(encode(value, "x"), "x")
    with pytest.raises(InputError, match="nested deeper than 32 levels"):
        check_value([[encode(value, "x")]], "x")


def test_estimators_are_found_where_set_params_would_find_them() -> None:
    inner = BaggingClassifier(estimator=XGBClassifier())
    union = FeatureUnion([("a", pipeline(inner)), ("b", pipeline(LGBMClassifier()))])
    encoded = encode_estimator(Pipeline([("union", union), ("last", CatBoostClassifier())]), "estimator")
    classes = Finder().classes
    for name, found in {
        "verbose": "sklearn.pipeline.Pipeline",
        "last__depth": "catboost.CatBoostClassifier",
        "union__verbose": "sklearn.pipeline.FeatureUnion",
        "union__a__model__estimator__max_depth": "xgboost.XGBClassifier",
        "union__b__model__max_depth": "lightgbm.LGBMClassifier",
    }.items():
        assert classes((encoded,), name, {}) == {found}, name
    for name in ("union__c__max_depth", "elsewhere__max_depth"):
        assert classes((encoded,), name, {}) == {*ALLOWED_PACKAGES}, name
    lgb = "lightgbm.LGBMClassifier"
    swapped = encode_estimator(LGBMClassifier(), "estimator")
    # A trial's own takes the place of what is there.
    assert classes((encoded,), "last__max_depth", {"last": (swapped, None)}) == {lgb}
    deep = {"union__a__model": (swapped,)}
    assert classes((encoded,), "union__a__model__max_depth", deep) == {lgb}
    assert classes((encoded,), "union__b__model__max_depth", deep) == {lgb}
    assert classes((encoded,), "last__max_depth", {"last": ("passthrough",)}) == {*ALLOWED_PACKAGES}
    # All members at once, and then one of them.
    steps = {"steps": ([{"__tuple__": ["new", swapped]}],)}
    assert classes((encoded,), "new__max_depth", steps) == {lgb}
    assert classes((encoded,), "last__max_depth", steps) == {*ALLOWED_PACKAGES}
    # What one of several does not show may be anything.
    assert classes((encoded, swapped), "last__depth", {}) == {"catboost.CatBoostClassifier", *ALLOWED_PACKAGES}


def test_looking_up_names_takes_as_long_as_reading_them() -> None:
    """Not as long as names times steps, which took hours of a message that somebody made up."""
    own = {"__estimator__": "own.Estimator", "params": {}}
    steps = [["own", own], *[[f"step {number}", 0] for number in range(20_000)]]
    many = {"__estimator__": "sklearn.pipeline.Pipeline", "params": {"steps": steps}}
    check = TrialCheck(many)
    began = time.process_time()
    check({f"own__{number}x{number}": 1 for number in range(20_000)} | {"own__data": "x"}, "params")
    swapped = {"steps": steps} | {f"step {number}": own for number in range(10_000)}
    check(swapped | {f"step {number}__data": "x" for number in range(10_000)}, "params")
    assert time.process_time() - began < 20
    with pytest.raises(InputError, match="'data' names a file"):
        check({"other__data": "x"}, "params")


@pytest.mark.parametrize(
    "name", ["some_new_file", "cache_dir", "model_path", "dmlc_tracker_uri", "event_log", "federated_key"]
)
def test_a_new_parameter_that_sounds_like_a_file_takes_no_text(name: str) -> None:
    for package in ("sklearn", "xgboost", "lightgbm", "catboost"):
        for harmless in (None, True, 3, 0.5, ""):
            check_parameter({package}, name, harmless, "x")
        with pytest.raises(InputError, match=rf"^x = '/tmp/x': '{name}' "):
            check_parameter({package}, name, "/tmp/x", "x")
    check_parameter({""}, name, "/tmp/x", "x")


def test_an_error_repeats_the_beginning_of_a_value_only() -> None:
    for value in ("x" * 10**6, ["x" * 10**6] * 1000, {"x" * 10**6: 1}, 10**4000, "\n\x00\ud800\u2028é"):
        assert len(short(value)) <= 60
        assert short(value).isascii()
        assert short(value).isprintable()


# ----------------------------------------------------------------- what a document shows


def test_text_that_is_quoted_again_and_again_stays_short() -> None:
    """Every level doubles backslashes: thirty of them would take the memory of any worker."""
    encoded: Any = "\\'\""
    for _ in range(DEEPEST):
        encoded = {"__estimator__": "sklearn.ensemble.BaggingClassifier", "params": {"estimator": encoded}}
    assert len(readable(encoded)) == 2000
    assert re.fullmatch(r"BaggingClassifier\(estimator=.*\.\.\.\)", readable(encoded))


def test_a_key_that_no_document_has_is_shown_as_a_pair() -> None:
    for key in ("a.b", "$a", "__a"):
        encoded = encode({key: 1.5, "b": 2}, "x")
        assert decode(json.loads(json.dumps(encoded))) == {key: 1.5, "b": 2}
        assert readable(encoded) == ([[key, 1.5], ["b", 2]] if key != "__a" else {"__a": 1.5, "b": 2})
