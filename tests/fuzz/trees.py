"""Trees of estimators that somebody made up: pipelines, ensembles and searches in one another.

Their trials swap steps and set parameters wherever they like, by good names and by those that reach
a file, a socket or code. `MARK` stands in every text that must not land.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, TypeAlias

from hostile import good

Json: TypeAlias = Any

MARK = "/tmp/warren-fuzz"
# Names that reach further in some class.
_BAD_NAMES = (
    *("memory", "input", "func", "inverse_func", "kw_args", "inv_kw_args", "metric_params", "kernel_params"),
    *("fun_args", "pre_dispatch", "importance_getter", "tokenizer", "token_pattern", "stack_method", "callbacks"),
    *("train_dir", "output_borders", "input_borders", "allow_writing_files", "save_snapshot", "snapshot_file"),
    *("meta", "machines", "machine_list_filename", "forcedsplits_filename", "fs", "input_model", "save_binary"),
    *("port", "data", "xgb_model", "process_type", "kwargs", "params", "model_dir", "dmlc_uri", "log_file"),
    *("other_params", "objective", "remainder", "verbose_feature_names_out", "max_bin=5 fs", f"fs={MARK} max"),
)
MEMBERS = {
    "sklearn.pipeline.Pipeline": "steps",
    "sklearn.pipeline.FeatureUnion": "transformer_list",
    "sklearn.compose.ColumnTransformer": "transformers",
    "sklearn.ensemble.VotingClassifier": "estimators",
    "sklearn.ensemble.StackingRegressor": "estimators",
}
INNER = {
    "sklearn.ensemble.BaggingClassifier": "estimator",
    "sklearn.calibration.CalibratedClassifierCV": "estimator",
    "sklearn.feature_selection.RFE": "estimator",
    "sklearn.compose.TransformedTargetRegressor": "regressor",
    "sklearn.multioutput.ClassifierChain": "estimator",
}
SEARCHES = {
    "sklearn.model_selection.GridSearchCV": "param_grid",
    "sklearn.model_selection.RandomizedSearchCV": "param_distributions",
    "sklearn.model_selection.HalvingGridSearchCV": "param_grid",
}
LEAVES = (
    *("xgboost.XGBClassifier", "lightgbm.LGBMClassifier", "catboost.CatBoostClassifier", "lightgbm.LGBMRegressor"),
    *("sklearn.linear_model.LogisticRegression", "sklearn.feature_extraction.text.CountVectorizer"),
    *("sklearn.preprocessing.FunctionTransformer", "sklearn.preprocessing.StandardScaler", "sklearn.svm.SVC"),
    *("sklearn.neighbors.KNeighborsClassifier", "sklearn.decomposition.FastICA", "sklearn.kernel_ridge.KernelRidge"),
    *("sklearn.cluster.FeatureAgglomeration", "sklearn.impute.SimpleImputer"),
)
# Other names of classes, and classes that start more than a fit.
BAD_LEAVES = (
    *("lightgbm.sklearn.LGBMClassifier", "catboost.core.CatBoostClassifier", "xgboost.sklearn.XGBClassifier"),
    *("lightgbm.DaskLGBMClassifier", "lightgbm.dask.DaskLGBMClassifier", "xgboost.dask.DaskXGBClassifier"),
    *("catboost.hnsw.HnswEstimator", "sklearn.pipeline.FunctionTransformer", "sklearn.calibration.LinearSVC"),
)


# What else each may be given.
_NAMES = {
    **{name: (members, members, "verbose") for name, members in MEMBERS.items()},
    **{name: (inner, inner) for name, inner in INNER.items()},
    **{name: (grid, "estimator", "cv", "verbose") for name, grid in SEARCHES.items()},
    **dict.fromkeys(LEAVES[:4], ("max_depth", "n_estimators", "max_bin", "C")),
    "sklearn.linear_model.LogisticRegression": ("C", "verbose"),
    "sklearn.svm.SVC": ("C", "verbose"),
    "sklearn.preprocessing.FunctionTransformer": ("func", "kw_args", "validate"),
    "sklearn.feature_extraction.text.CountVectorizer": ("token_pattern", "input", "binary"),
    "sklearn.decomposition.FastICA": ("fun", "fun_args"),
    "sklearn.neighbors.KNeighborsClassifier": ("metric", "metric_params"),
}


class Draws(Random):
    """Draws what is bad as often as a message shall be: one that is refused early shows nothing of
    what comes later."""

    bad = 1.0

    def of(self, good: Sequence[Any], bad: Sequence[Any]) -> Any:
        """Draw one of either."""
        return self.choice(bad if self.random() < self.bad else good)


def message(random: Draws) -> bytes:
    """Return the body of a message that no producer sends, or that one could have sent."""
    random.bad = random.choice((0.0, 0.03, 0.1, 0.5, 1.0))
    estimator = _tree(random, 0)
    made = good()
    made["objective"]["estimator"] = estimator
    paths = [*_paths(estimator, ())]
    made["trials"] = [
        {"number": 0, "params": dict(_swap(random, paths) for _ in range(random.choice((0, 1, 2, 3, 5))))}
    ]
    return json.dumps(made).encode()


def _tree(random: Draws, depth: int) -> Json:
    """Return an encoded estimator of whatever is in it."""
    form = random.random() if depth < 4 else 1.0
    if form < 0.35:
        name = random.choice([*MEMBERS])
        params = {MEMBERS[name]: _members(random, name, depth)}
    elif form < 0.5:
        name = random.choice([*INNER])
        params = {INNER[name]: _tree(random, depth + 1)}
    elif form < 0.65:
        name = random.choice([*SEARCHES])
        inner = _tree(random, depth + 1)
        paths = [*_paths(inner, ())]
        grids = [_grid(random, paths, depth) for _ in range(random.choice((1, 1, 2)))]
        params = {"estimator": inner, SEARCHES[name]: grids[0] if len(grids) == 1 else _several(random, grids)}
    else:
        name, params = random.of(LEAVES, (*LEAVES, *BAD_LEAVES)), {}
    for _ in range(random.choice((0, 1, 2)) if random.random() < random.bad else 0):
        params[random.of(_NAMES.get(name, ("verbose",)), _BAD_NAMES)] = _value(random, depth + 1)
    return {"__estimator__": name, "params": params}


def _several(random: Draws, items: list[Json]) -> Json:
    """Return a list of items in one of the forms that a list can have."""
    return items if random.random() < 0.5 else {"__tuple__": items}


def _members(random: Draws, name: str, depth: int) -> Json:
    """Return a composition's members, as pairs in lists or tuples."""
    names = random.sample(
        ["a", "b", "clf", *(["memory", "a"] if random.random() < random.bad else [])], random.choice((1, 2, 3))
    )
    made = []
    for one in names:
        parts = [one, "passthrough" if random.random() < 0.1 else _tree(random, depth + 1)]
        if name.endswith("ColumnTransformer"):
            selectors = [{"__selector__": {"pattern": pattern}} for pattern in ("^a", "(a+)+$")]
            parts.append(random.of([[0, 1], MARK, selectors[0]], selectors))
        made.append(_several(random, parts))
    return _several(random, made)


