"""What the trials of a chunk are told of time, what a failure costs them, and what early
stopping watches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from evaluating import APART, SMALL, SPLITS, Worker, X, Y, rounds, same_outcome, shared_by
from sklearn.linear_model import LogisticRegression
from xgboost import XGBClassifier

from warren.errors import InputError, MessageError
from warren.messages import Trial, encode_chunk
from worker.fitting.xgboost_fits import XGBoostLearner

# ------------------------------------------------------------------------------- times


class Clock:
    """Time that passes by rounds and by bins, and not otherwise."""

    def __init__(self) -> None:
        self.now, self.fits = 100.0, 0.0

    def perf_counter(self) -> float:
        return self.now

    def fit(self, seconds: float) -> None:
        self.now += seconds
        self.fits += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Make a round take half a second and binning four."""
    made = Clock()
    for module in ("worker.training.fit_and_score", "worker.training.data_cache"):
        monkeypatch.setattr(f"{module}.time", made)
    fit, bins = XGBoostLearner.fit, XGBClassifier._create_dmatrix

    def fit_for_a_while(self: XGBoostLearner, estimator: Any, *how: Any) -> None:
        made.fit(estimator.n_estimators / 2)
        fit(self, estimator, *how)

    def bin_for_a_while(self: XGBClassifier, ref: Any, **given: Any) -> Any:
        made.fit(4.0)
        return bins(self, ref, **given)

    monkeypatch.setattr(XGBoostLearner, "fit", fit_for_a_while)
    monkeypatch.setattr(XGBClassifier, "_create_dmatrix", bin_for_a_while)
    return made


def test_the_fit_seconds_of_a_group_are_the_time_of_its_fit(worker: Worker, clock: Clock) -> None:
    documents = worker.evaluate(SMALL, *rounds(4, 12, 8))
    assert clock.fits == 3 * (4.0 + 6.0)
    assert sum(one["fit_seconds"] for one in documents) == pytest.approx(clock.fits)
    assert [one["fit_seconds"] for one in documents] == pytest.approx([clock.fits / 6, clock.fits / 2, clock.fits / 3])
    for one in documents:
        assert sum(one["split_fit_seconds"]) == pytest.approx(one["fit_seconds"])


def test_what_a_group_saves_is_what_its_trials_would_have_taken_alone(worker: Worker, clock: Clock) -> None:
    together = worker.evaluate(SMALL, *rounds(4, 12, 8))
    alone = [Worker().evaluate(SMALL, trial)[0] for trial in rounds(4, 12, 8)]
    assert [one["fit_seconds"] + one["saved_seconds"] for one in together] == pytest.approx(
        [one["fit_seconds"] for one in alone]
    )
    assert all(one["saved_seconds"] > 0 for one in together)
    assert [one["saved_seconds"] for one in alone] == [0.0, 0.0, 0.0]


def test_a_later_group_on_the_same_bins_saves_these_too(worker: Worker, clock: Clock) -> None:
    worker.evaluate(SMALL, *rounds(4, 12))
    before = clock.fits
    together = worker.evaluate(SMALL, *rounds(4, 12, max_depth=3))
    assert clock.fits - before == 3 * 6.0
    assert sum(one["fit_seconds"] for one in together) == pytest.approx(18.0)
    assert [one["fit_seconds"] + one["saved_seconds"] for one in together] == pytest.approx([3 * 6.0, 3 * 10.0])


def test_a_lone_trial_saves_nothing_but_bins_that_were_there(worker: Worker, clock: Clock) -> None:
    documents = worker.evaluate(SMALL, *rounds(4, 12), share_fits=False)
    assert [one["fit_seconds"] for one in documents] == [3 * (4.0 + 2.0), 3 * 6.0]
    assert [one["saved_seconds"] for one in documents] == [0.0, 3 * 4.0]
    [plain] = worker.evaluate(LogisticRegression(), {"C": 1.0})
    assert plain["saved_seconds"] == 0.0


def test_real_times_of_a_group_are_those_of_its_fits(worker: Worker) -> None:
    documents = worker.evaluate(SMALL, *rounds(4, 60, 30))
    assert all(one["fit_seconds"] > 0 and one["saved_seconds"] > 0 for one in documents)
    small, large, middle = (one["fit_seconds"] for one in documents)
    assert small < middle < large
    assert sum(one["fit_seconds"] for one in documents) < 30


# ---------------------------------------------------------------------------- failures


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[XGBClassifier, list[int]], bool]], list[int]]:
    """Let some of XGBoost's fits fail; return the rounds of those that were begun."""

    def set_up(when: Callable[[XGBClassifier, list[int]], bool]) -> list[int]:
        seen: list[int] = []
        fit = XGBClassifier.fit

        def sometimes(self: XGBClassifier, *data: Any, **how: Any) -> Any:
            seen.append(self.n_estimators)
            if when(self, seen):
                raise MemoryError("too large")
            return fit(self, *data, **how)

        monkeypatch.setattr(XGBClassifier, "fit", sometimes)
        return seen

    return set_up


