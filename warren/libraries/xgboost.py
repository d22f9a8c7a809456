"""XGBoost: https://xgboost.readthedocs.io/en/stable/parameter.html."""

from __future__ import annotations

from typing import Any

from warren.libraries.library import DEVICE_ON_GPU, Deprecation, DeviceParameter, Library, gpu_values, words
from warren.libraries.rule import CALLED, FILE, FROM_THE_START, STORED_MODEL, Rule, rules
from warren.libraries.tree_cost import TreeCost


class _XGBoost(Library):
    def set_by_user(self, estimator: Any) -> frozenset[str]:
        return frozenset(name for name, value in estimator.get_params(deep=False).items() if value is not None)


# dart drops trees, gblinear has none, a random forest (num_parallel_tree, XGBRF*) is one round, and
# process_type=update changes another model's trees.
XGBOOST = _XGBoost(
    package="xgboost",
    title="XGBoost",
    classes=words("xgboost.XGBClassifier xgboost.XGBRegressor"),
    rounds=("n_estimators",),
    default_rounds=100,
    threads=("n_jobs", "nthread"),
    free=words("""
        objective eval_metric max_depth max_leaves grow_policy learning_rate eta gamma min_split_loss
        min_child_weight max_delta_step subsample sampling_method colsample_bytree colsample_bylevel
        colsample_bynode reg_alpha alpha reg_lambda lambda scale_pos_weight base_score random_state seed
        monotone_constraints interaction_constraints importance_type validate_parameters verbosity
        max_cat_to_onehot max_cat_threshold
    """),
    binning=words("max_bin tree_method missing enable_categorical feature_types"),
    only={
        "booster": (None, "gbtree"),
        "num_parallel_tree": (None, 1),
        "multi_strategy": (None, "one_output_per_tree"),
        "process_type": (None, "default"),
        "device": (None, "cpu"),
        "callbacks": (None,),
    },
    early_stopping={"early_stopping_rounds": (None, 0)},
    # https://xgboost.readthedocs.io/en/stable/gpu/: device="cuda", "cuda:1", "gpu"; formerly
    # tree_method="gpu_hist".
    devices={
        "device": DeviceParameter(gpu=DEVICE_ON_GPU, cpu="cpu"),
        "tree_method": DeviceParameter(gpu=gpu_values("gpu_hist"), cpu="hist", only=False),
    },
    on_gpu=("device", "cuda"),
    cost=TreeCost(
        start=5e-3,
        bin=2.5e-7,
        tree=1.2e-4,
        scan=6.5e-10,
        move=4.1e-9,
        search=8.3e-9,
        leaves_a_row=0.037,
        leafwise=3.3,
        depth=("max_depth",),
        leaves=("max_leaves",),
        bins=("max_bin",),
        columns=("colsample_bytree", "colsample_bylevel", "colsample_bynode"),
        rows=("subsample",),
        others=("grow_policy", "tree_method", "num_parallel_tree"),
        default_depth=6,
    ),
    verbosity=frozenset({"verbosity"}),
    # For XGBoost 3.
    native=words("""
        aft_loss_distribution aft_loss_distribution_scale alpha base_score booster colsample_bylevel colsample_bynode
        colsample_bytree debug_synchronize device disable_default_eval_metric eta eval_metric expectile_alpha
        extmem_single_page fail_on_invalid_gpu_id feature_selector gamma grow_policy huber_slope interaction_constraints
        lambda lambdarank_bias_norm lambdarank_normalization lambdarank_num_pair_per_sample lambdarank_pair_method
        lambdarank_score_normalization lambdarank_unbiased learning_rate max_bin max_cached_hist_node max_cat_threshold
        max_cat_to_onehot max_delta_step max_depth max_leaves min_child_weight min_split_loss monotone_constraints
        multi_strategy ndcg_exp_gain normalize_type nthread num_class num_parallel_tree objective one_drop process_type
        quantile_alpha rate_drop refresh_leaf reg_alpha reg_lambda sample_type sampling_method scale_pos_weight seed
        seed_per_iteration skip_drop sparse_threshold subsample tolerance top_k tree_method tweedie_variance_power
        updater validate_parameters verbosity
    """),
    aliases=(
        ("learning_rate", "eta"),
        ("gamma", "min_split_loss"),
        ("reg_lambda", "lambda"),
        ("reg_alpha", "alpha"),
        ("random_state", "seed"),
    ),
    distributions={"xgboost": ("xgboost", "xgboost-cpu")},
    refused={
        "callbacks": Rule(reaches=CALLED.reaches, only=([],)),
        **rules("xgb_model model_in", STORED_MODEL),
        "process_type": Rule(reaches="changes a stored model", instead=FROM_THE_START, only=("default",)),
        **rules("data test_path model_out model_dir save_period name_dump name_fmap name_pred fmap cache_prefix", FILE),
    },
    labelled=words("monotone_constraints feature_weights"),
    # https://github.com/dmlc/xgboost/releases
    deprecated={
        "booster='dart'": Deprecation((3, 4), "the tree booster with rate_drop, skip_drop or one_drop"),
        "booster='gblinear'": Deprecation((3, 3), "scikit-learn's linear models"),
        **dict.fromkeys(
            ("XGBRFClassifier", "XGBRFRegressor"),
            Deprecation(
                (3, 4),
                "XGBClassifier or XGBRegressor with num_parallel_tree and n_estimators=1, or scikit-learn's forests",
            ),
        ),
    },
    object_labels=False,
    counted_labels=True,
    draws_seed=True,
    base_class=("xgboost.sklearn", "XGBModel"),
    matrices=(("xgboost.core", "DMatrix"), ("xgboost.core", "QuantileDMatrix")),
)
