"""Every parameter that the tables call harmless: with it, trials that share a fit and bins score as
trials apart."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from catboost import CatBoostClassifier, CatBoostRegressor
from folds import Kept, evaluate, plain, scores
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.datasets import make_classification, make_regression
from xgboost import XGBClassifier, XGBRegressor

from warren.encoding.codec import encode_estimator
from warren.libraries.registry import BOOSTING
from warren.libraries.resolve import resolve
from worker.fitting import Fold, learner_of
from worker.fitting.learner import Part

ROUNDS = (9, 4)
CLASSES = make_classification(240, 8, n_informative=6, random_state=0)
NUMBERS = make_regression(240, 8, noise=3.0, random_state=0)
COUNTS = NUMBERS[0], np.abs(NUMBERS[1]).round() + 1

XGBOOST: dict[str, Any] = {
    "objective": "binary:hinge",
    "eval_metric": "auc",
    "max_depth": 4,
    "max_leaves": 5,
    "grow_policy": "lossguide",
    "gamma": 0.5,
    "min_split_loss": 0.5,
    "min_child_weight": 3,
    "max_delta_step": 0.7,
    "subsample": 0.6,
    "sampling_method": "uniform",
    "colsample_bytree": 0.6,
    "colsample_bylevel": 0.6,
    "colsample_bynode": 0.6,
    "reg_alpha": 0.5,
    "alpha": 0.5,
    "reg_lambda": 3.0,
    "lambda": 3.0,
    "scale_pos_weight": 2.0,
    "base_score": 0.3,
    "random_state": 5,
    "seed": 5,
    "monotone_constraints": "(1,0,-1,0,0,0,0,0)",
    "interaction_constraints": "[[0,1,2],[3,4,5,6,7]]",
    "importance_type": "gain",
    "validate_parameters": True,
    "verbosity": 0,
    "max_cat_to_onehot": 3,
    "max_cat_threshold": 9,
    "learning_rate": 0.2,
    "eta": 0.2,
    "max_bin": 20,
    "tree_method": ["hist", "approx", "exact"],
    "missing": 0.0,
    "enable_categorical": True,
    "feature_types": ["q"] * 8,
}
LIGHTGBM: dict[str, Any] = {
    **dict.fromkeys(("objective", "objective_type", "app", "application", "loss"), "binary"),
    **dict.fromkeys(("metric", "metrics", "metric_types"), "auc"),
    **dict.fromkeys(("num_leaves", "num_leaf", "max_leaves", "max_leaf", "max_leaf_nodes"), 6),
    "max_depth": 3,
    **dict.fromkeys(("learning_rate", "shrinkage_rate", "eta"), 0.3),
    "class_weight": "balanced",
    **dict.fromkeys(("min_split_gain", "min_gain_to_split"), 0.5),
    **dict.fromkeys(
        ("min_child_weight", "min_sum_hessian_in_leaf", "min_sum_hessian_per_leaf", "min_sum_hessian", "min_hessian"),
        2.0,
    ),
    **dict.fromkeys(("subsample", "bagging_fraction", "sub_row", "bagging"), 0.6),
    **dict.fromkeys(("subsample_freq", "bagging_freq"), 2),
    **dict.fromkeys(("colsample_bytree", "feature_fraction", "sub_feature"), 0.5),
    **dict.fromkeys(("feature_fraction_bynode", "sub_feature_bynode", "colsample_bynode"), 0.5),
    **dict.fromkeys(("reg_alpha", "lambda_l1", "l1_regularization"), 0.5),
    **dict.fromkeys(("reg_lambda", "lambda_l2", "lambda", "l2_regularization"), 2.0),
    "importance_type": "gain",
    "scale_pos_weight": 2.0,
    **dict.fromkeys(("is_unbalance", "unbalance", "unbalanced_sets"), True),
    **dict.fromkeys(("extra_trees", "extra_tree"), True),
    "path_smooth": 1.0,
    **dict.fromkeys(("max_delta_step", "max_tree_output", "max_leaf_output"), 0.3),
    "top_rate": 0.3,
    "other_rate": 0.2,
    "cat_smooth": 5.0,
    "cat_l2": 5.0,
    "max_cat_threshold": 8,
    "max_cat_to_onehot": 2,
    "min_data_per_group": 10,
    **dict.fromkeys(("verbosity", "verbose"), -1),
    **dict.fromkeys(("deterministic", "force_col_wise"), True),
    "force_row_wise": True,
    "boost_from_average": False,
    **dict.fromkeys(("bagging_seed", "bagging_fraction_seed", "feature_fraction_seed", "extra_seed"), 9),
    "alpha": 0.7,
    "fair_c": 0.5,
    "poisson_max_delta_step": 0.5,
    "tweedie_variance_power": 1.3,
    **dict.fromkeys(("max_bin", "max_bins"), 15),
    "max_bin_by_feature": [9] * 8,
    "min_data_in_bin": 8,
    **dict.fromkeys(("subsample_for_bin", "bin_construct_sample_cnt"), 60),
    **dict.fromkeys(("min_child_samples", "min_data_in_leaf", "min_data_per_leaf", "min_data", "min_samples_leaf"), 30),
    **dict.fromkeys(("random_state", "seed", "random_seed", "data_random_seed", "data_seed"), 4),
    "feature_pre_filter": False,
    "use_missing": False,
    "zero_as_missing": True,
    **dict.fromkeys(("enable_bundle", "is_enable_bundle", "bundle"), False),
    **dict.fromkeys(("is_enable_sparse", "is_sparse", "enable_sparse", "sparse"), False),
    **dict.fromkeys(
        ("categorical_feature", "cat_feature", "categorical_column", "cat_column", "categorical_features"), "7"
    ),
}
CATBOOST: dict[str, Any] = {
    **dict.fromkeys(("learning_rate", "eta"), 0.2),
    **dict.fromkeys(("depth", "max_depth"), 3),
    **dict.fromkeys(("l2_leaf_reg", "reg_lambda"), 9.0),
    "random_strength": 5.0,
    "bagging_temperature": 3.0,
    "bootstrap_type": ["Bayesian", "Bernoulli", "MVS", "No"],
    "subsample": 0.6,
    "sampling_frequency": "PerTreeLevel",
    **dict.fromkeys(("rsm", "colsample_bylevel"), 0.5),
    "grow_policy": ["Depthwise", "Lossguide"],
    **dict.fromkeys(("max_leaves", "num_leaves"), 5),
    **dict.fromkeys(("min_data_in_leaf", "min_child_samples"), 9),
    "leaf_estimation_method": ["Newton", "Gradient"],
    "leaf_estimation_iterations": 3,
    "boosting_type": ["Ordered", "Plain"],
    "boost_from_average": True,
    "score_function": "L2",
    **dict.fromkeys(("loss_function", "objective"), "CrossEntropy"),
    "eval_metric": "AUC",
    **dict.fromkeys(("custom_metric", "custom_loss"), "AUC"),
    "class_weights": [1.0, 3.0],
    "auto_class_weights": "Balanced",
    "scale_pos_weight": 3.0,
    "fold_len_multiplier": 1.5,
    "logging_level": "Silent",
    **dict.fromkeys(("verbose", "silent"), False),
    "metric_period": 5,
    "allow_writing_files": False,
    **dict.fromkeys(("border_count", "max_bin"), 20),
    "feature_border_type": ["Median", "UniformAndQuantiles"],
    "nan_mode": "Max",
    **dict.fromkeys(("random_seed", "random_state"), 5),
    "cat_features": [],
    "one_hot_max_size": 3,
    "has_time": True,
}
# What else must be set for a parameter to be accepted.
WITH: dict[tuple[str, str], dict[str, Any]] = {
    ("xgboost", "max_leaves"): {"grow_policy": "lossguide", "max_depth": 0},
    **{("lightgbm", name): {"data_sample_strategy": "goss"} for name in ("top_rate", "other_rate")},
    **{("lightgbm", name): {"subsample_freq": 1} for name in ("subsample", "bagging_fraction", "sub_row", "bagging")},
    **{("lightgbm", name): {"subsample": 0.5} for name in ("subsample_freq", "bagging_freq", "bagging_seed")},
    ("lightgbm", "bagging_fraction_seed"): {"subsample": 0.5, "subsample_freq": 1},
    ("lightgbm", "feature_fraction_seed"): {"colsample_bytree": 0.5},
    ("lightgbm", "extra_seed"): {"extra_trees": True},
    ("catboost", "bagging_temperature"): {"bootstrap_type": "Bayesian"},
    ("catboost", "subsample"): {"bootstrap_type": "Bernoulli"},
    **{("catboost", name): {"grow_policy": "Lossguide"} for name in ("max_leaves", "num_leaves")},
    **{("catboost", name): {"grow_policy": "Depthwise"} for name in ("min_data_in_leaf", "min_child_samples")},
    ("catboost", "fold_len_multiplier"): {"boosting_type": "Ordered"},
}
# Objectives and what belongs to them, of regressors.
REGRESSIONS: list[tuple[Any, dict[str, Any]]] = [
    *(
        (XGBRegressor, {"objective": name})
        for name in ("reg:absoluteerror", "reg:pseudohubererror", "count:poisson", "reg:gamma", "reg:tweedie")
    ),
    *((LGBMRegressor, {"objective": name}) for name in ("regression_l1", "huber", "quantile", "mape", "gamma")),
    (LGBMRegressor, {"objective": "fair", "fair_c": 0.5}),
    (LGBMRegressor, {"objective": "poisson", "poisson_max_delta_step": 0.5}),
    (LGBMRegressor, {"objective": "tweedie", "tweedie_variance_power": 1.3}),
    *(
        (CatBoostRegressor, {"loss_function": name})
        for name in ("MAE", "Quantile:alpha=0.7", "Poisson", "Huber:delta=2", "MAPE", "Tweedie:variance_power=1.5")
    ),
]
QUIET: dict[str, dict[str, Any]] = {
    "xgboost": {"n_jobs": 1},
    "lightgbm": {"n_jobs": 1, "verbosity": -1},
    "catboost": {"thread_count": 1, "logging_level": "Silent", "allow_writing_files": False},
}


# The others are slow: a hundred of them take half a minute.
QUICK = {"max_depth", "subsample", "max_bin"}


def cases() -> list[Any]:
    found: list[Any] = []
    tables = (("xgboost", XGBClassifier, XGBOOST), ("lightgbm", LGBMClassifier, LIGHTGBM))
    for library, cls, table in (*tables, ("catboost", CatBoostClassifier, CATBOOST)):
        for name, values in table.items():
            several = (
                isinstance(values, list) and isinstance(values[0] if values else 0, str) and name != "feature_types"
            )
            others = WITH.get((library, name), {})
            marks = [] if name in QUICK else [pytest.mark.slow]
            found += [
                pytest.param(cls, {name: value, **others}, marks=marks) for value in (values if several else [values])
            ]
    return found


def check(cls: Any, params: dict[str, Any], X: Any, y: Any, scorers: dict[str, str]) -> None:
    library = cls.__module__.partition(".")[0]
    quiet = {
        name: value
        for name, value in QUIET[library].items()
        if not (name in {"verbosity", "logging_level"} and params.keys() & {"verbose", "silent"})
    }
    if library == "catboost" and not params.keys() & {"learning_rate", "eta"}:
        quiet["learning_rate"] = 0.1

    def make(rounds: int) -> Any:
        return cls(n_estimators=rounds, **(quiet | params))

    assert resolve(encode_estimator(make(5), "estimator"), {}).shared_key is not None
    fold = Fold(train=Part(X[:160], y[:160]), test=Part(X[160:], y[160:]))
    learner, derived, largest = learner_of(cls), Kept(), partial(make, max(ROUNDS))
    apart = [plain(partial(make, rounds), fold, scorers)[0] for rounds in ROUNDS]
    assert scores(evaluate(largest, fold, scorers, learner=learner, derived=derived, rounds=ROUNDS)) == apart
    assert scores(evaluate(largest, fold, scorers, learner=learner, derived=derived, rounds=ROUNDS)) == apart


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("cls", "params"), cases(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_known_parameter_changes_nothing(cls: Any, params: dict[str, Any]) -> None:
    scorers = {"accuracy": "accuracy", "auc": "roc_auc"}
    if params.get("objective") == "binary:hinge":
        scorers = {"accuracy": "accuracy"}
    check(cls, params, *CLASSES, scorers)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("cls", "params"), REGRESSIONS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_an_objective_of_regression_changes_nothing(cls: Any, params: dict[str, Any]) -> None:
    check(cls, params, *COUNTS, {"r2": "r2", "mae": "neg_mean_absolute_error"})


@pytest.mark.parametrize("library", BOOSTING)
def test_every_parameter_of_the_tables_is_compared(library: str) -> None:
    words, compared = BOOSTING[library], {"xgboost": XGBOOST, "lightgbm": LIGHTGBM, "catboost": CATBOOST}
    assert words.free | words.binning == compared[library].keys()
