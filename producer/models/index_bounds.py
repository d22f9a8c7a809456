"""Checks the numbers of a model that compiled code uses as positions in memory.

scikit-learn checks the arguments of users, but not the attributes that ``fit`` has set. So this
module checks what the classes of a loaded model pass to C code: nodes, labels, columns of sparse
matrices, support vectors, centres.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.base import is_regressor
from sklearn.neighbors import BallTree, KDTree, NearestNeighbors

from producer.models import tree_bounds
from producer.models.model_shape import alike, held
from producer.models.numpy_only import BY_NUMPY
from producer.models.refusals import leads_out
from producer.models.tree_bounds import within
from warren.errors import InputError
from warren.safety.built_estimators import is_estimator

# Most threads that a model may be set to use.
_MOST_THREADS = 4096


def check_numbers(fitted: Any) -> None:
    """Refuse a model whose numbers would make compiled code read outside it.

    Parameters
    ----------
    fitted : estimator instance
        As read from an archive.

    Raises
    ------
    StudyError
        An estimator of the model has such numbers; the message names it.
    AttributeError, LookupError, TypeError, ValueError
        An attribute of a fitted estimator is missing or malformed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about our own test data
        for holder, name, part in reversed([*held(fitted)]):  # parts first: some checks of estimators use them
            if not _is_sound(holder, name, part):
                whose = type(part if is_estimator(part) else holder).__name__
                raise leads_out(whose)


def _is_sound(holder: Any, name: str, part: Any) -> bool:
    if scipy.sparse.issparse(part):
        part.check_format(full_check=True)
        return True
    if isinstance(part, (np.random.RandomState, np.random.Generator)):
        return _draws_within(part)
    kind = type(part).__name__
    if type(part).__module__ == "sklearn.tree._tree":
        return name == "tree_" and tree_bounds.tree_is_sound(part, holder.n_features_in_)
    if type(part).__module__ in ("sklearn.neighbors._kd_tree", "sklearn.neighbors._ball_tree"):
        return (name, kind) in {
            (place, tree_class.__name__) for place in ("_tree", "tree_") for tree_class in (KDTree, BallTree)
        }
    if type(part).__module__ == "sklearn.metrics._dist_metrics":
        return False  # valid only inside such a tree
    if not is_estimator(part):
        return True
    if not is_known(type(part)):
        raise InputError(
            f"the model holds a {kind}, whose numbers this version can't check before compiled code uses them: "
            "train here with study.refit_estimator().fit(X, y)"
        )
    names = _names(type(part))
    return all(
        is_sound(part) for class_name, (mark, is_sound) in _CHECKS.items() if class_name in names and mark in vars(part)
    )


def is_known(cls: type) -> bool:
    """Return whether this module knows which numbers of a scikit-learn class compiled code uses."""
    return not _is_scikit_learn_s(cls) or not _names(cls).isdisjoint(_CHECKS.keys() | BY_NUMPY)


def _names(cls: type) -> frozenset[str]:
    return frozenset(base.__name__ for base in cls.__mro__ if _is_scikit_learn_s(base))


def _is_scikit_learn_s(cls: type) -> bool:
    # Classes of its tests count as the operator's: a model has one only if WARREN_ALLOW names it.
    package, *modules = cls.__module__.split(".")
    return package == "sklearn" and {"tests", "_testing"}.isdisjoint(modules)


def _draws_within(generator: Any) -> bool:
    """Return whether the position of a random generator is inside its state."""
    of_old = isinstance(generator, np.random.RandomState)
    state = generator.get_state(legacy=False) if of_old else generator.bit_generator.state
    inside = state["state"]
    words, place = inside.get("key", ()), inside.get("pos", 0)
    if "buffer_pos" in state:
        words, place = state["buffer"], state["buffer_pos"]
    return 0 <= int(place) <= len(words)


def _numbers_each(found: Mapping[Any, Any], end: int) -> bool:
    """Return whether the values of a dict are the numbers from 0 to `end` - 1, each once."""
    return len(found) == end and np.array_equal(np.sort(np.fromiter(found.values(), np.int64, end)), np.arange(end))


# ------------------------------------------------------------------------------- neighbours


