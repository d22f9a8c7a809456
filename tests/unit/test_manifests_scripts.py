"""The scripts of day two, against commands that play the cluster and the database."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from manifests import K8S, ROOT, SECRETS

from warren.safety.signing import read_keys

OLD = "a" * 48
SECONDS = 60.0
# Notes its arguments and what it is told by standard input, and fails where it is told to.
KUBECTL = r"""#!/bin/sh
case "$*" in *"${FAKE_FAILS:-nothing fails}"*) echo "the cluster says no" >&2; exit 1 ;; esac
printf 'kubectl %s\n' "$*" >> "$FAKE_LOG"
case "$*" in *--stdin*|*/dev/stdin*) sed 's/^/  /' >> "$FAKE_LOG"; echo >> "$FAKE_LOG" ;; esac
"""
# Writes a file as mongodump does, names first, and like it repeats the URL of its configuration
# when it fails.
MONGODUMP = r"""#!/bin/sh
for one in "$@"; do
  case $one in
    --archive=*) printf %s "${DUMP-db tuning studies}" | gzip | head -c "${DUMP_BYTES:-1000}" > "${one#--archive=}" ;;
    --config=*) cat "${one#--config=}" >> "$TOLD"; grep uri: "${one#--config=}" >&2 ;;
  esac
done
echo "mongodump $*"
exit "${DUMP_STATUS:-0}"
"""
MONGORESTORE = r"""#!/bin/sh
for one in "$@"; do
  case $one in --config=*) cat "${one#--config=}" >> "$TOLD"; grep uri: "${one#--config=}" >&2 ;; esac
done
echo "mongorestore $*"
"""


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


class Rotation:
    """A copy of the script, next to passwords of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "secrets"
        self.folder.mkdir()
        shutil.copy(K8S / "secrets/rotate.sh", self.folder)
        put(folder, "kubectl", KUBECTL)
        self.log = folder / "log"
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}", "FAKE_LOG": str(self.log)}
        for name, keys in SECRETS.items():
            user = "watcher" if name == "watcher" else "warren"
            lines = [f"{key}={user if key == 'username' else OLD}\n" for key in keys]
            (self.folder / f"{name}.env").write_text("".join(lines))

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(self.folder / "rotate.sh"), *arguments]
        how = {"capture_output": True, "text": True, "timeout": SECONDS}
        return subprocess.run(command, env=self.environment | environment, **how)

    def password(self, name: str, key: str = "password") -> str:
        found = dict(line.split("=") for line in (self.folder / f"{name}.env").read_text().splitlines())
        return found[key]


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    return Rotation(tmp_path)


BROKER, DATABASE = "exec --stdin statefulset/rabbitmq", "exec --stdin statefulset/mongodb"


@pytest.mark.parametrize(
    ("name", "told", "rolled"),
    [
        ("rabbitmq", (BROKER,), None),
        ("mongodb", (DATABASE,), None),
        ("worker", (BROKER, DATABASE), "worker"),
        ("producer", (BROKER, DATABASE), None),
        ("viewer", (DATABASE,), "tensorboard"),
        ("watcher", (BROKER,), None),
        ("backup", (DATABASE,), None),
    ],
)
def test_a_rotation_tells_servers_secret_and_who_uses_it_in_this_order(
    rotation: Rotation, name: str, told: tuple[str, ...], rolled: str | None
) -> None:
    done = rotation.run(name, NAMESPACE="mine")
    assert done.returncode == 0, done.stderr
    new = {key: rotation.password(name, key) for key in SECRETS[name] if key != "username"}
    assert all(len(one) == 48 and one != OLD for one in new.values())
    assert len(set(new.values())) == len(new)
    log = rotation.log.read_text()
    calls = [line for line in log.splitlines() if line.startswith("kubectl")]
    assert all("--namespace mine" in call for call in calls)
    steps = [*told, *[f"patch secret {name}"] * len(new), *(["rollout restart", "rollout status"] if rolled else [])]
    assert [step for call, step in zip(calls, steps, strict=True) if step in call] == steps
    assert all("component=" + str(rolled) in call for call in calls if "rollout" in call)
    for key, value in new.items():
        assert f'{{"stringData": {{"{key}": "{value}"}}}}' in log
    user = {"rabbitmq": "warren", "mongodb": "warren"}.get(name, name)
    if BROKER in told:
        assert f"change_password {user}\n  {new.get('password') or new['rabbitmq_password']}\n" in log
    if DATABASE in told:
        assert f'db.auth("warren", "{OLD}");' in log
        assert f'db.changeUserPassword("{user}", "{new.get("password") or new["mongodb_password"]}");' in log
    assert not [call for call in calls for one in (*new.values(), OLD) if one in call], "an argument is seen by others"


