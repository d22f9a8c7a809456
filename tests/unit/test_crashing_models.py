"""Stored models that ended the process in which they were asked: each is refused before compiled
code follows it.

They are read and asked in processes of their own, so that a crash is an outcome, and not the
end of the tests.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import Birch, MiniBatchKMeans
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsRegressor, LocalOutlierFactor, RadiusNeighborsClassifier
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import all_estimators
from stored_models import loaded
from xgboost import XGBRegressor

from producer.models.fitted_parts import parts_of
from producer.models.formats.ubjson import read_ubjson
from producer.models.index_bounds import check_numbers, is_known
from warren.errors import InputError, StudyError
from warren.safety.allowlist import look_up
from worker.training.models import pack

RNG = np.random.default_rng(0)
X = RNG.random((100, 2))
Y = (X[:, 0] > 0.5).astype(int)
# So many that what lies behind a single number is not the process'.
MANY = 2_000_000


def set_all(**values: Any) -> Callable[[Any], None]:
    return lambda one: vars(one).update(values)


MANY_POINTS: dict[str, Any] = {
    "_fit_X": np.zeros((MANY, 2)),
    "n_samples_fit_": MANY,
    "_y": np.zeros(MANY, dtype=int),
    "effective_metric_params_": {"Y_norm_squared": np.zeros(1)},
}


def widen(one: Any) -> None:
    one.coef_, one.intercept_ = np.tile(one.coef_, (MANY // 10, 1)), np.ones(MANY // 10)


# The study's estimator, what it is fitted on, and what somebody changes.
OF_SCIKIT_LEARN: dict[str, tuple[Any, tuple[Any, ...], Callable[[Any], None]]] = {
    "norms of neighbours": (KNeighborsRegressor(algorithm="brute"), (X, Y), set_all(**MANY_POINTS)),
    "norms of all around": (RadiusNeighborsClassifier(5.0, algorithm="brute"), (X, Y), set_all(**MANY_POINTS)),
    "norms of what is no outlier": (LocalOutlierFactor(algorithm="brute", novelty=True), (X,), set_all(**MANY_POINTS)),
    "norms of subclusters": (
        Birch(n_clusters=None),
        (X,),
        set_all(subcluster_centers_=np.zeros((MANY, 2)), subcluster_labels_=np.zeros(MANY), _subcluster_norms=Y[:1]),
    ),
    "a covariance of fewer columns": (
        EllipticEnvelope(store_precision=False),
        (X,),
        set_all(covariance_=np.eye(1), precision_=None),
    ),
    "counts of small batches": (MiniBatchKMeans(90, n_init=1), (X,), set_all(_counts=np.zeros(1))),
    "a label beyond all columns": (
        MultiLabelBinarizer(classes=[1, 2]),
        ([[1], [2]],),
        set_all(_cached_dict={1: 2**30, 2: 1}),
    ),
    "more answers than rows": (
        OneVsRestClassifier(LogisticRegression()),
        (X, np.column_stack([Y, 1 - Y])),
        lambda one: widen(one.estimators_[0]),
    ),
    "more answers than rows of a sum": (
        OneVsRestClassifier(AdaBoostClassifier(n_estimators=2)),
        (np.tile(X, (50, 1)), np.tile(np.column_stack([Y, 1 - Y]), (50, 1))),
        lambda one: vars(one.estimators_[0]).update(n_classes_=3),
    ),
}


def trees(model: Any) -> list[dict[str, Any]]:
    booster = model["learner"]["gradient_booster"]
    found: list[dict[str, Any]] = booster.get("gbtree", booster)["model"]["trees"]
    return found


def in_each(change: Callable[[dict[str, Any]], Any]) -> Callable[[Any], None]:
    return lambda model: [change(tree) for tree in trees(model)] and None


def unnamed(tree: dict[str, Any]) -> dict[str, Any]:
    leaves = tree["left_children"] == -1
    return {"right_children": np.where(leaves, -1, tree["right_children"]).astype(">i4")}


FEW: dict[str, Any] = {"n_estimators": 3, "max_depth": 2, "n_jobs": 1}
SEVERAL: Any = XGBRegressor(multi_strategy="multi_output_tree", **FEW)
OF_XGBOOST: dict[str, tuple[Any, Callable[[Any], None]]] = {
    "trees in one place": (XGBRegressor(**FEW), in_each(lambda tree: tree.update(id=0))),
    "trees of dart in one place": (XGBRegressor(booster="dart", **FEW), in_each(lambda tree: tree.update(id=0))),
    "a place below zero": (XGBRegressor(**FEW), in_each(lambda tree: tree.update(id=-1000))),
    "leaves without a name": (SEVERAL, in_each(lambda tree: tree.update(unnamed(tree)))),
    "a leaf that is left over": (
        SEVERAL,
        in_each(lambda tree: tree.update(left_children=np.full_like(tree["left_children"], -1))),
    ),
    "no sums of a tree": (SEVERAL, in_each(lambda tree: tree.pop("sum_hessian"))),
    "leaves of fewer numbers than none": (
        XGBRegressor(**FEW),
        in_each(lambda tree: tree["tree_param"].update(size_leaf_vector="-1")),
    ),
    "a count with more than digits": (
        XGBRegressor(**FEW),
        lambda model: model["learner"]["learner_model_param"].update(num_feature="1_000"),
    ),
    "a child twice": (
        XGBRegressor(**FEW),
        in_each(lambda tree: tree.update(left_children=np.where(tree["left_children"] == 1, 2, tree["left_children"]))),
    ),
    "a child of another node": (
        XGBRegressor(**FEW),
        in_each(lambda tree: tree.update(parents=np.zeros_like(tree["parents"]))),
    ),
}


def as_ubjson(value: Any) -> bytes:
    """Universal binary JSON of what `read_ubjson` returns: XGBoost writes no file that it
    would not read."""
    match value:
        case np.ndarray():
            mark = {"f4": b"d", "f8": b"D", "i8": b"L", "i4": b"l", "i2": b"I", "i1": b"i", "u1": b"U"}
            kind = f"{value.dtype.kind}{value.dtype.itemsize}"
            wire = value.astype(value.dtype.newbyteorder(">")).tobytes()
            return b"[$" + mark[kind] + b"#L" + struct.pack(">q", value.size) + wire
        case dict():
            return b"{" + b"".join(as_ubjson(key)[1:] + as_ubjson(one) for key, one in value.items()) + b"}"
        case list():
            return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(as_ubjson, value))
        case str():
            return b"SL" + struct.pack(">q", len(value.encode())) + value.encode()
        case int():
            return b"L" + struct.pack(">q", value)
        case float():
            return b"d" + struct.pack(">f", value)
    raise TypeError(f"{value!r} is in no file of XGBoost")


def forged_by(name: str, *, change: bool) -> Any:
    """Return what a notebook gets of a case, as a worker wrote it or changed."""
    if name in OF_SCIKIT_LEARN:
        estimator, data, forge = OF_SCIKIT_LEARN[name]
        fitted = clone(estimator).fit(*data)
        if change:
            forge(fitted)
        packed = pack(fitted)
        return loaded(packed.content, packed.format, clone(estimator), packed.facts)
    booster, forge = OF_XGBOOST[name]
    y = np.column_stack([Y, X[:, 0]]) if booster is SEVERAL else X[:, 0]
    packed = pack(clone(booster).fit(X, y))
    model = read_ubjson(packed.content)
    if change:
        forge(model)
    return loaded(as_ubjson(model), packed.format, clone(booster), packed.facts)


def ask(model: Any) -> None:
    """Have compiled code follow all of a model."""
    if isinstance(model, MultiLabelBinarizer):
        model.transform([[1], [1, 2]])
        return
    model.predict(X)
    if isinstance(model, MiniBatchKMeans):
        for _ in range(200):
            model.partial_fit(X)
    if isinstance(model, XGBRegressor):
        model.get_booster().get_dump()
        model.get_booster().save_raw("ubj")


def main() -> None:
    """Write of each case how a process ends that reads and asks it."""
    for name in (*OF_SCIKIT_LEARN, *OF_XGBOOST):
        child = os.fork()
        if not child:
            warnings.simplefilter("ignore")
            try:
                ask(forged_by(name, change=True))
            except (StudyError, InputError):
                os._exit(3)
            except Exception:  # noqa: BLE001 - it must end here
                os._exit(4)
            os._exit(0)
        sys.stdout.write(f"{name}={os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


@pytest.fixture(scope="module")
def outcomes() -> dict[str, int]:
    """How the process of each case ended: 3 where the model was refused, a signal below zero where
    it crashed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=True)
    return {name: int(code) for name, _, code in (line.partition("=") for line in done.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OF_SCIKIT_LEARN, *OF_XGBOOST])
def test_a_forged_model_is_refused_and_crashes_nothing(name: str, outcomes: dict[str, int]) -> None:
    assert outcomes[name] == 3


@pytest.mark.parametrize("name", [*OF_SCIKIT_LEARN, *OF_XGBOOST])
def test_the_model_that_was_forged_comes_back_as_it_was(name: str) -> None:
    ask(forged_by(name, change=False))


def test_each_estimator_is_known_by_its_numbers() -> None:
    classes = [cls for _, cls in all_estimators()]
    parts = [look_up(name) for name in parts_of(classes)]
    unknown = [cls.__name__ for cls in (*classes, *parts) if not is_known(cls)]
    assert len(classes) > 180
    assert not unknown, "look at what compiled code follows of it, then add it to index_bounds or numpy_only"


def test_an_estimator_that_nobody_has_looked_at_is_refused() -> None:
    later = type("OfALaterVersion", (BaseEstimator,), {"__module__": "sklearn.later"})
    assert not is_known(later)
    with pytest.raises(InputError, match="OfALaterVersion, whose numbers this version can"):
        check_numbers(later())


if __name__ == "__main__":
    main()
