"""Which documents are a study's own: what a worker writes of a point of its space, and
nothing else."""

from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from study_documents import document

from producer.results.own_trials import expected
from producer.space.space import Space
from producer.views.optuna.trial_cache import Listed
from warren.encoding.codec import readable
from warren.messages import Objective
from warren.storage.documents import Document, now, pack, unpack
from warren.storage.expected_trials import Expected
from warren.storage.readable_studies import only_studies
from warren.storage.study_document import StudyKey, StudySpace, StudyStatus

OBJECTIVE = Objective(
    estimator=None,
    dataset="a" * 64,
    splits="b" * 64,
    n_splits=2,
    scorers={"accuracy": "accuracy"},
    refit="accuracy",
    error_score=math.nan,
    return_train_score=True,
)
GRID: list[dict[str, Any]] = [
    {
        "depth": range(3),
        "rate": [0.1, math.nan, math.inf],
        "kind": ["a", None, True],
        "layers": [(3, 2), (5,)],
        "extra": [{"a": 1}],
    },
    {"only": ["here"]},
]
SPACE = Space(GRID)


def study(space: Space = SPACE) -> StudySpace:
    """Return the document of a study, as it comes from a database."""
    found = {"n_trials": space.size, "objective": OBJECTIVE.model_dump(), "space": space.encode()}
    return StudySpace.read(unpack(pack(document("s", **found))))


def trial(number: int, space: Space = SPACE, **fields: Any) -> Document:
    """Return the document of a trial, as a worker writes it and a database returns it."""
    [(_, params)] = space.encoded_points([number])
    found = {
        "_id": f"s:{number}",
        "study_id": "s",
        "number": number,
        "estimator": "XGBClassifier",
        "library": "xgboost",
        "params": {name: readable(value) for name, value in params.items()},
        "state": "COMPLETE",
        "error": None,
        **{f"{what}_{part}": 0.5 for part in ("test_accuracy", "train_accuracy") for what in ("mean", "std")},
        "split_test_accuracy": [0.5, math.nan],
        "split_train_accuracy": [1, 0.5],
        "mean_test_score": math.nan,
        "failed_fits": 1,
        "split_fit_seconds": [1.0, 2.0],
        "split_score_seconds": [0.0, 0.0],
        "fit_seconds": 3.0,
        "attempts": Int64(1),
        "started_at": None,
        "finished_at": now(),
    }
    return unpack(pack(found | fields))


def whole(documents: list[Document], of: Expected | None = None) -> list[int]:
    one = of or expected(study())
    return [document["number"] for document in one.own(documents, one.result)]


def test_what_a_worker_writes_of_each_point_is_the_study_s_own(caplog: pytest.LogCaptureFixture) -> None:
    assert whole([trial(number) for number in range(SPACE.size)]) == list(range(SPACE.size))
    assert caplog.records == []


def test_fields_of_other_versions_don_t_matter() -> None:
    assert whole([trial(0, later={"a": 1}), {**trial(1), "estimator": None}]) == [0, 1]
    # How an estimator or a tuple is shown may change from version to version.
    assert whole([trial(2, params=trial(2)["params"] | {"layers": "(3, 2)", "extra": "{}"})]) == [2]


@pytest.mark.parametrize(
    "change",
    [
        *({"number": number} for number in (SPACE.size, -1, 2**62, "0", 0.0, True, None, [0], {"$gt": 0})),
        *({"_id": one} for one in ("s:1", "t:0", 0, None, ObjectId(), "s:0 ")),
        *({"state": state} for state in ("RUNNING", "complete", 1, None, ["COMPLETE"])),
        *({"split_test_accuracy": one} for one in (None, [], [0.5], [0.5] * 3, ["0", 1], 0.5, {"0": 1}, [[1], 2])),
        *({"mean_test_score": one} for one in ("1", [1], {}, True, now())),
        # A date that Python can't hold comes as this one of the driver's.
        *({"finished_at": one} for one in (None, "now", 0, 1.5, DatetimeMS(2**60))),
        *({name: 5} for name in ("error", "worker", "estimator", "params", "started_at")),
        *({name: "5"} for name in ("fit_seconds", "attempts", "failed_fits", "std_train_accuracy")),
        *({"split_epochs": one} for one in ({}, [1, 2], [{}], [{"loss": [1.0]}, {}], [{"epoch": [], "loss": [1]}, {}])),
        {"split_epochs": [{"epoch": [1, 2], "loss": [0.5]}, {}]},
        {"split_epochs": [{"epoch": [1], "loss": ["x"]}, {}]},
        *({"interrupted": one} for one in ("x", [1], [{"at": "x", "worker": "w"}])),
        *({"model": one} for one in ("x", {"file": 1, "format": "skops", "sha256": "x"}, {})),
    ],
)
def test_what_no_worker_writes_is_skipped(change: dict[str, Any]) -> None:
    assert whole([trial(0) | change, trial(1)]) == [1]


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 1},
        {"depth": "0"},
        {"depth": None},
        {"rate": "nan"},
        {"rate": math.nan},
        {"kind": "b"},
        {"kind": ["a"]},
        {"more": 1},
    ],
)
def test_another_point_is_skipped(change: dict[str, Any]) -> None:
    assert whole([trial(0, params=trial(0)["params"] | change)]) == []
    less = {name: value for name, value in trial(0)["params"].items() if name not in change}
    assert whole([trial(0, params=less)] if "more" not in change else []) == []
    assert whole([trial(SPACE.size - 1, params=trial(0)["params"])]) == []


