"""Trees whose numbers stay within them: scikit-learn follows what a tree says without looking.

A node names its children and its feature by number. One that names another than there is reads memory that is not the
tree's, and one that names a node before it is followed for ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tuning.errors import StudyError


def check_trees(estimator: Any) -> None:
    """Refuse an estimator with a tree that scikit-learn can't have grown.

    Parameters
    ----------
    estimator : estimator instance
        As it came from an archive.

    Raises
    ------
    StudyError
        A tree leads out of itself, or asks for a feature that there is not.
    """
    if not type(estimator).__module__.startswith("sklearn."):
        return  # of a class that the operator named, or a library that looks itself
    held = vars(estimator)
    features = int(held.get("n_features_in_", 0))
    if type(tree := held.get("tree_")).__name__ == "Tree":
        splits = tree.children_left != -1
        sound = _is_grown(splits, tree.children_left, tree.children_right, tree.feature, min(features, tree.n_features))
        _check(estimator, sound)
    for stage in held.get("_predictors", ()):
        for predictor in stage:
            nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
            splits = nodes["is_leaf"] == 0
            sound = _is_grown(splits, nodes["left"], nodes["right"], nodes["feature_idx"], features)
            by_category = nodes["bitset_idx"][splits & (nodes["is_categorical"] != 0)]
            _check(
                estimator,
                sound and bool(np.all(by_category < min(len(bitsets), len(predictor.binned_left_cat_bitsets)))),
            )
    # Members are asked without a look at the number of columns that they were fitted on.
    if type(estimator).__module__ in ("sklearn.ensemble._forest", "sklearn.ensemble._gb", "sklearn.ensemble._iforest"):
        members = np.ravel(np.asarray(held.get("estimators_", ()), dtype=object))
        _check(estimator, all(getattr(one, "n_features_in_", 0) <= features for one in members))


def _is_grown(splits: Any, left: Any, right: Any, feature: Any, features: int) -> bool:
    """Say whether nodes that split name two later nodes and one of the features."""
    numbers = np.arange(len(splits))
    children = [np.asarray(side, dtype=np.int64) for side in (left, right)]
    onwards = all(np.all((side > numbers) & (side < len(splits)), where=splits) for side in children)
    asked = np.asarray(feature, dtype=np.int64)
    return bool(onwards and np.all((asked >= 0) & (asked < features), where=splits))


def _check(estimator: Any, sound: bool) -> None:
    if not sound:
        raise StudyError(f"a tree of the stored {type(estimator).__name__} leads out of itself: train the model again")
