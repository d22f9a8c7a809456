"""Which checkpoints are given, looked for and deleted, and what a place costs that is away."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from evaluating import SMALL, Worker

from warren.messages import Chunk
from warren.networks.checkpoints import Place, Slot, name_of
from warren.settings import Settings
from worker.database import DatabaseAccess
from worker.training import checkpoints as module
from worker.training.checkpoints import Checkpoints


def chunk(**fields: Any) -> Chunk:
    return Worker().chunk(SMALL, {"max_depth": 1}, {"max_depth": 2}, **fields)


class Studies:
    """Supplies that know some studies, and which of their trials have ended."""

    def __init__(self, states: dict[str, str], ended: dict[str, set[int]] | None = None) -> None:
        self._states, self._ended = states, ended or {}

    def study_states(self, trials: Mapping[str, Iterable[int]]) -> tuple[dict[str, str], set[tuple[str, int]]]:
        states = {study: self._states[study] for study in trials if study in self._states}
        ended = {(study, one) for study in trials for one in self._ended.get(study, set()) & set(trials[study])}
        return states, ended


def checkpoints(folder: Path, supplies: Any) -> Checkpoints:
    return Checkpoints(supplies, Settings(WARREN_CHECKPOINTS=str(folder), WARREN_CHECKPOINT_SECONDS=7))


def touch(place: Place, name: str, age: timedelta) -> None:
    Slot(place, name, 0).save([])
    moment = time.time() - age.total_seconds()
    os.utime(Path(place.address) / name, (moment, moment))


def test_checkpoints_go_once_the_results_are_durable(tmp_path: Path) -> None:
    kept, made = checkpoints(tmp_path / "c", Studies({"study": "RUNNING"})), chunk()
    slots = kept.slots(made, made.trials[1], 0)
    for network in range(2):
        slot = slots(network)
        assert slot is not None
        assert (slot.name, slot.seconds) == (name_of("study", 1, 0, network), 7)
        slot.save([])
    assert kept.any
    kept.durable()
    assert len(list((tmp_path / "c").iterdir())) == 2, "the trial has not ended"
    kept.ended()
    other = kept.slots(made, made.trials[0], 2)(0)
    assert other is not None
    other.save([])
    kept.begin(left_behind=True)
    kept.durable()
    assert not kept.any
    assert [path.name for path in (tmp_path / "c").iterdir()] == [other.name], "left to the worker that goes on with it"


def test_a_checkpoint_depends_on_data_estimator_parameters_and_fold(tmp_path: Path) -> None:
    kept, made = checkpoints(tmp_path / "c", Studies({})), chunk()
    other = made.model_copy(update={"objective": made.objective.model_copy(update={"splits": "0" * 64})})
    slots = [
        kept.slots(made, made.trials[0], 0)(0),
        kept.slots(made, made.trials[0], 1)(0),
        kept.slots(made, made.trials[1], 0)(0),
        kept.slots(other, made.trials[0], 0)(0),
    ]
    assert len({slot.data for slot in slots if slot}) == 4


def test_old_checkpoints_that_nobody_waits_for_go_and_others_stay(tmp_path: Path) -> None:
    states = {"runs": "RUNNING", "rests": "PAUSED", "done": "COMPLETE", "cancelled": "CANCELLED"}
    store = Studies(states, {"runs": {1}, "done": {0}})
    place = Place(str(tmp_path / "c"))
    minutes, hours, days = timedelta(minutes=5), timedelta(hours=2), timedelta(days=2)
    for name, age in (
        *(("runs.0", days), ("runs.1", minutes), ("rests.0", days), ("done.0", minutes), ("cancelled.0", hours)),
        *(("cancelled.1", days), ("unknown.0", minutes), ("unknown.1", hours)),
    ):
        touch(place, f"{name}.0.0.checkpoint", age)
    (tmp_path / "c" / "notes.txt").write_text("mine")
    made = chunk()
    assert checkpoints(tmp_path / "c", store).slots(made, made.trials[0], 0)(0) is not None
    left = {path.name.removesuffix(".0.0.checkpoint") for path in (tmp_path / "c").iterdir()}
    assert left == {"runs.0", "rests.0", "cancelled.0", "unknown.0", "notes.txt"}


def test_without_a_usable_folder_nothing_is_checkpointed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = chunk()
    assert Checkpoints(cast("DatabaseAccess", Studies({})), Settings()).slots(made, made.trials[0], 0)(0) is None
    assert not caplog.records
    settings = Settings.model_construct(checkpoints="~no-such-user/x", checkpoint_seconds=7)
    kept = Checkpoints(cast("DatabaseAccess", Studies({})), settings)
    for _ in range(2):
        assert kept.slots(made, made.trials[0], 0)(0) is None
    [record] = caplog.records
    assert record.getMessage() == "trainings are not checkpointed"
    assert record.__dict__["reason"].startswith("WARREN_CHECKPOINTS='~no-such-user/x' can't be used: write the whole")


class Clock:
    """Time that a test lets pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))


