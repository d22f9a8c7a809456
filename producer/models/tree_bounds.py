"""Checks the numbers of scikit-learn's trees, which its compiled code follows unchecked.

A node refers to its children and its feature by number. A number out of bounds reads foreign
memory, and a reference to an earlier node makes an endless loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Number of 32-bit words in the bit set of categories that go to the left child.
_BITSET_WORDS = 8
_MOST_CATEGORIES = 32 * _BITSET_WORDS


def within(numbers: Any, end: int) -> bool:
    """Return whether all numbers are at least 0 and below `end`."""
    array = np.asarray(numbers)
    return array.size == 0 or (array.dtype.kind in "iuf" and bool(np.all((array >= 0) & (array < end))))


def tree_is_sound(tree: Any, features: int) -> bool:
    """Return whether scikit-learn may have grown a tree on a number of features.

    Parameters
    ----------
    tree : sklearn.tree._tree.Tree
    features : int
        Number of columns of the data to predict.
    """
    if tree.node_count != tree.capacity:  # check first: reading the nodes reads `capacity` of them
        return False
    splits = tree.children_left != -1
    depth = _depth(splits, tree.children_left, tree.children_right)
    asked = np.asarray(tree.feature, dtype=np.int64)[splits]
    return 0 <= depth <= tree.max_depth <= tree.node_count and within(asked, min(features, tree.n_features))


def forest_is_sound(forest: Any) -> bool:
    """Return whether a forest passes to its members, which don't check, enough columns."""
    features = forest.n_features_in_
    drawn = vars(forest).get("estimators_features_")
    members = list(forest.estimators_)
    if drawn is not None and forest._max_features != features:
        return len(drawn) == len(members) and all(
            member.n_features_in_ == len(columns) for member, columns in zip(members, drawn, strict=True)
        )
    return all(member.n_features_in_ <= features for member in members)


def stages_are_sound(boosted: Any) -> bool:
    """Return whether gradient boosting has as many trees per stage as output columns."""
    members = np.asarray(boosted.estimators_, dtype=object)
    if members.ndim != 2 or not all(member.n_features_in_ <= boosted.n_features_in_ for member in members.ravel()):
        return False
    row = np.zeros((1, boosted.n_features_in_), dtype=np.float32)
    columns = {np.shape(boosted._raw_predict_init(row))[1], boosted.n_trees_per_iteration_, members.shape[1]}
    return len(columns) == 1 and all(
        member.tree_.n_outputs == 1 == member.tree_.max_n_classes for member in members.ravel()
    )


def histograms_are_sound(boosted: Any) -> bool:
    """Return whether histogram boosting stays within its nodes, columns and sets of categories."""
    features = boosted.n_features_in_
    bins = boosted._bin_mapper
    by_category = np.asarray(bins.is_categorical_).astype(bool)
    if by_category.shape != (features,) or len(bins.bin_thresholds_) != features:
        return False
    if not all(
        within(np.asarray(bins.bin_thresholds_[column]), _MOST_CATEGORIES) for column in np.flatnonzero(by_category)
    ):
        return False
    trees = [tree for stage in boosted._predictors for tree in stage]
    same = all(len(stage) == boosted.n_trees_per_iteration_ for stage in boosted._predictors)
    base = np.shape(boosted._baseline_prediction)
    return (
        same
        and base in ((1, boosted.n_trees_per_iteration_), (1,), ())
        and _keeps_columns(boosted._preprocessor, features)
        and all(_nodes_are_sound(tree, by_category) for tree in trees)
    )


def _nodes_are_sound(tree: Any, by_category: NDArray[np.bool_]) -> bool:
    nodes, sets = tree.nodes, tree.raw_left_cat_bitsets
    splits = nodes["is_leaf"] == 0
    asked = np.asarray(nodes["feature_idx"], dtype=np.int64)[splits]
    if _depth(splits, nodes["left"], nodes["right"]) < 0 or not within(asked, len(by_category)):
        return False
    of_sets = nodes[splits & (nodes["is_categorical"] != 0)]
    rows = min(len(sets), len(tree.binned_left_cat_bitsets))
    wide = all(bitsets.shape[1:] == (_BITSET_WORDS,) for bitsets in (sets, tree.binned_left_cat_bitsets))
    return wide and within(of_sets["bitset_idx"], rows) and bool(np.all(by_category[of_sets["feature_idx"]]))


def _keeps_columns(preparation: Any, features: int) -> bool:
    """Return whether the step that moves categories first keeps the number of columns."""
    if preparation is None:
        return True
    steps = [(type(step).__name__, np.asarray(columns)) for _, step, columns in preparation.transformers_]
    if not all(columns.dtype == bool and columns.shape == (features,) for _, columns in steps):
        return False
    known = all(kind in ("OrdinalEncoder", "FunctionTransformer") or not columns.any() for kind, columns in steps)
    return known and bool(np.all(np.sum([columns for _, columns in steps], axis=0) == 1))


def _depth(splits: NDArray[np.bool_], left: Any, right: Any) -> int:
    """Return a tree's depth; -1 if a split lacks two later children, or a node one parent."""
    children = np.stack([np.asarray(side, dtype=np.int64)[splits] for side in (left, right)])
    if not np.array_equal(np.sort(children, axis=None), np.arange(1, len(splits))):
        return -1
    if not np.all(children > np.flatnonzero(splits)):
        return -1
    sides = [np.asarray(side, dtype=np.int64) for side in (left, right)]
    depth, level = 0, np.zeros(1, dtype=np.int64)
    while (level := level[splits[level]]).size:
        level = np.concatenate([side[level] for side in sides])
        depth += 1
    return depth