def test_a_key_is_believed_by_all_before_it_signs(rotation: Rotation) -> None:
    done = rotation.run("key")
    assert done.returncode == 0, done.stderr
    new, old = rotation.password("signing", "key").split(",")
    assert (len(new), old) == (48, OLD)
    log = rotation.log.read_text()
    steps = [f'"key": "{OLD},{new}"', "rollout status", f'"key": "{new},{OLD}"', "rollout status"]
    places = [log.index(steps[0]), log.index(steps[1]), log.index(steps[2]), log.rindex(steps[3])]
    assert places == sorted(places)
    assert not [line for line in log.splitlines() if line.startswith("kubectl") and (new in line or OLD in line)]
    assert read_keys(rotation.password("signing", "key")) == (new, OLD)
    assert rotation.run("key-drop").returncode == 0
    assert rotation.password("signing", "key") == new
    assert rotation.run("key").returncode == 0
    assert rotation.password("signing", "key").endswith(f",{new}")


def test_where_nothing_was_signed_the_first_key_is_the_only_one(rotation: Rotation) -> None:
    (rotation.folder / "signing.env").write_text("key=\n")
    assert rotation.run("key").returncode == 0
    assert len(rotation.password("signing", "key")) == 48
    assert rotation.log.read_text().count("patch secret signing") == 1


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
        (folder / f"tuning-2026010{day}T031500Z.archive.gz").write_bytes(gzip.compress(b"\0db\0tuning\0studies\0"))
    (folder / "tuning-20260110T031500Z.archive.gz.part").write_text("half a dump")
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "TOLD": str(tmp_path / "told"),
        "BACKUP_FOLDER": str(folder),
        "BACKUP_KEEP": "7",
        "MONGO_URL": "mongodb://warren@mongodb:27017/tuning?authSource=admin",
        "MONGO_PASSWORD": "5e55",
    }


