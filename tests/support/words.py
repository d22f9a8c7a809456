"""The boosting libraries' words as the tests know them, and what the libraries do with them."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import catboost
import lightgbm
import numpy as np
import xgboost

from warren.libraries.resolve import resolve

X = np.random.default_rng(0).normal(size=(40, 2))
Y = (X[:, 0] > 0).astype(int)

CLASSES: dict[str, str] = {
    "xgboost.XGBClassifier": "xgboost",
    "xgboost.XGBRegressor": "xgboost",
    "lightgbm.LGBMClassifier": "lightgbm",
    "lightgbm.LGBMRegressor": "lightgbm",
    "catboost.CatBoostClassifier": "catboost",
    "catboost.CatBoostRegressor": "catboost",
}
CLASS_OF: dict[str, str] = {library: name for name, library in CLASSES.items() if "Classifier" in name}
# CatBoost chooses a learning rate by the number of rounds unless it is told one.
NEEDED: dict[str, dict[str, Any]] = {"xgboost": {}, "lightgbm": {}, "catboost": {"learning_rate": 0.1}}
QUIET: dict[str, dict[str, Any]] = {
    "xgboost": {"n_jobs": 1, "max_depth": 1},
    "lightgbm": {"n_jobs": 1, "verbosity": -1},
    "catboost": {"thread_count": 1, "depth": 1, "logging_level": "Silent", "allow_writing_files": False},
}
ROUNDS: list[tuple[str, str]] = [
    ("xgboost", "n_estimators"),
    *(
        ("lightgbm", name)
        for name in (
            *("num_iterations", "num_iteration", "num_round", "num_rounds", "num_boost_round", "num_tree"),
            *("num_trees", "nrounds", "n_iter", "max_iter", "n_estimators"),
        )
    ),
    *(("catboost", name) for name in ("iterations", "n_estimators", "num_boost_round", "num_trees")),
]
THREADS: list[tuple[str, str]] = [
    *(("xgboost", name) for name in ("n_jobs", "nthread")),
    *(("lightgbm", name) for name in ("n_jobs", "num_threads", "num_thread", "nthread", "nthreads")),
    ("catboost", "thread_count"),
]
EARLY: list[tuple[str, str, Any]] = [
    ("xgboost", "early_stopping_rounds", 5),
    *(
        ("lightgbm", name, 5)
        for name in ("early_stopping_round", "early_stopping_rounds", "early_stopping", "n_iter_no_change")
    ),
    ("catboost", "early_stopping_rounds", 5),
    ("catboost", "od_wait", 5),
    ("catboost", "od_type", "Iter"),
    ("catboost", "od_pval", 0.01),
    ("catboost", "use_best_model", True),
]


def encoded(library: str, **params: Any) -> dict[str, Any]:
    return {"__estimator__": CLASS_OF[library], "params": params}


class Shared(NamedTuple):
    key: str
    rounds: int


def share(library: str, **params: Any) -> Shared | None:
    return shared(encoded(library), NEEDED[library] | params)


def shared(estimator: Any, params: dict[str, Any]) -> Shared | None:
    """Return the key and rounds of a trial that may share a fit; None of others."""
    trial = resolve(estimator, params)
    return None if trial.shared_key is None else Shared(trial.shared_key, trial.rounds)


def fitted(library: str, **params: Any) -> int:
    """Return how many rounds the library itself trains."""
    made = QUIET[library] | NEEDED[library] | params
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # LightGBM says which of its names it takes
        match library:
            case "xgboost":
                return int(xgboost.XGBClassifier(**made).fit(X, Y).get_booster().num_boosted_rounds())
            case "lightgbm":
                return int(lightgbm.LGBMClassifier(**made).fit(X, Y).booster_.num_trees())
    return int(catboost.CatBoostClassifier(**made).fit(X, Y).tree_count_)
