"""Pipelines on a fold: prepared once, and scored as scikit-learn's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from folds import MAKERS, PROBABLE, ROUNDS, WEIGHT, Kept, X, Y, fold, scores
from piped import Noted, as_scikit_learn, opened, piped
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

from worker.fitting import Fold, Learner, learner_of
from worker.fitting.learner import Part, weights_for

STEPS: dict[str, list[Callable[[], Any]]] = {
    "a scaler": [StandardScaler],
    "two": [MinMaxScaler, lambda: PCA(n_components=3, random_state=0)],
    "nothing": [lambda: "passthrough", lambda: None],
    "a gap": [StandardScaler, lambda: "passthrough", lambda: SelectKBest(k=2)],
    "a frame": [lambda: StandardScaler().set_output(transform="pandas")],
    "columns": [lambda: ColumnTransformer([("a", StandardScaler(), [0, 1]), ("b", "passthrough", slice(2, 4))])],
    "a union": [lambda: FeatureUnion([("pca", PCA(2, random_state=0)), ("same", "passthrough")])],
    "a pipeline": [lambda: Pipeline([("a", MinMaxScaler()), ("b", "passthrough")]), StandardScaler],
    "sparse": [lambda: FunctionTransformer(), lambda: OneHotEncoder(handle_unknown="ignore", max_categories=5)],
}


@pytest.mark.parametrize("library", [*MAKERS])
@pytest.mark.parametrize("steps", [*STEPS])
def test_prepared_once_or_each_time_the_bits_are_scikit_learn_s(steps: str, library: str) -> None:
    of, kept = fold(), Kept()

    def make(**params: Any) -> Any:
        return piped(MAKERS[library](**params), *(step() for step in STEPS[steps]))

    rounds_name = "iterations" if library == "catboost" else "n_estimators"
    alone = [scores(as_scikit_learn(lambda: make(**{rounds_name: number}), of))[0] for number in ROUNDS]  # noqa: B023
    for _ in range(2):  # made, then kept
        assert scores(opened(make, of, kept, rounds=ROUNDS)) == alone
        assert scores(opened(make, of, kept)) == alone[:1]
    assert kept.saved_seconds > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: piped(LogisticRegression(), StandardScaler()),
        lambda: piped(piped(XGBClassifier(n_estimators=5, n_jobs=1), PCA(2)), MinMaxScaler()),
        lambda: piped(KMeans(2, random_state=0, n_init=1), StandardScaler()),
        lambda: piped(TransformedTargetRegressor(Ridge()), StandardScaler()),
        lambda: piped(piped("passthrough", StandardScaler()), StandardScaler()),
    ],
)
def test_any_last_step_is_scored_as_scikit_learn_scores_its_pipeline(make: Callable[[], Any]) -> None:
    of, kept, how = fold(), Kept(), {"scorers": {"score": None}}
    expected = as_scikit_learn(make, of, **how)
    for _ in range(2):
        found = opened(make, of, kept, **how)
        assert (found[0].test_scores, found[0].train_scores) == (expected[0].test_scores, expected[0].train_scores)
        assert found[0].error == expected[0].error


@pytest.mark.parametrize("fails", ["fit", "transform"])
def test_a_step_that_fails_fails_as_in_scikit_learn(fails: str, notes: list[str]) -> None:
    of, kept = fold(), Kept()

    def make() -> Any:
        return piped(LogisticRegression(), StandardScaler(), Noted(fails=fails))

    [expected] = as_scikit_learn(make, of)
    for _ in range(2):
        [found] = opened(make, of, kept)
        assert (found.error, found.fitted) == (expected.error, expected.fitted)
        assert repr(found.test_scores) == repr(expected.test_scores)
        assert repr(found.train_scores) == repr(expected.train_scores)
    assert found.error == f"RuntimeError: no {'fit' if fails == 'fit' else 'held-out part'} today"
    assert found.fitted is (fails == "transform")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Pipeline([("a", StandardScaler()), ("a", LogisticRegression())]),
        lambda: Pipeline([("a", LogisticRegression()), ("b", LogisticRegression())]),
        lambda: Pipeline([]),
        lambda: Pipeline([("a", StandardScaler()), ("b", 3)]),
        lambda: Pipeline([("a", StandardScaler()), ("b", LogisticRegression())], verbose="loud"),
        lambda: Pipeline([("a", StandardScaler()), ("b", LogisticRegression())], transform_input=["X_val"]),
        lambda: piped("passthrough", StandardScaler()),
        lambda: piped(LogisticRegression(C=-1), StandardScaler()),
    ],
)
def test_a_pipeline_that_can_not_be_fitted_says_what_scikit_learn_says(make: Callable[[], Any]) -> None:
    [expected], [found] = as_scikit_learn(make, fold()), opened(make, fold(), Kept())
    assert found.error == expected.error
    assert found.error is not None


def test_a_subclass_is_fitted_and_scored_as_it_says_itself(notes: list[str]) -> None:
    class Own(Pipeline):
        def predict(self, X: Any, **params: Any) -> Any:
            notes.append("own predict")
            return super().predict(X, **params)

    assert type(learner_of(Own)) is Learner
    opened(lambda: Own(piped(LogisticRegression(), Noted()).steps), fold(), Kept(), scorers={"a": "accuracy"})
    assert notes.count("own predict") == 2


class Stateless(ClassifierMixin, BaseEstimator):
    """Keeps nothing of its fit, which scikit-learn takes for none."""

    def fit(self, X: Any, y: Any) -> Stateless:
        return self

    def predict(self, X: Any) -> Any:
        return (X[:, 0] > 0).astype(int)


def test_a_last_step_that_keeps_nothing_of_its_fit_is_scored_too() -> None:
    def make() -> Pipeline:
        return Pipeline([("scale", StandardScaler()), ("clf", Stateless())])

    [ours], [theirs] = (score(make, fold(), scorers={"a": "accuracy"}) for score in (opened, as_scikit_learn))
    assert (repr(ours.test_scores), ours.error) == (repr(theirs.test_scores), theirs.error)


def test_early_stopping_watches_transformed_data() -> None:
    rows = Part(X[:40], Y[:40])
    for evaluation in (fold().test, rows):
        of = Fold(train=fold().train, test=fold().test, evaluation=evaluation)
        if evaluation is not rows:
            of = Fold(train=of.train, test=of.test, evaluation=of.test)
        scaler = StandardScaler().fit(of.train.X)
        watched = of.evaluation
        assert watched is not None
        model = XGBClassifier(n_estimators=80, early_stopping_rounds=3, learning_rate=0.9, n_jobs=1)
        model.fit(
            scaler.transform(of.train.X), of.train.y, eval_set=[(scaler.transform(watched.X), watched.y)], verbose=False
        )
        kept = Kept()
        for _ in range(2):
            [found] = opened(lambda: piped(type(model)(**model.get_params()), StandardScaler()), of, kept)  # noqa: B023
            assert found.best_iteration == model.best_iteration + 1 < 80
            assert found.test_scores["a"] == model.score(scaler.transform(of.test.X), of.test.y)


def test_weights_go_to_the_last_step_of_the_last_pipeline() -> None:
    ridge = Ridge()
    nested = Pipeline([("scale", StandardScaler()), ("rest", Pipeline([("ridge", ridge)]))])
    assert weights_for(ridge, None) == {}
    assert [*weights_for(ridge, WEIGHT)] == ["sample_weight"]
    assert [*weights_for(nested, WEIGHT)] == ["rest__ridge__sample_weight"]
    assert [*weights_for(TransformedTargetRegressor(nested), WEIGHT)] == ["rest__ridge__sample_weight"]
    expected = Pipeline(nested.steps).fit(X[:160], Y[:160], rest__ridge__sample_weight=WEIGHT[:160])
    predicted = expected.predict(X[160:])
    assert not np.array_equal(predicted, nested.fit(X[:160], Y[:160]).predict(X[160:]))
    for make in (lambda: nested, lambda: TransformedTargetRegressor(nested)):
        [found] = opened(make, fold(weight=WEIGHT), Kept(), scorers={"e": "neg_max_error"}, weigh_scores=False)
        assert found.error is None
        assert found.test_scores["e"] == -np.abs(predicted - Y[160:]).max()


@pytest.mark.parametrize("make", [LogisticRegression, lambda: piped(LogisticRegression(), StandardScaler())])
@pytest.mark.parametrize("scorers", [{"score": None}, PROBABLE])
def test_weights_may_be_for_fits_alone(make: Callable[[], Any], scorers: dict[str, Any]) -> None:
    both, fits = (
        opened(make, fold(weight=WEIGHT), Kept(), scorers=scorers, weigh_scores=weigh) for weigh in (True, False)
    )
    assert both[0].test_scores != fits[0].test_scores
    fitted = make().fit(X[:160], Y[:160], **weights_for(make(), WEIGHT[:160]))
    if None in scorers.values():
        assert fits[0].test_scores == {"score": fitted.score(X[160:], Y[160:])}


def test_a_frame_stays_a_frame_with_the_names_that_scikit_learn_gives() -> None:
    frame = pd.DataFrame(X, columns=[f"f{number}" for number in range(5)])
    step = ColumnTransformer([("fill", SimpleImputer(), ["f1", "f3"]), ("rest", "passthrough", ["f0"])])
    of = fold(data=frame)
    seen: list[list[str]] = []

    class Looks(LogisticRegression):
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            seen.append(list(X.columns))
            return super().fit(X, y, sample_weight)

    opened(lambda: piped(Looks(), step.set_output(transform="pandas")), of, Kept())
    assert seen == [["fill__f1", "fill__f3", "rest__f0"]]
