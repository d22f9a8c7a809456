"""Checks booster files: XGBoost and LightGBM follow the numbers of a stored tree unchecked.

Wrong numbers can crash the process while it loads a file or predicts. So the children and features
of nodes, and the outputs of trees, are checked before a library reads the file. Formats:
https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html, and LightGBM's
``Tree::ToString``.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producer.models.tree_bounds import within
from producer.models.ubjson import read_ubjson

# Most categories that XGBoost accepts.
_MOST_CATEGORIES = 2**24
# LightGBM's `decision_type` of a node: the bit for categories, and the upper bound.
_BY_CATEGORY, _DECISIONS = 1, 2**4
# XGBoost's fields with one value per node.
_OF_NODES_OF_XGBOOST = (
    *("left_children", "right_children", "parents", "split_indices"),
    *("split_type", "default_left", "split_conditions"),
)
_STATISTICS = ("loss_changes", "sum_hessian")
_COUNTS = ("num_class", "num_feature", "num_target")

# The formats of the fields that LightGBM writes for a model and a tree. Python would accept more
# texts as numbers.
_COUNT, _WHOLES, _REALS = "=[0-9]+", "=[0-9 -]*", "=[0-9.einfa +-]*"
_REAL = r"-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?|inf|nan)"
_RANGE = rf"(?:none|\[{_REAL}:{_REAL}\]|-?[0-9]+(?::-?[0-9]+)*)"
_HEAD = {
    "version": "=v4",
    **dict.fromkeys(("num_class", "num_tree_per_iteration", "label_index", "max_feature_idx"), _COUNT),
    "objective": f"=[a-z0-9_]+(?: [a-z_]+(?::{_REAL})?)*",
    "average_output": "",
    "feature_names": "=.+",
    "feature_infos": f"={_RANGE}(?: {_RANGE})*",
    **dict.fromkeys(("monotone_constraints", "tree_sizes"), _WHOLES),
}
_OF_NODES = {
    **dict.fromkeys(("split_feature", "decision_type", "left_child", "right_child", "internal_count"), _WHOLES),
    **dict.fromkeys(("split_gain", "threshold", "internal_value", "internal_weight"), _REALS),
}
_OF_LEAVES = {"leaf_value": _REALS, "leaf_weight": _REALS, "leaf_count": _WHOLES}
_TREE = {
    **dict.fromkeys(("num_leaves", "num_cat"), _COUNT),
    "is_linear": "=[01]",
    "shrinkage": f"={_REAL}",
    **_OF_NODES,
    **_OF_LEAVES,
    **dict.fromkeys(("cat_boundaries", "cat_threshold", "num_features", "leaf_features"), _WHOLES),
    **dict.fromkeys(("leaf_const", "leaf_coeff"), _REALS),
}


def xgboost_is_sound(content: bytes) -> bool:
    """Return whether an XGBoost booster stays within the bounds of its trees, features and outputs.

    Parameters
    ----------
    content : bytes
        The result of ``Booster.save_raw("ubj")`` or ``Booster.serialize()``.

    Raises
    ------
    LookupError, TypeError, ValueError
        A field is missing or malformed.
    """
    document = read_ubjson(content)
    model = document.get("Model", document)
    if "Config" in document:
        config, stored = (part["learner"]["learner_model_param"] for part in (document["Config"], model))
        if any(config.get(name) != stored.get(name) for name in _COUNTS):
            return False
    learner = model["learner"]
    about, gradient = learner["learner_model_param"], learner["gradient_booster"]
    features = _count(about["num_feature"])
    outputs = max(_count(about["num_class"]), _count(about.get("num_target", "1")), 1)
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
    widths = {_width(tree) for tree in trees}
    if len(widths) > 1 or not widths <= {1, outputs}:
        return False
    ends = _numbers(model.get("iteration_indptr", [0, len(trees)]))
    return (
        len(added_to) == len(trees)
        and [tree["id"] for tree in trees] == [*range(len(trees))]  # the index at which a tree is stored
        and (not trees or np.array_equal(np.unique(added_to), np.arange(1 if outputs in widths else outputs)))
        and (len(ends) == 0 or (ends[0] == 0 and ends[-1] == len(trees) and bool(np.all(np.diff(ends) >= 0))))
        and all(_tree_of_xgboost(tree, features) for tree in trees)
        and _categories_of_xgboost(model.get("cats", {"enc": []}), features)
    )


def _categories_of_xgboost(kept: Mapping[str, Any], features: int) -> bool:
    """Return whether the stored categories, used to encode new data, have consistent sizes."""
    columns = kept["enc"]
    if not len(columns):
        return True
    ends, order = _numbers(kept["feature_segments"]), _numbers(kept["sorted_idx"])
    sizes = []
    for column in columns:
        offsets = _numbers(column.get("offsets", ()))  # texts are stored one after the other
        steps = np.diff(offsets) if "offsets" in column else _numbers([1] * len(column["values"]))
        if (len(offsets) and offsets[0] != 0) or not np.all(steps >= 0) or steps.sum() != len(column["values"]):
            return False
        sizes.append(len(steps))
    return (
        len(columns) == features
        and np.array_equal(ends, np.concatenate([[0], np.cumsum(sizes)]))
        and len(order) == sum(sizes)
        and all(within(order[ends[feature] : ends[feature + 1]], sizes[feature]) for feature in range(features))
    )


def _width(tree: Mapping[str, Any]) -> int:
    """Return how many numbers a leaf has; files of earlier versions have 0 for one number."""
    return max(_count(tree["tree_param"].get("size_leaf_vector", "1")), 1)


def _tree_of_xgboost(tree: Mapping[str, Any], features: int) -> bool:
    nodes, width = _count(tree["tree_param"]["num_nodes"]), _width(tree)
    several = width > 1
    counted = _OF_NODES_OF_XGBOOST if several and _leaves_lie_within() else _OF_NODES_OF_XGBOOST + _STATISTICS
    if any(len(tree[name]) != nodes for name in counted) or len(tree["base_weights"]) != nodes * width:
        return False
    left, right, parents, asked = (_numbers(tree[name]) for name in _OF_NODES_OF_XGBOOST[:4])
    splits = left != -1
    reached = _reached(left, right, parents)
    if reached is None or (several and reached != nodes):
        return False
    if several and not _leaves_lie_within():  # a leaf's right child is its index in the list of leaves
        leaves = np.arange(nodes - np.count_nonzero(splits))
        if not np.array_equal(np.sort(right[~splits]), leaves) or len(tree["leaf_weights"]) != len(leaves) * width:
            return False
    by_category = np.flatnonzero(splits & (_numbers(tree["split_type"]) != 0))
    starts, sizes = _numbers(tree["categories_segments"]), _numbers(tree["categories_sizes"])
    known = len(tree["categories"])
    return (
        within(asked[splits], features)
        and np.array_equal(_numbers(tree["categories_nodes"]), by_category)
        and within(_numbers(tree["categories"]), _MOST_CATEGORIES)
        and len(starts) == len(sizes) == len(tree["categories_nodes"])
        and within(np.concatenate([starts, sizes, starts + sizes]), known + 1)
    )


def lightgbm_is_sound(text: str) -> bool:
    """Return whether a LightGBM booster, as text, stays within its trees and features.

    Raises
    ------
    LookupError, TypeError, ValueError
        The text does not have LightGBM's format.
    """
    about, trees = _parts_of_lightgbm(text)
    features, outputs = int(about["max_feature_idx"]) + 1, int(about["num_tree_per_iteration"])
    return (
        int(about["num_class"]) == outputs >= 1
        and all(int(count) == outputs for count in re.findall(r" num_class:(\d+)", about.get("objective", "")))
        and len(about["feature_infos"].split()) == features == len(about["feature_names"].split(" "))
        and len(trees) % outputs == 0 < len(trees)
        and all(_tree_of_lightgbm(tree, features) for tree in trees)
    )


def _parts_of_lightgbm(text: str) -> tuple[Mapping[str, str], Sequence[Mapping[str, str]]]:
    """Return the fields of a model, and of each tree.

    LightGBM's own reader skips unexpected text, and so could read other numbers than this function.
    So every line must have exactly LightGBM's format.
    """
    written, end, remarks = text.partition("\nend of trees\n")
    start, *parts = written.split("\nTree=")
    kind, *about, blank = start.split("\n")
    if not end or kind != "tree" or blank or "\r" in text or "\0" in text:
        raise ValueError("the text does not have LightGBM's layout")
    head, trees = _fields(about, _HEAD), []
    for number, part in enumerate(parts):
        index, *lines = part.split("\n")
        if index != str(number) or lines[-2:] != ["", ""]:
            raise ValueError(f"tree {number} does not have LightGBM's layout")
        trees.append(_fields(lines[:-2], _TREE))
    # LightGBM uses these sizes to find each tree.
    if _listed(head["tree_sizes"]).tolist() != [len(f"\nTree={part}") for part in parts]:
        raise ValueError(f"the sizes of the trees differ from {head['tree_sizes'][:100]}")
    parameters = remarks.partition("\nparameters:\n")[2].partition("\nend of parameters\n")[0]
    for line in parameters.split("\n"):
        if line and not re.fullmatch(r"\[[a-z0-9_]+: .*\]", line):
            raise ValueError(f"{line[:100]!r} is not a parameter line of LightGBM")
    return head, trees


def _fields(lines: Sequence[str], formats: Mapping[str, str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name = line.partition("=")[0]
        if name in found or not re.fullmatch(formats[name], line[len(name) :]):
            raise ValueError(f"{line[:100]!r} is not a line of LightGBM, or repeats a field")
        found[name] = line[len(name) + 1 :]
    return found


def _tree_of_lightgbm(tree: Mapping[str, str], features: int) -> bool:
    leaves, sets, linear = int(tree["num_leaves"]), int(tree["num_cat"]), tree["is_linear"] == "1"
    lengths = {"leaf_value": leaves}
    if linear:
        lengths |= {"leaf_const": leaves, "num_features": leaves}
    if leaves > 1:
        lengths |= dict.fromkeys(_OF_NODES, leaves - 1) | dict.fromkeys(_OF_LEAVES, leaves)
    if leaves < 1 or any(len(tree[name].split()) != length for name, length in lengths.items()):
        return False
    if linear and not _leaves_are_linear(tree, features):
        return False
    if leaves == 1:
        return not sets
    left, right, asked, decisions = (
        _listed(tree[name]) for name in ("left_child", "right_child", "split_feature", "decision_type")
    )
    # Negative numbers are leaves, counted from -1 downwards.
    children = np.concatenate([left, right])
    ended = np.sort(~children[children < 0])
    inside = children[children >= 0]
    parents = np.tile(np.arange(leaves - 1), 2)[children >= 0]
    if not np.array_equal(ended, np.arange(leaves)) or not np.array_equal(np.sort(inside), np.arange(1, leaves - 1)):
        return False
    by_category = (decisions & _BY_CATEGORY) != 0
    return (
        bool(np.all(inside > parents))
        and within(asked, features)
        and within(decisions, _DECISIONS)
        and within(np.array(tree["threshold"].split())[by_category].astype(np.int64), sets)
        and (not sets or _sets_lie_in_line(tree, sets))
    )


def _sets_lie_in_line(tree: Mapping[str, str], sets: int) -> bool:
    """Return whether the bit sets of categories have consistent boundaries."""
    ends = _listed(tree["cat_boundaries"])
    return (
        len(ends) == sets + 1
        and ends[0] == 0
        and bool(np.all(np.diff(ends) >= 0))
        and ends[-1] == len(tree["cat_threshold"].split())
    )


def _leaves_are_linear(tree: Mapping[str, str], features: int) -> bool:
    asked, counts = _listed(tree["leaf_features"]), _listed(tree["num_features"])
    return (
        within(asked, features)
        and within(counts, len(asked) + 1)
        and int(counts.sum()) == len(asked) == len(tree["leaf_coeff"].split())
    )


def _count(text: str) -> int:
    # Python's `int` also accepts signs, underscores and digits of other scripts, which XGBoost
    # reads differently.
    if not re.fullmatch("[0-9]+", text):
        raise ValueError(f"{text[:100]!r} is not a count of XGBoost")
    return int(text)


def _numbers(values: Sequence[Any]) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)


def _listed(text: str) -> NDArray[np.int64]:
    return np.array(text.split(), dtype=np.int64)


def _reached(left: NDArray[np.int64], right: NDArray[np.int64], parents: NDArray[np.int64]) -> int | None:
    """Return how many nodes the root reaches; None if a child is invalid, earlier or shared."""
    level, reached = np.zeros(1, dtype=np.int64), 1
    while (level := level[left[level] != -1]).size:
        children, above = np.concatenate([left[level], right[level]]), np.tile(level, 2)
        if not within(children, len(left)) or np.any(left[level] == right[level]):
            return None
        if not np.all((children > above) & (parents[children] == above)):
            return None
        reached += len(children)
        if reached > len(left):
            return None
        level = children
    return reached


@functools.cache
def _leaves_lie_within() -> bool:
    """Return whether XGBoost stores leaves of several numbers in the nodes, as before 3.2."""
    major, minor = importlib.import_module("xgboost").__version__.split(".")[:2]
    return (int(major), int(minor)) < (3, 2)
