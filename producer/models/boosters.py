"""Boosters whose trees stay within them: XGBoost and LightGBM follow a stored tree without a look.

Some numbers end the process while a file is loaded, others when a model is asked. So where a node leads, which feature
it asks for and to which output a tree adds is looked at before a library sees the file. Formats:
https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html, and LightGBM's ``Tree::ToString``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producer.models.ubjson import read_ubjson

# Categories that XGBoost takes.
_MOST_CATEGORIES = 2**24
# Bits of LightGBM's word on how a node decides.
_BY_CATEGORY = 1
_COUNTS = ("num_class", "num_feature", "num_target")


def xgboost_is_sound(content: bytes) -> bool:
    """Say whether a booster of XGBoost stays within its trees, features and outputs.

    Parameters
    ----------
    content : bytes
        What ``Booster.save_raw("ubj")`` returns, or ``Booster.serialize()``.

    Raises
    ------
    LookupError, TypeError, ValueError
        It lacks what every model has.
    """
    document = read_ubjson(content)
    model = document.get("Model", document)
    if "Config" in document:
        told = [one["learner"]["learner_model_param"] for one in (document["Config"], model)]
        if any(told[0].get(name) != told[1].get(name) for name in _COUNTS):
            return False
    learner = model["learner"]
    about, gradient = learner["learner_model_param"], learner["gradient_booster"]
    features = int(about["num_feature"])
    outputs = max(int(about["num_class"]), int(about.get("num_target", 1)), 1)
    match gradient["name"]:
        case "gblinear":
            return len(gradient["model"]["weights"]) == (features + 1) * outputs
        case "dart":
            trees = gradient["gbtree"]["model"]
            return len(gradient["weight_drop"]) == len(trees["trees"]) and _trees_of_xgboost(trees, features, outputs)
        case "gbtree":
            return _trees_of_xgboost(gradient["model"], features, outputs)
    return False


def _trees_of_xgboost(model: Mapping[str, Any], features: int, outputs: int) -> bool:
    trees, added_to = model["trees"], _numbers(model["tree_info"])
    ends = _numbers(model.get("iteration_indptr", [0, len(trees)]))
    return (
        len(added_to) == len(trees)
        and _within(added_to, outputs)
        and (len(ends) == 0 or (ends[0] == 0 and ends[-1] == len(trees) and bool(np.all(np.diff(ends) >= 0))))
        and all(_tree_of_xgboost(tree, features, outputs) for tree in trees)
        and _categories_of_xgboost(model.get("cats", {"enc": []}), features)
    )


def _categories_of_xgboost(kept: Mapping[str, Any], features: int) -> bool:
    """Say whether the categories of columns, by which those of other data are found, are as many as they say."""
    columns = kept["enc"]
    if not len(columns):
        return True
    ends, order = _numbers(kept["feature_segments"]), _numbers(kept["sorted_idx"])
    sizes = []
    for column in columns:
        offsets = _numbers(column.get("offsets", ()))  # of texts, which lie one behind the other
        steps = np.diff(offsets) if "offsets" in column else _numbers([1] * len(column["values"]))
        if (len(offsets) and offsets[0] != 0) or not np.all(steps >= 0) or steps.sum() != len(column["values"]):
            return False
        sizes.append(len(steps))
    return (
        len(columns) == features
        and np.array_equal(ends, np.concatenate([[0], np.cumsum(sizes)]))
        and len(order) == sum(sizes)
        and all(_within(order[ends[one] : ends[one + 1]], sizes[one]) for one in range(features))
    )


def _tree_of_xgboost(tree: Mapping[str, Any], features: int, outputs: int) -> bool:
    nodes = int(tree["tree_param"]["num_nodes"])
    width = max(int(tree["tree_param"].get("size_leaf_vector", 1)), 1)
    left, right, asked = (_numbers(tree[name]) for name in ("left_children", "right_children", "split_indices"))
    if not len(left) == len(right) == len(asked) == len(tree["default_left"]) == len(tree["split_conditions"]) == nodes:
        return False
    if width not in (1, outputs) or len(tree["base_weights"]) != nodes * width:
        return False
    splits = left != -1
    if width > 1:  # leaves with a number an output lie apart, and are named by what would be their right child
        leaves = len(tree["leaf_weights"]) // width if "leaf_weights" in tree else 0
        named = right[~splits]
        if not _within(named[named != -1], leaves):
            return False
    by_category = np.flatnonzero(splits & (_numbers(tree["split_type"]) != 0))
    starts, sizes = _numbers(tree["categories_segments"]), _numbers(tree["categories_sizes"])
    known = len(tree["categories"])
    return (
        _leads_on(left, right, splits)
        and _within(asked[splits], features)
        and np.array_equal(_numbers(tree["categories_nodes"]), by_category)
        and _within(_numbers(tree["categories"]), _MOST_CATEGORIES)
        and len(starts) == len(sizes) == len(tree["categories_nodes"])
        and _within(np.concatenate([starts, sizes, starts + sizes]), known + 1)
    )


def lightgbm_is_sound(text: str) -> bool:
    """Say whether a booster of LightGBM, as text, stays within its trees, features and outputs.

    Raises
    ------
    LookupError, TypeError, ValueError
        It lacks what every model has.
    """
    [about, *trees] = _sections(text)
    features, outputs = int(about["max_feature_idx"]) + 1, int(about["num_tree_per_iteration"])
    return (
        int(about["num_class"]) == outputs >= 1
        and len(about["feature_infos"].split()) == features == len(about["feature_names"].split(" "))
        and len(trees) % outputs == 0
        and all(_tree_of_lightgbm(tree, features) for tree in trees)
    )


def _sections(text: str) -> Iterator[Mapping[str, str]]:
    """Yield what a model says of itself, and of each tree."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if line == "end of trees":
            break
        name, _, value = line.partition("=")
        if name == "Tree":
            yield found
            found = {}
        found[name] = value
    yield found


