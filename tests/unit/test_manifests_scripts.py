"""The scripts of day two, against commands that play the cluster and the database."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from manifests import K8S

OLD = "a" * 48
SECONDS = 60.0
# Notes its arguments and what it is told by standard input, and fails where it is told to.
KUBECTL = r"""#!/bin/sh
case "$*" in *"${FAKE_FAILS:-nothing fails}"*) echo "the cluster says no" >&2; exit 1 ;; esac
printf 'kubectl %s\n' "$*" >> "$FAKE_LOG"
case "$*" in *--stdin*|*/dev/stdin*) sed 's/^/  /' >> "$FAKE_LOG"; echo >> "$FAKE_LOG" ;; esac
"""
MONGODUMP = r"""#!/bin/sh
for one in "$@"; do case $one in --archive=*) echo dump > "${one#--archive=}" ;; esac; done
exit "${DUMP_STATUS:-0}"
"""
MONGORESTORE = '#!/bin/sh\necho "mongorestore $*"\n'


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


class Rotation:
    """A copy of the script beside passwords of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "secrets"
        self.folder.mkdir()
        shutil.copy(K8S / "secrets/rotate.sh", self.folder)
        put(folder, "kubectl", KUBECTL)
        self.log = folder / "log"
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}", "FAKE_LOG": str(self.log)}
        for name in ("rabbitmq", "mongodb"):
            (self.folder / f"{name}.env").write_text(f"username=warren\npassword={OLD}\n")

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(self.folder / "rotate.sh"), *arguments]
        how = {"capture_output": True, "text": True, "timeout": SECONDS}
        return subprocess.run(command, env=self.environment | environment, **how)

    def password(self, name: str) -> str:
        return (self.folder / f"{name}.env").read_text().split("password=")[1].strip()


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    return Rotation(tmp_path)


@pytest.mark.parametrize("name", ["rabbitmq", "mongodb"])
def test_a_rotation_tells_server_secret_and_workers_in_this_order(rotation: Rotation, name: str) -> None:
    done = rotation.run(name, NAMESPACE="mine")
    assert done.returncode == 0, done.stderr
    new = rotation.password(name)
    assert len(new) == 48
    assert new != OLD
    log = rotation.log.read_text()
    calls = [line for line in log.splitlines() if line.startswith("kubectl")]
    assert all("--namespace mine" in call for call in calls)
    steps = (f"exec --stdin statefulset/{name}", f"patch secret {name}", "rollout restart", "rollout status")
    assert [step for call, step in zip(calls, steps, strict=True) if step in call] == list(steps)
    assert f'{{"stringData": {{"password": "{new}"}}}}' in log
    assert not [call for call in calls if new in call or OLD in call], "an argument is seen by others"


def test_a_server_that_refuses_changes_nothing_and_is_not_passed_over(rotation: Rotation) -> None:
    done = rotation.run("mongodb", FAKE_FAILS="exec")
    assert done.returncode != 0
    assert rotation.password("mongodb") == OLD
    assert not rotation.log.exists(), "neither Secret nor workers were touched"
    again = rotation.run("mongodb")
    assert again.returncode == 2
    assert "mongodb.env.new is left of a rotation that failed" in again.stderr


def test_a_rotation_needs_to_know_what_of(rotation: Rotation) -> None:
    assert "usage:" in rotation.run().stderr
    (rotation.folder / "rabbitmq.env").unlink()
    assert "no rabbitmq.env here" in rotation.run("rabbitmq").stderr


@pytest.fixture
def backup(tmp_path: Path) -> dict[str, str]:
    put(tmp_path, "mongodump", MONGODUMP)
    put(tmp_path, "mongorestore", MONGORESTORE)
    folder = tmp_path / "backup"
    folder.mkdir()
    for day in range(1, 10):
        (folder / f"tuning-2026010{day}T031500Z.archive.gz").write_text("dump")
    (folder / "tuning-20260110T031500Z.archive.gz.part").write_text("half a dump")
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "BACKUP_FOLDER": str(folder),
        "BACKUP_KEEP": "7",
        "MONGO_URL": "mongodb://warren:secret@mongodb/tuning",
    }


def run(script: str, environment: dict[str, str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    # The pod's /tmp is its own.
    text = (K8S / "overlays/backup" / script).read_text().replace("/tmp/", f"{tmp_path}/")
    put(tmp_path, script, text)
    how = {"capture_output": True, "text": True, "timeout": SECONDS}
    return subprocess.run(["sh", str(tmp_path / script)], env=environment, **how)


def test_a_backup_keeps_the_last_seven(backup: dict[str, str], tmp_path: Path) -> None:
    done = run("backup.sh", backup, tmp_path)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in Path(backup["BACKUP_FOLDER"]).iterdir())
    assert len(names) == 7
    assert names[0] == "tuning-20260104T031500Z.archive.gz", "the oldest went first"
    assert not any(name.endswith(".part") for name in names)
    assert "secret" not in done.stdout + done.stderr


def test_a_dump_that_fails_takes_no_other_away(backup: dict[str, str], tmp_path: Path) -> None:
    done = run("backup.sh", backup | {"DUMP_STATUS": "1"}, tmp_path)
    assert done.returncode != 0
    assert len(list(Path(backup["BACKUP_FOLDER"]).glob("*.gz"))) == 9


@pytest.mark.parametrize(
    ("archive", "found"), [({}, "20260109"), ({"ARCHIVE": "tuning-20260102T031500Z.archive.gz"}, "20260102")]
)
def test_a_restore_takes_the_latest_or_the_one_that_is_named(
    archive: dict[str, str], found: str, backup: dict[str, str], tmp_path: Path
) -> None:
    done = run("restore.sh", backup | archive, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"--archive=tuning-{found}T031500Z.archive.gz --drop" in done.stdout


def test_a_restore_of_nothing_says_what_there_is(backup: dict[str, str], tmp_path: Path) -> None:
    done = run("restore.sh", backup | {"ARCHIVE": "tuning-2025.archive.gz"}, tmp_path)
    assert done.returncode == 1
    assert "no backup tuning-2025.archive.gz" in done.stderr
    assert "tuning-20260109T031500Z.archive.gz" in done.stderr
