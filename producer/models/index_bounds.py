"""Numbers that compiled code takes for places in memory: each where it can be, as `fit` leaves it.

scikit-learn looks at what users pass, and not at what it has found itself in ``fit``. So a model from a file is looked
at here, by what its classes hand to C: nodes, labels, columns of sparse matrices, support vectors, centres.
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

# Threads that a model may have been told to use.
_MOST_THREADS = 4096


def check_numbers(fitted: Any) -> None:
    """Refuse a model whose numbers would lead compiled code out of it.

    Parameters
    ----------
    fitted : estimator instance
        As it came from an archive.

    Raises
    ------
    StudyError
        Says which of its estimators holds them.
    AttributeError, LookupError, TypeError, ValueError
        One lacks what `fit` leaves there, or has something else.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is only asked here is nobody's data
        for holder, name, part in reversed([*held(fitted)]):  # parts first: some looks ask them
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
        return (name, kind) in {(place, one.__name__) for place in ("_tree", "tree_") for one in (KDTree, BallTree)}
    if type(part).__module__ == "sklearn.metrics._dist_metrics":
        return False  # a part of such a tree alone
    if not is_estimator(part):
        return True
    if not is_known(type(part)):
        raise InputError(
            f"the model holds a {kind}, and this version does not know which numbers of it compiled code follows: "
            "train here with study.refit_estimator().fit(X, y)"
        )
    names = _names(type(part))
    return all(look(part) for one, (mark, look) in _LOOKS.items() if one in names and mark in vars(part))


def is_known(cls: type) -> bool:
    """Say whether somebody has looked at which numbers of scikit-learn's class compiled code follows."""
    return not _is_scikit_learn_s(cls) or not _names(cls).isdisjoint(_LOOKS.keys() | BY_NUMPY)


def _names(cls: type) -> frozenset[str]:
    return frozenset(base.__name__ for base in cls.__mro__ if _is_scikit_learn_s(base))


def _is_scikit_learn_s(cls: type) -> bool:
    # Classes of its tests are the operator's: a model has one only where WARREN_ALLOW names it.
    package, *modules = cls.__module__.split(".")
    return package == "sklearn" and {"tests", "_testing"}.isdisjoint(modules)


def _draws_within(generator: Any) -> bool:
    """Say whether the place at which a generator goes on lies in its words."""
    of_old = isinstance(generator, np.random.RandomState)
    state = generator.get_state(legacy=False) if of_old else generator.bit_generator.state
    inside = state["state"]
    words, place = inside.get("key", ()), inside.get("pos", 0)
    if "buffer_pos" in state:
        words, place = state["buffer"], state["buffer_pos"]
    return 0 <= int(place) <= len(words)


def _numbers_each(found: Mapping[Any, Any], end: int) -> bool:
    """Say whether a dict gives each of as many things as there are another number from 0 on."""
    return len(found) == end and np.array_equal(np.sort(np.fromiter(found.values(), np.int64, end)), np.arange(end))


# ------------------------------------------------------------------------------- neighbours


def _neighbours(one: Any) -> bool:
    points = one._fit_X
    rows, columns = points.shape
    # What `fit` makes of the metric does not depend on the points.
    like = NearestNeighbors(algorithm="brute", metric=one.metric, p=one.p, metric_params=one.metric_params)
    like.fit(np.zeros((1, 1 if one.metric == "precomputed" else columns)))
    metrics = [[each.effective_metric_, each.effective_metric_params_] for each in (one, like)]
    if (
        not alike(*metrics)
        or rows != one.n_samples_fit_
        or columns != one.n_features_in_
        or points.dtype.kind not in "biuf"
    ):
        return False
    labels, classes = vars(one).get("_y"), vars(one).get("classes_")
    if labels is not None:
        by_output = np.reshape(labels, (rows, -1)).T
        several = classes if isinstance(classes, list) else [classes] * len(by_output)
        if classes is not None and not all(map(within, by_output, map(len, several))):
            return False
    tree = vars(one).get("_tree")
    if tree is None:
        return True
    made = type(tree)(points, one.leaf_size, metric=one.effective_metric_, **one.effective_metric_params_)
    return _grown_alike(tree, made)


