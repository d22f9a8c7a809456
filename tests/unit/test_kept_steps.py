"""What fitted steps of a pipeline are kept for other trials, what that costs and saves, and what is
never kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cachetools import LRUCache
from evaluating import Worker, same_outcome
from evaluating import X as CHUNK_X
from folds import MAKERS, ROUNDS, Kept, X, evaluate, fold, scores
from piped import Draws, DrawsLater, Noted, Sparse, as_scikit_learn, opened, piped
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, SplineTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from warren.encoding.codec import encode
from warren.safety.allowlist import resolve
from warren.settings import load_settings
from worker.fitting import Fold, learner_of
from worker.fitting.pipeline import PipelineLearner, _bytes
from worker.training.candidate import Candidate
from worker.training.data_cache import KeptDerived
from worker.training.fit_and_score import FoldResult


def test_steps_are_fitted_once_for_all_that_share_them(notes: list[str]) -> None:
    of, kept = fold(), Kept()
    for last in (LogisticRegression(), LogisticRegression(C=0.1), DecisionTreeClassifier(random_state=0)):
        opened(lambda: piped(last, Noted(name="a"), Noted(name="b")), of, kept)  # noqa: B023
    assert [note for note in notes if "fit" in note] == ["a fit 160", "b fit 160"]
    opened(lambda: piped(LogisticRegression(), Noted(name="a"), Noted(2.0, name="b")), of, kept)
    assert [note for note in notes if "fit" in note] == ["a fit 160", "b fit 160", "b fit 160"]
    opened(lambda: piped(LogisticRegression(), Noted(3.0, name="a"), Noted(name="b")), of, kept)
    assert [note for note in notes if "fit" in note][3:] == ["a fit 160", "b fit 160"]


def test_first_rounds_are_scored_on_data_transformed_once(notes: list[str]) -> None:
    opened(lambda: piped(MAKERS["xgboost"](), Noted()), fold(), Kept(max_bytes=0), rounds=ROUNDS)
    assert notes == ["noted fit 160", "noted transform 160", "noted transform 80", "noted transform 160"]


def test_what_is_too_large_to_be_kept_is_made_again(notes: list[str]) -> None:
    kept = Kept(max_bytes=1000)
    for _ in range(2):
        opened(lambda: piped(LogisticRegression(), Noted()), fold(), kept)
    assert kept.number == 0
    assert notes.count("noted fit 160") == 2


@pytest.mark.parametrize("step", [Draws, lambda: RBFSampler(n_components=4), DrawsLater])
def test_steps_that_draw_random_numbers_are_never_kept(step: Callable[[], Any]) -> None:
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


def test_a_step_with_its_own_generator_draws_the_same_in_each_trial() -> None:
    """An imputer that samples keeps a generator from its fit, and goes on with it whenever the
    pipeline predicts."""
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
    assert kept.saved_seconds > 0


def test_steps_whose_parameters_can_not_be_written_down_are_not_kept(notes: list[str]) -> None:
    kept = Kept()
    for _ in range(2):
        found = opened(lambda: piped(LogisticRegression(), StandardScaler(), Noted(name=object())), fold(), kept)  # type: ignore[arg-type]
        assert found[0].error is None
    assert len([note for note in notes if "fit" in note]) == 2
    assert kept.number == 1  # the scaler


@pytest.mark.parametrize(("name", "number"), [("sorted", 3), ("unsorted", 0)])
def test_sparse_data_that_the_next_fit_would_sort_are_not_kept(name: str, number: int) -> None:
    kept = Kept()
    opened(lambda: piped(LogisticRegression(), Sparse(name=name)), fold(), kept)
    assert kept.number == number


# ------------------------------------------------------------------------ times and bytes


def test_seconds_of_what_is_made_of_what_is_kept_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("worker.training.data_cache.time.perf_counter", lambda: clock[0])

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
    assert (kept.made_seconds, kept.saved_seconds) == (6.0, 0.0)
    again = KeptDerived(entries, ("fold",))
    again.get("both", taking(9.0), lambda _: 1)
    assert (again.made_seconds, again.saved_seconds) == (0.0, 6.0)
    other = KeptDerived(entries, ("fold",))
    other.get("other", taking(3.0, lambda: other.get("first", first, lambda _: 1)), lambda _: 1)
    assert (other.made_seconds, other.saved_seconds) == (3.0, 4.0)
    last = KeptDerived(entries, ("fold",))
    last.get("other", taking(9.0), lambda _: 1)
    assert last.saved_seconds == 7.0  # what it would take alone


def test_time_that_preparing_did_not_take_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    for module in ("worker.training.data_cache", "worker.training.fit_and_score"):
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
    step = FunctionTransformer(kw_args={"where": [big], "deep": {"a": (big.copy(), {"b": big.copy(), "again": big})}})
    assert 3 * big.nbytes <= _bytes(step) < 3.1 * big.nbytes
    assert _bytes(StandardScaler().fit(X)) < 10_000
    words = {f"word{number}": number for number in range(50_000)}
    assert 10**6 < _bytes(words) < 10**8
    assert _bytes(FunctionTransformer(np.sin, kw_args={"modules": [np, pd], "classes": {"a": Pipeline}})) < 10_000
    assert _bytes({"index": pd.Index(["a", "b"]), "series": pd.Series([1, 2])}) < 10_000


def test_bytes_of_splines_are_those_of_their_knots() -> None:
    """What SciPy's splines refer to, NumPy itself for one, is shared by all."""
    splines = SplineTransformer().fit(np.random.default_rng(0).random((200, 10)))
    assert _bytes(splines) < 100_000


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
