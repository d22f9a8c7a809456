"""Folds that an earlier worker left are taken over: the trial's document is the one that it
would have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
from evaluating import SETTINGS, SMALL, Worker, rounds, same_outcome
from sklearn.tree import DecisionTreeClassifier

from warren.messages import Chunk, encode_chunk
from warren.storage.documents import Document, pack, unpack
from worker.training.evaluator import ChunkEvaluator, Kept
from worker.training.fit_and_score import FoldResult


class Watched(Worker):
    """A worker that notes the folds which it tells."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, Mapping[int, FoldResult]]] = []
        self.evaluator = ChunkEvaluator(
            self.blobs.supplies, SETTINGS, lambda results, fold: self.told.append((fold, dict(results)))
        )

    def go_on(self, chunk: Chunk, kept: Kept, **known: Any) -> list[Document]:
        ended = self.evaluator.evaluate(encode_chunk(chunk), kept=kept, **known)
        return [one for documents in ended for one in documents]


def through_the_wire(told: list[tuple[int, Mapping[int, FoldResult]]]) -> Kept:
    """Return told folds as the next worker has them: as BSON and back."""
    kept: Kept = {}
    for fold, results in told:
        for number, result in results.items():
            kept.setdefault(number, {})[fold] = FoldResult.of(unpack(pack(asdict(result) | {"of_a_newer_worker": 1})))
    return kept


CASES = {
    "one trial": (DecisionTreeClassifier(random_state=0), [{"max_depth": 3}]),
    "a shared fit": (SMALL, rounds(9, 5, 4)),
    "without a seed": (DecisionTreeClassifier(splitter="random", max_features=1), [{"max_depth": 3}, {"max_depth": 4}]),
    "early stopping": (SMALL, rounds(40, early_stopping_rounds=2, eval_metric="logloss")),
    "a fold that fails": (DecisionTreeClassifier(), [{"max_depth": -3}]),
}


@pytest.mark.parametrize("left", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_the_next_worker_starts_at_the_first_missing_fold(case: str, left: int) -> None:
    estimator, trials = CASES[case]
    first = Watched()
    chunk = first.chunk(estimator, *trials)
    undisturbed = first.go_on(chunk, {})
    of_first_group = [told for told in first.told if 0 in told[1]]
    assert [fold for fold, _ in of_first_group] == [0, 1], "the last fold ends the trial"

    second = Watched()
    resumed = second.go_on(chunk, through_the_wire(of_first_group[:left]))
    same_outcome(resumed, undisturbed)
    assert [fold for fold, results in second.told if 0 in results] == [0, 1][left:]


def test_a_part_of_a_shared_fit_that_is_there_is_not_fitted_again() -> None:
    worker = Watched()
    chunk = worker.chunk(SMALL, *rounds(9, 5, 4))
    undisturbed = worker.go_on(chunk, {})
    kept = through_the_wire(worker.told)
    # As where the largest was fitted alone before: it has all folds but the last, the
    # others have none.
    resumed = Watched().go_on(chunk, {0: kept[0]})
    same_outcome(resumed, undisturbed)


def test_folds_of_trials_that_are_fitted_alone_now_are_taken_over_too() -> None:
    worker = Watched()
    chunk = worker.chunk(SMALL, *rounds(9, 5))
    undisturbed = worker.go_on(chunk, {})
    alone = Watched()
    resumed = alone.go_on(chunk, through_the_wire(worker.told[:1]), alone={0, 1})
    same_outcome(resumed, undisturbed)
    assert [(fold, set(results)) for fold, results in alone.told] == [(1, {0}), (1, {1})]


def test_nothing_is_kept_of_a_shared_fit_that_fails() -> None:
    worker = Watched()
    chunk = worker.chunk(SMALL, *rounds(9, 5, max_depth=-3))
    worker.go_on(chunk, {})
    assert all(len(results) == 1 for _, results in worker.told), "only what each gave by itself"
