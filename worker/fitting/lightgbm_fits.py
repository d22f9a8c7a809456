"""LightGBM: one ``Dataset`` per fold.

A longer prefix adds leaves to the sums of the shorter one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightgbm
import numpy as np
from lightgbm import sklearn as wrappers
from lightgbm.basic import LGBMDeprecationWarning
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from warren.libraries.devices import asks_for_gpu
from warren.libraries.lightgbm import LIGHTGBM
from worker.database import PackedModel
from worker.fitting.learner import Derived, Fold, Learner, fingerprint

_wrappers: Any = wrappers
# Parameters that don't change a Dataset.
_NOT_BINNING = LIGHTGBM.free.union(LIGHTGBM.threads, LIGHTGBM.rounds, LIGHTGBM.early_stopping)
# Most bytes of leaf indices in memory at once.
_LEAVES_BYTES = 32 * 2**20
# Rows on which each prefix is compared with LightGBM's own prediction.
_CHECKED_ROWS = 8
# Objectives whose prediction is the sum of the leaves:
# https://lightgbm.readthedocs.io/en/stable/Parameters.html#objective
_IDENTITY = frozenset({"regression", "regression_l2", "regression_l1", "huber", "fair", "quantile", "mape"})
# The smallest sum whose negative has an exponential in 64 bits.
_LOWEST = -700.0


class LightGBMLearner(Learner):
    """Fits with LightGBM's scikit-learn classes."""

    def fit(self, estimator: Any, fold: Fold, derived: Derived) -> None:
        """Fit; one binned dataset serves all fits with the same binning."""
        given: dict[str, Any] = {}
        if fold.train.weight is not None:
            given["sample_weight"] = fold.train.weight
        if fold.evaluation is not None:
            # Not eval_X and eval_y, which LightGBM 4.7 prefers: it does not turn their labels into
            # the classes that it trains.
            given["eval_set"] = [(fold.evaluation.X, fold.evaluation.y)]
            if fold.evaluation.weight is not None:
                given["eval_sample_weight"] = [fold.evaluation.weight]
        trained_on: list[lightgbm.Dataset] = []

        def make_dataset(**parts: Any) -> lightgbm.Dataset:
            if trained_on or any(asks_for_gpu(name, value) for name, value in parts["params"].items()):
                # All after the training data are evaluation sets, and data binned on a GPU are not
                # kept.
                trained_on.append(lightgbm.Dataset(**parts))
                return trained_on[-1]
            binning = {name: value for name, value in parts["params"].items() if name not in _NOT_BINNING}
            columns = (parts["categorical_feature"], parts["feature_name"])
            key = ("lightgbm", fingerprint(parts["label"], parts["weight"], columns, binning))
            found = derived.get(key, lambda: lightgbm.Dataset(**parts).construct(), _size)
            trained_on.append(found)
            return found

        # A round without a useful split adds no tree, but a later round may: so count the trees
        # after each round.
        trees: list[int] = []
        given["callbacks"] = [lambda env: trees.append(env.model.current_iteration())]
        with _datasets_by(make_dataset), warnings.catch_warnings():
            warnings.simplefilter("ignore", LGBMDeprecationWarning)
            estimator.fit(fold.train.X, fold.train.y, **given)
        estimator.booster_.trees_by_round = trees

    def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
        """Ascend; LightGBM predicts with the trees up to ``best_iteration``."""
        booster = estimator.booster_
        booster.predict = _Ladder(estimator)
        try:
            for number in sorted(set(rounds)):
                booster.best_iteration = booster.trees_by_round[number - 1]
                yield number
        finally:
            del booster.predict

    def best_iteration(self, estimator: Any) -> int | None:
        """Return the number of rounds kept.

        LightGBM counts them from 1, and returns 0 without early stopping.
        """
        return int(estimator.best_iteration_) or None

    def pack(self, estimator: Any) -> PackedModel | None:
        """Write the text of ``Booster.model_to_string``."""
        if not hasattr(estimator, "booster_"):
            return None
        classes = getattr(estimator, "_classes", None)
        facts = {
            "objective": estimator.objective_,
            "n_features": int(estimator.n_features_),
            "named": bool(getattr(estimator, "_fitted_with_feature_names", True)),
            "best_iteration": int(estimator.best_iteration_ or 0),
            "classes": None if classes is None else {"dtype": classes.dtype.str, "values": classes.tolist()},
        }
        plain = classes is None or classes.dtype.kind in "biufU" or all(isinstance(one, str) for one in classes)
        if not isinstance(facts["objective"], str) or not plain:
            return None
        text = estimator.booster_.model_to_string(num_iteration=-1)
        return PackedModel(format="lightgbm-text", content=text.encode(), facts=facts)


LEARNER = LightGBMLearner()


