"""LightGBM's models: text, whose trees are checked before LightGBM reads them.

LightGBM uses stored trees unchecked: some numbers crash the process when it loads a file, others
when it predicts. So this module checks the children and the feature of each node, and the output of
each tree, before LightGBM reads the text. Format: ``Tree::ToString``.
"""

from __future__ import annotations

import re
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producer.models.formats.model_format import ModelFormat
from producer.models.refusals import leads_out
from producer.models.tree_bounds import within
from warren.errors import StudyError
from warren.storage.documents import Document

# Most bytes of all labels in NumPy: each is as long as the longest, at 4 bytes per character.
_MOST_OF_LABELS = 2**26
# LightGBM's number for how a node decides: its bit for categories, and the end of such numbers.
_BY_CATEGORY, _DECISIONS = 1, 2**4

# The names of a model's and of a tree's fields, and LightGBM's form of their values. Python would
# accept more texts as numbers.
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


def _read(content: bytes, facts: Document, unfitted: Any, vouched: bool) -> Any:  # noqa: ARG001
    """Set the attributes that ``fit`` of LightGBM's classes sets, because they can't load.

    As in ``lightgbm.sklearn`` of LightGBM 4.5 to 4.7.
    """
    from lightgbm import Booster
    from sklearn.preprocessing import LabelEncoder

    if not _is_sound(content.decode()):
        raise leads_out()
    unfitted._Booster = Booster(model_str=content.decode())
    unfitted._Booster.best_iteration = facts["best_iteration"]
    unfitted._objective = facts["objective"]
    unfitted._n_features = unfitted._n_features_in = facts["n_features"]
    unfitted._fitted_with_feature_names = facts["named"]
    unfitted._best_iteration = facts["best_iteration"]
    unfitted._best_score = defaultdict(OrderedDict)
    unfitted._other_params = getattr(unfitted, "_other_params", {})
    if facts["classes"] is not None:
        classes = _labels(np.dtype(facts["classes"]["dtype"]), facts["classes"]["values"])
        unfitted._classes, unfitted._n_classes = classes, len(classes)
        unfitted._le = LabelEncoder().fit(classes)
        unfitted._class_map = dict(zip(classes, unfitted._le.transform(classes), strict=True))
        unfitted._class_weight = unfitted.class_weight
        if isinstance(unfitted.class_weight, dict):
            unfitted._class_weight = {unfitted._class_map[one]: value for one, value in unfitted.class_weight.items()}
    unfitted.fitted_ = True
    return unfitted


def _labels(dtype: np.dtype[Any], values: list[Any]) -> NDArray[Any]:
    # A text type without a length would grow to the longest text, and a list inside the list
    # creates more of them.
    fits = 0 < dtype.itemsize * len(values) <= _MOST_OF_LABELS
    if dtype.kind not in "biufUO" or not fits or not all(isinstance(one, (str, int, float)) for one in values):
        raise StudyError(f"the stored model has {len(values)} labels of type {dtype}, and none is trained with such")
    return np.array(values, dtype=dtype)


def _set_back(ours: Any, users: Any) -> None:
    for name in ours._other_params.keys() - users._other_params.keys():
        vars(ours).pop(name, None)
    ours._other_params = dict(users._other_params)
    vars(ours).update(users._other_params)


def _is_sound(text: str) -> bool:
    """Return whether a LightGBM booster, as text, stays within its trees, features and outputs.

    Raises
    ------
    LookupError, TypeError, ValueError
        The text is not in LightGBM's form.
    """
    about, trees = _parts(text)
    features, outputs = int(about["max_feature_idx"]) + 1, int(about["num_tree_per_iteration"])
    return (
        int(about["num_class"]) == outputs >= 1
        and all(int(told) == outputs for told in re.findall(r" num_class:(\d+)", about.get("objective", "")))
        and len(about["feature_infos"].split()) == features == len(about["feature_names"].split(" "))
        and len(trees) % outputs == 0 < len(trees)
        and all(_tree_is_sound(tree, features) for tree in trees)
    )


def _parts(text: str) -> tuple[Mapping[str, str], Sequence[Mapping[str, str]]]:
    """Return the fields of a model and of each tree.

    LightGBM's reader skips unexpected lines, and might so find other numbers than this one. So each
    line must be one that LightGBM writes.
    """
    written, end, remarks = text.partition("\nend of trees\n")
    start, *parts = written.split("\nTree=")
    kind, *about, blank = start.split("\n")
    if not end or kind != "tree" or blank or "\r" in text or "\0" in text:
        raise ValueError("the text is not laid out as LightGBM does")
    head, trees = _fields(about, _HEAD), []
    for number, part in enumerate(parts):
        index, *lines = part.split("\n")
        if index != str(number) or lines[-2:] != ["", ""]:
            raise ValueError(f"tree {number} is not laid out as LightGBM does")
        trees.append(_fields(lines[:-2], _TREE))
    # LightGBM uses these sizes to find each tree.
    if _listed(head["tree_sizes"]).tolist() != [len(f"\nTree={part}") for part in parts]:
        raise ValueError(f"the trees are of other sizes than {head['tree_sizes'][:100]}")
    parameters = remarks.partition("\nparameters:\n")[2].partition("\nend of parameters\n")[0]
    for line in parameters.split("\n"):
        if line and not re.fullmatch(r"\[[a-z0-9_]+: .*\]", line):
            raise ValueError(f"{line[:100]!r} is no parameter as LightGBM writes it")
    return head, trees


def _fields(lines: Sequence[str], formats: Mapping[str, str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name = line.partition("=")[0]
        if name in found or not re.fullmatch(formats[name], line[len(name) :]):
            raise ValueError(f"{line[:100]!r} is no line as LightGBM writes it, or the second of its name")
        found[name] = line[len(name) + 1 :]
    return found


def _tree_is_sound(tree: Mapping[str, str], features: int) -> bool:
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
    # A negative number refers to a leaf, counted from -1.
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
    """Return whether the words of this many sets of categories follow one another."""
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


def _listed(text: str) -> NDArray[np.int64]:
    return np.array(text.split(), dtype=np.int64)


LIGHTGBM = ModelFormat(
    name="lightgbm-text",
    file="model.txt",
    line="lightgbm.Booster(model_file='model.txt')",
    read=_read,
    booster=("_Booster", "lightgbm.basic", "Booster"),
    handle="JsonNode",
    is_sound=_is_sound,
    set_back=_set_back,
    parts={"LGBMClassifier": ("sklearn.preprocessing._label.LabelEncoder",)},
)
