"""Which trial a lost training process counts against: one that was alone, and none of several that
share a fit."""

from __future__ import annotations

from typing import Any

from evaluating import SMALL, Worker, rounds
from xgboost import XGBClassifier

from warren.encoding.codec import encode_estimator
from warren.messages import Chunk, Trial
from worker.chunk.progress import Progress


def chunk(*trials: Any, **fields: Any) -> Chunk:
    return Worker().chunk(SMALL, *trials, **fields)


def test_trials_that_share_the_fit_in_hand_are_parted_once() -> None:
    progress = Progress(chunk(*rounds(9, 5, 4), *rounds(8, 3, max_depth=3)), set())
    assert progress.separate()
    assert progress.alone == {0, 1, 2}
    assert not progress.separate(), "the first is alone now, and to blame"
    for number in (0, 1, 2):
        progress.end(number)
    assert progress.separate()
    assert progress.alone == {0, 1, 2, 3, 4}


def test_a_trial_that_shares_with_none_is_to_blame_at_once() -> None:
    assert not Progress(chunk(*rounds(9), *rounds(9, max_depth=3)), set()).separate()
    assert not Progress(chunk(*rounds(9, 5, booster="dart")), set()).separate()
    assert not Progress(chunk(*rounds(9, 5), share_fits=False), set()).separate()


def test_what_has_ended_shares_nothing() -> None:
    assert not Progress(chunk(*rounds(9, 5)), {1}).separate()
    progress = Progress(chunk(*rounds(9, 5, 4)), {1})
    assert progress.separate()
    assert progress.alone == {0, 2}


def test_trials_that_bring_their_estimators_are_parted_too() -> None:
    own = [
        Trial(number=n, params={"n_estimators": n + 2}, estimator=encode_estimator(XGBClassifier(), "it"))
        for n in (0, 1)
    ]
    assert Progress(Worker().chunk(None, *own), set()).separate()


def test_trials_may_end_in_any_order() -> None:
    progress = Progress(chunk(*rounds(9, 5, 4)), set())
    for number in (1, 2, 0):
        progress.end(number)
    assert not progress.todo
    assert progress.done == {0, 1, 2}


def test_parted_trials_are_fitted_alone() -> None:
    worker = Worker()
    made = worker.chunk(SMALL, *rounds(9, 5, 4))
    ended = worker.evaluator.evaluate(made.model_dump_json().encode(), set(), {}, alone={1})
    assert [one["shared_by"] for documents in ended for one in documents] == [1, 1, 1], "neighbours no more"