def _grid(random: Draws, paths: list[tuple[tuple[str, ...], str]], depth: int) -> Json:
    """Return what a search sets on its estimator."""
    made: dict[str, Json] = {}
    for _ in range(random.choice((0, 1, 2, 3))):
        name, value = _swap(random, paths, depth)
        made[name] = _several(random, [value]) if random.random() > random.bad / 4 else {"__array__": ["str", [MARK]]}
    return made if random.random() < 0.8 else {"__dict__": [[name, value] for name, value in made.items()]}


def _swap(random: Draws, paths: list[tuple[tuple[str, ...], str]], depth: int = 2) -> tuple[str, Json]:
    """Return a name, most often of something that is there or of something in it, and a
    value for it."""
    path, found = random.choice(paths)
    where = random.random()
    if where < 0.7 or not path:
        path = (*path, random.of(_NAMES.get(found, ("verbose",)), _BAD_NAMES))
    name = "__".join(path)
    last = path[-1]
    if last in MEMBERS.values() and random.random() < 0.8:
        holder = next(one for one, members in MEMBERS.items() if members == last)
        return name, _members(random, holder, depth)
    if last in {"a", "b", "clf", "estimator", "final_estimator", "regressor"} and random.random() < 0.9:
        return name, _tree(random, depth + 1)
    return name, _value(random, depth)


def _paths(estimator: Json, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield where estimators are in an encoded one, by the names that lead there, and
    their classes."""
    yield path, estimator["__estimator__"]
    for name, value in estimator["params"].items():
        if isinstance(value, dict) and "__estimator__" in value:
            yield from _paths(value, (*path, name))
        listed = value.get("__tuple__") if isinstance(value, dict) else value
        for item in listed if isinstance(listed, list) else ():
            pair = item.get("__tuple__") if isinstance(item, dict) else item
            if isinstance(pair, list) and len(pair) > 1 and isinstance(pair[1], dict) and "params" in pair[1]:
                yield from _paths(pair[1], (*path, pair[0]))


def _value(random: Draws, depth: int) -> Json:
    """Return a value that is harmless, or is not."""
    good = (
        *(None, True, False, 1, 2, 0.5, MARK, "filename", [MARK], {"a_min": 0}, r"\w+", "predict_proba", 10**6),
        *({"__function__": "numpy.sum"}, {"__selector__": {"pattern": "^a"}}, {"__scorer__": "accuracy"}),
        *({"__distribution__": ["randint", [1, 9], {}]}, {"__splitter__": ["KFold", {"n_splits": 2}]}),
    )
    bad = (
        *(True, MARK, f"{MARK}?format=csv", f"255 forcedsplits_filename={MARK}", "filename", "(a+)+$", "save_model"),
        *([MARK], {"__tuple__": [MARK]}, {"__set__": [MARK]}, {"__array__": ["str", [MARK]]}, {MARK: 1}, {"fs": MARK}),
        *({"max_bin": f"255 fs={MARK}"}, {"__dict__": [["max_bin", f"255 fs={MARK}"]]}),
        *({"__function__": "numpy.load"}, {"__selector__": {"pattern": "(a|a)*b"}}, {"out": MARK}, {"initial": MARK}),
        {"dtype": {"__type__": "object"}, "initial": f"{MARK}?format=csv", "where": False},
    )
    return _tree(random, depth + 1) if random.random() < 0.1 and depth < 4 else random.of(good, bad)


CLASSES = (*LEAVES, *BAD_LEAVES, *MEMBERS, *INNER, *SEARCHES)
