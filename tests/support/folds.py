"""One fold of little data, the boosting libraries' estimators, and what they score on it with and
without kept bins."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from cachetools import LRUCache
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from xgboost import XGBClassifier

from worker.fitting import Fold, learner_of
from worker.fitting.learner import Part
from worker.training.data_cache import KeptDerived
from worker.training.fit_and_score import FoldResult, fit_and_score
from worker.training.scorers import make_scorer

DRAW = np.random.default_rng(3)
X = DRAW.normal(size=(240, 5))
X[:, 4] = DRAW.permutation(240) < 24  # a rare mark, which LightGBM leaves out of its bins unless leaves may be small
CLEAR = (X[:, 0] + X[:, 1] * X[:, 2] + 2 * X[:, 4]) / 2
Y = (CLEAR + DRAW.normal(size=240) > 0).astype(int)
MANY = np.digitize(CLEAR + DRAW.normal(size=240), [-0.5, 0.5])
WEIGHT = DRAW.uniform(0.1, 3.0, 240)
ROUNDS = (12, 3, 7)
PROBABLE = {"l": "neg_log_loss", "a": "accuracy"}
MAKERS: dict[str, Callable[..., Any]] = {
    "xgboost": lambda **params: XGBClassifier(**{"n_estimators": 12, "max_depth": 3, "n_jobs": 1} | params),
    "lightgbm": lambda **params: LGBMClassifier(**{"n_estimators": 12, "n_jobs": 1, "verbosity": -1} | params),
    "catboost": lambda **params: CatBoostClassifier(
        **{"iterations": 12, "depth": 3, "learning_rate": 0.3, "thread_count": 1}
        | {"logging_level": "Silent", "allow_writing_files": False}
        | params
    ),
}


def fold(y: Any = Y, weight: Any = None, data: Any = X) -> Fold:
    def part(rows: slice) -> Part:
        return Part(data[rows], y[rows], None if weight is None else weight[rows])

    return Fold(train=part(slice(0, 160)), test=part(slice(160, 240)))


class Kept(KeptDerived):
    """A cache of one fold, with room for everything unless said otherwise."""

    def __init__(self, max_bytes: float = 10**9) -> None:
        self.entries: LRUCache[Any, Any] = LRUCache(max_bytes, getsizeof=lambda made: made.nbytes)
        super().__init__(self.entries, ("fold",))

    @property
    def number(self) -> int:
        """How many things are kept."""
        return len(self.entries)


def evaluate(make: Callable[[], Any], of: Fold, scorers: dict[str, str] | None = None, **how: Any) -> list[FoldResult]:
    scorers = scorers or PROBABLE
    return fit_and_score(
        make, of, make_scorer(scorers), list(scorers), error_score=math.nan, return_train_score=True, seed=0, **how
    )


def scores(results: list[FoldResult]) -> list[tuple[dict[str, float], dict[str, float]]]:
    assert [one.error for one in results] == [None] * len(results)
    return [(one.test_scores, one.train_scores) for one in results]


def plain(make: Callable[[], Any], of: Fold, scorers: dict[str, str] | None = None) -> list[Any]:
    """What the library's class gives by itself."""
    return scores(evaluate(make, of, scorers))


def with_bins(make: Callable[[], Any], of: Fold, kept: KeptDerived, scorers: dict[str, str] | None = None) -> list[Any]:
    return scores(evaluate(make, of, scorers, learner=learner_of(type(make())), derived=kept))