def run(script: str, environment: dict[str, str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    # The pod's /tmp is its own.
    text = (K8S / "overlays/backup" / script).read_text().replace("/tmp/", f"{tmp_path}/")
    put(tmp_path, script, text)
    how = {"capture_output": True, "text": True, "timeout": SECONDS}
    return subprocess.run(["sh", str(tmp_path / script)], env=environment, **how)


def dumps(backup: dict[str, str]) -> list[str]:
    return sorted(path.name for path in Path(backup["BACKUP_FOLDER"]).iterdir() if path.suffix != ".part")


def test_a_backup_keeps_the_last_seven(backup: dict[str, str], tmp_path: Path) -> None:
    done = run("backup.sh", backup, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(dumps(backup)) == 7
    assert dumps(backup)[0] == "tuning-20260104T031500Z.archive.gz", "the oldest went first"
    assert not list(Path(backup["BACKUP_FOLDER"]).glob("*.part"))


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ({"DUMP_STATUS": "1"}, ""),
        ({"DUMP_BYTES": "20"}, "unexpected end of file"),
        ({"DUMP": ""}, "there are no studies in the database"),
        ({"BACKUP_KEEP": "0"}, "BACKUP_KEEP=0: how many dumps are kept, 1 or more"),
        ({"BACKUP_KEEP": ""}, "BACKUP_KEEP=: how many"),
        ({"BACKUP_KEEP": "seven"}, "BACKUP_KEEP=seven: how many"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_dump_that_fails_takes_no_other_away(
    trouble: dict[str, str], said: str, backup: dict[str, str], tmp_path: Path
) -> None:
    before = dumps(backup)
    done = run("backup.sh", backup | trouble, tmp_path)
    assert done.returncode != 0
    assert said in done.stderr
    assert dumps(backup) == before


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


def test_half_a_dump_is_refused_before_anything_is_dropped(backup: dict[str, str], tmp_path: Path) -> None:
    half = Path(backup["BACKUP_FOLDER"]) / "tuning-20260109T031500Z.archive.gz"
    half.write_bytes(half.read_bytes()[:-4])
    done = run("restore.sh", backup, tmp_path)
    assert done.returncode == 1
    assert f"{half.name} is not whole: nothing was touched" in done.stderr
    assert "mongorestore" not in done.stdout


def test_a_dump_of_another_database_is_refused_and_not_passed_over(backup: dict[str, str], tmp_path: Path) -> None:
    done = run("restore.sh", backup | {"MONGO_URL": "mongodb://warren@mongodb:27017/other"}, tmp_path)
    assert done.returncode == 1
    assert "holds no database other, which MONGO_URL names" in done.stderr
    assert "mongorestore" not in done.stdout


@pytest.mark.parametrize("script", ["backup.sh", "restore.sh"])
def test_the_password_is_in_no_argument_and_in_no_url_of_an_error(
    script: str, backup: dict[str, str], tmp_path: Path
) -> None:
    done = run(script, backup, tmp_path)
    assert "uri: " in done.stderr
    assert backup["MONGO_PASSWORD"] not in done.stdout + done.stderr
    # In quotes: YAML would take some hexadecimal ones for numbers.
    told = Path(backup["TOLD"]).read_text().splitlines()
    assert told == [f'uri: "{backup["MONGO_URL"]}"', f'password: "{backup["MONGO_PASSWORD"]}"']
    assert (tmp_path / "tools.yaml").stat().st_mode & 0o077 == 0
    manifest = (K8S / "overlays/backup/cronjob.yaml").read_text()
    assert "name: MONGO_PASSWORD" in manifest
    assert "$(MONGO_PASSWORD)" not in manifest, "it would be in the URL"


def test_git_holds_no_secret() -> None:
    tracked = subprocess.run(["git", "ls-files", "k8s"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert not [path for path in tracked if path.startswith("k8s/secrets/") and path.endswith(".env")]
    ignored = [f"k8s/secrets/{name}.env" for name in SECRETS]
    done = subprocess.run(["git", "check-ignore", *ignored], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 128:  # not a git checkout: an archive has nothing to ignore
        assert done.stdout.split() == ignored


def test_secrets_are_made_once_and_read_by_nobody_else(tmp_path: Path) -> None:
    script = tmp_path / "create.sh"
    script.write_text((K8S / "secrets/create.sh").read_text())
    for _ in range(2):
        done = subprocess.run(["bash", str(script)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
    assert done.stdout.count("is there already") == len(SECRETS)
    passwords = []
    for name, keys in SECRETS.items():
        path = tmp_path / f"{name}.env"
        assert path.stat().st_mode & 0o077 == 0
        found = dict(line.split("=") for line in path.read_text().splitlines())
        assert tuple(found) == keys
        passwords += [value for key, value in found.items() if key != "username"]
        example = (K8S / f"secrets/{name}.env.example").read_text()
        assert tuple(re.findall(r"^(\w+)=", example, re.MULTILINE)) == keys
    assert all(re.fullmatch("[0-9a-f]{48}", one) for one in passwords), "they need no escapes in a URL"
    assert len(set(passwords)) == len(passwords)


def test_an_older_installation_gets_users_and_no_signing_key(tmp_path: Path) -> None:
    script = tmp_path / "create.sh"
    script.write_text((K8S / "secrets/create.sh").read_text())
    for name in ("rabbitmq", "mongodb"):
        (tmp_path / f"{name}.env").write_text("username=warren\npassword=abc\n")
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, timeout=30, check=True)
    assert (tmp_path / "mongodb.env").read_text() == "username=warren\npassword=abc\n"
    assert (tmp_path / "signing.env").read_text() == "key=\n"
    assert "signing.env has no key" in done.stdout
    assert {path.name for path in tmp_path.glob("*.env")} == {f"{name}.env" for name in SECRETS}