def _density(one: Any) -> bool:
    state = one.tree_.__getstate__()
    points, weights = np.asarray(state[0]), state[-1]
    if points.ndim != 2 or points.shape[1] != one.n_features_in_:
        return False
    weighted = None if weights is None else np.asarray(weights)
    params = one.metric_params or {}
    made = type(one.tree_)(points, metric=one.metric, leaf_size=one.leaf_size, sample_weight=weighted, **params)
    return _grown_alike(one.tree_, made)


def _grown_alike(tree: Any, made: Any) -> bool:
    """Say whether a search tree is one of the points that another was made of.

    Which points lie in a node may differ between machines, in ties for one; how many do, and of which nodes there are,
    follows from their number.
    """
    (points, order, nodes, bounds, *told, metric, _), like = tree.__getstate__(), made.__getstate__()
    names = ["idx_start", "idx_end", "is_leaf"]
    return (
        np.array_equal(points, like[0], equal_nan=True)
        and np.array_equal(np.sort(order), np.arange(len(points)))
        and np.shape(nodes) == np.shape(like[2])
        and all(np.array_equal(nodes[name], like[2][name]) for name in names)
        and np.shape(bounds) == np.shape(like[3])
        and told[:3] == list(like[4:7])
        and type(metric) is type(like[-2])
        and repr(metric.__getstate__()) == repr(like[-2].__getstate__())
    )


# --------------------------------------------------------------------------- support vectors


def _support(one: Any) -> bool:
    n_vectors, n_columns = len(one.support_), one.shape_fit_[1]
    classes = vars(one).get("classes_")
    n_classes = 2 if classes is None else len(classes)
    pairs = n_classes * (n_classes - 1) // 2
    counts = np.asarray(one._n_support)
    told = counts[0] if classes is None else counts.sum()
    coefficients = one._dual_coef_
    vectors = one.support_vectors_
    callable_kernel = callable(one.kernel)
    precomputed = callable_kernel or one.kernel == "precomputed"
    shapes = (
        counts.shape == (n_classes,)
        and bool(np.all(counts >= 0))
        and told == n_vectors
        and coefficients.shape == (n_classes - 1, n_vectors)
        and np.shape(one._intercept_) == (pairs,)
        and all(np.shape(side) in ((0,), (pairs,)) for side in (one._probA, one._probB))
        and np.shape(one._probA) == np.shape(one._probB)
        and (vectors.shape == (n_vectors, n_columns) or (precomputed and vectors.shape == (0, 0)))
    )
    if scipy.sparse.issparse(coefficients):  # handed over as a flat array
        shapes = shapes and coefficients.nnz == (n_classes - 1) * n_vectors
    sides = one.shape_fit_[0] if callable_kernel else n_columns
    known = vars(one).get("_BaseLibSVM__Xfit")
    return (
        bool(shapes)
        and within(one.support_, one.shape_fit_[0])
        and (not precomputed or within(one.support_, sides))
        and (known is None or known.shape[0] == one.shape_fit_[0])
        and (callable_kernel or n_columns == one.n_features_in_)
    )


# ------------------------------------------------------------------- centres, words, categories


def _centres(one: Any) -> bool:
    centres = one.cluster_centers_
    counts = vars(one).get("_counts")  # of a clustering by small batches, which goes on with them
    return (
        np.shape(centres)[1:] == (one.n_features_in_,)
        and bool(0 < one._n_threads <= _MOST_THREADS)
        and (counts is None or np.shape(counts) == (len(centres),))
    )


def _subclusters(one: Any) -> bool:
    return bool(np.shape(one._subcluster_norms) == (len(one.subcluster_centers_),))


