"""CatBoost: one ``Pool`` a fold, quantised where it holds numbers only, and predictions that end at a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import catboost
import numpy as np

from warren.libraries.catboost import CATBOOST
from worker.database import PackedModel
from worker.fitting.learner import Derived, Fold, Learner, Part, fingerprint, written

# Parameters of the columns, which a Pool takes.
_COLUMNS = ("cat_features", "text_features", "embedding_features")
# Parameters of quantisation under which a quantised pool was compared with a plain one, with CatBoost's defaults.
_QUANTISATION = {
    "border_count": None,
    "max_bin": None,
    "feature_border_type": None,
    "nan_mode": None,
    "random_seed": None,
    "random_state": None,
}
# Rows up to which borders are chosen from all of them: from more, CatBoost draws, and for a pool other ones than for
# a fit (dev_max_subset_size_for_build_borders; compared with 1.2.10).
_MOST_QUANTISED_ROWS = 200_000
# What it chooses by them.
_BY_ROUNDS = ("learning_rate", "leaf_estimation_iterations", "max_ctr_complexity")
# Rounds from which on some of CatBoost's defaults are others.
_MANY_ROUNDS = 200


class CatBoostLearner(Learner):
    """Fits with CatBoost's scikit-learn classes."""

    def fit(self, estimator: Any, fold: Fold, derived: Derived) -> None:
        """Fit; the pool is made once for all fits with the same columns and quantisation."""
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
        """Say whether every parameter is one that quantisation is known to keep its numbers under."""
        known = CATBOOST.free.union(CATBOOST.binning, CATBOOST.rounds, CATBOOST.threads, CATBOOST.only)
        return params.keys() <= known and params.get("task_type") in (None, "CPU")

    def contained(self, estimator: Any, rounds: Sequence[int], fold: Fold, derived: Derived) -> list[int]:
        """Return all, or those from 200 on, where CatBoost chooses other defaults for fewer rounds.

        It did so for ``leaf_estimation_iterations`` with few columns, and for ``max_ctr_complexity`` with categories
        (compared with 1.2.10): a fit of one round says what it chooses here.
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
        """Ascend; each prediction ends at that many trees. CatBoost predicts quickly, from the first tree each time.

        Its ``staged_predict`` would go on where it was, but with sums that round otherwise.
        """
        predict = estimator._base_predict
        try:
            for number in sorted(set(rounds)):
                estimator._base_predict = _Until(predict, min(number, estimator.tree_count_))
                yield number
        finally:
            del estimator._base_predict

    def best_iteration(self, estimator: Any) -> int | None:
        """Return the rounds kept; CatBoost counts them from 0."""
        best = estimator.get_best_iteration()
        return None if best is None else int(best) + 1

    def chosen(self, estimator: Any) -> dict[str, Any]:
        """Return the learning rate and the rest of what CatBoost chooses by the number of rounds, unless it is set."""
        given, used = estimator.get_params(), estimator.get_all_params()
        names = {name: (name,) for name in _BY_ROUNDS} | {"learning_rate": ("learning_rate", "eta")}
        return {
            name: used[name]
            for name, words in names.items()
            if name in used and all(given.get(word) is None for word in words)
        }

    def pack(self, estimator: Any) -> PackedModel | None:
        """Write ``cbm``, and beside it what CatBoost computes with the training data and leaves out of its files."""
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
    """Predicts with the first trees of a model where it would with all."""

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
    """Bytes of a pool, estimated: a bin index or a number of 32 bits an entry, labels, weights."""
    rows, columns = part.X.shape
    return int(np.prod((rows, columns, 1 if quantised else 4)) + 16 * rows)