def _tree_of_lightgbm(tree: Mapping[str, str], features: int) -> bool:
    leaves = int(tree["num_leaves"])
    if leaves < 2:
        return leaves == 1
    left, right, asked, decisions = (
        _listed(tree[name]) for name in ("left_child", "right_child", "split_feature", "decision_type")
    )
    if not len(left) == len(right) == len(asked) == len(decisions) == leaves - 1 == len(tree["leaf_value"].split()) - 1:
        return False
    # A negative number is a leaf's, counted from -1 on.
    children = np.concatenate([left, right])
    ended = np.sort(~children[children < 0])
    inside = children[children >= 0]
    parents = np.tile(np.arange(leaves - 1), 2)[children >= 0]
    if not np.array_equal(ended, np.arange(leaves)) or not np.array_equal(np.sort(inside), np.arange(1, leaves - 1)):
        return False
    by_category = (decisions & _BY_CATEGORY) != 0
    ends = _listed(tree.get("cat_boundaries", "0"))
    sets = np.array(tree["threshold"].split(), dtype=np.float64)[by_category]
    linear = _listed(tree.get("leaf_features", ""))
    counts = _listed(tree.get("num_features", ""))
    return (
        bool(np.all(inside > parents))
        and _within(asked, features)
        and _within(sets, len(ends) - 1)
        and ends[0] == 0
        and bool(np.all(np.diff(ends) >= 0))
        and ends[-1] == len(_listed(tree.get("cat_threshold", "")))
        and _within(linear, features)
        and int(counts.sum()) == len(linear)
        and len(counts) in (0, leaves)
    )


def _numbers(values: Sequence[Any]) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)


def _listed(text: str) -> NDArray[np.int64]:
    return np.array(text.split(), dtype=np.int64)


def _within(numbers: NDArray[Any], end: int) -> bool:
    return bool(np.all((numbers >= 0) & (numbers < end)))


def _leads_on(left: NDArray[np.int64], right: NDArray[np.int64], splits: NDArray[np.bool_]) -> bool:
    """Say whether each node that can be reached leads to later ones, and each of these has one parent."""
    level, reached = np.zeros(1, dtype=np.int64), 1
    while (level := level[splits[level]]).size:
        children = np.concatenate([left[level], right[level]])
        if not _within(children, len(left)) or not np.all(children > np.tile(level, 2)):
            return False
        reached += len(children)
        if reached > len(left):
            return False
        level = children
    return True
