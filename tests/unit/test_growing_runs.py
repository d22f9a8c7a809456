"""Runs of TensorBoard that grow while a network is trained, in a folder that anybody may clear."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("tensorboard")

from producer.views.tensorboard.events import Point, Run, encode_run
from producer.views.tensorboard.live_runs import Growing, spread


def run_of(epochs: int) -> Run:
    points = [Point(tag="loss", value=1.0 / step, step=step, moment=100.0 + epochs) for step in range(1, epochs + 1)]
    return Run(name="0", started=100.0, ended=None, failed=False, parameters={"rate": 0.1}, points=points)


def shown(epochs: int) -> bytes:
    """Return the file of a run whose epochs took a second each."""
    run = run_of(epochs)
    return encode_run(replace(run, points=[replace(one, moment=100.0 + one.step) for one in run.points]))


def only_file(folder: Path) -> Path:
    (found,) = [path for path in folder.rglob("*") if path.is_file()]
    return found


def test_a_look_adds_the_epochs_that_are_new(tmp_path: Path) -> None:
    growing = Growing(tmp_path)
    growing.show("study", 0, run_of(2))
    before = only_file(tmp_path).read_bytes()
    assert before == shown(2)
    growing.show("study", 0, run_of(2))
    assert only_file(tmp_path).read_bytes() == before
    growing.show("study", 0, run_of(3))
    assert only_file(tmp_path).read_bytes() == shown(3), "those that were there keep their moments"


def test_epochs_of_one_look_lie_evenly_since_the_last_look() -> None:
    told = [("loss/fold 0", 5), ("val_loss/fold 0", 5), ("loss/fold 1", 5), ("loss/fold 1", 6), ("loss/fold 1", 7)]
    points = [Point(tag=tag, value=0.5, step=step, moment=18.0) for tag, step in told]
    assert [one.moment for one in spread(points, 10.0)] == [12.0, 12.0, 14.0, 16.0, 18.0]
    assert [one.moment for one in spread(points, 20.0)] == [20.0] * 5, "the clock of another worker is behind"
    assert spread([], 10.0) == []


@pytest.mark.parametrize("what", ["the file", "the folder"])
def test_what_somebody_deletes_is_begun_anew(tmp_path: Path, what: str) -> None:
    growing = Growing(tmp_path / "logs")
    growing.show("study", 0, run_of(2))
    if what == "the file":
        only_file(tmp_path).unlink()
    else:
        shutil.rmtree(tmp_path / "logs")
    growing.show("study", 0, run_of(3))
    assert only_file(tmp_path).read_bytes() == shown(3)
