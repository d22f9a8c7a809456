"""CatBoost: one ``Pool`` per fold, quantised if possible; predictions stop at a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import catboost
import numpy as np

from warren.libraries.catboost import CATBOOST
from worker.database import PackedModel
from worker.fitting.learner import Derived, Fold, Learner, Part, fingerprint, written

# Parameters for columns, which a Pool takes.
_COLUMNS = ("cat_features", "text_features", "embedding_features")
# Parameters of quantisation for which fits on quantised and plain pools were compared, with
# CatBoost's defaults.
_QUANTISATION = {
    "border_count": None,
    "max_bin": None,
    "feature_border_type": None,
    "nan_mode": None,
    "random_seed": None,
    "random_state": None,
}
# With more rows than this, CatBoost chooses borders from a sample, and the sample of a pool differs
# from that of a fit (dev_max_subset_size_for_build_borders; compared with 1.2.10).
_MOST_QUANTISED_ROWS = 200_000
# Parameters that it chooses by the number of rounds.
_BY_ROUNDS = ("learning_rate", "leaf_estimation_iterations", "max_ctr_complexity")
# From this number of rounds on, some of CatBoost's defaults differ.
_MANY_ROUNDS = 200


class CatBoostLearner(Learner):
    """Fits with CatBoost's scikit-learn classes."""

    def fit(self, estimator: Any, fold: Fold, derived: Derived) -> None:
        """Fit; one pool serves all fits with the same columns and quantisation."""
        params = estimator.get_params()
        columns = {name: params[name] for name in _COLUMNS if params.get(name) is not None}
        quantisation = {name: params[name] for name in _QUANTISATION if params.get(name) is not None}
        small = fold.train.X.shape[0] <= _MOST_QUANTISED_ROWS
        quantised = small and not columns and fold.evaluation is None and self._only_known(params)
        made_with = (columns, quantisation if quantised else None)
        key = ("catboost", fingerprint(fold.train.y, fold.train.weight, *made_with))

        def make() -> catboost.Pool:
            pool = _pool(fold.train, columns)
            if quantised:
                pool.quantize(**_renamed(quantisation))
            return pool

        pool = derived.get(key, make, lambda _: _size(fold.train, quantised=quantised))
        watched = {} if fold.evaluation is None else {"eval_set": _pool(fold.evaluation, columns)}
        estimator.fit(pool, **watched)

    def _only_known(self, params: dict[str, Any]) -> bool:
        """Return whether a quantised pool gives the same numbers with all these parameters."""
        known = CATBOOST.free.union(CATBOOST.binning, CATBOOST.rounds, CATBOOST.threads, CATBOOST.only)
        return params.keys() <= known and params.get("task_type") in (None, "CPU")

    def contained(self, estimator: Any, rounds: Sequence[int], fold: Fold, derived: Derived) -> list[int]:
        """Return all, or only those from 200 on if fewer rounds change CatBoost's defaults.

        It did so for ``leaf_estimation_iterations`` with few columns, and for
        ``max_ctr_complexity`` with categories (compared with 1.2.10). A fit of one round shows what
        it chooses here.
        """
        many = [number for number in rounds if number >= _MANY_ROUNDS]
        if not many or len(many) == len(rounds):
            return list(rounds)
        params = {name: value for name, value in estimator.get_params().items() if name not in CATBOOST.rounds}
        single = type(estimator)(**params, iterations=1)
        self.fit(single, fold, derived)
        chosen = (single.get_all_params(), estimator.get_all_params())
        same = all(
            chosen[0].get(name) == chosen[1].get(name)
            for name in chosen[0].keys() | chosen[1].keys()
            if name != "iterations"
        )
        return list(rounds) if same else many

    def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
        """Ascend; each prediction stops at that many trees.

        CatBoost predicts quickly, from the first tree each time.

        Its ``staged_predict`` would continue from the last tree, but its sums are rounded
        differently.
        """
        predict = estimator._base_predict
        try:
            for number in sorted(set(rounds)):
                estimator._base_predict = _Until(predict, min(number, estimator.tree_count_))
                yield number
        finally:
            del estimator._base_predict

    def best_iteration(self, estimator: Any) -> int | None:
        """Return the number of rounds kept; CatBoost counts them from 0."""
        best = estimator.get_best_iteration()
        return None if best is None else int(best) + 1

    def chosen(self, estimator: Any) -> dict[str, Any]:
        """Return parameters that CatBoost chose by the number of rounds, unless they were set."""
        given, used = estimator.get_params(), estimator.get_all_params()
        names = {name: (name,) for name in _BY_ROUNDS} | {"learning_rate": ("learning_rate", "eta")}
        return {
            name: used[name]
            for name, aliases in names.items()
            if name in used and all(given.get(alias) is None for alias in aliases)
        }

    def pack(self, estimator: Any) -> PackedModel | None:
        """Write ``cbm``, with the values that CatBoost computes in the fit and does not store."""
        if not hasattr(estimator, "save_model"):
            return None
        importances = {
            name.removeprefix("_"): [float(value) for value in getattr(estimator, name)]
            for name in ("_prediction_values_change", "_loss_value_change")
            if getattr(estimator, name, None) is not None
        }
        return PackedModel(
            format="catboost-cbm",
            content=written(estimator.save_model, "model.cbm"),
            facts={"n_features": int(estimator.n_features_in_)} | importances,
        )


LEARNER = CatBoostLearner()


class _Until:
    """Predicts with the first trees of a model instead of all."""

    def __init__(self, predict: Callable[..., Any], trees: int) -> None:
        self._predict = predict
        self._trees = trees

    def __call__(self, pool: Any, prediction_type: str, ntree_start: int, ntree_end: int, *how: Any) -> Any:
        return self._predict(pool, prediction_type, ntree_start, ntree_end or self._trees, *how)


def _renamed(quantisation: dict[str, Any]) -> dict[str, Any]:
    names = {"max_bin": "border_count", "random_state": "random_seed"}
    return {names.get(name, name): value for name, value in quantisation.items()}


def _pool(part: Part, columns: dict[str, Any]) -> catboost.Pool:
    return catboost.Pool(part.X, part.y, weight=part.weight, **columns)


def _size(part: Part, *, quantised: bool) -> int:
    """Estimate the bytes of a pool: a bin index or a 32-bit number per entry, labels, weights."""
    rows, columns = part.X.shape
    return int(np.prod((rows, columns, 1 if quantised else 4)) + 16 * rows)
