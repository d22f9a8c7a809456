"""Boosters' own files: every number that the library follows stays within the model."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import clone
from sklearn.linear_model import Ridge
from stored_models import brought_back, loaded
from xgboost import Booster, XGBRegressor

from warren.errors import StudyError
from worker.training.models import pack

RNG = np.random.default_rng(0)
X = RNG.random((60, 4))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
TARGET = X @ [1.0, 2.0, 3.0, 4.0]
NOWHERE = "are out of bounds|holds values that no fit produces|can't be read"


def lightgbm() -> Any:
    return LGBMRegressor(n_estimators=3, n_jobs=1, verbosity=-1, min_child_samples=5)


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
    loaded(text.encode(), "lightgbm-text", lightgbm(), facts)
    pattern, instead = OF_LIGHTGBM[what]
    changed = re.sub(pattern, instead, text, count=1)
    assert changed != text
    with pytest.raises(StudyError, match=NOWHERE):
        loaded(changed.encode(), "lightgbm-text", lightgbm(), facts)


def with_sizes(text: str) -> str:
    """The text, which says how long its trees are now."""
    trees = re.split(r"(?=^Tree=)", text.partition("end of trees")[0], flags=re.MULTILINE)[1:]
    return re.sub(r"tree_sizes=.*", f"tree_sizes={' '.join(str(len(tree)) for tree in trees)}", text)


def other_trees_behind(text: str) -> str:
    """Honest trees in front, and where the sizes lead to, others."""
    trees = text[text.index("Tree=0") :]
    evil = re.split(r"(?=Tree=)", re.sub(r"split_feature=\S+", "split_feature=9", trees.partition("end of trees")[0]))
    sizes = f"tree_sizes={len(trees.encode())} {len(evil[2])} {len(evil[3])}"
    return re.sub(r"tree_sizes=.*", sizes, text) + evil[2] + evil[3]


HIDDEN_IN_LIGHTGBM: dict[str, Callable[[str], str]] = {
    "trees behind the end of trees": other_trees_behind,
    "no sizes": lambda text: re.sub(r"tree_sizes=.*\n", "", text),
    "a key over two lines": lambda text: text.replace("\nsplit_feature=", "\nsplit_feature=9 9\njunk\nsplit_feature="),
    "a key twice": lambda text: re.sub(r"\n(left_child=)(.*)", r"\n\g<1>9 9\n\1\2", text),
    "a key of the head twice": lambda text: text.replace("\nnum_class=1", "\nnum_class=9\nnum_class=1"),
    "an unknown key": lambda text: text.replace("\nis_linear=0", "\nis_linear=0\nmore=1"),
    "more lines than it reads": lambda text: text.replace("Tree=1\n", "Tree=1\n" + "more=1\n" * 22),
    "a digit it does not know": lambda text: re.sub(r"(split_feature=)\d", "\\1\u0661", text),
    "a number up to an underscore": lambda text: re.sub(r"(split_feature=)\d", r"\g<1>9_0", text),
    "categories without a set": lambda text: re.sub(
        r"decision_type=2(.*)", r"decision_type=1\1\ncat_boundaries=0 1\ncat_threshold=1", text
    ),
    "linear without a number": lambda text: text.replace("is_linear=0", "is_linear=1"),
    "linear with counts below zero": lambda text: re.sub(
        r"num_leaves=(\d+)((?s:.*?))is_linear=0",
        lambda found: (
            f"num_leaves={found[1]}{found[2]}is_linear=1\nleaf_const={'0 ' * int(found[1])}\n"
            f"num_features=-1 1{' 0' * (int(found[1]) - 2)}\nleaf_features=\nleaf_coeff="
        ),
        text,
    ),
    "more outputs than trees": lambda text: text.replace("objective=regression", "objective=multiclass num_class:9999"),
    "a parameter without a value": lambda text: text.replace("\nparameters:\n", "\nparameters:\n[more]\n"),
    **{
        f"a line that {end!r} ends": lambda text, end=end: text.replace("\nis_linear", f"{end}is_linear")
        for end in ("\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028")
    },
}


@pytest.mark.parametrize("what", HIDDEN_IN_LIGHTGBM)
def test_lightgbm_finds_no_other_numbers_than_we_do(what: str) -> None:
    fitted = lightgbm().fit(X, TARGET)
    text, facts = pack(fitted).content.decode(), pack(fitted).facts
    assert with_sizes(text) == text
    changed = HIDDEN_IN_LIGHTGBM[what](text)
    assert changed != text
    for written in (changed, with_sizes(changed) if "size" not in what and "behind" not in what else changed):
        with pytest.raises(StudyError, match=NOWHERE):
            loaded(written.encode(), "lightgbm-text", lightgbm(), facts)


LIGHTGBM_S_OWN: dict[str, dict[str, Any]] = {
    "trees": {},
    "linear trees": {"linear_tree": True},
    "linear trees of one leaf": {"linear_tree": True, "min_split_gain": 1e9},
    "trees of one leaf": {"min_split_gain": 1e9},
    "trees of one split": {"max_depth": 1},
    "dart": {"boosting_type": "dart"},
    "a forest": {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1},
    "monotone": {"monotone_constraints": [1, 0, 0, -1, 0, 0]},
    "sets of categories": {"max_cat_to_onehot": 1, "min_data_per_group": 1, "cat_smooth": 0},
    "one against the rest": {"objective": "multiclassova", "sigmoid": 0.7},
    "without numbers missing": {"use_missing": False, "zero_as_missing": False},
}


@pytest.mark.parametrize("what", LIGHTGBM_S_OWN)
def test_what_lightgbm_writes_is_read(what: str) -> None:
    frame = pd.DataFrame(X, columns=["größe", "a=b", "x\x0by\u2028z", "日本"])
    frame["far"] = np.where(X[:, 0] > 0.9, np.inf, np.where(X[:, 1] > 0.9, np.nan, 1e300))
    frame["kind"] = pd.Categorical(RNG.choice(["ä", "b", "c\nd", "e", "f"], len(X)))
    unfitted = LGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1, min_child_samples=2, **LIGHTGBM_S_OWN[what])
    fitted = clone(unfitted).fit(frame, np.digitize(TARGET, [4, 6]))
    back = brought_back(fitted, unfitted)
    assert np.array_equal(back.predict_proba(frame), fitted.predict_proba(frame))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("<U262144", ["a"] * 1000),
        ("<U", ["a" * 262144, *["b"] * 1000]),
        ("<U16777216", [["a"] * 1000]),
        ("V8", [0, 1]),
        ("<U1", []),
    ],
)
def test_labels_take_no_more_than_they_say(dtype: str, values: list[Any]) -> None:
    packed = pack(LGBMClassifier(n_estimators=1, n_jobs=1, verbosity=-1).fit(X, Y))
    facts = packed.facts | {"classes": {"dtype": dtype, "values": values}}
    with pytest.raises(StudyError, match=f"{len(values)} labels of type"):
        loaded(packed.content, packed.format, LGBMClassifier(), facts)


@pytest.mark.slow
def test_a_file_that_makes_catboost_crash_is_refused() -> None:
    unfitted = CatBoostRegressor(iterations=2, depth=2, verbose=0, allow_writing_files=False, thread_count=1)
    packed = pack(clone(unfitted).fit(X, TARGET))
    loaded(packed.content, packed.format, clone(unfitted), packed.facts)
    depths = struct.pack("<4I", 2, 2, 2, 4)  # of two trees, and the number of their splits
    assert packed.content.count(depths) == 1
    changed = packed.content.replace(depths, struct.pack("<4I", 2, 2, 2**23 + 2, 4))
    with pytest.raises(StudyError, match="makes CatBoost crash"):
        loaded(changed, packed.format, clone(unfitted), packed.facts)


@pytest.mark.parametrize("content", [b"", b"{", b"tree\n", bytes(1000)])
@pytest.mark.parametrize(
    "format", ["xgboost-ubj", "lightgbm-text", pytest.param("catboost-cbm", marks=pytest.mark.slow), "skops"]
)
def test_a_file_that_is_no_model_is_called_that(content: bytes, format: str) -> None:
    unfitted: dict[str, Any] = {"xgboost-ubj": XGBRegressor(), "lightgbm-text": lightgbm(), "skops": Ridge()}
    with pytest.raises(StudyError, match=r"the stored model"):
        loaded(content, format, unfitted.get(format) or CatBoostRegressor(), pack(lightgbm().fit(X, TARGET)).facts)
