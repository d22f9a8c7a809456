"""Which parameters an estimator has, in the words of its library.

The boosting libraries take more names than their constructors show: native names and aliases, through
``**kwargs`` that no one checks. A misspelt one trains the same model over and over, in silence. No library
is imported here: who holds an instance has it loaded already.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any

from producer.formatting import nearest
from warren.safety.allowlist import package_of_type

LIBRARIES = ("xgboost", "lightgbm", "catboost")
"""Packages of the boosting libraries."""

THREADS = frozenset({"n_jobs", "nthread", "nthreads", "num_thread", "num_threads", "thread_count"})
"""Every library's names for the number of threads; a worker sets it."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Native parameters of XGBoost 3 that its scikit-learn classes pass on, beside their own:
# https://xgboost.readthedocs.io/en/stable/parameter.html. The number of rounds is not among them.
_XGBOOST_NATIVE = frozenset(
    _words("""
    aft_loss_distribution aft_loss_distribution_scale alpha base_score booster colsample_bylevel colsample_bynode
    colsample_bytree debug_synchronize device disable_default_eval_metric eta eval_metric expectile_alpha
    extmem_single_page fail_on_invalid_gpu_id feature_selector gamma grow_policy huber_slope interaction_constraints
    lambda lambdarank_bias_norm lambdarank_normalization lambdarank_num_pair_per_sample lambdarank_pair_method
    lambdarank_score_normalization lambdarank_unbiased learning_rate max_bin max_cached_hist_node max_cat_threshold
    max_cat_to_onehot max_delta_step max_depth max_leaves min_child_weight min_split_loss monotone_constraints
    multi_strategy ndcg_exp_gain normalize_type nthread num_class num_parallel_tree objective one_drop process_type
    quantile_alpha rate_drop refresh_leaf reg_alpha reg_lambda sample_type sampling_method scale_pos_weight seed
    seed_per_iteration skip_drop sparse_threshold subsample tolerance top_k tree_method tweedie_variance_power updater
    validate_parameters verbosity
    """)
)
_XGBOOST_ALIASES = (
    ("learning_rate", "eta"),
    ("gamma", "min_split_loss"),
    ("reg_lambda", "lambda"),
    ("reg_alpha", "alpha"),
    ("random_state", "seed"),
)

# catboost.core._process_synonyms_groups of CatBoost 1.2, which refuses two of a group at the fit.
_CATBOOST_ALIASES = (
    ("learning_rate", "eta"),
    ("border_count", "max_bin"),
    ("depth", "max_depth"),
    ("rsm", "colsample_bylevel"),
    ("random_seed", "random_state"),
    ("l2_leaf_reg", "reg_lambda"),
    ("iterations", "n_estimators", "num_boost_round", "num_trees"),
    ("od_wait", "early_stopping_rounds"),
    ("custom_metric", "custom_loss"),
    ("max_leaves", "num_leaves"),
    ("min_data_in_leaf", "min_child_samples"),
    ("loss_function", "objective"),
)

# LightGBM's Python code resolves these groups itself, whatever else is passed.
_LIGHTGBM_ANY_NAME = frozenset({"num_iterations", "objective", "metric", "early_stopping_round", "verbosity"})

# One thing, many libraries: what to offer to a user who knows it by another library's name.
_SAME_ELSEWHERE = (
    _words("n_estimators iterations num_iterations num_boost_round num_round num_rounds num_trees nrounds max_iter"),
    _words("learning_rate eta shrinkage_rate"),
    _words("max_depth depth"),
    _words("num_leaves max_leaves max_leaf_nodes"),
    _words("reg_lambda l2_leaf_reg lambda lambda_l2 l2_regularization"),
    _words("reg_alpha alpha lambda_l1 l1_regularization"),
    _words("subsample bagging_fraction max_samples"),
    _words("colsample_bytree feature_fraction rsm colsample_bylevel max_features"),
    _words("min_child_samples min_data_in_leaf min_samples_leaf"),
    _words("min_child_weight min_sum_hessian_in_leaf"),
    _words("gamma min_split_loss min_split_gain min_gain_to_split min_impurity_decrease"),
    _words("max_bin border_count max_bins"),
    _words("random_state random_seed seed"),
    _words("scale_pos_weight class_weight class_weights"),
    _words("booster boosting_type boosting"),
    _words("verbosity verbose"),
)