def _neighbours_are_sound(estimator: Any) -> bool:
    points = estimator._fit_X
    rows, columns = points.shape
    # The metric that `fit` derives does not depend on the points.
    fresh = NearestNeighbors(
        algorithm="brute", metric=estimator.metric, p=estimator.p, metric_params=estimator.metric_params
    )
    fresh.fit(np.zeros((1, 1 if estimator.metric == "precomputed" else columns)))
    metrics = [[model.effective_metric_, model.effective_metric_params_] for model in (estimator, fresh)]
    if (
        not alike(*metrics)
        or rows != estimator.n_samples_fit_
        or columns != estimator.n_features_in_
        or points.dtype.kind not in "biuf"
    ):
        return False
    labels, classes = vars(estimator).get("_y"), vars(estimator).get("classes_")
    if labels is not None:
        by_output = np.reshape(labels, (rows, -1)).T
        several = classes if isinstance(classes, list) else [classes] * len(by_output)
        if classes is not None and not all(map(within, by_output, map(len, several))):
            return False
    tree = vars(estimator).get("_tree")
    if tree is None:
        return True
    made = type(tree)(
        points, estimator.leaf_size, metric=estimator.effective_metric_, **estimator.effective_metric_params_
    )
    return _grown_alike(tree, made)


def _density_is_sound(estimator: Any) -> bool:
    state = estimator.tree_.__getstate__()
    points, weights = np.asarray(state[0]), state[-1]
    if points.ndim != 2 or points.shape[1] != estimator.n_features_in_:
        return False
    weighted = None if weights is None else np.asarray(weights)
    params = estimator.metric_params or {}
    made = type(estimator.tree_)(
        points, metric=estimator.metric, leaf_size=estimator.leaf_size, sample_weight=weighted, **params
    )
    return _grown_alike(estimator.tree_, made)


def _grown_alike(tree: Any, made: Any) -> bool:
    """Return whether a search tree has the structure of one that was built from the same points.

    The points in a node may differ between machines, for example with ties; the nodes and their
    sizes depend only on the number of points.
    """
    (points, order, nodes, bounds, *sizes, metric, _), rebuilt = tree.__getstate__(), made.__getstate__()
    names = ["idx_start", "idx_end", "is_leaf"]
    return (
        np.array_equal(points, rebuilt[0], equal_nan=True)
        and np.array_equal(np.sort(order), np.arange(len(points)))
        and np.shape(nodes) == np.shape(rebuilt[2])
        and all(np.array_equal(nodes[name], rebuilt[2][name]) for name in names)
        and np.shape(bounds) == np.shape(rebuilt[3])
        and sizes[:3] == list(rebuilt[4:7])
        and type(metric) is type(rebuilt[-2])
        and repr(metric.__getstate__()) == repr(rebuilt[-2].__getstate__())
    )


# --------------------------------------------------------------------------- support vectors


def _support_is_sound(estimator: Any) -> bool:
    n_vectors, n_columns = len(estimator.support_), estimator.shape_fit_[1]
    classes = vars(estimator).get("classes_")
    n_classes = 2 if classes is None else len(classes)
    pairs = n_classes * (n_classes - 1) // 2
    counts = np.asarray(estimator._n_support)
    n_in_total = counts[0] if classes is None else counts.sum()
    coefficients = estimator._dual_coef_
    vectors = estimator.support_vectors_
    callable_kernel = callable(estimator.kernel)
    precomputed = callable_kernel or estimator.kernel == "precomputed"
    shapes = (
        counts.shape == (n_classes,)
        and bool(np.all(counts >= 0))
        and n_in_total == n_vectors
        and coefficients.shape == (n_classes - 1, n_vectors)
        and np.shape(estimator._intercept_) == (pairs,)
        and all(np.shape(side) in ((0,), (pairs,)) for side in (estimator._probA, estimator._probB))
        and np.shape(estimator._probA) == np.shape(estimator._probB)
        and (vectors.shape == (n_vectors, n_columns) or (precomputed and vectors.shape == (0, 0)))
    )
    if scipy.sparse.issparse(coefficients):  # passed on as a flat array
        shapes = shapes and coefficients.nnz == (n_classes - 1) * n_vectors
    sides = estimator.shape_fit_[0] if callable_kernel else n_columns
    known = vars(estimator).get("_BaseLibSVM__Xfit")
    return (
        bool(shapes)
        and within(estimator.support_, estimator.shape_fit_[0])
        and (not precomputed or within(estimator.support_, sides))
        and (known is None or known.shape[0] == estimator.shape_fit_[0])
        and (callable_kernel or n_columns == estimator.n_features_in_)
    )


# ------------------------------------------------------------------- centres, words, categories


def _centres_are_sound(estimator: Any) -> bool:
    centres = estimator.cluster_centers_
    counts = vars(estimator).get("_counts")  # mini-batch clustering continues with them
    return (
        np.shape(centres)[1:] == (estimator.n_features_in_,)
        and bool(0 < estimator._n_threads <= _MOST_THREADS)
        and (counts is None or np.shape(counts) == (len(centres),))
    )


