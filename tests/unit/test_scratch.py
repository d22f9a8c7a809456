"""Temporary files of killed workers are removed, and no others: locks tell them apart, not
process ids."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from worker.process.temp_folders import TempFolder, recreate, remove_abandoned

# Holds a lock on the folder that it names, until it is killed.
HOLDS = """
import sys, time
sys.path.append(sys.argv[1])
from worker.process.temp_folders import TempFolder
print(TempFolder().path, flush=True)
time.sleep(600)
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "it's a temporary földer"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_folders_of_workers_that_are_gone_are_removed_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    ours = TempFolder()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").touch()
    for name in ("warren-fits-dead", "warren-training-1-host-abc", "others"):
        (folder / name / "more").mkdir(parents=True)
        (folder / name / "more" / "file").touch()
    (folder / "warren-fits-link").symlink_to(theirs)
    (folder / "warren-fits-dead" / "link").symlink_to(theirs)
    (folder / "warren-fits-file").touch()
    remove_abandoned()
    assert {path.name for path in folder.iterdir()} == {
        Path(ours.path).name,
        "warren-training-1-host-abc",
        "others",
        "warren-fits-link",
        "warren-fits-file",
    }
    assert (theirs / "file").exists()
    ours.remove()
    assert not Path(ours.path).exists()


def test_a_folder_lives_as_long_as_its_worker_whatever_its_number(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(ROOT)], stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(folder)}
    ) as other:
        assert other.stdout is not None
        held = Path(other.stdout.readline().decode().strip())
        # As in another container that shares the folder, where no process has this id.
        remove_abandoned()
        assert held.exists()
        other.kill()
    remove_abandoned()
    assert not held.exists()


def test_a_folder_is_held_by_whoever_inherits_its_lock(folder: Path) -> None:
    scratch = TempFolder()
    with subprocess.Popen(["sleep", "600"], pass_fds=[scratch.lock]) as heir:
        os.close(scratch.lock)
        remove_abandoned()
        assert Path(scratch.path).exists()
        heir.kill()
    remove_abandoned()
    assert not Path(scratch.path).exists()


def test_a_folder_that_a_cleaner_has_taken_is_made_again_and_held(folder: Path) -> None:
    scratch = TempFolder()
    shutil.rmtree(scratch.path)
    recreate(scratch.path)
    recreate(scratch.path)
    remove_abandoned()
    assert Path(scratch.path).is_dir()
    assert Path(scratch.path).stat().st_mode & 0o777 == 0o700


def test_a_folder_that_somebody_takes_before_it_is_locked_is_made_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    mkdtemp = tempfile.mkdtemp

    def taken_at_once(**how: str) -> str:
        made.append(mkdtemp(**how))
        if len(made) == 1:
            shutil.rmtree(made[0])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", taken_at_once)
    scratch = TempFolder()
    assert scratch.path == made[1]
    other = os.open(scratch.path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_a_folder_that_can_not_be_listed_is_no_reason_not_to_train(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "missing"))
    remove_abandoned()
    recreate(str(folder / "missing" / "more"))
    assert list(folder.iterdir()) == []
