"""A stored model is what the study's own estimator becomes by a fit: whatever a file says beside that is refused."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import skops.io
from catboost import CatBoostRegressor
from lightgbm import LGBMRegressor
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.cluster import HDBSCAN, BisectingKMeans, KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from test_models_of_scikit_learn import brought_back
from xgboost import Booster, XGBRegressor

from producer.models import load
from producer.models.export import read_export
from producer.models.export_manifest import write_manifest
from tuning.errors import InputError, StudyError
from worker.models import pack

RNG = np.random.default_rng(0)
X = RNG.random((60, 4))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
TARGET = X @ [1.0, 2.0, 3.0, 4.0]
TEXTS = np.array(["red sky", "blue sea", "green sky"] * 20, dtype=object)
OTHER = "which nobody vouches for|not the study's"
NOWHERE = "lead out of it|holds what no fit leaves there|can't be read"


def lightgbm() -> Any:
    return LGBMRegressor(n_estimators=3, n_jobs=1, verbosity=-1, min_child_samples=5)


def stack(member: Any) -> Any:
    return StackingRegressor([("member", member)], final_estimator=Ridge(), cv=2)


@functools.cache
def fitted_stack(cls: type) -> Any:
    member = lightgbm() if cls is LGBMRegressor else XGBRegressor(n_estimators=3, n_jobs=1)
    return stack(member).fit(X, TARGET)


def put_booster_among_members(one: Any) -> None:
    member = one.estimators_[0]
    one.estimators_ = [getattr(member, "_Booster", None) or member.get_booster()]
    one.stack_method_ = ["save_model"]


def name_a_method_that_writes(one: Any) -> None:
    one.stack_method_ = ["save_model"]


def put_booster_beside(one: Any) -> None:
    one.final_estimator_.booster = one.estimators_[0]._Booster


def put_booster_in_the_place_of_a_method(one: Any) -> None:
    one.final_estimator_.predict = one.estimators_[0]._Booster


def put_another_estimator_into_its_booster(one: Any) -> None:
    one.estimators_[0]._Booster = one.final_estimator_


def put_an_estimator_that_writes(one: Any) -> None:
    one.estimators_ = [lightgbm().set_params(output_model="/tmp/anything").fit(X, TARGET)]


STACKS: dict[str, Callable[[Any], None]] = {
    "a booster among the members": put_booster_among_members,
    "a method that writes": name_a_method_that_writes,
    "a booster beside": put_booster_beside,
    "a booster for a method": put_booster_in_the_place_of_a_method,
    "something for a booster": put_another_estimator_into_its_booster,
    "parameters of files": put_an_estimator_that_writes,
}


@pytest.mark.parametrize("what", STACKS)
def test_boosters_lie_in_their_own_class_alone(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    changed = deepcopy(fitted_stack(LGBMRegressor))
    STACKS[what](changed)
    with pytest.raises((InputError, StudyError), match=OTHER):
        brought_back(changed, stack(lightgbm()))
    assert list(tmp_path.iterdir()) == []


def test_a_booster_of_xgboost_lies_in_its_own_class_alone() -> None:
    changed = deepcopy(fitted_stack(XGBRegressor))
    put_booster_among_members(changed)
    with pytest.raises(StudyError, match="StackingRegressor.estimators_ holds a Booster"):
        brought_back(changed, stack(XGBRegressor(n_estimators=3, n_jobs=1)))


def test_a_model_of_a_study_without_boosters_holds_none() -> None:
    changed = deepcopy(fitted_stack(LGBMRegressor))
    with pytest.raises(InputError, match=r"lightgbm\.\w+\.\w+.*which nobody vouches for"):
        brought_back(changed, stack(Ridge()))


TEXT_OF_X = FunctionTransformer(np.sum, kw_args={"dtype": object, "initial": "/etc/passwd?format=csv", "where": False})
SEARCH = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
DRAWN = RandomizedSearchCV(LogisticRegression(), {"C": [1.0]}, n_iter=1, cv=2)


def set_best(one: Any, **params: Any) -> None:
    one.best_params_ = params
    one.best_estimator_.set_params(**params)


# The study's estimator, what is fitted in its place, and what somebody changes of that.
CHANGES: dict[str, tuple[Any, Any, Callable[[Any], None]]] = {
    "a step with a function": (
        make_pipeline(FunctionTransformer(), Ridge()),
        make_pipeline(FunctionTransformer(), Ridge()),
        lambda one: one.steps.__setitem__(0, ("functiontransformer", TEXT_OF_X)),
    ),
    "keywords of a function": (
        make_pipeline(FunctionTransformer(np.log1p), Ridge()),
        make_pipeline(FunctionTransformer(np.log1p), Ridge()),
        lambda one: one.steps[0][1].set_params(kw_args={"where": False}),
    ),
    "another step": (
        make_pipeline(StandardScaler(), Ridge()),
        make_pipeline(Ridge()),
        lambda one: None,
    ),
    "a step of another class of the study's": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), LogisticRegression()),
        lambda one: one.steps.reverse(),
    ),
    "a member with other parameters": (
        BaggingClassifier(LogisticRegression(), n_estimators=2),
        BaggingClassifier(LogisticRegression(), n_estimators=2),
        lambda one: one.estimators_[1].set_params(C=3.0),
    ),
    "a member of another class": (
        BaggingClassifier(LogisticRegression(), n_estimators=2),
        BaggingClassifier(LogisticRegression(), n_estimators=2),
        lambda one: one.estimators_.__setitem__(0, FunctionTransformer(np.exp)),
    ),
    "a part with a function": (
        ColumnTransformer([("all", StandardScaler(), [0])], remainder="passthrough"),
        ColumnTransformer([("all", StandardScaler(), [0])], remainder="passthrough"),
        lambda one: one.transformers_[1][1].set_params(func=np.exp),
    ),
    "a part with keywords": (
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        lambda one: one.transformer_.set_params(inv_kw_args={"where": False}),
    ),
    "what a search has found": (SEARCH, SEARCH, lambda one: set_best(one, C=7.0)),
    "a parameter that a search never sets": (SEARCH, SEARCH, lambda one: set_best(one, l1_ratio=0.5)),
    "a search's best with other parameters": (SEARCH, SEARCH, lambda one: one.best_estimator_.set_params(tol=0.5)),
    "a link instead of a template": (Ridge(), Ridge(), lambda one: setattr(one, "_doc_link_template", "javascript:0")),
    "another kind of support vectors": (SVC(), SVC(), lambda one: setattr(one, "_impl", "epsilon_svr")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_model_has_the_parameters_of_the_study(what: str) -> None:
    unfitted, other, change = CHANGES[what]
    fitted = clone(other).fit(X, Y)
    change(fitted)
    with pytest.raises((InputError, StudyError), match=OTHER):
        brought_back(fitted, clone(unfitted))


@pytest.mark.parametrize(
    "estimator",
    [
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        AdaBoostClassifier(n_estimators=3, random_state=0),
        OneVsRestClassifier(make_pipeline(StandardScaler(), LogisticRegression(C=2.0))),
        BaggingClassifier(make_pipeline(StandardScaler(), DRAWN), n_estimators=2, random_state=0),
        GridSearchCV(
            make_pipeline(StandardScaler(), SVC()),
            {"svc": [SVC(), LogisticRegression()], "standardscaler": ["passthrough", StandardScaler(with_mean=False)]},
            cv=2,
        ),
        KNeighborsClassifier(algorithm="ball_tree", metric="minkowski", p=3),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_estimators_make_of_the_study_comes_back(estimator: Any) -> None:
    fitted = clone(estimator).fit(X, Y)
    assert np.array_equal(brought_back(fitted, clone(estimator)).predict(X), fitted.predict(X))


# --------------------------------------------------------------- numbers that compiled code follows


def tree_state(tree: Any, **changes: Any) -> Any:
    """A tree of scikit-learn with another state."""
    cls, arguments, state = tree.__reduce__()
    made = cls(*arguments)
    nodes = state["nodes"].copy()
    for name, (position, value) in changes.pop("nodes", {}).items():
        nodes[name][position] = value
    made.__setstate__(state | {"nodes": nodes} | changes)
    return made


def change_tree(one: Any, **changes: Any) -> None:
    one.tree_ = tree_state(one.tree_, **changes)


def change_search_tree(tree: Any, position: int, change: Callable[[Any], None]) -> None:
    state = list(tree.__getstate__())
    state[position] = np.array(state[position])
    change(state[position])
    tree.__setstate__(tuple(state))


def beyond_its_words(generator: Any) -> Any:
    """A generator of random numbers that would read on behind them; NumPy takes any place."""
    if isinstance(generator, np.random.RandomState):
        state: Any = generator.get_state(legacy=False)
        state["state"]["pos"] = 10**6
        generator.set_state(state)
    else:
        generator.state = generator.state | {"buffer_pos": 10**6}
    return generator


def sparse_out_of_its_columns() -> Any:
    matrix = scipy.sparse.csr_matrix(np.ones((1, 4)))
    matrix.indices[2] = 10**6
    return matrix


NUMBERS: dict[str, tuple[Any, Any, Callable[[Any], Any]]] = {
    "a tree deeper than it says": (DecisionTreeClassifier(), X, lambda one: change_tree(one, max_depth=0)),
    "a child of two nodes": (
        DecisionTreeClassifier(),
        X,
        lambda one: change_tree(one, nodes={"right_child": (0, int(one.tree_.children_left[0]))}),
    ),
    "a forest's member for more columns": (
        RandomForestClassifier(2),
        X,
        lambda one: one.estimators_.__setitem__(0, DecisionTreeClassifier(max_features="sqrt").fit(np.c_[X, X], Y)),
    ),
    "an isolated tree for more columns than are drawn": (
        IsolationForest(n_estimators=2, max_features=2, random_state=0),
        X,
        lambda one: setattr(one, "estimators_features_", [np.array([0])] * 2),
    ),
    "more trees a stage than columns": (
        GradientBoostingClassifier(n_estimators=2),
        X,
        lambda one: setattr(one, "estimators_", np.repeat(one.estimators_, 3, axis=1)),
    ),
    "a category beyond all sets": (
        HistGradientBoostingClassifier(max_iter=2, categorical_features=[1]),
        np.c_[X[:, 0], Y],
        lambda one: one._bin_mapper.bin_thresholds_.__setitem__(0, np.array([0.0, 1e6])),
    ),
    "fewer columns than nodes ask for": (
        HistGradientBoostingClassifier(max_iter=2, categorical_features=[1]),
        np.c_[X[:, 0], Y],
        lambda one: one._preprocessor.transformers_.__delitem__(1),
    ),
    "labels beyond the classes": (KNeighborsClassifier(), X, lambda one: one._y.__setitem__(0, 10**6)),
    "points of another width": (
        KNeighborsClassifier(algorithm="brute"),
        X,
        lambda one: setattr(one, "_fit_X", np.ones((60, 400))),
    ),
    "fewer points than it says": (KNeighborsClassifier(), X, lambda one: setattr(one, "n_samples_fit_", 10**6)),
    "a neighbour beyond all points": (
        KNeighborsClassifier(algorithm="kd_tree"),
        X,
        lambda one: change_search_tree(one._tree, 1, lambda order: order.__setitem__(0, 10**9)),
    ),
    "a node beyond all points": (
        KNeighborsClassifier(algorithm="ball_tree", leaf_size=5),
        X,
        lambda one: change_search_tree(one._tree, 2, lambda nodes: nodes["idx_end"].__setitem__(0, 10**9)),
    ),
    "a density of points that are not there": (
        KernelDensity(),
        X,
        lambda one: change_search_tree(one.tree_, 1, lambda order: order.__setitem__(0, 10**9)),
    ),
    "more support vectors than there are": (
        SVC(),
        X,
        lambda one: setattr(one, "_n_support", np.array([10**6, 10**6], dtype=np.int32)),
    ),
    "support vectors of another width": (
        SVC(),
        X,
        lambda one: setattr(one, "support_vectors_", one.support_vectors_[:, :1].copy()),
    ),
    "coefficients of other classes": (SVC(), X, lambda one: setattr(one, "_intercept_", np.zeros(0))),
    "a support vector outside of a kernel": (
        SVC(kernel="precomputed"),
        X @ X.T,
        lambda one: one.support_.__setitem__(0, 10**6),
    ),
    "coefficients outside of their columns": (
        LogisticRegression(),
        X,
        lambda one: setattr(one, "coef_", sparse_out_of_its_columns()),
    ),
    "centres of another width": (KMeans(2), X, lambda one: setattr(one, "cluster_centers_", np.ones((2, 1)))),
    "centres of a tree of another width": (
        BisectingKMeans(2),
        X,
        lambda one: setattr(one._bisecting_tree.left, "center", np.ones(1)),
    ),
    "a word beyond all columns": (CountVectorizer(), TEXTS, lambda one: one.vocabulary_.__setitem__("sky", 10**6)),
    "categories beyond all columns": (
        OneHotEncoder(),
        np.c_[Y, Y],
        lambda one: setattr(one, "_n_features_outs", [10**6, 1]),
    ),
    "rare categories beyond all columns": (
        OneHotEncoder(min_frequency=5),
        TEXTS.reshape(-1, 1),
        lambda one: setattr(one, "_default_to_infrequent_mappings", [np.array([0, 1, 10**6])]),
    ),
    "a generator beyond its words": (
        LogisticRegression(),
        X,
        lambda one: setattr(one, "drawn_from_", beyond_its_words(np.random.RandomState(0))),
    ),
    "another generator beyond its words": (
        LogisticRegression(),
        X,
        lambda one: setattr(one, "drawn_from_", [np.random.Generator(beyond_its_words(np.random.Philox(0)))]),
    ),
    "clusters that merge what is not there": (
        HDBSCAN(copy=True),
        X,
        lambda one: one._single_linkage_tree_["left_node"].__setitem__(0, 10**6),
    ),
}


@pytest.mark.parametrize("what", NUMBERS)
def test_numbers_that_lead_out_of_a_model_are_refused(what: str) -> None:
    estimator, data, change = NUMBERS[what]
    fitted = clone(estimator).fit(data, Y)
    assert type(brought_back(fitted, clone(estimator))) is type(estimator)
    change(fitted)
    with pytest.raises(StudyError, match=NOWHERE):
        brought_back(fitted, clone(estimator))


def test_a_number_stands_for_no_terabyte_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = Ridge().fit(X, TARGET)
    fitted.held_ = np.lib.stride_tricks.as_strided(np.ones(4), (2, 2000), (16, 0))
    assert np.array_equal(brought_back(fitted, Ridge()).held_, fitted.held_)
    monkeypatch.setattr("producer.models.trust._MOST_REPEATED", 10_000)
    with pytest.raises(InputError, match=r"numpy\.ndarray, which nobody vouches for"):
        brought_back(fitted, Ridge())


def test_a_tree_that_hides_some_of_its_nodes_is_refused() -> None:
    fitted = DecisionTreeClassifier().fit(X, Y)
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(pack(fitted).content)) as there, zipfile.ZipFile(content, "w") as made:
        for name in there.namelist():
            count = f'"content": "{fitted.tree_.node_count}"'.encode()
            written = there.read(name)
            assert count in written or name != "schema.json"
            made.writestr(name, written.replace(count, b'"content": "1"'))
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    about = {"file": "x", "format": "skops", "sha256": digest, "facts": {}}
    with pytest.raises(StudyError, match=NOWHERE):
        load(content.getvalue(), about, DecisionTreeClassifier())


# ------------------------------------------------------------------------------- boosters' own files


def loaded(content: bytes, format: str, unfitted: Any, **facts: Any) -> Any:
    about = {"file": "x", "format": format, "sha256": hashlib.sha256(content).hexdigest(), "facts": facts}
    return load(content, about, unfitted)


def first_tree(model: dict[str, Any]) -> dict[str, Any]:
    return model["learner"]["gradient_booster"]["model"]["trees"][0]


def as_ubjson(model: dict[str, Any]) -> bytes:
    """XGBoost's own file of a model; it takes any number."""
    return bytes(Booster(model_file=bytearray(json.dumps(model).encode())).save_raw("ubj"))


