"""LightGBM: https://lightgbm.readthedocs.io/en/stable/Parameters.html, with aliases."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any

from warren.encoding.tags import KEYS, items_of
from warren.errors import InputError, short
from warren.libraries.library import DEVICE_ON_GPU, DeviceParameter, Library, constructor_names, gpu_values, words
from warren.libraries.rule import CALLED, FILE, SOCKET, STORED_MODEL, Json, Rule, rules
from warren.libraries.tree_cost import TreeCost

# LightGBM's Python code resolves these groups itself, whatever else is passed.
_ANY_NAME = frozenset({"num_iterations", "objective", "metric", "early_stopping_round", "verbosity"})


class _LightGBM(Library):
    def known_names(self, estimator: Any) -> frozenset[str] | None:
        groups = _own_aliases()
        return frozenset(estimator.get_params(deep=True)).union(*groups.values()) if groups else None

    def alias_groups(self) -> Iterable[Collection[str]]:
        return _own_aliases().values()

    def set_by_user(self, estimator: Any) -> frozenset[str]:
        return super().set_by_user(estimator) - constructor_names(type(estimator))

    def overruled_by(self, estimator: Any, name: str) -> str | None:
        """Return the parameter that makes an instance ignore another name for it.

        LightGBM's classes always pass their constructor's parameters, and of two names the library
        uses the main one, then the shorter, then the first in the alphabet (``KeyAliasTransform``
        in its ``config.h``): ``LGBMClassifier(eta=0.5)`` trains with a learning rate of 0.1,
        without a warning.
        """
        constructor = constructor_names(type(estimator))
        for main, group in _own_aliases().items():
            if name not in group or name == main or name in constructor or main in _ANY_NAME:
                continue
            for winner in constructor.intersection(group):
                if winner == main or (len(winner), winner) < (len(name), name):
                    return winner
        return None

    def check_value(self, name: str, value: Json, where: str, *, sure: bool) -> None:
        _check_words(value, where)
        if sure and name not in self.labelled and _is_dict(value):
            raise InputError(f"{where} = {short(value)}: LightGBM takes numbers, text, and lists and arrays of them")


def _own_aliases() -> dict[str, list[str]]:
    """LightGBM's own table of names, main name first; empty in versions without it."""
    table = getattr(sys.modules.get("lightgbm.basic"), "_ConfigAliases", None)
    read = getattr(table, "_get_all_param_aliases", None)
    return _read_once(read) if callable(read) else {}


@functools.cache
def _read_once(read: Callable[[], dict[str, list[str]]]) -> dict[str, list[str]]:
    return read()


def _check_words(value: Json, where: str, *, inside: bool = False) -> None:
    """Refuse text that LightGBM would read as further parameters: it gets them in one line.

    Spaces separate them. Python writes a dict or tuple in a list with spaces, so "a=b" inside one
    would be a parameter.
    """
    if isinstance(value, str) and (any(letter.isspace() for letter in value) or (inside and "=" in value)):
        raise InputError(
            f"{where} = {short(value)}: LightGBM reads what follows a space as further parameters; write it without"
        )
    if isinstance(value, dict) and not KEYS.isdisjoint(value):
        if not inside and not value.keys().isdisjoint({"__random_state__", "__set__"}):
            pass  # LightGBM draws a number from the first, and reads the second as a list
        elif "__array__" not in value:
            raise InputError(f"{where} = {short(value)}: LightGBM takes numbers, text, and lists and arrays of them")
        else:
            value = _flat(value["__array__"])
    if inside and isinstance(value, dict) and "__float__" not in value:
        raise InputError(f"{where} = {short(value)}: LightGBM takes numbers, text and lists of them in a list")
    for item in items_of(value):
        _check_words(item, where, inside=True)


def _is_dict(value: Json) -> bool:
    """Return whether a decoded value is a dict, which LightGBM would use as internal state."""
    return isinstance(value, dict) and KEYS.isdisjoint(value) and value.keys().isdisjoint({"__float__", "__tuple__"})


def _flat(array: Json) -> list[Json]:
    """Return the items of an encoded array, or none if a message has something else there."""
    return [item for part in items_of(array) for item in (items_of(part) or [part])]