def _covariance(one: Any) -> bool:
    """Say whether a matrix of distances is as wide as the points: SciPy takes it for that."""
    wide = (one.n_features_in_,) * 2
    inverse = one.precision_
    return bool(np.shape(one.covariance_) == wide and (inverse is None or np.shape(inverse) == wide))


def _halves(one: Any) -> bool:
    waiting, seen = [one._bisecting_tree], set()
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        if id(node) in seen or np.size(node.center) != one.n_features_in_:
            return False
        seen.add(id(node))
        waiting += [node.left, node.right]
    return _centres(one)


def _words(one: Any) -> bool:
    return _numbers_each(one.vocabulary_, len(one.vocabulary_))


def _labels(one: Any) -> bool:
    return one._cached_dict is None or _numbers_each(one._cached_dict, len(one._cached_dict))


def _one_against_rest(one: Any) -> bool:
    """Say whether each member decides by one number a row, where these become places in a sparse matrix."""
    return not one.multilabel_ or all(map(_decides_by_one, one.estimators_))


def _decides_by_one(member: Any) -> bool:
    if is_regressor(member) or not hasattr(member, "decision_function"):
        return True
    columns = getattr(member, "feature_names_in_", None)
    rows: list[Any] = [np.zeros((1, getattr(member, "n_features_in_", 1))), [""]]
    if columns is not None:
        rows = [pd.DataFrame([[value] * len(columns)], columns=columns) for value in (0.0, "")]
    for row in rows:  # of numbers or of text: one of them is what it takes
        with contextlib.suppress(ValueError, TypeError, AttributeError, LookupError):
            return bool(np.size(member.decision_function(row)) == 1)
    return False


def _categories(one: Any) -> bool:
    outs = [int(number) for number in one._n_features_outs]
    if outs != [int(number) for number in one._compute_n_features_outs()] or len(outs) != one.n_features_in_:
        return False
    dropped = [None] * len(outs) if one._drop_idx_after_grouping is None else list(one._drop_idx_after_grouping)
    mappings = one._default_to_infrequent_mappings if one._infrequent_enabled else [None] * len(outs)
    return len(dropped) == len(mappings) == len(outs) and all(
        map(_columns_fit, outs, dropped, mappings, map(len, one.categories_))
    )


def _columns_fit(out: int, dropped: Any, mapping: Any, known: int) -> bool:
    wide = out + (dropped is not None)
    if dropped is not None and not 0 <= dropped < wide:
        return False
    return known == wide if mapping is None else len(mapping) == known and within(mapping, wide)


def _merges(one: Any) -> bool:
    linkage = one._single_linkage_tree_
    ends = np.arange(len(linkage)) + len(linkage) + 1
    return all(bool(np.all((side >= 0) & (side < ends))) for side in (linkage["left_node"], linkage["right_node"]))


# By the name of a class: an attribute that it has once it is fitted, and what is looked at then.
_LOOKS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "BaseForest": ("estimators_", tree_bounds.forest_is_sound),
    "IsolationForest": ("estimators_", tree_bounds.forest_is_sound),
    "BaseGradientBoosting": ("estimators_", tree_bounds.stages_are_sound),
    "BaseHistGradientBoosting": ("_predictors", tree_bounds.histograms_are_sound),
    "NeighborsBase": ("_fit_X", _neighbours),
    "KernelDensity": ("tree_", _density),
    "BaseLibSVM": ("support_", _support),
    "_BaseKMeans": ("cluster_centers_", _centres),
    "EmpiricalCovariance": ("covariance_", _covariance),
    "BisectingKMeans": ("_bisecting_tree", _halves),
    "Birch": ("subcluster_centers_", _subclusters),
    "MultiLabelBinarizer": ("classes_", _labels),
    "OneVsRestClassifier": ("estimators_", _one_against_rest),
    "CountVectorizer": ("vocabulary_", _words),
    "DictVectorizer": ("vocabulary_", _words),
    "OneHotEncoder": ("categories_", _categories),
    "HDBSCAN": ("_single_linkage_tree_", _merges),
}
