"""How far a study is, in numbers and in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from study_documents import document

from producer.results.status import Status, name_trials
from warren.storage.documents import Document, now
from warren.storage.progress_counts import no_counts
from warren.storage.study_document import StudyStatus


def study(**fields: Any) -> StudyStatus:
    usual = {"n_trials": 12, "submitted_at": now(), "progress": no_counts() | {"complete": 4, "failed": 1}}
    return StudyStatus.read(document("trees-0a1b2c", **usual | fields))


def letter(index: int, numbers: list[int], reason: str) -> Document:
    return {"generation": 1, "index": index, "numbers": numbers, "reason": reason}


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([3], "trial 3"),
        ([3, 4], "trials 3 and 4"),
        ([3, 4, 7], "trials 3, 4 and 7"),
        ([3, 4, 7, 9], "trials 3, 4, 7 and 9"),
        ([3, 4, 7, 9, 10], "trials 3, 4, 7 and 2 more"),
        (list(range(5003)), "trials 0, 1, 2 and 5,000 more"),
    ],
)
def test_many_trials_are_named_shortly(numbers: list[int], text: str) -> None:
    assert name_trials(numbers) == text


def test_a_study_without_dead_letters_says_nothing_of_them() -> None:
    status = Status.of(study())
    assert (status.done, status.waiting, status.dead, status.dead_numbers, status.dead_text) == (5, 7, 0, (), "")


def test_dead_letters_are_told_by_their_trials_and_reasons() -> None:
    letters = [letter(0, [9, 8], "no such class"), letter(2, [1], "no such class"), letter(1, [5, 1], "no such data")]
    status = Status.of(study(dead_letters=letters, progress=no_counts() | {"dead": 5}))
    assert status.dead_numbers == (1, 5, 8, 9)
    assert status.dead_reasons == ("no such class", "no such data")
    assert status.dead_text == (
        "trials 1, 5, 8 and 9 can't be evaluated by any worker: no such class (the first of 2 reasons). Mend that, and "
        "put them back with study.retry_failed() or `warren retry trees-0a1b2c`"
    )


def test_a_study_of_an_earlier_version_is_read_too() -> None:
    old = document("trees-0a1b2c", progress=no_counts() | {"dead": 2})
    for name in ("submitted_at", "dead_letters"):
        del old[name]
    status = Status.of(StudyStatus.read(old))
    assert status.submitted_at is None
    assert status.dead_text.startswith("2 trials can't be evaluated by any worker: no reason is known. ")


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({}, 4),
        ({"missing": {"publication": 2, "sure": False, "trials": 4}}, 0),
        ({"publications": 3}, 0),
        ({"state": "PAUSED"}, 0),
        ({"progress": no_counts() | {"complete": 9}}, 3),
    ],
)
def test_what_the_broker_has_lost_counts_while_it_is_sure(change: dict[str, Any], lost: int) -> None:
    missing = {"publication": 2, "sure": True, "trials": 4}
    status = Status.of(study(**{"publications": 2, "missing": missing, "state": "RUNNING"} | change))
    assert status.lost == lost
    assert ("resume()" in status.lost_text) is bool(lost)