def test_where_the_largest_fit_fails_each_trial_gets_what_it_gets_alone(worker: Worker, fails: Any) -> None:
    expected = Worker().evaluate(SMALL, *rounds(4, 7), share_fits=False)
    fits = fails(lambda model, _: model.n_estimators >= 50)
    chunk = worker.chunk(SMALL, *rounds(4, 50, 7))
    documents = worker.run(chunk, attempts={2: 3})
    assert [one["number"] for one in documents] == [0, 1, 2]
    assert [one["state"] for one in documents] == ["COMPLETE", "FAILED", "COMPLETE"]
    assert shared_by(documents) == [1, 1, 1]
    assert [documents[place]["split_test_score"] for place in (0, 2)] == [one["split_test_score"] for one in expected]
    assert (documents[1]["error"], documents[1]["failed_fits"]) == ("fold 0: MemoryError: too large", 3)
    assert math.isnan(documents[1]["mean_test_score"])
    assert [one["attempts"] for one in documents] == [1, 1, 3]
    assert fits == [50] + [4] * 3 + [50] * 3 + [7] * 3, "what is shared ends with the first fold that fails"


def test_a_shared_fit_that_fails_on_one_fold_is_shared_no_more(worker: Worker, fails: Any) -> None:
    fits = fails(lambda _, seen: len(seen) == 2)
    documents = worker.evaluate(SMALL, *rounds(4, 9))
    assert fits == [9, 9] + [4] * 2 + [9] * 2, "what the fold before it gave is kept"
    assert [(one["state"], one["shared_by"]) for one in documents] == [("COMPLETE", 1)] * 2


def test_a_lone_trial_that_fails_is_not_tried_again(worker: Worker, fails: Any) -> None:
    fits = fails(lambda *_: True)
    [document] = worker.evaluate(SMALL, *rounds(9))
    assert fits == [9] * 3
    assert (document["state"], document["failed_fits"], document["shared_by"]) == ("FAILED", 3, 1)


def test_a_group_that_no_library_takes_fails_trial_by_trial(worker: Worker) -> None:
    documents = worker.evaluate(SMALL, *rounds(4, 9, max_depth=-3))
    assert [(one["state"], one["shared_by"], one["failed_fits"]) for one in documents] == [("FAILED", 1, 3)] * 2
    same_outcome(documents, Worker().evaluate(SMALL, *rounds(4, 9, max_depth=-3), share_fits=False))


def test_labels_that_xgboost_refuses_fail_as_they_do_alone() -> None:
    text = np.where(Y > 0, "yes", "no")
    documents = Worker(text).evaluate(SMALL, *rounds(4, 9))
    assert [one["state"] for one in documents] == ["FAILED"] * 2
    same_outcome(documents, Worker(text).evaluate(SMALL, *rounds(4, 9), share_fits=False))


def test_a_scorer_that_fails_does_not_part_a_group(worker: Worker, fits: list[int]) -> None:
    documents = Worker(np.arange(90) % 3).evaluate(
        SMALL, *rounds(4, 9), scorers={"a": "accuracy", "b": "roc_auc"}, refit="a"
    )
    assert fits == [9] * 3
    assert [(one["state"], one["shared_by"], one["failed_fits"]) for one in documents] == [("FAILED", 2, 0)] * 2
    assert all(one["mean_test_a"] >= 0 and math.isnan(one["mean_test_b"]) for one in documents)


@pytest.mark.parametrize(
    ("estimator", "fields", "error"),
    [
        ({"__estimator__": "os.system", "params": {}}, {}, "not on the allow-list"),
        (None, {"scorers": {"score": "nonsense"}}, "nonsense"),
    ],
)
def test_what_no_worker_can_evaluate_shows_before_any_work(
    worker: Worker, fits: list[int], estimator: dict[str, Any] | None, fields: dict[str, Any], error: str
) -> None:
    trials = [Trial(number=0, params={}), Trial(number=1, params={}, estimator=estimator)]
    with pytest.raises(InputError, match=error):
        worker.evaluator.evaluate(encode_chunk(worker.chunk(SMALL, *trials, **fields)), set(), {})
    assert fits == []


def test_a_body_that_is_no_chunk_is_a_message_error(worker: Worker) -> None:
    with pytest.raises(MessageError):
        worker.evaluator.evaluate(b"{}", set(), {})


# ---------------------------------------------------------------------- early stopping


@pytest.mark.parametrize("validation", [False, True], ids=["held out", "set apart"])
def test_a_trial_that_stops_early_is_alone_and_watches_what_the_study_says(validation: bool, worker: Worker) -> None:
    stopping = {"n_estimators": 80, "early_stopping_rounds": 2}
    documents = worker.evaluate(
        SMALL, *rounds(80, 40), stopping, stopping | {"n_estimators": 40}, validation=validation
    )
    assert shared_by(documents) == [2, 2, 1, 1]
    assert "mean_best_iteration" not in documents[0]
    kept = []
    for number, (train, test) in enumerate(SPLITS):
        train, watched = APART[number] if validation else (train, test)
        model = XGBClassifier(**SMALL.get_params() | stopping)
        model.fit(X[train], Y[train], eval_set=[(X[watched], Y[watched])], verbose=False)
        kept.append(model.best_iteration + 1)
        chances = model.predict_proba(X[test])[np.arange(len(test)), Y[test]]
        assert documents[2]["split_test_score"][number] == pytest.approx(np.log(chances).mean(), abs=1e-6)
    assert documents[2]["split_best_iteration"] == kept
    assert documents[2]["mean_best_iteration"] == sum(kept) / 3
    assert max(kept) < 80
    # Trials that do not stop early train on the whole of the training part either way.
    same_outcome(documents[:2], Worker().evaluate(SMALL, *rounds(80, 40)))
