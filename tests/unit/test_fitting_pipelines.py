"""Pipelines on a fold: prepared once, scored as scikit-learn's, and kept only where that changes no number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from cachetools import LRUCache
from evaluating import Worker, same_outcome
from evaluating import X as CHUNK_X
from folds import MAKERS, PROBABLE, ROUNDS, WEIGHT, Kept, X, Y, evaluate, fold, scores
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from tuning.allowlist import resolve
from tuning.codec import encode
from tuning.settings import load_settings
from worker.chunks import Candidate
from worker.data import KeptDerived
from worker.evaluate import FoldResult
from worker.fitting import Fold, Learner, learner_of
from worker.fitting.learner import Part, weights_for
from worker.fitting.pipeline import PipelineLearner, _bytes

OWN = ("test_fitting_pipelines.Noted", "test_fitting_pipelines.Draws", "test_fitting_pipelines.DrawsLater")


class Noted(TransformerMixin, BaseEstimator):
    """Notes what is done with it, and adds a number."""

    notes: ClassVar[list[str]] = []

    def __init__(self, more: float = 1.0, fails: str = "", name: str = "noted") -> None:
        self.more = more
        self.fails = fails
        self.name = name

    def fit(self, X: Any, y: Any = None) -> Noted:
        self.notes.append(f"{self.name} fit {len(X)}")
        if self.fails == "fit":
            raise RuntimeError("no fit today")
        return self

    def transform(self, X: Any) -> Any:
        self.notes.append(f"{self.name} transform {len(X)}")
        if self.fails == "transform" and len(X) == 80:
            raise RuntimeError("no held-out part today")
        return X + self.more


class Draws(Noted):
    """Draws from NumPy's global generator when it is fitted."""

    def fit(self, X: Any, y: Any = None) -> Noted:
        self.noise_ = np.random.normal(size=X.shape[1])
        return super().fit(X, y)

    def transform(self, X: Any) -> Any:
        return super().transform(X) * self.noise_


class DrawsLater(Noted):
    """Draws whenever it transforms."""

    def transform(self, X: Any) -> Any:
        return super().transform(X) + np.random.normal(size=X.shape)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(Noted, "notes", found)
    return found


def piped(last: Any, *steps: Any) -> Pipeline:
    return Pipeline([*((f"step{number}", step) for number, step in enumerate(steps)), ("clf", last)])


def opened(make: Callable[[], Any], of: Fold, kept: KeptDerived | None = None, **how: Any) -> list[FoldResult]:
    """Evaluate as a worker does."""
    return evaluate(make, of, learner=learner_of(type(make()), OWN), derived=kept, **how)


def as_scikit_learn(make: Callable[[], Any], of: Fold, **how: Any) -> list[FoldResult]:
    """Evaluate by the pipeline's own fit and predict alone."""
    return evaluate(make, of, **how)


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
    assert kept.spared_seconds > 0


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


def test_steps_are_fitted_once_for_all_that_share_them(notes: list[str]) -> None:
    of, kept = fold(), Kept()
    for last in (LogisticRegression(), LogisticRegression(C=0.1), DecisionTreeClassifier(random_state=0)):
        opened(lambda: piped(last, Noted(name="a"), Noted(name="b")), of, kept)  # noqa: B023
    assert [note for note in notes if "fit" in note] == ["a fit 160", "b fit 160"]
    opened(lambda: piped(LogisticRegression(), Noted(name="a"), Noted(2.0, name="b")), of, kept)
    assert [note for note in notes if "fit" in note] == ["a fit 160", "b fit 160", "b fit 160"]
    opened(lambda: piped(LogisticRegression(), Noted(3.0, name="a"), Noted(name="b")), of, kept)
    assert [note for note in notes if "fit" in note][3:] == ["a fit 160", "b fit 160"]


def test_the_first_rounds_of_a_booster_are_scored_on_data_that_is_transformed_once(notes: list[str]) -> None:
    opened(lambda: piped(MAKERS["xgboost"](), Noted()), fold(), Kept(max_bytes=0), rounds=ROUNDS)
    assert notes == ["noted fit 160", "noted transform 160", "noted transform 80", "noted transform 160"]


def test_what_is_too_large_to_be_kept_is_made_again(notes: list[str]) -> None:
    kept = Kept(max_bytes=1000)
    for _ in range(2):
        opened(lambda: piped(LogisticRegression(), Noted()), fold(), kept)
    assert kept.number == 0
    assert notes.count("noted fit 160") == 2


