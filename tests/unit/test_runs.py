"""When the epochs of a trial were, as TensorBoard's axes of time show them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("tensorboard")

from study_documents import document

from producer.space.columns import packed
from producer.views.tensorboard.runs import StudyRuns
from warren.storage.documents import Document
from warren.storage.study_document import StudySpace

START = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


def study() -> StudyRuns:
    objective = {
        **{"estimator": None, "dataset": "0" * 64, "splits": "0" * 64, "n_splits": 3, "scorers": {"score": None}},
        **{"refit": "score", "error_score": 0.0, "return_train_score": False},
    }
    found = document("s", objective=objective, space=packed([{}]), n_trials=9)
    return StudyRuns(StudySpace.read(found), START)


def curve(*epochs: int) -> dict[str, list[float]]:
    return {"epoch": [*epochs], "loss": [1.0] * len(epochs), "accuracy": [0.5] * len(epochs)}


def moments(**fields: Any) -> dict[str, list[float]]:
    """Return seconds since the start of a trial of 12 s, by curve."""
    document: Document = {
        "number": 3,
        "state": "COMPLETE",
        "params": {},
        "estimator": "KerasModel",
        "started_at": START,
        "finished_at": START + timedelta(seconds=12),
        **fields,
    }
    found: dict[str, list[float]] = {}
    for point in study().run(document, {}).points:
        found.setdefault(point.tag, []).append(point.moment - START.timestamp())
    return found


def test_epochs_lie_evenly_in_the_time_of_their_fold() -> None:
    found = moments(split_epochs=[curve(1, 2), curve(1, 2, 3, 4)], split_fit_seconds=[1.0, 2.0])
    assert found["loss/fold 0"] == found["accuracy/fold 0"] == [2.0, 4.0]
    assert found["loss/fold 1"] == [6.0, 8.0, 10.0, 12.0]


def test_a_curve_that_is_thinned_out_keeps_the_times_of_its_epochs() -> None:
    assert moments(split_epochs=[curve(1, 3, 4)])["loss/fold 0"] == [3.0, 9.0, 12.0]


@pytest.mark.parametrize("seconds", [None, [], [1.0], [0.0, 0.0, 0.0], [float("nan"), 1.0, 1.0]])
def test_where_the_seconds_of_the_folds_say_nothing_each_has_the_same_time(seconds: list[float] | None) -> None:
    found = moments(split_epochs=[curve(1), {}, curve(1, 2)], split_fit_seconds=seconds)
    assert found == {
        "loss/fold 0": [4.0],
        "accuracy/fold 0": [4.0],
        "loss/fold 2": [10.0, 12.0],
        "accuracy/fold 2": [10.0, 12.0],
    }


def test_scores_stand_at_the_end() -> None:
    found = moments(mean_test_score=0.5, split_test_score=[0.25, 0.75], fit_seconds=9.0)
    assert found == {"mean_test_score": [12.0], "split_test_score": [12.0, 12.0], "fit_seconds": [12.0]}


def test_what_is_told_of_a_network_in_training_is_of_when_it_was_told() -> None:
    seen = {"worker": "w", "at": START + timedelta(seconds=5)}
    note = {"number": 3, "params": {}, "estimator": "KerasModel", "started_at": START, "last_seen": seen}
    points = study().running(note | {"epochs": {"0": curve(1, 2)}}, {}).points
    assert [(one.tag, one.step) for one in points] == [
        ("loss/fold 0", 1),
        ("accuracy/fold 0", 1),
        ("loss/fold 0", 2),
        ("accuracy/fold 0", 2),
    ]
    assert {one.moment - START.timestamp() for one in points} == {5.0}
