"""Numbers of a stored model that compiled code follows: each stays within the model."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.cluster import HDBSCAN, BisectingKMeans, KMeans
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from stored_models import brought_back, loaded

from warren.errors import InputError, StudyError
from worker.training.models import pack

RNG = np.random.default_rng(0)
X = RNG.random((60, 4))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
TARGET = X @ [1.0, 2.0, 3.0, 4.0]
TEXTS = np.array(["red sky", "blue sea", "green sky"] * 20, dtype=object)
NOWHERE = "are out of bounds|holds values that no fit produces|can't be read"


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
    monkeypatch.setattr("producer.models.trusted_types._MOST_REPEATED", 10_000)
    with pytest.raises(InputError, match=r"numpy\.ndarray, which is not trusted"):
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
    with pytest.raises(StudyError, match=NOWHERE):
        loaded(content.getvalue(), "skops", DecisionTreeClassifier())