def seconds_away(caplog: pytest.LogCaptureFixture) -> list[float]:
    return [record.__dict__["seconds"] for record in caplog.records if "is unreachable" in record.getMessage()]


@pytest.mark.parametrize("step", ["found", "load", "save", "open"])
def test_a_place_that_is_away_is_left_alone_for_ever_longer(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = 0

    def away(*_: Any) -> None:
        nonlocal asked
        asked += 1
        raise OSError("no route to host")

    clock, made = Clock(monkeypatch), chunk()
    kept = checkpoints(tmp_path / "c", Studies({}))
    monkeypatch.setattr(Place, {"load": "get", "save": "put", "open": "__init__"}.get(step, step), away)

    def train() -> None:
        slot = kept.slots(made, made.trials[0], 0)(0)
        if slot is not None:
            with pytest.raises(OSError, match="no route"):
                slot.load(tmp_path) if step == "load" else slot.save([])

    for wait in (0.0, 1.0, 58.0, 2.0, 118.0, 2.0, 240.0, 480.0, 599.0, 2.0):
        clock.now += wait
        if step == "found":
            kept._swept_at = float("-inf")
        train()
    expected = [60.0, 120.0, 240.0, 480.0, 600.0, 600.0]
    assert seconds_away(caplog) == expected[:asked]
    assert asked == 6
    assert caplog.records[0].__dict__["reason"] == f"WARREN_CHECKPOINTS='{tmp_path / 'c'}': OSError: no route to host"


def test_a_place_that_answers_again_is_forgiven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, made = Clock(monkeypatch), chunk()
    kept = checkpoints(tmp_path / "c", Studies({}))
    slots = kept.slots(made, made.trials[0], 0)
    for _ in range(2):
        slot = slots(0)
        assert slot is not None
        slot.save([])
        (tmp_path / "c").rename(tmp_path / "away")
        with pytest.raises(OSError, match="No such file"):
            slot.save([])
        assert slots(0) is None
        kept.ended()
        kept.durable()
        (tmp_path / "away").rename(tmp_path / "c")
        assert list((tmp_path / "c").iterdir()), "who is away is asked to delete nothing"
        clock.now += 61
        kept.durable()
        assert not list((tmp_path / "c").iterdir())
    assert seconds_away(caplog) == [60.0, 60.0]


def test_whatever_a_library_raises_is_no_fault_of_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("what nobody expects")

    made = chunk()
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(Place, "found", fails)
    monkeypatch.setattr(Place, "delete", fails)
    kept = checkpoints(tmp_path / "c", Studies({}))
    slot = kept.slots(made, made.trials[0], 0)(0)
    assert slot is not None
    slot.save([])
    kept.ended()
    kept.durable()
    monkeypatch.setattr(Place, "__init__", fails)
    assert checkpoints(tmp_path / "c", Studies({})).slots(made, made.trials[0], 0)(0) is None
    said = f"WARREN_CHECKPOINTS='{tmp_path / 'c'}': RuntimeError: what nobody expects"
    assert [record.__dict__["reason"] for record in caplog.records] == [said] * 3


def test_a_place_is_asked_only_where_something_may_have_been_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    class Asked(Place):
        def get(self, name: str, into: Any) -> bool:
            asked.append(("get", name))
            return super().get(name, into)

        def delete(self, file: str) -> None:
            asked.append(("delete", file))
            super().delete(file)

    monkeypatch.setattr(module, "Place", Asked)
    kept, made = checkpoints(tmp_path / "c", Studies({})), chunk()

    def trained(*, saves: bool) -> bool:
        slot = kept.slots(made, made.trials[0], 0)(0)
        assert slot is not None
        found = slot.load(tmp_path)
        if saves:
            slot.save([])
        kept.ended()
        kept.durable()
        return found

    name = name_of("study", 0, 0, 0)
    kept.begin(left_behind=False)
    assert not trained(saves=False)
    assert asked == [], "a short training of a first delivery costs nothing"
    assert not trained(saves=True)
    assert asked == [("delete", name)]
    Slot(Place(str(tmp_path / "c")), name, 0).save([])
    kept.begin(left_behind=True)
    assert trained(saves=False)
    assert asked == [("delete", name), ("get", name), ("delete", name)]
