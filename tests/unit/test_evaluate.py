"""The pure core: one candidate on one fold."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from worker.fitting import Fold, Learner
from worker.fitting.learner import Part
from worker.training.fit_and_score import FoldResult, Nothing, fit_and_score
from worker.training.scorers import make_scorer

DRAW = np.random.default_rng(1)
X = DRAW.normal(size=(40, 4))
Y = (X[:, 0] + DRAW.normal(size=40) > 0).astype(int)
WEIGHTS = DRAW.uniform(0.1, 2.0, 40)


def part(rows: Any, y: Any = Y, weights: Any = None) -> Part:
    return Part(X[rows], None if y is None else y[rows], None if weights is None else weights[rows])


def fold(train: Any = slice(0, 30), test: Any = slice(30, 40), y: Any = Y, weights: Any = None) -> Fold:
    return Fold(train=part(train, y, weights), test=part(test, y, weights))


def evaluate_all(make: Any, of: Fold, scorers: dict[str, str | None], **options: Any) -> list[FoldResult]:
    chosen = {"error_score": math.nan, "return_train_score": False, "seed": 0} | options
    return fit_and_score(make, of, make_scorer(scorers), list(scorers), **chosen)


def evaluate(make: Any, of: Fold, scorers: dict[str, str | None], **options: Any) -> FoldResult:
    [found] = evaluate_all(make, of, scorers, **options)
    return found


class Says(ClassifierMixin, BaseEstimator):
    """Scores what it is told to, or raises it."""

    def __init__(self, score: Any = 0.5, fit: BaseException | None = None) -> None:
        self._score, self._fit = score, fit

    def fit(self, X: Any, y: Any = None) -> Self:
        self.classes_ = np.array([0, 1])
        if self._fit is not None:
            raise self._fit
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X), dtype=int)

    def score(self, X: Any, y: Any = None) -> Any:
        if isinstance(self._score, BaseException):
            raise self._score
        return self._score


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["no weights", "weights"])
@pytest.mark.parametrize("scorers", [{"score": None}, {"score": "roc_auc"}, {"a": "accuracy", "l": "neg_log_loss"}])
def test_scores_are_those_of_scikit_learn(scorers: dict[str, str | None], weights: Any) -> None:
    splits = list(KFold(4).split(X))
    found = [
        evaluate(LogisticRegression, fold(train, test, weights=weights), scorers, return_train_score=True)
        for train, test in splits
    ]
    search = GridSearchCV(
        LogisticRegression(),
        {"C": [1.0]},
        cv=splits,
        scoring=scorers.get("score", scorers),
        refit=False,
        return_train_score=True,
    )
    expected = search.fit(X, Y, sample_weight=weights).cv_results_
    for number, one in enumerate(found):
        assert (one.error, one.trace, one.fitted) == (None, "", True)
        for metric in scorers:
            assert one.test_scores[metric] == expected[f"split{number}_test_{metric}"][0]
            assert one.train_scores[metric] == expected[f"split{number}_train_{metric}"][0]


def test_train_scores_are_there_only_if_asked_for() -> None:
    assert evaluate(LogisticRegression, fold(), {"score": None}).train_scores == {}
    asked = evaluate(DecisionTreeClassifier, fold(), {"score": None}, return_train_score=True)
    assert asked.train_scores == {"score": 1.0}


def test_scores_are_python_floats_and_times_are_seconds() -> None:
    found = evaluate(Ridge, fold(), {"r2": "r2", "max_error": "neg_max_error"})
    assert {type(score) for score in found.test_scores.values()} == {float}
    assert 0 < found.fit_seconds < 10
    assert 0 < found.score_seconds < 10


@pytest.mark.parametrize("score", [True, 1, np.float32(0.5), np.int64(3), np.array(0.5)[()], 0.25])
def test_whatever_is_a_number_is_a_score(score: Any) -> None:
    found = evaluate(lambda: Says(score), fold(), {"score": None})
    assert found.test_scores == {"score": float(score)}
    assert found.error is None


@pytest.mark.parametrize("score", [None, "good", [0.5], np.ones(2), 1j])
def test_a_score_that_is_no_number_is_a_failure(score: Any) -> None:
    found = evaluate(lambda: Says(score), fold(), {"score": None}, error_score=-1.0)
    assert found.test_scores == {"score": -1.0}
    assert found.error
    assert found.fitted


@pytest.mark.parametrize("error_score", [math.nan, 0.0, -7.5])
def test_a_fit_that_raises_scores_what_was_asked_for(error_score: float) -> None:
    found = evaluate(
        lambda: Says(fit=RuntimeError("no\n  luck")),
        fold(),
        {"a": "accuracy", "b": "f1"},
        error_score=error_score,
        return_train_score=True,
    )
    assert repr(found.test_scores) == repr({"a": error_score, "b": error_score}) == repr(found.train_scores)
    assert found.error == "RuntimeError: no luck"
    assert found.trace.endswith("RuntimeError: no\n  luck\n")
    assert (found.fitted, found.score_seconds) == (False, 0.0)


def test_parameters_that_no_estimator_takes_are_a_failure_of_the_fit() -> None:
    found = evaluate(lambda: LogisticRegression(nonsense=1), fold(), {"score": None})
    assert found.error is not None
    assert found.error.startswith("TypeError: ")
    assert not found.fitted


def test_a_scorer_that_raises_fails_alone() -> None:
    many = np.arange(40) % 3
    found = evaluate(
        DecisionTreeClassifier, fold(y=many), {"accuracy": "accuracy", "area": "roc_auc"}, return_train_score=True
    )
    assert found.test_scores["accuracy"] >= 0
    assert math.isnan(found.test_scores["area"])
    assert math.isnan(found.train_scores["area"])
    assert found.train_scores["accuracy"] == 1.0
    assert found.error is not None
    assert found.error.startswith("ValueError: multi_class must be in")
    assert found.trace.startswith("scorer area: Traceback")
    assert found.fitted


def test_a_single_scorer_that_raises_is_a_failure() -> None:
    found = evaluate(lambda: Says(ValueError("what?")), fold(), {"score": None}, error_score=0.0)
    assert (found.test_scores, found.error) == ({"score": 0.0}, "ValueError: what?")


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (
            ValueError("Input X contains NaN.\nThis estimator does not accept it."),
            "ValueError: Input X contains NaN. This",
        ),
        (ValueError("\n  All fits failed.\n  Why?"), "ValueError: All fits failed. Why?"),
        (ExceptionGroup("several", [ValueError("one")]), "+"),
    ],
    ids=["on two lines", "indented", "a group"],
)
def test_a_scorer_s_reason_has_all_its_lines(raised: Exception, reason: str) -> None:
    found = evaluate(lambda: Says(raised), fold(), {"score": None})
    assert found.error is not None
    assert found.error.startswith(reason)


def test_reasons_are_one_line_and_traces_keep_their_end() -> None:
    found = evaluate(lambda: Says(fit=RuntimeError("long " * 5000 + "end")), fold(), {"score": None})
    assert found.error is not None
    assert len(found.error) <= 500
    assert "\n" not in found.error
    assert len(found.trace) <= 4000
    assert found.trace.endswith("end\n")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_no_result(interruption: type[BaseException]) -> None:
    with pytest.raises(interruption):
        evaluate(lambda: Says(fit=interruption()), fold(), {"score": None})


def test_without_y_an_estimator_scores_itself() -> None:
    def make() -> KMeans:
        return KMeans(2, n_init=1, random_state=0)

    found = evaluate(make, fold(y=None), {"score": None})
    assert found.error is None
    assert found.test_scores["score"] == make().fit(X[:30]).score(X[30:])


def test_weights_reach_fit_and_the_scorers_that_take_them() -> None:
    of = fold(y=X[:, 1], weights=WEIGHTS)
    fitted = DecisionTreeRegressor(max_depth=2, random_state=0).fit(of.train.X, of.train.y, of.train.weight)

    def make() -> DecisionTreeRegressor:
        return DecisionTreeRegressor(max_depth=2, random_state=0)

    expected = fitted.score(of.test.X, of.test.y, of.test.weight)
    assert expected != fitted.score(of.test.X, of.test.y)
    for scorers in ({"score": None}, {"score": "r2"}, {"r2": "r2", "worst": "neg_max_error"}):
        found = evaluate(make, of, scorers, return_train_score=True)
        metric = next(iter(scorers))
        assert found.test_scores[metric] == expected
        assert found.train_scores[metric] == fitted.score(of.train.X, of.train.y, of.train.weight)
        assert found.error is None
    assert evaluate(make, of, {"score": "neg_max_error"}).error is None
    # An estimator whose own score takes no weights is scored without them.
    assert evaluate(lambda: Says(fit=None), fold(), {"score": None}).test_scores == {"score": 0.5}


def test_an_estimator_without_a_seed_draws_what_the_trial_s_seed_says() -> None:
    def make() -> DecisionTreeClassifier:
        return DecisionTreeClassifier(splitter="random", max_features=1)

    def draw(seed: int) -> float:
        np.random.random(7)
        return evaluate(make, fold(), {"loss": "neg_log_loss"}, seed=seed).test_scores["loss"]

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(8)}) > 1


def test_a_scorer_that_scikit_learn_does_not_have_is_refused() -> None:
    for scorers in ({"score": "nonsense"}, {"a": "accuracy", "b": "nonsense"}):
        with pytest.raises(ValueError, match="nonsense"):
            make_scorer(scorers)


# ------------------------------------------------------------------------ shared fits


class Clock:
    """Time that passes only when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("worker.training.fit_and_score.time", self)

    def perf_counter(self) -> float:
        return self.now