# dart drops trees, rf averages. Among the names for rounds, n_estimators is last: LightGBM uses its
# own names before it.
LIGHTGBM = _LightGBM(
    package="lightgbm",
    title="LightGBM",
    classes=words("lightgbm.LGBMClassifier lightgbm.LGBMRegressor"),
    rounds=(
        *("num_iterations", "max_iter", "n_iter", "nrounds", "num_boost_round", "num_iteration", "num_round"),
        *("num_rounds", "num_tree", "num_trees", "n_estimators"),
    ),
    default_rounds=100,
    threads=("n_jobs", "num_threads", "num_thread", "nthread", "nthreads"),
    free=words("""
        objective objective_type app application loss metric metrics metric_types num_leaves num_leaf max_leaves
        max_leaf max_leaf_nodes max_depth learning_rate shrinkage_rate eta class_weight min_split_gain
        min_gain_to_split min_child_weight min_sum_hessian_in_leaf min_sum_hessian_per_leaf min_sum_hessian
        min_hessian subsample bagging_fraction sub_row bagging subsample_freq bagging_freq colsample_bytree
        feature_fraction sub_feature feature_fraction_bynode sub_feature_bynode colsample_bynode reg_alpha
        lambda_l1 l1_regularization reg_lambda lambda_l2 lambda l2_regularization importance_type scale_pos_weight
        is_unbalance unbalance unbalanced_sets extra_trees extra_tree path_smooth max_delta_step max_tree_output
        max_leaf_output top_rate other_rate cat_smooth cat_l2 max_cat_threshold max_cat_to_onehot
        min_data_per_group verbosity verbose deterministic force_col_wise force_row_wise boost_from_average
        bagging_seed bagging_fraction_seed feature_fraction_seed extra_seed alpha fair_c
        poisson_max_delta_step tweedie_variance_power
    """),
    # Also min_child_samples: features that can't be split with it get no bins (feature_pre_filter).
    # Also random_state: it draws the rows for the bins if there are more than 200,000.
    binning=words("""
        max_bin max_bins max_bin_by_feature min_data_in_bin subsample_for_bin bin_construct_sample_cnt
        min_child_samples min_data_in_leaf min_data_per_leaf min_data min_samples_leaf random_state seed random_seed
        data_random_seed data_seed feature_pre_filter use_missing zero_as_missing enable_bundle is_enable_bundle
        bundle is_enable_sparse is_sparse enable_sparse sparse categorical_feature cat_feature
        categorical_column cat_column categorical_features
    """),
    only={
        **dict.fromkeys(("boosting_type", "boosting", "boost"), ("gbdt", "gbrt", "goss")),
        "data_sample_strategy": ("bagging", "goss"),
        **dict.fromkeys(("linear_tree", "linear_trees"), (False,)),
        **dict.fromkeys(("device_type", "device"), ("cpu",)),
    },
    early_stopping=dict.fromkeys(
        ("early_stopping_round", "early_stopping_rounds", "early_stopping", "n_iter_no_change"), (None, 0, -1)
    ),
    # https://lightgbm.readthedocs.io/en/stable/Parameters.html#device_type
    devices={
        "device_type": DeviceParameter(gpu=gpu_values("cuda|gpu"), cpu="cpu"),
        "device": DeviceParameter(gpu=DEVICE_ON_GPU, cpu="cpu", unless="device_type"),
    },
    # LightGBM's PyPI build for Linux has OpenCL, but not CUDA.
    on_gpu=("device_type", "gpu"),
    only_gpu={"gpu_device_id": 0, "num_gpu": 1},
    cost=TreeCost(
        start=1e-3,
        bin=1.9e-7,
        tree=8.0e-5,
        scan=1.1e-9,
        move=9.2e-9,
        search=1.0e-8,
        leaves_a_row=0.017,
        depth=("max_depth",),
        leaves=("num_leaves", "num_leaf", "max_leaves", "max_leaf", "max_leaf_nodes"),
        bins=("max_bin", "max_bins"),
        columns=("colsample_bytree", "feature_fraction", "sub_feature"),
        rows=("subsample", "bagging_fraction", "sub_row", "bagging"),
        others=("subsample_freq", "bagging_freq"),
        default_depth=0,
        default_leaves=31,
    ),
    quiet={"verbosity": -1},
    verbosity=frozenset({"verbosity", "verbose"}),
    refused={
        **rules("callbacks", CALLED),
        **rules("init_model input_model model_in model_input", STORED_MODEL),
        **rules(
            """
            config config_file data train train_data data_filename train_data_file valid test test_data valid_data
            test_data_file valid_data_file valid_filenames output_model model_out model_output output_result name_pred
            pred_name predict_name predict_result prediction_name prediction_result convert_model convert_model_file
            convert_model_language parser_config_file initscore_filename init_score_filename init_score_file init_score
            input_init_score valid_data_initscores valid_data_init_scores valid_init_score_file valid_init_score
            forcedbins_filename forcedsplits_filename fs forced_splits forced_splits_file forced_splits_filename
            snapshot_freq save_period
            """,
            FILE,
        ),
        **rules(
            "save_binary is_save_binary is_save_binary_file",
            Rule(reaches="writes the data to a file", only=(False,)),
        ),
        **rules("machine_list_filename mlist machine_list machine_list_file machines nodes workers", SOCKET),
        **rules("local_listen_port port local_port", SOCKET),
        **rules("num_machines num_machine", Rule(reaches=SOCKET.reaches, only=(1,))),
    },
    labelled=words("class_weight"),
    object_labels=False,
    base_class=("lightgbm.sklearn", "LGBMModel"),
    matrices=(("lightgbm.basic", "Dataset"),),
)
