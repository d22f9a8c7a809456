"""XGBoost's models: universal binary JSON, whose trees are checked before XGBoost reads them.

XGBoost uses stored trees unchecked: some numbers crash the process when it loads a file, others
when it predicts. So this module checks the children and the feature of each node, and the output of
each tree, before XGBoost reads the file. Format:
https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producer.models.formats.model_format import ModelFormat
from producer.models.formats.ubjson import read_ubjson
from producer.models.refusals import leads_out
from producer.models.tree_bounds import within
from warren.storage.documents import Document

JSON_FILE = ("model.json", "xgboost.{cls}().load_model('model.json')")
"""The file of a model as text, and Python code that loads it."""

# Most categories that XGBoost accepts.
_MOST_CATEGORIES = 2**24
# The fields that XGBoost stores for each node.
_OF_NODES = (
    *("left_children", "right_children", "parents", "split_indices"),
    *("split_type", "default_left", "split_conditions"),
)
_STATISTICS = ("loss_changes", "sum_hessian")
_COUNTS = ("num_class", "num_feature", "num_target")


def _read(content: bytes, _: Document, unfitted: Any, vouched: bool) -> Any:  # noqa: ARG001
    given = dict(vars(unfitted))
    if not _is_sound(content):
        raise leads_out()
    unfitted.load_model(bytearray(content))
    # Loading replaced the parameters by the model's own. `fit` would only have kept the objective.
    vars(unfitted).update({name: value for name, value in given.items() if name != "objective"})
    return unfitted


def to_json(content: bytes) -> bytes:
    """Return a model as text."""
    from xgboost import Booster

    return bytes(Booster(model_file=bytearray(content)).save_raw("json"))


def _set_back(ours: Any, users: Any) -> None:
    # Set attributes directly: set_params passes all parameters to the booster again, and it refuses
    # some of them.
    if hasattr(users, "kwargs"):
        ours.kwargs = dict(users.kwargs)
    if ours.__sklearn_is_fitted__():
        ours.get_booster().set_param({"nthread": users.get_params(deep=False).get("n_jobs") or 0})


def _is_sound(content: bytes) -> bool:
    """Return whether an XGBoost booster stays within its trees, features and outputs.

    Parameters
    ----------
    content : bytes
        The output of ``Booster.save_raw("ubj")`` or ``Booster.serialize()``.

    Raises
    ------
    LookupError, TypeError, ValueError
        A field that every model has is missing.
    """
    document = read_ubjson(content)
    model = document.get("Model", document)
    if "Config" in document:
        told = [one["learner"]["learner_model_param"] for one in (document["Config"], model)]
        if any(told[0].get(name) != told[1].get(name) for name in _COUNTS):
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
            return len(gradient["weight_drop"]) == len(trees["trees"]) and _trees_are_sound(trees, features, outputs)
        case "gbtree":
            return _trees_are_sound(gradient["model"], features, outputs)
    return False


def _trees_are_sound(model: Mapping[str, Any], features: int, outputs: int) -> bool:
    trees, added_to = model["trees"], _numbers(model["tree_info"])
    widths = {_width(tree) for tree in trees}
    if len(widths) > 1 or not widths <= {1, outputs}:
        return False
    ends = _numbers(model.get("iteration_indptr", [0, len(trees)]))
    return (
        len(added_to) == len(trees)
        and [tree["id"] for tree in trees] == [*range(len(trees))]  # the index that XGBoost reads a tree into
        and (not trees or np.array_equal(np.unique(added_to), np.arange(1 if outputs in widths else outputs)))
        and (len(ends) == 0 or (ends[0] == 0 and ends[-1] == len(trees) and bool(np.all(np.diff(ends) >= 0))))
        and all(_tree_is_sound(tree, features) for tree in trees)
        and _categories_are_sound(model.get("cats", {"enc": []}), features)
    )


def _categories_are_sound(kept: Mapping[str, Any], features: int) -> bool:
    """Return whether columns have the stated numbers of categories, which offsets depend on."""
    columns = kept["enc"]
    if not len(columns):
        return True
    ends, order = _numbers(kept["feature_segments"]), _numbers(kept["sorted_idx"])
    sizes = []
    for column in columns:
        offsets = _numbers(column.get("offsets", ()))  # of texts that are stored one after the other
        steps = np.diff(offsets) if "offsets" in column else _numbers([1] * len(column["values"]))
        if (len(offsets) and offsets[0] != 0) or not np.all(steps >= 0) or steps.sum() != len(column["values"]):
            return False
        sizes.append(len(steps))
    return (
        len(columns) == features
        and np.array_equal(ends, np.concatenate([[0], np.cumsum(sizes)]))
        and len(order) == sum(sizes)
        and all(within(order[ends[one] : ends[one + 1]], sizes[one]) for one in range(features))
    )


def _width(tree: Mapping[str, Any]) -> int:
    """Return how many numbers a leaf has; files of earlier versions have 0 for one."""
    return max(_count(tree["tree_param"].get("size_leaf_vector", "1")), 1)


def _tree_is_sound(tree: Mapping[str, Any], features: int) -> bool:
    nodes, width = _count(tree["tree_param"]["num_nodes"]), _width(tree)
    several = width > 1
    counted = _OF_NODES if several and _leaves_lie_within() else _OF_NODES + _STATISTICS
    if any(len(tree[name]) != nodes for name in counted) or len(tree["base_weights"]) != nodes * width:
        return False
    left, right, parents, asked = (_numbers(tree[name]) for name in _OF_NODES[:4])
    splits = left != -1
    reached = _reached(left, right, parents)
    if reached is None or (several and reached != nodes):
        return False
    if several and not _leaves_lie_within():  # their right child would be an index into a list of leaves
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


def _count(text: str) -> int:
    # Python's `int` accepts signs, underscores and digits of other scripts, where XGBoost finds
    # another number.
    if not re.fullmatch("[0-9]+", text):
        raise ValueError(f"{text[:100]!r} is no count as XGBoost writes it")
    return int(text)


def _numbers(values: Sequence[Any]) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64)


def _reached(left: NDArray[np.int64], right: NDArray[np.int64], parents: NDArray[np.int64]) -> int | None:
    """Return how many nodes can be reached from the first.

    None if a node refers outside, backwards, or to another node's child.
    """
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
    """Return whether this XGBoost reads leaves of several numbers from the nodes, as before 3.2."""
    major, minor = importlib.import_module("xgboost").__version__.split(".")[:2]
    return (int(major), int(minor)) < (3, 2)


XGBOOST = ModelFormat(
    name="xgboost-ubj",
    file="model.ubj",
    line="xgboost.{cls}().load_model('model.ubj')",
    read=_read,
    booster=("_Booster", "xgboost.core", "Booster"),
    handle="BytearrayNode",
    is_sound=_is_sound,
    set_back=_set_back,
    chosen=("objective",),
)
