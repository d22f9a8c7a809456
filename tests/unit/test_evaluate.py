"""The pure core: one candidate on one fold, and what becomes of it."""

from __future__ import annotations

import io
import math
import warnings
from types import SimpleNamespace
from typing import Any, Self, cast

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tuning.dataset import Dataset, dataset_parts, digest, splits_parts, write_parts
from tuning.errors import StoreError, StudyError
from tuning.store import Store
from worker.data import DataCache
from worker.evaluate import Fold, FoldResult, fit_and_score, make_scorer, summary

DRAW = np.random.default_rng(1)
X = DRAW.normal(size=(40, 4))
Y = (X[:, 0] + DRAW.normal(size=40) > 0).astype(int)
WEIGHTS = DRAW.uniform(0.1, 2.0, 40)


def fold(train: Any = slice(0, 30), test: Any = slice(30, 40), y: Any = Y, weights: Any = None) -> Fold:
    return Fold(
        X_train=X[train],
        y_train=None if y is None else y[train],
        X_test=X[test],
        y_test=None if y is None else y[test],
        weight_train=None if weights is None else weights[train],
        weight_test=None if weights is None else weights[test],
    )


def evaluate(make: Any, of: Fold, scorers: dict[str, str | None], **options: Any) -> FoldResult:
    chosen = {"error_score": math.nan, "return_train_score": False, "seed": 0} | options
    return fit_and_score(make, of, make_scorer(scorers), list(scorers), **chosen)


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
    fitted = DecisionTreeRegressor(max_depth=2, random_state=0).fit(of.X_train, of.y_train, of.weight_train)

    def make() -> DecisionTreeRegressor:
        return DecisionTreeRegressor(max_depth=2, random_state=0)

    expected = fitted.score(of.X_test, of.y_test, of.weight_test)
    assert expected != fitted.score(of.X_test, of.y_test)
    for scorers in ({"score": None}, {"score": "r2"}, {"r2": "r2", "worst": "neg_max_error"}):
        found = evaluate(make, of, scorers, return_train_score=True)
        metric = next(iter(scorers))
        assert found.test_scores[metric] == expected
        assert found.train_scores[metric] == fitted.score(of.X_train, of.y_train, of.weight_train)
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


# ------------------------------------------------------------------------------- data


class Blobs:
    """A bucket that fails some times before it answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked: list[str] = []
        self.content: dict[str, bytes] = {}

    def keep(self, parts: dict[str, Any]) -> str:
        stream = io.BytesIO()
        write_parts(parts, stream)
        self.content[digest(parts)] = stream.getvalue()
        return digest(parts)

    def get(self, name: str) -> bytes:
        self.asked.append(name)
        if self.failures:
            raise self.failures.pop(0)
        return self.content[name]


def cache_of(blobs: Blobs, max_bytes: int = 10**6) -> tuple[DataCache, str, str]:
    data = blobs.keep(dataset_parts(Dataset(X=X, y=Y, sample_weight=WEIGHTS)))
    splits = blobs.keep(splits_parts(list(KFold(2).split(X))))
    return DataCache(cast("Store", SimpleNamespace(datasets=blobs)), max_bytes), data, splits


@pytest.mark.parametrize(("max_bytes", "fetches"), [(10**6, 2), (0, 8)])
def test_data_is_fetched_once_while_there_is_room(max_bytes: int, fetches: int) -> None:
    blobs = Blobs()
    cache, data, splits = cache_of(blobs, max_bytes)
    for number in (0, 1, 0, 1):
        found = cache.fold(data, splits, number, pairwise=False)
        train, test = list(KFold(2).split(X))[number]
        assert np.array_equal(found.X_train, X[train])
        assert np.array_equal(found.X_test, X[test])
        assert np.array_equal(found.y_train, Y[train])
        assert np.array_equal(found.y_test, Y[test])
        assert np.array_equal(found.weight_train, WEIGHTS[train])
        assert np.array_equal(found.weight_test, WEIGHTS[test])
    assert len(blobs.asked) == fetches


def test_a_database_that_is_away_for_a_moment_is_waited_for() -> None:
    blobs = Blobs(StoreError("away"), StoreError("still away"))
    cache, data, _ = cache_of(blobs)
    assert np.array_equal(cache.dataset(data).X, X)
    assert len(blobs.asked) == 3


def test_data_that_is_gone_is_not_waited_for() -> None:
    blobs = Blobs(StudyError("was the study's data deleted?"))
    cache, data, _ = cache_of(blobs)
    with pytest.raises(StudyError):
        cache.dataset(data)
    assert len(blobs.asked) == 1


# ---------------------------------------------------------------------------- summary


def result(test: dict[str, float], train: dict[str, float] | None = None, **fields: Any) -> FoldResult:
    return FoldResult(test_scores=test, train_scores=train or {}, fit_seconds=0.5, score_seconds=0.25, **fields)


def test_a_trial_s_document_has_scores_times_and_state() -> None:
    folds = [result({"auc": 0.5, "acc": 1.0}), result({"auc": 1.0, "acc": 0.0})]
    assert summary(folds, ["auc", "acc"], "acc") == {
        "state": "COMPLETE",
        "error": None,
        "mean_test_score": 0.5,
        "std_test_score": 0.5,
        "mean_test_auc": 0.75,
        "std_test_auc": 0.25,
        "split_test_auc": [0.5, 1.0],
        "mean_test_acc": 0.5,
        "std_test_acc": 0.5,
        "split_test_acc": [1.0, 0.0],
        "fit_seconds": 1.0,
        "score_seconds": 0.5,
        "split_fit_seconds": [0.5, 0.5],
        "split_score_seconds": [0.25, 0.25],
    }


def test_a_single_metric_is_called_score() -> None:
    found = summary([result({"score": 0.25}, {"score": 1.0})], ["score"], "score")
    assert (found["mean_test_score"], found["split_test_score"]) == (0.25, [0.25])
    assert (found["mean_train_score"], found["split_train_score"]) == (1.0, [1.0])


def test_the_first_fold_that_failed_says_why() -> None:
    folds = [
        result({"score": 0.5}),
        result({"score": math.nan}, error="ValueError: no", trace="the trace", fitted=False),
        result({"score": math.nan}, error="ValueError: later", trace="another"),
    ]
    found = summary(folds, ["score"], "score")
    assert (found["state"], found["error"]) == ("FAILED", "fold 1: ValueError: no")
    assert (found["traceback"], found["failed_fits"]) == ("the trace", 1)
    assert math.isnan(found["mean_test_score"])
    assert repr(found["split_test_score"]) == "[0.5, nan, nan]"


def test_mean_and_deviation_are_computed_as_scikit_learn_does() -> None:
    for seed in range(50):
        draw = np.random.default_rng(seed)
        values = draw.normal(size=draw.integers(1, 30)).tolist()
        found = summary([result({"score": value}) for value in values], ["score"], "score")
        matrix = np.array([values, values])
        means = np.average(matrix, axis=1)
        assert found["mean_test_score"] == means[0]
        assert found["std_test_score"] == np.sqrt(np.average((matrix - means[:, np.newaxis]) ** 2, axis=1))[0]


def test_scores_without_end_make_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = summary([result({"score": math.nan}), result({"score": 0.5})], ["score"], "score")
    assert math.isnan(found["mean_test_score"])