@pytest.mark.parametrize("step", [Draws, lambda: RBFSampler(n_components=4), DrawsLater])
def test_steps_that_draw_random_numbers_are_those_of_scikit_learn_and_never_kept(step: Callable[[], Any]) -> None:
    of, kept = fold(), Kept()

    def make() -> Any:
        return piped(MAKERS["xgboost"](), Noted(), step(), Noted(name="later"))

    expected = scores(as_scikit_learn(make, of))
    for _ in range(2):
        assert scores(opened(make, of, kept)) == expected
        results = opened(make, of, kept, rounds=ROUNDS)
        assert results[1:] == [None, None]  # other trials draw for themselves
        assert scores(results[:1]) == expected
    assert not any("later" in str(key) for key in kept.entries)


def test_what_draws_only_when_it_predicts_leaves_the_steps_before_it_kept(notes: list[str]) -> None:
    of, kept = fold(), Kept()
    for _ in range(2):
        opened(lambda: piped(LogisticRegression(), Noted(name="pure"), DrawsLater()), of, kept)
    assert notes.count("pure fit 160") == 1
    assert notes.count("noted fit 160") == 2


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


def test_a_step_that_draws_from_its_own_generator_draws_for_each_trial_what_it_would_alone() -> None:
    """An imputer that samples keeps a generator from its fit, and goes on with it whenever the pipeline predicts."""
    of, kept = fold(), Kept()
    holes = of.train.X.copy()
    holes[::7, 0] = np.nan
    tested = of.test.X.copy()
    tested[::5, 0] = np.nan
    of = Fold(train=of.train._replace(X=holes), test=of.test._replace(X=tested))
    several = {"a": "accuracy", "l": "neg_log_loss"}

    def make(c: float) -> Pipeline:
        imputer = resolve("sklearn.impute.IterativeImputer")(sample_posterior=True, max_iter=2, random_state=0)
        return piped(LogisticRegression(C=c), imputer, StandardScaler())

    for c in (0.01, 1.0, 0.01):
        alone = scores(as_scikit_learn(lambda: make(c), of, scorers=several))  # noqa: B023
        assert scores(opened(lambda: make(c), of, kept, scorers=several)) == alone  # noqa: B023
    assert kept.spared_seconds > 0


class Stateless(ClassifierMixin, BaseEstimator):
    """Keeps nothing of its fit, which scikit-learn takes for none."""

    def fit(self, X: Any, y: Any) -> Stateless:
        return self

    def predict(self, X: Any) -> Any:
        return (X[:, 0] > 0).astype(int)


def test_a_last_step_without_a_trace_of_its_fit_is_scored_as_scikit_learn_does() -> None:
    def make() -> Pipeline:
        return Pipeline([("scale", StandardScaler()), ("clf", Stateless())])

    [ours], [theirs] = (score(make, fold(), scorers={"a": "accuracy"}) for score in (opened, as_scikit_learn))
    assert (repr(ours.test_scores), ours.error) == (repr(theirs.test_scores), theirs.error)


def test_steps_whose_parameters_can_not_be_written_down_are_not_kept(notes: list[str]) -> None:
    kept = Kept()
    for _ in range(2):
        found = opened(lambda: piped(LogisticRegression(), StandardScaler(), Noted(name=object())), fold(), kept)  # type: ignore[arg-type]
        assert found[0].error is None
    assert len([note for note in notes if "fit" in note]) == 2
    assert kept.number == 1  # the scaler


def test_sparse_data_that_the_next_fit_would_sort_are_not_kept() -> None:
    class Unsorted(Noted):
        def transform(self, X: Any) -> Any:
            made = scipy.sparse.csr_matrix(X)
            made.indices, made.data = made.indices[::-1].copy(), made.data[::-1].copy()
            made.has_sorted_indices = False
            return made

    kept = Kept()
    learner = PipelineLearner(learner_of, ("test_fitting_pipelines.Unsorted",))
    evaluate(lambda: piped(LogisticRegression(), Unsorted()), fold(), learner=learner, derived=kept)
    assert kept.number == 0


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


# ------------------------------------------------------------------------ times and bytes


def test_seconds_of_what_is_made_of_what_is_kept_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("worker.data.time.perf_counter", lambda: clock[0])

    def taking(seconds: float, inner: Callable[[], Any] = lambda: None) -> Callable[[], Any]:
        def make() -> str:
            inner()
            clock[0] += seconds
            return "made"

        return make

    entries: LRUCache[Any, Any] = LRUCache(100, getsizeof=lambda _: 1)
    kept = KeptDerived(entries, ("fold",))
    first = taking(4.0)
    kept.get("both", taking(2.0, lambda: kept.get("first", first, lambda _: 1)), lambda _: 1)
    assert (kept.made_seconds, kept.spared_seconds) == (6.0, 0.0)
    again = KeptDerived(entries, ("fold",))
    again.get("both", taking(9.0), lambda _: 1)
    assert (again.made_seconds, again.spared_seconds) == (0.0, 6.0)
    other = KeptDerived(entries, ("fold",))
    other.get("other", taking(3.0, lambda: other.get("first", first, lambda _: 1)), lambda _: 1)
    assert (other.made_seconds, other.spared_seconds) == (3.0, 4.0)
    last = KeptDerived(entries, ("fold",))
    last.get("other", taking(9.0), lambda _: 1)
    assert last.spared_seconds == 7.0  # what it would take alone


