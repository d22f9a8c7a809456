"""What both sides know of what is trained round by round: which trials may share a fit, and what parameters are called.

A boosted model of 500 rounds contains the model of its first 100, so trials that differ in the number of rounds alone
need one fit. A network of 20 epochs was that of 10 on its way, if somebody keeps its weights then. That holds only
where no parameter makes a round depend on how many there will be. The tables below name the parameters, and the values
of some, under which prefixes were compared with separate fits bit for bit; a trial with any other parameter is fitted
alone. A pipeline is seen through to its last step (`warren.encoding.estimators`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from warren.encoding.estimators import tail_of, with_tail
from warren.encoding.tags import KEYS
from warren.libraries.devices import wants_gpu
from warren.libraries.keras import NETWORK, PARAMETERS

if TYPE_CHECKING:  # it brings NumPy, which an idle worker does without
    from warren.encoding.codec import Json

LibraryName: TypeAlias = Literal["xgboost", "lightgbm", "catboost"]


@dataclass(frozen=True, kw_only=True)
class Library:
    """The words of one library for what it trains round by round.

    Attributes
    ----------
    classes : frozenset of str
        Dotted names of the estimators that are trained so.
    rounds : tuple of str
        Names for the number of rounds; of several that are set, the first counts.
    default_rounds : int
        Rounds where none of these is set.
    threads : frozenset of str
        Names for the number of threads, which each worker sets.
    free : frozenset of str
        Parameters that touch neither the binned data nor whether a fit can be shared.
    binning : frozenset of str
        Parameters that touch the binned data, and not whether a fit can be shared.
    only : mapping of str to tuple
        Parameters with the values under which a fit can be shared.
    required : frozenset of str
        One of these must be set and not be None.
    early_stopping : mapping of str to tuple
        Names that ask for early stopping, with the values that do not.
    """

    classes: frozenset[str]
    rounds: tuple[str, ...]
    default_rounds: int
    threads: frozenset[str]
    free: frozenset[str]
    binning: frozenset[str]
    only: Mapping[str, tuple[Any, ...]]
    required: frozenset[str] = frozenset()
    early_stopping: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LIBRARIES: dict[LibraryName, Library] = {
    # https://xgboost.readthedocs.io/en/stable/parameter.html. dart drops trees, gblinear has none, a random forest
    # (num_parallel_tree, XGBRF*) is one round, and process_type=update walks another model's trees.
    "xgboost": Library(
        classes=_words("xgboost.XGBClassifier xgboost.XGBRegressor"),
        rounds=("n_estimators",),
        default_rounds=100,
        threads=_words("n_jobs nthread"),
        free=_words("""
            objective eval_metric max_depth max_leaves grow_policy learning_rate eta gamma min_split_loss
            min_child_weight max_delta_step subsample sampling_method colsample_bytree colsample_bylevel
            colsample_bynode reg_alpha alpha reg_lambda lambda scale_pos_weight base_score random_state seed
            monotone_constraints interaction_constraints importance_type validate_parameters verbosity
            max_cat_to_onehot max_cat_threshold
        """),
        binning=_words("max_bin tree_method missing enable_categorical feature_types"),
        only={
            "booster": (None, "gbtree"),
            "num_parallel_tree": (None, 1),
            "multi_strategy": (None, "one_output_per_tree"),
            "process_type": (None, "default"),
            "device": (None, "cpu"),
            "callbacks": (None,),
        },
        early_stopping={"early_stopping_rounds": (None, 0)},
    ),
    # https://lightgbm.readthedocs.io/en/stable/Parameters.html, each with its aliases. dart drops trees, rf averages.
    # n_estimators is last: LightGBM's own names, passed beside it, count before it.
    "lightgbm": Library(
        classes=_words("lightgbm.LGBMClassifier lightgbm.LGBMRegressor"),
        rounds=(
            *("num_iterations", "max_iter", "n_iter", "nrounds", "num_boost_round", "num_iteration", "num_round"),
            *("num_rounds", "num_tree", "num_trees", "n_estimators"),
        ),
        default_rounds=100,
        threads=_words("n_jobs num_threads num_thread nthread nthreads"),
        free=_words("""
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
        # min_child_samples too: features that can't be split with it are left out of the bins (feature_pre_filter).
        # random_state too: it draws the rows that bins are made from, where there are more than 200,000.
        binning=_words("""
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
    ),
    # https://catboost.ai/docs/en/references/training-parameters/. Without a learning rate CatBoost chooses one by the
    # number of rounds; monotone constraints change the leaves of early trees when all are there.
    "catboost": Library(
        classes=_words("catboost.CatBoostClassifier catboost.CatBoostRegressor"),
        rounds=("iterations", "n_estimators", "num_boost_round", "num_trees"),
        default_rounds=1000,
        threads=_words("thread_count"),
        free=_words("""
            learning_rate eta depth max_depth l2_leaf_reg reg_lambda random_strength bagging_temperature
            bootstrap_type subsample sampling_frequency rsm colsample_bylevel grow_policy max_leaves num_leaves
            min_data_in_leaf min_child_samples leaf_estimation_method leaf_estimation_iterations boosting_type
            boost_from_average score_function loss_function objective eval_metric custom_metric custom_loss
            class_weights auto_class_weights scale_pos_weight fold_len_multiplier logging_level
            verbose silent metric_period allow_writing_files
        """),
        binning=_words("""
            border_count max_bin feature_border_type nan_mode random_seed random_state cat_features one_hot_max_size
            has_time
        """),
        only={"task_type": (None, "CPU"), "callback": (None,), "use_best_model": (None, False)},
        required=_words("learning_rate eta"),
        early_stopping={
            **dict.fromkeys(("early_stopping_rounds", "od_wait", "od_type"), (None,)),
            "od_pval": (None, 0),
            "use_best_model": (None, False),
        },
    ),
}


# The order of rows is a function of seed and epoch (`warren.networks.batches`), and dropout draws one number after the
# other. Without a seed each trial has its own; early stopping goes back to weights of its own choice; what a package
# builds may keep more than weights.
NETWORKS = Library(
    classes=frozenset({NETWORK}),
    rounds=("epochs",),
    default_rounds=10,
    threads=frozenset(),
    free=frozenset(PARAMETERS) - {"builder", "epochs", "patience", "device"},
    binning=frozenset(),
    only={"builder": ("mlp", "cnn"), "patience": (None,), "device": ("cpu",)},
    required=frozenset({"random_state"}),
)


class SharedFit(NamedTuple):
    """What a trial may share: trials of the same key differ in their rounds alone."""

    key: str
    rounds: int


def library_of(estimator: Json) -> Library | None:
    """Return the library of an encoded estimator that is trained round by round, or None."""
    name = str(estimator.get("__estimator__", ""))
    if name == NETWORK:
        return NETWORKS
    library = LIBRARIES.get(name.partition(".")[0])  # type: ignore[call-overload]  # any name may be asked for
    return library if library and name in library.classes else None


def merged(estimator: Json, params: Mapping[str, Json]) -> dict[str, Json]:
    """Return an encoded estimator's parameters with a trial's over them."""
    return {**estimator.get("params", {}), **params}


def rounds_of(library: Library, params: Mapping[str, Json]) -> Json:
    """Return the number of rounds that merged parameters ask for, as they have it."""
    return next((params[name] for name in library.rounds if params.get(name) is not None), library.default_rounds)


def stops_early(estimator: Json, params: Mapping[str, Json]) -> bool:
    """Say whether a trial, or the last step of its pipeline, asks for early stopping, and so needs an evaluation set.

    Parameters
    ----------
    estimator : dict
        Encoded estimator.
    params : mapping
        The trial's encoded parameters.
    """
    tail = tail_of(estimator, params)
    library = library_of(tail.estimator)
    if library is None:
        return False
    together = merged(tail.estimator, tail.params)
    return any(together.get(name) not in (None, *off) for name, off in library.early_stopping.items())


def shared_fit(estimator: Json, params: Mapping[str, Json]) -> SharedFit | None:
    """Say which fit a trial may share.

    Parameters
    ----------
    estimator : dict
        Encoded estimator.
    params : mapping
        The trial's encoded parameters.

    Returns
    -------
    SharedFit or None
        None where the trial must be fitted alone: another kind of estimator, a GPU, or a parameter under which the
        first rounds of a longer fit are not known to be those of a shorter one. Of a pipeline, its last step decides,
        and the key holds all the rest.
    """
    tail = tail_of(estimator, params)
    library = library_of(tail.estimator)
    if library is None:
        return None
    if wants_gpu(tail.estimator, tail.params):
        return None  # sums on a GPU round from run to run: nothing could be compared bit for bit
    together = merged(tail.estimator, tail.params)
    if library.required and all(together.get(name) is None for name in library.required):
        return None
    rest = {}
    for name, value in together.items():
        if isinstance(value, dict) and not KEYS.isdisjoint(value):
            return None  # a function as an objective, for one: not compared
        if name in library.free or name in library.binning:
            rest[name] = value
        elif name in library.only or name in library.early_stopping:
            if value not in library.only.get(name, ()) and value not in library.early_stopping.get(name, ()):
                return None
            rest[name] = value
        elif name not in library.rounds and name not in library.threads:
            return None
    named = [name for name in library.rounds if name in together]
    # Which of two names counts, and what None means, is for the library to say.
    if len(named) > 1 or any(together[name] is None for name in named):
        return None
    rounds = rounds_of(library, together)
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        return None
    what = [tail.estimator["__estimator__"], rest]
    return SharedFit(json.dumps(what if tail.before is None else [*what, tail.before], sort_keys=True), rounds)


def without_early_stopping(
    estimator: Json, params: Mapping[str, Json], best_iteration: float, chosen: Mapping[str, Json]
) -> tuple[Json, dict[str, Json]]:
    """Give a trial that stopped early its rounds, so that it can be fitted without an evaluation set.

    Parameters
    ----------
    estimator : dict
        Encoded estimator that the trial started from.
    params : mapping
        The trial's encoded parameters.
    best_iteration : float
        Mean over the folds of the rounds that early stopping has kept.
    chosen : mapping
        What the library chose by the number of rounds that it was given.

    Returns
    -------
    estimator : dict
        Encoded, with the booster's parameters in it.
    params : dict
        What is still to be set on it: of a pipeline, the parameters of its other steps.
    """
    tail = tail_of(estimator, params)
    library = library_of(tail.estimator)
    if library is None:
        return estimator, dict(params)
    together = merged(tail.estimator, tail.params)
    named = next((name for name in library.rounds if name in together), "n_estimators")
    kept = {
        name: value
        for name, value in together.items()
        if name not in library.rounds and name not in library.early_stopping
    }
    final = {**chosen, **kept, named: max(1, round(best_iteration))}
    return with_tail(estimator, params, tail.estimator | {"params": final})