def test_a_trial_s_own_estimator_is_no_other_parameter() -> None:
    assert whole([trial(0, params=trial(0)["params"] | {"estimator": "LGBMClassifier()"})]) == [0]


def test_only_what_was_read_is_needed() -> None:
    one = expected(study())
    brief = {name: value for name, value in trial(0).items() if name in {"_id", "number", "params"}}
    assert list(one.own([brief], one.result.intersection(["number"])))
    assert not list(one.own([brief], one.result))


def test_what_is_skipped_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    one = expected(study())
    others = [trial(number) | {"state": "\x1b[31mred"} for number in range(5)]
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert whole([*others, trial(6)], one) == [6]
        assert whole([trial(7) | {"number": "7"}], one) == []
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("study s: skipped 5 documents that are not this study's: 's:0': state='")
    assert first.count("state=") == 3
    assert "\x1b" not in first
    assert second.startswith("study s: skipped 1 document that is not this study's: 's:7': its number '7' is not")
    assert one.skipped == 6


def test_a_study_of_random_points_knows_them(caplog: pytest.LogCaptureFixture) -> None:
    from producer.space.columns import packed

    points = Space([{"C": [number / 7], "kernel": [["rbf", "poly"][number % 2]]} for number in range(150)])
    own = expected(study(points).model_copy(update={"space": packed(points.encode())}))
    assert whole([trial(number, points) for number in (149, 0, 3)], own) == [149, 0, 3]
    assert whole([trial(4, points) | {"params": trial(5, points)["params"]}], own) == []


class Whole(Listed, StudyStatus):
    """What lists and pages read of a study, together."""


STUDY: Document = {
    "_id": "a-1",
    "objective": {"refit": "score"},
    "name": "a",
    "state": "RUNNING",
    "n_trials": 3,
    "created_at": now(),
    "progress": {"complete": 1, "failed": 0, "dead": 0, "best": {"score": 0.5, "minus_number": 0}},
    "estimates": None,
    "submitted_at": None,
}


@pytest.mark.parametrize(
    "change",
    [
        *({"_id": one} for one in ("../x", "a:1", 5, None, "a" * 201, "A")),
        *({name: [1]} for name in ("name", "state", "n_trials", "created_at", "progress", "estimates", "submitted_at")),
        {"state": "running"},
        {"n_trials": -1},
        {"n_trials": "3"},
        {"progress": {"complete": "1"}},
        {"progress": {"best": {"score": "high", "minus_number": 0}}},
        {"progress": {"best": {"score": 1.0, "minus_number": "x"}}},
        {"progress": {"estimators": {"X": {"trials": "many"}}}},
        {"dead_letters": [{"numbers": ["x"], "reason": "y"}]},
        {"dead_letters": [{"numbers": [1], "reason": {}}]},
        {"missing": {"sure": True}},
        {"versions": {"numpy": 2}},
        {"objective": {"refit": 5}},
        {"data": {"shape": "wide"}},
        {"progress": None},
        {"created_at": None},
    ],
)
def test_a_document_that_is_no_study_is_left_out_of_a_list(change: dict[str, Any]) -> None:
    assert list(only_studies([STUDY, STUDY | change], Whole)) == [Whole.read(STUDY)]
    assert list(only_studies([{"_id": "a-1"}], StudyKey)) == [StudyKey(_id="a-1")]
