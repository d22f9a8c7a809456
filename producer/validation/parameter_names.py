"""The parameter names of an estimator, including the aliases of its library.

The boosting libraries accept more names than their constructors show: native names and aliases,
through unchecked ``**kwargs``. A misspelt name would train the same model again and again without
an error. This module imports no library: the caller has an instance, so its library is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from producer.formatting import nearest
from warren.libraries.registry import BOOSTING, THREADS
from warren.safety.allowlist import package_of_type


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Names of one parameter in several libraries, to suggest the right one for another library's name.
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
    """Return the package of an estimator's class, or the boosting library that it inherits from."""
    packages = [package_of_type(cls) for cls in type(estimator).__mro__]
    return next((package for package in packages if package in BOOSTING), packages[0])


def known_names(estimator: Any) -> frozenset[str] | None:
    """Return the parameter names of an estimator, including all aliases.

    Parameters
    ----------
    estimator : estimator instance

    Returns
    -------
    frozenset of str or None
        None if the library accepts any name and has no readable table of names.
    """
    boosting = BOOSTING.get(library(estimator))
    return boosting.known_names(estimator) if boosting else frozenset(estimator.get_params(deep=True))


def synonyms(estimator: Any, name: str) -> frozenset[str]:
    """Return the other names of a parameter in its library; empty for most."""
    boosting = BOOSTING.get(library(estimator))
    groups = boosting.alias_groups() if boosting else ()
    return frozenset(other for group in groups if name in group for other in group) - {name}


def set_by_user(estimator: Any) -> frozenset[str]:
    """Return an instance's parameters that its library would get in addition to a grid's."""
    boosting = BOOSTING.get(library(estimator))
    return boosting.set_by_user(estimator) if boosting else frozenset()


def overruled_by(estimator: Any, name: str) -> str | None:
    """Return the parameter to use instead of an ignored one; None if `name` has an effect."""
    boosting = BOOSTING.get(library(estimator))
    return boosting.overruled_by(estimator, name) if boosting else None


def closest(name: str, known: Iterable[str]) -> str:
    """Return the likely name: this library's name of the parameter, or the closest spelling."""
    found = frozenset(known)
    for group in _SAME_ELSEWHERE:
        if name in group and (same := [other for other in group if other in found]):
            return same[0]
    return nearest(name, found - THREADS)