def test_time_that_preparing_did_not_take_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    for module in ("worker.data", "worker.evaluate"):
        monkeypatch.setattr(f"{module}.time.perf_counter", lambda: clock[0])

    class Slow(StandardScaler):
        def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
            clock[0] += 10.0
            return super().fit(X, y, sample_weight)

        def transform(self, X: Any, copy: Any = None) -> Any:
            clock[0] += 1.0
            return super().transform(X, copy)

    learner = PipelineLearner(learner_of, (f"{__name__}.{Slow.__qualname__}",))
    entries: LRUCache[Any, Any] = LRUCache(10**9, getsizeof=lambda made: made.nbytes)

    def run(**how: Any) -> list[FoldResult]:
        kept = KeptDerived(entries, ("fold",))
        return evaluate(lambda: piped(MAKERS["xgboost"](), Slow()), fold(), learner=learner, derived=kept, **how)

    first = run(rounds=ROUNDS)
    assert sum(one.fit_seconds for one in first) == pytest.approx(11.0)
    # Alone, each of the three would have fitted for 11 seconds and transformed two parts.
    assert sum(one.saved_seconds for one in first) == pytest.approx(2 * 11.0 + 2 * 2.0)
    [second] = run()
    assert (second.fit_seconds, second.saved_seconds) == (0.0, pytest.approx(11.0 + 2.0))


def test_bytes_of_fitted_steps_are_about_what_they_take() -> None:
    big = np.zeros(10**6)
    step = FunctionTransformer(kw_args={"where": [big], "deep": {"a": (big, {"b": big})}})
    assert 3 * big.nbytes <= _bytes(step) < 3.1 * big.nbytes
    assert _bytes(StandardScaler().fit(X)) < 10_000
    words = {f"word{number}": number for number in range(50_000)}
    assert 10**6 < _bytes(words) < 10**8
    assert _bytes({"index": pd.Index(["a", "b"]), "series": pd.Series([1, 2])}) < 10_000


# ------------------------------------------------------------------------- in the worker


@pytest.mark.parametrize(
    "estimator",
    [
        Pipeline([("scale", StandardScaler(copy=False)), ("clf", XGBClassifier(n_jobs=1))]),
        Pipeline([("scale", StandardScaler()), ("clf", XGBClassifier(n_jobs=1))]),
    ],
)
def test_steps_that_write_into_their_data_spoil_no_other_trial(estimator: Any, worker: Worker) -> None:
    """Bit for bit what a fresh worker finds for each trial."""
    before = CHUNK_X.copy()
    trials = [{"clf__n_estimators": rounds, "scale__copy": False} for rounds in (3, 9)]
    found = worker.evaluate(estimator, *trials, {"clf__n_estimators": 3})
    assert [one["shared_by"] for one in found] == [1, 1, 1]
    for number, trial in enumerate([*trials, {"clf__n_estimators": 3}]):
        [alone] = Worker().evaluate(estimator, trial)
        assert (alone["split_test_score"], alone["split_train_score"]) == (
            found[number]["split_test_score"],
            found[number]["split_train_score"],
        )
    np.testing.assert_array_equal(CHUNK_X, before)


@pytest.mark.parametrize("copy", [False, None])
def test_a_function_that_may_write_into_its_data_spoils_no_other_trial(copy: bool | None, worker: Worker) -> None:
    """NumPy takes None for "no copy unless there must be one"."""
    fill = FunctionTransformer(np.nan_to_num, kw_args={"copy": copy, "nan": 7.0})
    estimator = Pipeline([("fill", fill), ("clf", XGBClassifier(n_jobs=1))])
    [found] = worker.evaluate(estimator, {"clf__n_estimators": 2})
    assert found["error"] is None
    assert Candidate(encode(estimator, "estimator"), {}, load_settings()).in_place


def test_trials_of_a_pipeline_share_their_fits_in_a_worker(worker: Worker, fits: list[int]) -> None:
    estimator = Pipeline([("scale", StandardScaler()), ("clf", XGBClassifier(max_depth=2, n_jobs=1))])
    trials = [
        {"clf__n_estimators": rounds, "scale": encode(scale, "scale")}
        for scale in (StandardScaler(), MinMaxScaler(), "passthrough")
        for rounds in (9, 3)
    ]
    shared = worker.evaluate(estimator, *trials)
    assert fits == [9] * 9
    assert [one["shared_by"] for one in shared] == [2] * 6
    apart = Worker().evaluate(estimator, *trials, share_fits=False)
    same_outcome(shared, apart)