OF_XGBOOST: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a child beyond all nodes": lambda model: first_tree(model)["left_children"].__setitem__(0, 10**6),
    "a child that is its parent": lambda model: first_tree(model)["right_children"].__setitem__(0, 0),
    "a feature beyond all": lambda model: first_tree(model)["split_indices"].__setitem__(0, 10**6),
    "an output beyond all": lambda model: model["learner"]["gradient_booster"]["model"]["tree_info"].__setitem__(1, 9),
}


@pytest.mark.parametrize("what", OF_XGBOOST)
def test_a_file_of_xgboost_stays_within_its_trees(what: str) -> None:
    fitted = XGBRegressor(n_estimators=3, max_depth=2, n_jobs=1).fit(X, TARGET)
    assert pack(fitted).format == "xgboost-ubj"
    written = json.loads(bytes(fitted.get_booster().save_raw("json")))
    loaded(as_ubjson(written), "xgboost-ubj", XGBRegressor())
    OF_XGBOOST[what](written)
    with pytest.raises(StudyError, match=NOWHERE):
        loaded(as_ubjson(written), "xgboost-ubj", XGBRegressor())


OF_LIGHTGBM = {
    "a child beyond all nodes": (r"left_child=\S+", "left_child=1000000"),
    "a leaf beyond all": (r"left_child=\S+", "left_child=-1000000"),
    "a feature beyond all": (r"split_feature=\S+", "split_feature=1000000"),
    "an output beyond all": (r"num_tree_per_iteration=1", "num_tree_per_iteration=3"),
    "a category beyond all": (r"decision_type=\S+", "decision_type=1"),
}