def library(estimator: Any) -> str:
    """Return the package of an estimator's class, or the boosting library that the class inherits from."""
    packages = [package_of_type(cls) for cls in type(estimator).__mro__]
    return next((package for package in packages if package in LIBRARIES), packages[0])


def _constructor(estimator: Any) -> frozenset[str]:
    """Names of a constructor's parameters, its bases' included where they are passed on as keywords."""
    names: set[str] = set()
    for cls in type(estimator).__mro__:
        if cls is object or "__init__" not in vars(cls):
            continue
        taken = inspect.signature(cls).parameters.values()
        names |= {one.name for one in taken if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
        if all(one.kind is not one.VAR_KEYWORD for one in taken):
            break
    return frozenset(names)


def _lightgbm_aliases() -> dict[str, list[str]]:
    """LightGBM's own table of names, main name first; empty in a version that keeps it elsewhere."""
    table = getattr(sys.modules.get("lightgbm.basic"), "_ConfigAliases", None)
    read = getattr(table, "_get_all_param_aliases", None)
    return _read_once(read) if callable(read) else {}


@functools.cache
def _read_once(read: Callable[[], dict[str, list[str]]]) -> dict[str, list[str]]:
    return read()


def known_names(estimator: Any) -> frozenset[str] | None:
    """Return the parameters that an estimator has, every alias included.

    Parameters
    ----------
    estimator : estimator instance

    Returns
    -------
    frozenset of str or None
        None where the library takes any name and its table of names is not to be had.
    """
    own = frozenset(estimator.get_params(deep=True))
    match library(estimator):
        case "xgboost":
            return own | _XGBOOST_NATIVE
        case "lightgbm":
            groups = _lightgbm_aliases()
            return own.union(*groups.values()) if groups else None
        case "catboost":
            taken = _constructor(estimator)
            return None if "params" in taken else own | taken
    return own


def synonyms(estimator: Any, name: str) -> frozenset[str]:
    """Return the other names of a parameter in its library; empty for most."""
    groups: Iterable[Iterable[str]]
    match library(estimator):
        case "xgboost":
            groups = _XGBOOST_ALIASES
        case "lightgbm":
            groups = _lightgbm_aliases().values()
        case "catboost":
            groups = _CATBOOST_ALIASES
        case _:
            groups = ()
    return frozenset(other for group in groups if name in group for other in group) - {name}


def set_by_user(estimator: Any) -> frozenset[str]:
    """Return the names of an instance's parameters that its library would see beside a grid's."""
    params = estimator.get_params(deep=False)
    match library(estimator):
        case "xgboost":
            return frozenset(name for name, value in params.items() if value is not None)
        case "lightgbm":
            return frozenset(params) - _constructor(estimator)
        case "catboost":
            return frozenset(params)
    return frozenset()


def overruled_by(estimator: Any, name: str) -> str | None:
    """Return the parameter that makes an estimator ignore another name for it.

    LightGBM's classes always pass their constructor's parameters, and of two names the library takes the
    main one, then the shorter, then the first in the alphabet (``KeyAliasTransform`` in its ``config.h``):
    ``LGBMClassifier(eta=0.5)`` trains with a learning rate of 0.1, in silence.

    Parameters
    ----------
    estimator : estimator instance
    name : str
        A parameter in a grid.

    Returns
    -------
    str or None
        The name to use instead, or None if `name` has an effect.
    """
    if library(estimator) != "lightgbm":
        return None
    constructor = _constructor(estimator)
    for main, group in _lightgbm_aliases().items():
        if name not in group or name == main or name in constructor or main in _LIGHTGBM_ANY_NAME:
            continue
        for winner in constructor.intersection(group):
            if winner == main or (len(winner), winner) < (len(name), name):
                return winner
    return None


def closest(name: str, known: Iterable[str]) -> str:
    """Return what a user most likely meant: the same thing in this library's word, or the nearest spelling."""
    found = frozenset(known)
    for group in _SAME_ELSEWHERE:
        if name in group and (same := [other for other in group if other in found]):
            return same[0]
    return nearest(name, found - THREADS)
