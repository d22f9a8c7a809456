"""What a worker knows of its current chunk: what others left, what is being fitted, how long
it may take."""

from __future__ import annotations

from typing import Any

from evaluating import SMALL, Worker, rounds

from warren.messages import Chunk
from warren.storage.unfinished import DoneFold
from worker.chunk.progress import Pace, Progress


def chunk(*trials: Any, **fields: Any) -> Chunk:
    return Worker().chunk(SMALL, *trials, **fields)


def estimated(made: Chunk, *seconds: float) -> Chunk:
    trials = [
        trial.model_copy(update={"estimated_seconds": one}) for trial, one in zip(made.trials, seconds, strict=True)
    ]
    return made.model_copy(update={"trials": tuple(trials)})


FOLD = {"fit_seconds": 3.0, "score_seconds": 1.0}


def test_progress_that_earlier_workers_left_of_ended_trials_goes() -> None:
    notes = {0: {"folds": {"0": FOLD}}, 1: {"folds": {"0": FOLD}, "tries": [{"reason": "no"}]}}
    progress = Progress(chunk(*rounds(9, max_depth=2), *rounds(9, max_depth=3)), {0}, notes)
    assert progress.folds == {1: {"0": FOLD}}
    assert progress.tries == {1: [{"reason": "no"}]}
    assert progress.work_done == 3, "a result, a fold and a try"


def test_a_chunk_comes_along_with_every_fold() -> None:
    progress = Progress(chunk(*rounds(9)), set())
    before = progress.work_done
    progress.add_fold(DoneFold(study_id="s", number=0, fold=1, result=FOLD))
    assert progress.work_done == before + 1


def test_time_that_folds_took_before_counts_against_the_limit() -> None:
    progress = Progress(chunk(*rounds(9, 5)), set(), {0: {"folds": {"0": FOLD}}, 1: {"folds": {"0": FOLD}}})
    progress.begin(100.0)
    assert progress.began == 92.0, "both trials share the current fit"
    progress.end(1)
    progress.begin(100.0)
    assert progress.began == 96.0


def test_epochs_from_a_checkpoint_count_against_the_limit_once() -> None:
    progress = Progress(chunk(*rounds(9), *rounds(9, max_depth=3)), set())
    progress.add_saved(0, 5.0)
    assert progress.began is None, "nothing has begun"
    progress.begin(100.0)
    for fold, seconds in ((0, 5.0), (0, 5.0), (0, 7.0), (1, 0.0), (1, 2.0)):
        progress.add_saved(fold, seconds)
    assert progress.began == 91.0
    progress.end(0)
    progress.begin(100.0)
    progress.add_saved(0, 1.0)
    assert progress.began == 99.0, "another trial's"


def test_all_trials_of_a_shared_fit_expect_its_end() -> None:
    progress = Progress(estimated(chunk(*rounds(9, 5), *rounds(9, max_depth=3)), 4.0, 2.0, 50.0), set())
    assert progress.expected_end(1.0) == float("inf"), "its data is not even there"
    progress.begin(100.0)
    assert progress.expected_end(1.0) == 106.0
    assert progress.expected_end(2.0) == 112.0
    progress.separate()
    assert progress.expected_end(1.0) == 104.0


def test_a_pace_is_learned_from_the_trials_that_ended() -> None:
    progress = Progress(estimated(chunk(*rounds(9, max_depth=2), *rounds(9, max_depth=3)), 4.0, 2.0), set())
    pace = Pace()
    assert pace.of(progress) == 1.0
    progress.begin(100.0)
    pace.learn(progress, 0, 112.0)
    assert pace.of(progress) == 3.0


def test_no_pace_is_learned_from_a_trial_that_others_began() -> None:
    for note in ({"folds": {"0": FOLD}}, {"epochs_kept": {"0-0": 7}}):
        progress = Progress(
            estimated(chunk(*rounds(9, max_depth=2), *rounds(9, max_depth=3)), 4.0, 2.0), set(), {0: note}
        )
        pace = Pace()
        progress.begin(100.0)
        pace.learn(progress, 0, 100.1)
        assert pace.of(progress) == 1.0
    progress = Progress(estimated(chunk(*rounds(9)), 4.0), set(), {0: {"epochs_kept": {"0-0": 0}}})
    progress.begin(100.0)
    pace.learn(progress, 0, 112.0)
    assert pace.of(progress) == 3.0, "nothing was kept, so all of it was done here"


def test_a_trial_without_an_estimate_teaches_nothing() -> None:
    progress = Progress(estimated(chunk(*rounds(9)), 0.0), set())
    pace = Pace()
    progress.begin(100.0)
    pace.learn(progress, 0, 112.0)
    assert pace.of(progress) == 1.0
