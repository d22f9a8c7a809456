"""Networks in TensorBoard: their epochs while they are trained, and once they have ended."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from submitting import TWELVE, own_fields, submit_trees
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from producer import Study
from producer.views.tensorboard.log_folder import Board
from warren.storage.documents import Document, now, pack, trial_id
from warren.storage.store import Store
from warren.storage.unfinished import SeenEpochs

STARTED = now() - timedelta(minutes=1)


@pytest.fixture
def board(store: Store, tmp_path: Path) -> Iterator[Board]:
    made = Board(store, tmp_path / "logs")
    yield made
    made.close()


def curve(n_epochs: int, loss: float = 1.0) -> dict[str, list[float]]:
    return {"epoch": list(range(1, n_epochs + 1)), "loss": [loss] * n_epochs, "val_loss": [math.nan] * n_epochs}


def train(store: Store, study: Study, number: int, fold: int, n_epochs: int) -> None:
    """Tell of a network in training, as a worker would."""
    about = {"estimator": "DecisionTreeClassifier", "params": TWELVE[number], "started_at": STARTED}
    whose: dict[str, Any] = {"study_id": study.id, "worker": "w", "at": now(), "kept": 0, "about": about}
    store.unfinished.see_epochs([SeenEpochs(number=number, fold=fold, epochs=curve(n_epochs), **whose)])


def end(store: Store, study: Study, number: int, *n_epochs: int) -> None:
    document: Document = {
        "_id": trial_id(study.id, number),
        "study_id": study.id,
        "number": number,
        "estimator": "DecisionTreeClassifier",
        **own_fields(study, number),
        "state": "COMPLETE",
        "mean_test_score": 0.5,
        **dict.fromkeys(("fit_seconds", "score_seconds", "saved_seconds", "estimated_seconds"), 0.25),
        "started_at": STARTED,
        "finished_at": now(),
        "split_epochs": [*(curve(one) for one in n_epochs), *([{}] * (study.objective.n_splits - len(n_epochs)))],
    }
    store.trials.insert([pack(document)])
    store.add_progress(study.id, [document])
    store.unfinished.drop(study.id, [number])


def steps(folder: Path, tag: str) -> list[int]:
    """Return the steps of a curve, as TensorBoard itself reads them."""
    return [event.step for event in accumulated(folder).Scalars(tag)]


def accumulated(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_trial_that_has_ended_shows_the_epochs_of_each_fold(store: Store, board: Board) -> None:
    study = submit_trees()
    end(store, study, 4, 3, 2)
    board.refresh()
    run = board.folder / study.id / "4"
    assert steps(run, "loss/fold 0") == [1, 2, 3]
    assert steps(run, "loss/fold 1") == [1, 2]
    assert "val_loss/fold 0" not in accumulated(run).Tags()["scalars"], "NaN is left out"


def test_a_run_grows_in_training_and_is_replaced_by_the_trial(store: Store, board: Board) -> None:
    study = submit_trees()
    train(store, study, 4, 0, 2)
    assert board.refresh().written == 0
    run = board.folder / study.id / "4"
    [name] = files(run)
    assert name == "events.out.tfevents.training.warren"
    followed = accumulated(run)
    assert [event.step for event in followed.Scalars("loss/fold 0")] == [1, 2]
    train(store, study, 4, 0, 4)
    train(store, study, 4, 1, 1)
    board.refresh()
    board.refresh()
    assert files(run) == [name]
    followed.Reload()  # it reads on where it was
    assert [event.step for event in followed.Scalars("loss/fold 0")] == [1, 2, 3, 4]
    assert [event.step for event in followed.Scalars("loss/fold 1")] == [1]

    end(store, study, 4, 5, 5)
    board.refresh()
    assert not run.exists(), "TensorBoard has to see it gone"
    board.refresh()
    assert name not in files(run)
    assert steps(run, "loss/fold 1") == [1, 2, 3, 4, 5]


def test_a_run_that_an_earlier_process_has_left_begins_anew(store: Store, board: Board) -> None:
    study = submit_trees()
    train(store, study, 4, 0, 3)
    board.refresh()
    board.close()
    again = Board(store, board.folder)
    train(store, study, 4, 0, 5)
    again.refresh()
    assert steps(board.folder / study.id / "4", "loss/fold 0") == [1, 2, 3, 4, 5]
    again.close()


def test_a_study_that_does_not_run_shows_no_networks_in_training(store: Store, board: Board) -> None:
    study = submit_trees()
    train(store, study, 4, 0, 3)
    study.cancel()
    board.refresh()
    assert not (board.folder / study.id).exists()