@pytest.mark.parametrize("what", OF_LIGHTGBM)
def test_a_file_of_lightgbm_stays_within_its_trees(what: str) -> None:
    fitted = lightgbm().fit(X, TARGET)
    text, facts = pack(fitted).content.decode(), pack(fitted).facts
    loaded(text.encode(), "lightgbm-text", lightgbm(), **facts)
    pattern, instead = OF_LIGHTGBM[what]
    changed = re.sub(pattern, instead, text, count=1)
    assert changed != text
    with pytest.raises(StudyError, match=NOWHERE):
        loaded(changed.encode(), "lightgbm-text", lightgbm(), **facts)


@pytest.mark.parametrize("content", [b"", b"{", b"tree\n", bytes(1000)])
@pytest.mark.parametrize("format", ["xgboost-ubj", "lightgbm-text", "catboost-cbm", "skops"])
def test_a_file_that_is_no_model_is_called_that(content: bytes, format: str) -> None:
    unfitted: dict[str, Any] = {"xgboost-ubj": XGBRegressor(), "lightgbm-text": lightgbm(), "skops": Ridge()}
    with pytest.raises(StudyError, match=r"the stored model"):
        loaded(content, format, unfitted.get(format) or CatBoostRegressor(), **pack(lightgbm().fit(X, TARGET)).facts)


