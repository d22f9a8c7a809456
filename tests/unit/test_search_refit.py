"""A search whose refit fails or is interrupted has its results all the same, and says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from producer import GridSearchCV
from producer.search import base
from warren.errors import BrokerError, InputError, StudyError, TrialError

X = np.random.default_rng(0).normal(size=(30, 2))
Y = np.arange(30) % 2
RESULTS = {
    "params": [{"C": 1.0}, {"C": 2.0}],
    "mean_test_score": np.array([0.5, 0.75]),
    "rank_test_score": np.array([2, 1]),
}


class Trained:
    """A study whose trials are done, and whose model is what a call makes of it."""

    id = "c-0123456789ab"
    store = trials = objective = None

    def __init__(self, model: Callable[[], Any]) -> None:
        self._model = model

    def best_model(self, index: int) -> Any:
        assert index == 1
        return self._model()


class Unfittable(LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
    """Fails as an estimator of somebody's own may."""

    def fit(self, *_: Any, **__: Any) -> Any:
        raise OSError("the disk is full")


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> Callable[..., GridSearchCV]:
    def make(model: Callable[[], Any], **options: Any) -> GridSearchCV:
        monkeypatch.setattr(base, "submit_space", lambda *_, **__: Trained(model))
        monkeypatch.setattr(base, "read_cv_results", lambda *_: RESULTS)
        monkeypatch.setattr(GridSearchCV, "_wait", lambda *_: None)
        return GridSearchCV(options.pop("estimator", LogisticRegression()), {"C": [1.0, 2.0]}, cv=2, **options)

    return make


def raising(exc: BaseException) -> Callable[[], Any]:
    def model() -> Any:
        raise exc

    return model


def assert_has_results(made: GridSearchCV) -> None:
    assert made.cv_results_ is RESULTS
    assert (made.best_index_, made.best_score_, made.best_params_) == (1, 0.75, {"C": 2.0})
    assert made.multimetric_ is False
    assert callable(made.scorer_)
    assert not hasattr(made, "best_estimator_")


@pytest.mark.parametrize(
    "exc",
    [
        InputError("the model holds x.Y, which is not trusted"),
        TrialError("training trial 1 on all data failed: ValueError: no."),
        StudyError("model 'x' is damaged"),
        BrokerError("amqp://localhost is away"),
    ],
    ids=lambda exc: type(exc).__name__,
)
def test_results_are_there_when_the_refit_fails(search: Any, exc: Exception) -> None:
    made = search(raising(exc))
    with pytest.raises(type(exc), match="The search itself is done: cv_results_ and best_params_ are set") as caught:
        made.fit(X, Y)
    assert str(exc).rstrip(".") in str(caught.value)
    assert_has_results(made)


def test_what_a_fit_printed_ends_where_it_ends(search: Any) -> None:
    made = search(raising(TrialError("training trial 1 failed: no\n  it printed: loss 0.5")))
    with pytest.raises(TrialError, match=r"it printed: loss 0\.5\nThe search itself is done"):
        made.fit(X, Y)


def test_results_are_there_when_the_refit_is_interrupted(search: Any) -> None:
    made = search(raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt, match=r"cv_results_ and best_params_ are set.*\.best_model\(\)"):
        made.fit(X, Y)
    assert_has_results(made)


def test_results_are_there_when_the_refit_here_fails(search: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trained, "trials", type("", (), {"one": lambda *_: None}))
    made = search(lambda: None, estimator=Unfittable(), refit_on="here")
    with pytest.raises(OSError, match="the disk is full") as caught:
        made.fit(X, Y)
    assert "The search itself is done" in "".join(caught.value.__notes__)
    assert_has_results(made)


def test_results_are_there_when_the_users_choice_of_the_best_fails(search: Any) -> None:
    made = search(lambda: None, refit=lambda _: 7)
    with pytest.raises(IndexError):
        made.fit(X, Y)
    assert made.cv_results_ is RESULTS


def test_a_refit_that_fails_leaves_no_model_of_an_earlier_fit(search: Any) -> None:
    made = search(lambda: DummyClassifier().fit(X, Y)).fit(X, Y)
    assert made.predict(X).shape == (30,)
    made = search(raising(StudyError("gone"))).set_params(verbose=0)
    made.best_estimator_ = "of an earlier fit"
    with pytest.raises(StudyError):
        made.fit(X, Y)
    assert_has_results(made)
