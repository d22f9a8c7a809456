"""Runs of TensorBoard that grow while a network is trained, in a folder that anybody may clear."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("tensorboard")

from producer.viewing.events import Point, Run, encode_run
from producer.viewing.growing import Growing


def run_of(epochs: int) -> Run:
    points = [Point(tag="loss", value=1.0 / step, step=step, moment=100.0 + step) for step in range(1, epochs + 1)]
    return Run(name="0", started=100.0, ended=None, failed=False, parameters={"rate": 0.1}, points=points)


def only_file(folder: Path) -> Path:
    (found,) = [path for path in folder.rglob("*") if path.is_file()]
    return found


def test_a_look_adds_the_epochs_that_are_new(tmp_path: Path) -> None:
    growing = Growing(tmp_path)
    growing.show("study", 0, run_of(2))
    before = only_file(tmp_path).read_bytes()
    assert before == encode_run(run_of(2))
    growing.show("study", 0, run_of(2))
    assert only_file(tmp_path).read_bytes() == before
    growing.show("study", 0, run_of(3))
    after = only_file(tmp_path).read_bytes()
    assert after.startswith(before)
    assert len(after) > len(before)


@pytest.mark.parametrize("what", ["the file", "the folder"])
def test_what_somebody_deletes_is_begun_anew(tmp_path: Path, what: str) -> None:
    growing = Growing(tmp_path / "logs")
    growing.show("study", 0, run_of(2))
    if what == "the file":
        only_file(tmp_path).unlink()
    else:
        shutil.rmtree(tmp_path / "logs")
    growing.show("study", 0, run_of(3))
    assert only_file(tmp_path).read_bytes() == encode_run(run_of(3))