def _subclusters_are_sound(estimator: Any) -> bool:
    return bool(np.shape(estimator._subcluster_norms) == (len(estimator.subcluster_centers_),))


def _covariance_is_sound(estimator: Any) -> bool:
    """Return whether the matrices are as wide as the points, which SciPy does not check."""
    wide = (estimator.n_features_in_,) * 2
    inverse = estimator.precision_
    return bool(np.shape(estimator.covariance_) == wide and (inverse is None or np.shape(inverse) == wide))


def _bisection_is_sound(estimator: Any) -> bool:
    waiting, seen = [estimator._bisecting_tree], set()
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        if id(node) in seen or np.size(node.center) != estimator.n_features_in_:
            return False
        seen.add(id(node))
        waiting += [node.left, node.right]
    return _centres_are_sound(estimator)


def _vocabulary_is_sound(estimator: Any) -> bool:
    return _numbers_each(estimator.vocabulary_, len(estimator.vocabulary_))


def _label_map_is_sound(estimator: Any) -> bool:
    return estimator._cached_dict is None or _numbers_each(estimator._cached_dict, len(estimator._cached_dict))


def _one_vs_rest_is_sound(estimator: Any) -> bool:
    """Return whether each member decides by one number per row, as the sparse result needs."""
    return not estimator.multilabel_ or all(map(_decides_by_one, estimator.estimators_))


def _decides_by_one(member: Any) -> bool:
    if is_regressor(member) or not hasattr(member, "decision_function"):
        return True
    columns = getattr(member, "feature_names_in_", None)
    rows: list[Any] = [np.zeros((1, getattr(member, "n_features_in_", 1))), [""]]
    if columns is not None:
        rows = [pd.DataFrame([[value] * len(columns)], columns=columns) for value in (0.0, "")]
    for row in rows:  # the member accepts either numbers or text
        with contextlib.suppress(ValueError, TypeError, AttributeError, LookupError):
            return bool(np.size(member.decision_function(row)) == 1)
    return False


def _categories_are_sound(estimator: Any) -> bool:
    outs = [int(number) for number in estimator._n_features_outs]
    if (
        outs != [int(number) for number in estimator._compute_n_features_outs()]
        or len(outs) != estimator.n_features_in_
    ):
        return False
    dropped = (
        [None] * len(outs) if estimator._drop_idx_after_grouping is None else list(estimator._drop_idx_after_grouping)
    )
    mappings = estimator._default_to_infrequent_mappings if estimator._infrequent_enabled else [None] * len(outs)
    return len(dropped) == len(mappings) == len(outs) and all(
        map(_columns_fit, outs, dropped, mappings, map(len, estimator.categories_))
    )


def _columns_fit(out: int, dropped: Any, mapping: Any, known: int) -> bool:
    wide = out + (dropped is not None)
    if dropped is not None and not 0 <= dropped < wide:
        return False
    return known == wide if mapping is None else len(mapping) == known and within(mapping, wide)


def _linkage_is_sound(estimator: Any) -> bool:
    linkage = estimator._single_linkage_tree_
    ends = np.arange(len(linkage)) + len(linkage) + 1
    return all(bool(np.all((side >= 0) & (side < ends))) for side in (linkage["left_node"], linkage["right_node"]))


# By class name: an attribute that shows that it is fitted, and the check.
_CHECKS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "BaseForest": ("estimators_", tree_bounds.forest_is_sound),
    "IsolationForest": ("estimators_", tree_bounds.forest_is_sound),
    "BaseGradientBoosting": ("estimators_", tree_bounds.stages_are_sound),
    "BaseHistGradientBoosting": ("_predictors", tree_bounds.histograms_are_sound),
    "NeighborsBase": ("_fit_X", _neighbours_are_sound),
    "KernelDensity": ("tree_", _density_is_sound),
    "BaseLibSVM": ("support_", _support_is_sound),
    "_BaseKMeans": ("cluster_centers_", _centres_are_sound),
    "EmpiricalCovariance": ("covariance_", _covariance_is_sound),
    "BisectingKMeans": ("_bisecting_tree", _bisection_is_sound),
    "Birch": ("subcluster_centers_", _subclusters_are_sound),
    "MultiLabelBinarizer": ("classes_", _label_map_is_sound),
    "OneVsRestClassifier": ("estimators_", _one_vs_rest_is_sound),
    "CountVectorizer": ("vocabulary_", _vocabulary_is_sound),
    "DictVectorizer": ("vocabulary_", _vocabulary_is_sound),
    "OneHotEncoder": ("categories_", _categories_are_sound),
    "HDBSCAN": ("_single_linkage_tree_", _linkage_is_sound),
}
