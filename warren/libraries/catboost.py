"""CatBoost: https://catboost.ai/docs/en/references/training-parameters/."""

from __future__ import annotations

from typing import Any

from warren.libraries.library import DeviceParameter, Library, constructor_names, gpu_values, words
from warren.libraries.rule import CALLED, FILE, SOCKET, STORED_MODEL, Rule, rules
from warren.libraries.tree_cost import TreeCost


class _CatBoost(Library):
    def known_names(self, estimator: Any) -> frozenset[str] | None:
        taken = constructor_names(type(estimator))
        return None if "params" in taken else taken.union(estimator.get_params(deep=True))


# Without a learning rate, CatBoost chooses one by the number of rounds; monotone constraints change
# the leaves of early trees when all exist.
CATBOOST = _CatBoost(
    package="catboost",
    title="CatBoost",
    classes=words("catboost.CatBoostClassifier catboost.CatBoostRegressor"),
    rounds=("iterations", "n_estimators", "num_boost_round", "num_trees"),
    default_rounds=1000,
    threads=("thread_count",),
    free=words("""
        learning_rate eta depth max_depth l2_leaf_reg reg_lambda random_strength bagging_temperature
        bootstrap_type subsample sampling_frequency rsm colsample_bylevel grow_policy max_leaves num_leaves
        min_data_in_leaf min_child_samples leaf_estimation_method leaf_estimation_iterations boosting_type
        boost_from_average score_function loss_function objective eval_metric custom_metric custom_loss
        class_weights auto_class_weights scale_pos_weight fold_len_multiplier logging_level
        verbose silent metric_period allow_writing_files
    """),
    binning=words("""
        border_count max_bin feature_border_type nan_mode random_seed random_state cat_features one_hot_max_size
        has_time
    """),
    only={"task_type": (None, "CPU"), "callback": (None,), "use_best_model": (None, False)},
    required=words("learning_rate eta"),
    early_stopping={
        **dict.fromkeys(("early_stopping_rounds", "od_wait", "od_type"), (None,)),
        "od_pval": (None, 0),
        "use_best_model": (None, False),
    },
    # https://catboost.ai/docs/en/features/training-on-gpu
    devices={"task_type": DeviceParameter(gpu=gpu_values("gpu"), cpu="CPU")},
    on_gpu=("task_type", "GPU"),
    only_gpu={"devices": "0"},
    # It chooses its trees by a sample of rows, but scans every row.
    cost=TreeCost(
        start=9e-3,
        bin=1.1e-7,
        tree=5.8e-5,
        scan=1.1e-9,
        move=2.5e-8,
        search=1.4e-8,
        leaves_a_row=0.41,
        leafwise=2.0,
        uneven=2.4,
        a_class=0.48,
        depth=("depth", "max_depth"),
        leaves=("max_leaves", "num_leaves"),
        bins=("border_count", "max_bin"),
        columns=("rsm", "colsample_bylevel"),
        others=("grow_policy",),
        default_depth=6,
        default_leaves=31,
    ),
    quiet={"logging_level": "Silent"},
    verbosity=frozenset({"logging_level", "verbose", "silent", "verbose_eval"}),
    # It writes a folder catboost_info into the working directory, also if this is None (catboost
    # #1891).
    fixed={"allow_writing_files": False},
    # catboost.core._process_synonyms_groups of CatBoost 1.2; a fit refuses two names of a group.
    aliases=(
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
    ),
    # Also those of output_file_options.cpp, because its set_params passes any name to the core.
    refused={
        **rules("callback callbacks", CALLED),
        **rules("init_model", STORED_MODEL),
        "allow_writing_files": Rule(
            reaches="lets CatBoost write files",
            instead="leave it out: a worker sets it to False",
            only=(False,),
            default=False,  # CatBoost's is True
        ),
        "save_snapshot": Rule(reaches="writes a file to go on from", only=(False,)),
        "params": Rule(
            reaches="holds further parameters", instead="name them singly, CatBoostClassifier(depth=6) for one"
        ),
        **rules(
            """
            train_dir snapshot_file input_borders output_borders roc_file result_model_file meta json_log profile_log
            profile detailed_profile learn_error_log test_error_log time_left_log eval_file_name fstr_regular_file
            fstr_internal_file training_options_file plot_file log_cout log_cerr features_selection_result_path
            model_file feature_names_path pool_metainfo_path
            """,
            FILE,
        ),
        **rules("file_with_hosts node_type node_port", SOCKET),
    },
    labelled=words("""
        class_weights monotone_constraints feature_weights first_feature_use_penalties per_object_feature_penalties
    """),
    fraction_labels=True,
    base_class=("catboost.core", "CatBoost"),
    matrices=(("catboost.core", "Pool"),),
)