class Kept:
    """What is kept of a fold: nothing, but with seconds that were made or saved."""

    def __init__(self, made: float = 0.0, saved: float = 0.0) -> None:
        self.made_seconds, self.saved_seconds = made, saved

    def get(self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        return make()


class Stepwise(BaseEstimator):
    """Scores the rounds that it has, negative on other data than it was fitted on."""

    rounds = 0

    def fit(self, X: Any, y: Any = None) -> Self:
        self._fitted_on = X
        return self

    def score(self, X: Any, y: Any = None) -> float:
        return float(self.rounds if X is self._fitted_on else -self.rounds)


class StepwiseLearner(Learner):
    """Takes `seconds` for a fit, and goes through prefixes from the largest down."""

    def __init__(self, clock: Clock, seconds: float = 0.0, best: int | None = None) -> None:
        self._clock, self._seconds, self._best = clock, seconds, best
        self.fits = 0

    def fit(self, estimator: Any, fold: Fold, derived: Any) -> None:
        self.fits += 1
        self._clock.now += self._seconds
        super().fit(estimator, fold, derived)

    def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
        for number in sorted(set(rounds), reverse=True):
            estimator.rounds = number
            yield number

    def best_iteration(self, estimator: Any) -> int | None:
        return self._best


def test_one_fit_is_scored_as_each_of_its_prefixes_in_the_order_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = StepwiseLearner(Clock(monkeypatch))
    rounds = [30, 5, 80, 5]
    found = evaluate_all(Stepwise, fold(), {"score": None}, learner=learner, rounds=rounds, return_train_score=True)
    assert [one.test_scores["score"] for one in found] == [-30.0, -5.0, -80.0, -5.0]
    assert [one.train_scores["score"] for one in found] == [30.0, 5.0, 80.0, 5.0]
    assert [one.error for one in found] == [None] * 4
    assert learner.fits == 1


def test_the_largest_trial_keeps_its_scores_if_others_fit_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sticks(StepwiseLearner):
        def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
            for number in super().prefixes(estimator, rounds):
                if number == 10:
                    raise MemoryError
                yield number

    learner = Sticks(Clock(monkeypatch), seconds=12.0)
    found = evaluate_all(Stepwise, fold(), {"score": None}, learner=learner, rounds=[10, 30, 20])
    assert found[::2] == [None, None], "fitted alone"
    assert found[1].test_scores == {"score": -30.0}
    assert (found[1].fit_seconds, found[1].saved_seconds) == (12.0, 0.0)


def test_the_time_of_a_shared_fit_is_split_by_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = StepwiseLearner(Clock(monkeypatch), seconds=12.0)
    found = evaluate_all(Stepwise, fold(), {"score": None}, learner=learner, rounds=[10, 30, 20])
    assert [one.fit_seconds for one in found] == pytest.approx([2.0, 6.0, 4.0])


@pytest.mark.parametrize(
    ("made", "saved", "alone"),
    [
        (0.0, 0.0, [4.0, 12.0, 8.0]),  # twelve seconds for thirty rounds
        (3.0, 0.0, [3.0 + 3.0, 3.0 + 9.0, 3.0 + 6.0]),  # three of the twelve were for bins, which each would make
        (0.0, 3.0, [3.0 + 4.0, 3.0 + 12.0, 3.0 + 8.0]),  # the bins were there already
    ],
)
def test_saved_seconds_are_the_time_alone_less_the_own_share(
    made: float, saved: float, alone: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = StepwiseLearner(Clock(monkeypatch), seconds=12.0)
    kept = Kept(made, saved)
    found = evaluate_all(Stepwise, fold(), {"score": None}, learner=learner, derived=kept, rounds=[10, 30, 20])
    assert [one.fit_seconds + one.saved_seconds for one in found] == pytest.approx(alone)
    assert sum(one.fit_seconds for one in found) == pytest.approx(12.0)


def test_a_lone_trial_saves_only_the_bins_that_were_there(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = StepwiseLearner(Clock(monkeypatch), seconds=12.0)
    assert evaluate(Stepwise, fold(), {"score": None}, learner=learner).saved_seconds == 0.0
    found = evaluate(Stepwise, fold(), {"score": None}, learner=learner, derived=Kept(made=3.0))
    assert (found.fit_seconds, found.saved_seconds) == (12.0, 0.0)
    found = evaluate(Stepwise, fold(), {"score": None}, learner=learner, derived=Kept(saved=3.0))
    assert (found.fit_seconds, found.saved_seconds) == (12.0, 3.0)


def test_a_shared_fit_that_raises_is_a_failure_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = StepwiseLearner(Clock(monkeypatch), seconds=12.0)
    found = evaluate_all(
        lambda: Says(fit=RuntimeError("no luck")), fold(), {"score": None}, learner=learner, rounds=[10, 30, 20]
    )
    assert [(one.error, one.fitted, one.saved_seconds) for one in found] == [("RuntimeError: no luck", False, 0.0)] * 3
    assert sum(one.fit_seconds for one in found) == pytest.approx(12.0)


def test_the_kept_rounds_are_told_only_if_rounds_were_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = StepwiseLearner(Clock(monkeypatch), best=17)
    assert evaluate(Stepwise, fold(), {"score": None}, learner=learner).best_iteration is None
    watching = replace(fold(), evaluation=part(slice(30, 40)))
    assert evaluate(Stepwise, watching, {"score": None}, learner=learner).best_iteration == 17
    assert evaluate(Stepwise, watching, {"score": None}).best_iteration is None


def test_where_the_first_rounds_can_not_be_scored_the_largest_fit_is(caplog: pytest.LogCaptureFixture) -> None:
    """No library, or a version of one that we do not know: the others are left to fits
    of their own."""
    found = evaluate_all(LogisticRegression, fold(), {"score": None}, rounds=[1, 2])
    assert found[0] is None
    assert found[1] is not None
    assert found[1].test_scores == evaluate(LogisticRegression, fold(), {"score": None}).test_scores
    assert [record.estimator for record in caplog.records] == ["LogisticRegression"]


def test_where_nothing_is_kept_everything_is_made_anew() -> None:
    nothing = Nothing()
    assert nothing.get("key", object, id) is not nothing.get("key", object, id)
    assert (nothing.made_seconds, nothing.saved_seconds) == (0.0, 0.0)


def test_an_estimator_that_lacks_a_metric_s_method_fails_as_data() -> None:
    """scikit-learn's scorer of several metrics asks all of them before it scores any,
    and raises."""
    scorers: dict[str, str | None] = {"a": "accuracy", "l": "neg_log_loss", "r": "roc_auc"}
    found = evaluate(LinearSVC, fold(), scorers, return_train_score=True)
    assert found.error == "AttributeError: LinearSVC has none of the following attributes: predict_proba."
    assert found.fitted
    assert all(map(math.isnan, (*found.test_scores.values(), *found.train_scores.values())))
