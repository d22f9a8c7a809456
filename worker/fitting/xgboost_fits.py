"""XGBoost: one ``QuantileDMatrix`` per fold.

A longer prefix starts from the margins of the shorter one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xgboost

from warren.libraries.devices import asks_for_gpu
from worker.database import PackedModel
from worker.fitting.learner import Derived, Fold, Learner, fingerprint, written


class XGBoostLearner(Learner):
    """Fits with XGBoost's scikit-learn classes."""

    def fit(self, estimator: Any, fold: Fold, derived: Derived) -> None:
        """Fit; one quantised matrix serves all fits with the same binning."""
        weights = {} if fold.train.weight is None else {"sample_weight": fold.train.weight}
        watched: dict[str, Any] = {}
        if fold.evaluation is not None:
            watched = {"eval_set": [(fold.evaluation.X, fold.evaluation.y)], "verbose": False}
            if fold.evaluation.weight is not None:
                watched["sample_weight_eval_set"] = [fold.evaluation.weight]
        make: Any = getattr(estimator, "_create_dmatrix", None)

        def create(ref: Any, **given: Any) -> Any:
            if ref is not None:  # an evaluation set
                return make(ref, **given)
            binning = {name: value for name, value in given.items() if name != "data"}
            of_class = [getattr(estimator, name) for name in ("max_bin", "tree_method", "device")]
            key = ("xgboost", fingerprint(binning, of_class))
            return derived.get(key, lambda: make(ref, **given), _size)

        # Only quantised data can be shared: other tree methods sort or sketch their data during the
        # fit. Data quantised on a GPU have other bins, and stay in its memory.
        on_gpu = asks_for_gpu("device", estimator.device)
        if make and not on_gpu and estimator.tree_method in (None, "auto", "hist") and estimator.booster != "gblinear":
            estimator._create_dmatrix = create
        try:
            estimator.fit(fold.train.X, fold.train.y, **weights, **watched)
        finally:
            vars(estimator).pop("_create_dmatrix", None)

    def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
        """Ascend; XGBoost's classes predict with the rounds up to ``best_iteration``."""
        booster = estimator.get_booster()
        booster.inplace_predict = _Ladder(booster)
        try:
            for number in sorted(set(rounds)):
                booster.best_iteration = number - 1
                yield number
        finally:
            del booster.inplace_predict

    def best_iteration(self, estimator: Any) -> int | None:
        """Return the number of rounds kept; XGBoost counts them from 0."""
        return int(estimator.best_iteration) + 1 if estimator.early_stopping_rounds else None

    def pack(self, estimator: Any) -> PackedModel | None:
        """Write universal binary JSON.

        https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
        """
        if not hasattr(estimator, "save_model"):
            return None
        return PackedModel(format="xgboost-ubj", content=written(estimator.save_model, "model.ubj"))


LEARNER = XGBoostLearner()


class _Ladder:
    """Predicts with the first rounds of a booster, and computes each round only once.

    XGBoost adds the trees' values to the base one after the other, in 32 bits, so that a sum made
    in steps has the same bits. The last round is predicted separately, because it turns the margin
    into the objective's prediction.
    """

    def __init__(self, booster: Any) -> None:
        self._predict = booster.inplace_predict
        # By ``id`` of the data: the data, the number of summed rounds, and their margins.
        self._steps: dict[int, tuple[Any, int, Any]] = {}

    def __call__(
        self, data: Any, *, iteration_range: tuple[int, int] = (0, 0), base_margin: Any = None, **how: Any
    ) -> Any:
        first, last = iteration_range
        if first != 0 or last < 1 or base_margin is not None:
            return self._predict(data, iteration_range=iteration_range, base_margin=base_margin, **how)
        _, done, margin = self._steps.get(id(data), (data, 0, None))
        if done > last - 1:
            done, margin = 0, None
        if done < last - 1:
            summed = how | {"predict_type": "margin"}
            margin = self._predict(data, iteration_range=(done, last - 1), base_margin=margin, **summed)
            self._steps[id(data)] = (data, last - 1, margin)
        return self._predict(data, iteration_range=(last - 1, last), base_margin=margin, **how)


def _size(matrix: xgboost.DMatrix) -> int:
    """Estimate the bytes of quantised data: two bin indices per entry, labels, weights."""
    rows, columns = matrix.num_row(), matrix.num_col()
    entries = min(matrix.num_nonmissing(), rows * columns)
    bins = int(np.diff(matrix.get_quantile_cut()[0]).max(initial=0)) if entries else 0
    return int(entries * 2 * (1 if bins <= 256 else 2) + 16 * rows)
