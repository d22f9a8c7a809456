"""Temporary files of workers that were killed go, and nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from worker.scratch import prefix, remove_abandoned


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_folders_of_workers_that_are_gone_are_removed_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    dead = f"{prefix(killed.pid)}"
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").touch()
    stays = [
        f"{prefix()}abc",  # ours
        f"{prefix(os.getppid())}abc",
        f"warren-training-{killed.pid}-another-machine-abc",
        f"warren-training-{killed.pid}-abc",
        f"x{dead}abc",
        "warren-training-abc",
    ]
    for name in [f"{dead}abc", f"{dead}def_9", *stays]:
        (folder / name / "more").mkdir(parents=True)
        (folder / name / "more" / "file").touch()
    (folder / f"{dead}link").symlink_to(theirs)
    (folder / f"{dead}abc" / "link").symlink_to(theirs)
    (folder / f"{dead}file").touch()
    remove_abandoned()
    assert {path.name for path in folder.iterdir()} == {*stays, f"{dead}link", f"{dead}file"}
    assert (theirs / "file").exists()


def test_a_worker_that_is_dead_and_not_buried_is_gone_too(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as killed:
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
        (folder / f"{prefix(killed.pid)}abc").mkdir()
        remove_abandoned()
        assert list(folder.iterdir()) == []


def test_what_a_container_left_whose_first_process_had_our_number_is_removed(folder: Path) -> None:
    before, now = (folder / f"{prefix()}{name}" for name in ("before", "now"))
    for path in (before, now):
        path.mkdir()
    os.utime(before, (0, 0))
    remove_abandoned()
    assert list(folder.iterdir()) == [now]


def test_a_folder_that_can_not_be_listed_is_no_reason_not_to_train(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "missing"))
    remove_abandoned()
    assert list(folder.iterdir()) == []