def export_of(fitted: Any, folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.skops").write_bytes(pack(fitted).content)
    # Whoever writes a folder writes what it trusts, too.
    listed = skops.io.get_untrusted_types(data=pack(fitted).content)
    write_manifest(folder, {"model": {"format": "skops", "file": "model.skops", "trusted": listed}})
    return folder


def test_an_export_is_read_as_the_estimator_that_one_names(tmp_path: Path) -> None:
    fitted = fitted_stack(LGBMRegressor)
    there = export_of(fitted, tmp_path / "good")
    assert np.array_equal(read_export(there, stack(lightgbm())).predict(X), fitted.predict(X))
    changed = deepcopy(fitted)
    put_booster_among_members(changed)
    with pytest.raises(StudyError, match="StackingRegressor.estimators_ holds a Booster"):
        read_export(export_of(changed, tmp_path / "bad"), stack(lightgbm()))
    with pytest.raises(InputError, match="which nobody vouches for"):
        read_export(there, Ridge())


class Scaling(RegressorMixin, BaseEstimator):
    """An estimator of one's own, which makes others for itself."""

    def fit(self, X: Any, y: Any) -> Scaling:
        self.scaler_ = StandardScaler().fit(X)
        self.inner_ = lightgbm().fit(self.scaler_.transform(X), y)
        self.method_used_ = "both"
        return self

    def predict(self, X: Any) -> Any:
        return self.inner_.predict(self.scaler_.transform(X))


def test_what_an_estimator_of_ones_own_makes_comes_back() -> None:
    fitted, allow = Scaling().fit(X, TARGET), (f"{Scaling.__module__}.Scaling",)
    content = pack(fitted).content
    about = {"file": "x", "format": "skops", "sha256": hashlib.sha256(content).hexdigest(), "facts": {}}
    assert np.array_equal(load(content, about, Scaling(), allow).predict(X), fitted.predict(X))
    for change in (
        lambda one: setattr(one, "scaler_", one.inner_._Booster),
        lambda one: setattr(one, "scaler_", FunctionTransformer(np.sum, kw_args={"where": False})),
        lambda one: setattr(one, "scaler_", CountVectorizer(input="filename")),
    ):
        changed = deepcopy(fitted)
        change(changed)
        content = pack(changed).content
        about = {"file": "x", "format": "skops", "sha256": hashlib.sha256(content).hexdigest(), "facts": {}}
        with pytest.raises((InputError, StudyError), match="not the study's|reads the files"):
            load(content, about, Scaling(), allow)