@contextmanager
def _datasets_by(make: Any) -> Iterator[None]:
    """Replace LightGBM's constructor of datasets: its classes don't accept a ready dataset."""
    own = _wrappers.Dataset
    _wrappers.Dataset = make
    try:
        yield
    finally:
        _wrappers.Dataset = own


class _Ladder:
    """Predicts with the first rounds of a booster, and computes each round only once.

    LightGBM adds the trees' values one after the other in 64 bits, starting from 0, and a sum of
    partial sums would be rounded differently. So this class asks for the leaves and adds them in
    the same order.
    """

    def __init__(self, estimator: Any) -> None:
        self._booster: lightgbm.Booster = estimator.booster_
        self._predict = self._booster.predict
        self._objective: Any = estimator.objective_
        self._classes: int = self._booster.num_model_per_iteration()
        # By ``id`` of the data: the data, the number of summed rounds, and the sums, of shape
        # (rows, classes).
        self._steps: dict[int, tuple[Any, int, NDArray[np.float64]]] = {}
        self._leaf_values: dict[int, NDArray[np.float64]] = {}
        self._trusted = True

    def __call__(
        self,
        data: Any,
        *,
        start_iteration: int = 0,
        num_iteration: int | None = None,
        raw_score: bool = False,
        pred_leaf: bool = False,
        pred_contrib: bool = False,
        **how: Any,
    ) -> Any:
        rounds = min(self._booster.best_iteration, self._booster.current_iteration())
        plain = not (start_iteration or pred_leaf or pred_contrib) and num_iteration is None
        if plain and self._trusted:
            predicted = self._linked(self._summed(data, rounds, how), raw_score=raw_score)
            if predicted is not None and self._agrees(predicted, data, raw_score, how):
                return predicted
            self._trusted = False
        return self._predict(
            data,
            start_iteration=start_iteration,
            num_iteration=num_iteration,
            raw_score=raw_score,
            pred_leaf=pred_leaf,
            pred_contrib=pred_contrib,
            **how,
        )

    def _agrees(self, predicted: NDArray[np.float64], data: Any, raw_score: bool, how: dict[str, Any]) -> bool:
        """Return whether LightGBM itself predicts the same bits for a few rows."""
        head = _safe_indexing(data, np.arange(min(_CHECKED_ROWS, data.shape[0])))
        return np.array_equal(self._predict(head, raw_score=raw_score, **how), predicted[: head.shape[0]])

    def _summed(self, data: Any, rounds: int, how: dict[str, Any]) -> NDArray[np.float64]:
        rows = data.shape[0]
        _, done, sums = self._steps.get(id(data), (data, 0, np.zeros((rows, self._classes))))
        if done > rounds:
            done, sums = 0, np.zeros((rows, self._classes))
        step = max(1, _LEAVES_BYTES // max(1, rows * self._classes * 8))
        while done < rounds:
            more = min(step, rounds - done)
            leaves = self._predict(data, start_iteration=done, num_iteration=more, pred_leaf=True, **how)
            for position, column in enumerate(leaves.astype(np.intp).T):
                tree = done * self._classes + position
                sums[:, position % self._classes] += self._values(tree, int(column.max()))[column]
            done += more
        self._steps[id(data)] = (data, done, sums)
        return np.array(sums)

    def _values(self, tree: int, last: int) -> NDArray[np.float64]:
        """Return the values of a tree's leaves, at least up to the leaf `last`."""
        known = self._leaf_values.get(tree)
        if known is None or len(known) <= last:
            known = np.array([self._booster.get_leaf_output(tree, leaf) for leaf in range(last + 1)])
            self._leaf_values[tree] = known
        return known

    def _linked(self, sums: NDArray[np.float64], *, raw_score: bool) -> NDArray[np.float64] | None:
        """Convert sums into predictions of the objective, as LightGBM's ``ConvertOutput`` does.

        None if unknown.

        It uses the C library's exponential, because the last bits of NumPy's differ on some
        processors.
        """
        flat = sums[:, 0] if self._classes == 1 else sums
        if raw_score or self._objective in _IDENTITY:
            return flat
        if self._objective == "binary" and flat.min() > _LOWEST:
            return 1.0 / (1.0 + _exp(-flat))
        if self._objective == "multiclass":
            powers = _exp(flat - flat.max(axis=1, keepdims=True))
            total = np.zeros(len(powers))
            for column in powers.T:
                total += column
            return powers / total[:, None]
        return None


def _exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.fromiter(map(math.exp, values.ravel().tolist()), np.float64, values.size).reshape(values.shape)


def _size(dataset: lightgbm.Dataset) -> int:
    """Estimate the bytes of binned data: a bin index per entry, labels, weights."""
    rows, columns = dataset.num_data(), dataset.num_feature()
    wide = any(dataset.feature_num_bin(column) > 256 for column in range(columns))
    return int(rows * columns * (2 if wide else 1) + 16 * rows)
