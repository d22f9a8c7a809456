"""Following a study whose database comes and goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn, cast

import pytest
from study_documents import document

from producer import study
from producer.results import follower
from producer.results.follower import Follower
from producer.results.missing_trials import stands_still
from producer.results.status import Status
from producer.study import Study
from warren.errors import StoreError, StudyError
from warren.settings import Settings
from warren.storage.documents import now
from warren.storage.progress_counts import no_counts
from warren.storage.store import Store
from warren.storage.study_document import StudyStatus

AWAY = StoreError("MongoDB is away")


def study_of(complete: int = 0, **fields: Any) -> StudyStatus:
    usual = {"state": "COMPLETE" if complete == 10 else "RUNNING", "submitted_at": now()}
    counted = {"complete": complete, "dead": fields.pop("dead", 0)} | fields.pop("counted", {})
    counts = {"progress": no_counts() | counted}
    return StudyStatus.read(document("trees", **usual | counts | fields))


class Looks:
    """As much of a store as following needs: answers look by look, and the last one
    again and again."""

    def __init__(self, *answers: StudyStatus | StoreError | None) -> None:
        self.answers = list(answers)
        self.asked_at: list[float] = []
        self.limits: list[float] = []
        self.recounted = 0

    def study(self, study_id: str, part: object) -> StudyStatus | None:
        self.asked_at.append(time.monotonic())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, StoreError):
            raise answer
        return answer

    def recount(self, study_id: str) -> None:
        self.recounted += 1

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self.limits.append(seconds)
        yield


def follow(looks: Looks, seconds: float = 20.0) -> list[Status]:
    """Follow until the end; return what was shown."""
    shown: list[Status] = []
    Follower(cast("Store", looks), "trees", time.monotonic() + seconds, shown.append).run()
    return shown


def test_every_status_is_shown_to_the_end() -> None:
    shown = follow(Looks(study_of(0), study_of(4), study_of(10)))
    assert [status.done for status in shown] == [0, 4, 10]


def test_an_outage_is_one_line_when_it_begins_and_one_when_it_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower, "PERSONS_WAIT", 0.05)
    looks = Looks(study_of(1), AWAY, AWAY, AWAY, study_of(2), AWAY, study_of(10))
    assert [status.done for status in follow(looks)] == [1, 2, 10]
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(" after")[0] for line in said] == [
        "can't read study trees for now; the study goes on: MongoDB is away",
        "the database is back",
    ] * 2


def test_a_database_that_is_away_is_asked_with_pauses_that_grow() -> None:
    looks = Looks(study_of(1), AWAY)
    with pytest.raises(TimeoutError, match="study trees: 1 trials have ended within the timeout; the study goes on"):
        follow(looks, seconds=2.0)
    assert len(looks.asked_at) < 20, "it spins"


def test_the_time_is_over_on_time_also_while_the_database_is_away() -> None:
    looks = Looks(study_of(1), AWAY)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        follow(looks, seconds=0.5)
    assert 0.4 < time.monotonic() - began < 2.0
    # A look itself ends in time too: in a cut network, the driver would wait for the server's word.
    assert max(looks.limits) <= 1.0


def test_a_study_that_is_deleted_meanwhile_is_said_so() -> None:
    with pytest.raises(StudyError, match="study 'trees' is not in the database any more"):
        follow(Looks(study_of(1), None))


def test_trials_that_no_worker_can_evaluate_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    letters = [{"generation": 1, "index": 3, "numbers": [6, 7], "reason": "no such class"}]
    dead = {"dead": 2, "dead_letters": letters}
    follow(Looks(study_of(1), study_of(2, **dead), study_of(3, **dead), study_of(4, **dead), study_of(10)))
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("study trees: trials 6 and 7 can't be evaluated by any worker: no such class. Mend that")
    assert said.endswith("or `warren retry trees`. The others go on")


def test_a_study_of_which_only_those_are_left_is_not_waited_for() -> None:
    letters = [{"generation": 1, "index": 3, "numbers": [6, 7], "reason": "no such class"}]
    with pytest.raises(StudyError, match=r"^study trees: trials 6 and 7 can't be evaluated by any worker: no such"):
        follow(Looks(study_of(3), study_of(8, dead=2, dead_letters=letters)))


@pytest.mark.parametrize(("seconds", "still"), [(-3.0, False), (-60.0, True), (3600.0, True)])
def test_a_study_seems_to_move_only_where_its_last_result_is_fresh(seconds: float, still: bool) -> None:
    last = now() + timedelta(seconds=seconds)  # by its worker's clock, which may be ahead
    one = study_of(3, submitted_at=now() - timedelta(hours=1), counted={"last_result_at": last})
    assert stands_still(one) is still


def test_trials_that_a_vanished_worker_may_have_are_told_and_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    gone = {"trials": 7, "publication": 1, "sure": True, "certain": False}
    lost = study_of(3, publications=1, missing=gone)
    follow(Looks(lost, lost, study_of(10)))
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("study trees: 7 trials are neither done, nor in the queue")
    assert said.endswith(
        "Unless a worker that has just vanished got them: the broker then takes them back within minutes"
    )
    with pytest.raises(StudyError, match="publishes them again$"):
        follow(Looks(lost, study_of(3, publications=1, missing=gone | {"certain": True})))


def test_versions_that_differ_are_told_once_with_both(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = {"numpy": "2.5.1", "scipy": "1.18.0"}, {"numpy": ["2.4.6"], "scipy": ["1.18.0"]}
    later, last = (study_of(done, versions=ours, counted={"versions": theirs}) for done in (2, 10))
    follow(Looks(study_of(1, versions=ours), later, later, last))
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("study trees: it was submitted with NumPy 2.5.1, and workers have NumPy 2.4.6: scores can")


def test_versions_that_differ_are_told_also_of_a_study_that_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    follow(Looks(study_of(10, versions={"numpy": "2.5.1"}, counted={"versions": {"numpy": ["2.4.6"]}})))
    assert "NumPy 2.4.6" in caplog.text


def test_a_submission_that_was_cut_short_is_said_once_nothing_moves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower, "_STALL_SECONDS", 0.1)
    looks = Looks(study_of(1, submitted_at=None))
    with pytest.raises(TimeoutError):
        follow(looks, seconds=1.5)
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(
        "study trees: its submission has not ended. If no process submits it any more, study.resume()"
    )
    assert looks.recounted > 1


def test_a_count_that_was_missed_is_made_good_when_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_STALL_SECONDS", 0.1)
    looks = Looks(study_of(9), study_of(9), study_of(9), study_of(9), study_of(10))
    assert follow(looks)[-1].state == "COMPLETE"


def test_trials_that_wait_for_a_gpu_are_told_once_nothing_moves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(follower, "_STALL_SECONDS", 0.1)
    monkeypatch.setattr(follower, "_UNHEARD_SECONDS", 0.3)
    waiting = iter([0, 12])
    monkeypatch.setattr(follower, "unclaimed_gpu_chunks", lambda _: next(waiting))
    for wanted in (0, 40):
        looks = Looks(study_of(1, gpu_trials=wanted))
        with pytest.raises(TimeoutError):
            Follower(cast("Store", looks), "trees", time.monotonic() + 1.5, lambda _: None, Settings()).run()
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("study trees: 12 chunks wait in chunks.gpu, and no worker with a GPU listens there")


@pytest.mark.parametrize("place", ["status", "bar", "look"])
def test_an_interrupt_says_how_to_come_back_wherever_it_falls(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    waiting = object.__new__(Study)
    vars(waiting).update(id="trees", name="trees", settings=None)
    monkeypatch.setattr(Study, "store", Looks(study_of(1)))
    monkeypatch.setattr(Study, "status", interrupted if place == "status" else lambda _: Status.of(study_of(1)))
    if place == "bar":
        monkeypatch.setattr(study.Progress, "__enter__", interrupted)
    if place == "look":
        monkeypatch.setattr(Looks, "study", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        waiting.wait(progress=place == "bar")
    assert "Study.attach('trees').wait() waits again" in caught.value.__notes__[0]
