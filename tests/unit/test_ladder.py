"""Predictions of prefixes: each round is walked once, and never believed where the library
says otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from folds import CLEAR, MAKERS, MANY, PROBABLE, ROUNDS, Kept, X, Y, evaluate, fold, plain, scores
from lightgbm import LGBMClassifier, LGBMRegressor

from worker.fitting import Fold, learner_of, lightgbm_fits
from worker.fitting.lightgbm_fits import LightGBMLearner


def shared(make: Callable[[], Any], of: Fold, scorers: dict[str, str]) -> list[Any]:
    return scores(evaluate(make, of, scorers, learner=LightGBMLearner(), derived=Kept(), rounds=ROUNDS))


def apart(make: Callable[..., Any], of: Fold, scorers: dict[str, str]) -> list[Any]:
    return [plain(lambda number=number: make(n_estimators=number), of, scorers)[0] for number in ROUNDS]


LADDERS: list[tuple[str, Callable[..., Any], Fold, dict[str, str]]] = [
    ("two classes", MAKERS["lightgbm"], fold(), PROBABLE),
    ("three classes", MAKERS["lightgbm"], fold(y=MANY), PROBABLE),
    (
        "numbers",
        lambda **params: LGBMRegressor(**{"n_estimators": 12, "n_jobs": 1, "verbosity": -1} | params),
        fold(y=CLEAR),
        {"r2": "r2"},
    ),
]


@pytest.mark.parametrize("trusted", [False, True], ids=["checked", "trusted"])
@pytest.mark.parametrize("rounds", [3, 7], ids=["from the first prefix on", "later"])
@pytest.mark.parametrize(("make", "of", "scorers"), [one[1:] for one in LADDERS], ids=[one[0] for one in LADDERS])
def test_a_ladder_with_other_numbers_leaves_the_rest_to_lightgbm(
    make: Callable[..., Any],
    of: Fold,
    scorers: dict[str, str],
    rounds: int,
    trusted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = apart(make, of, scorers)
    asked = []

    class Wrong(lightgbm_fits._Ladder):
        """Leaves out a little of what the trees say, from some round on."""

        def _summed(self, data: Any, number: int, how: dict[str, Any]) -> Any:
            asked.append(number)
            sums = super()._summed(data, number, how)
            return sums * 0.5 if number >= rounds else sums

        def _agrees(self, *what: Any) -> bool:
            return trusted or super()._agrees(*what)

    monkeypatch.setattr(lightgbm_fits, "_Ladder", Wrong)
    assert (shared(make, of, scorers) == expected) is not trusted  # trusted, it would be seen to be wrong
    if not trusted:
        assert max(asked) == rounds  # once found wrong, it is not asked again


@pytest.mark.parametrize("last_bit", [math.inf, -math.inf])
def test_a_last_bit_is_enough_to_disagree(last_bit: float, monkeypatch: pytest.MonkeyPatch) -> None:
    ladders = []

    class Watched(lightgbm_fits._Ladder):
        def __init__(self, estimator: Any) -> None:
            super().__init__(estimator)
            ladders.append(self)

        def _linked(self, *what: Any, **how: Any) -> Any:
            predicted = super()._linked(*what, **how)
            return predicted if predicted is None else np.nextafter(predicted, last_bit)

    monkeypatch.setattr(lightgbm_fits, "_Ladder", Watched)
    expected = apart(MAKERS["lightgbm"], fold(), PROBABLE)
    assert shared(MAKERS["lightgbm"], fold(), PROBABLE) == expected
    assert [ladder._trusted for ladder in ladders] == [False]


@pytest.mark.parametrize(("make", "of", "scorers"), [one[1:] for one in LADDERS], ids=[one[0] for one in LADDERS])
def test_a_ladder_that_agrees_asks_lightgbm_for_leaves_once_a_round(
    make: Callable[..., Any], of: Fold, scorers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[tuple[int, int]] = []
    whole: list[int] = []

    class Watched(lightgbm_fits._Ladder):
        def __init__(self, estimator: Any) -> None:
            super().__init__(estimator)
            predict = self._predict

            def spy(data: Any, **how: Any) -> Any:
                if how.get("pred_leaf"):
                    walked.append((data.shape[0], how["num_iteration"]))
                else:
                    whole.append(data.shape[0])
                return predict(data, **how)

            self._predict = spy

    monkeypatch.setattr(lightgbm_fits, "_Ladder", Watched)
    assert shared(make, of, scorers) == apart(make, of, scorers)
    assert sorted(walked) == [(80, 3), (80, 4), (80, 5), (160, 3), (160, 4), (160, 5)]
    assert set(whole) == {lightgbm_fits._CHECKED_ROWS}


@pytest.mark.parametrize(
    ("objective", "y"), [("poisson", np.exp(CLEAR)), ("multiclassova", MANY), ("cross_entropy", Y)]
)
def test_an_objective_whose_link_is_not_known_is_left_to_lightgbm(objective: str, y: Any) -> None:
    cls = LGBMRegressor if objective == "poisson" else LGBMClassifier
    scorers = {"poisson": {"r2": "r2"}, "cross_entropy": PROBABLE}.get(objective, {"a": "accuracy"})

    def make(**params: Any) -> Any:
        more = {"num_class": 3} if objective == "multiclassova" else {}
        return cls(**{"n_estimators": 12, "n_jobs": 1, "verbosity": -1, "objective": objective} | more | params)

    assert shared(make, fold(y=y), scorers) == apart(make, fold(y=y), scorers)


@pytest.mark.parametrize("library", MAKERS)
def test_an_estimator_is_whole_again_after_its_prefixes(library: str) -> None:
    model = MAKERS[library]()
    learner = learner_of(type(model))
    learner.fit(model, fold(), Kept())
    before = model.predict_proba(X)
    seen = [len(np.unique(model.predict_proba(X))) for _ in learner.prefixes(model, ROUNDS)]
    assert len(seen) == 3
    assert np.array_equal(model.predict_proba(X), before)
    stopped = learner.prefixes(model, ROUNDS)
    next(stopped)
    assert not np.array_equal(model.predict_proba(X), before)
    stopped.close()
