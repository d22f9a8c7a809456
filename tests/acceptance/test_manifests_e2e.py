"""What k8s/e2e.sh does: its shell against a kubectl that plays the cluster, its study against real
workers here."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import cluster_e2e
import pytest
from acceptance.conftest import StartWorker
from manifests import K8S, containers, named, parse
from polling import until
from searches import Search
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from warren.settings import Settings
from warren.storage.store import Store
from warren.storage.study_document import StudyProgress

# A watchdog for each thing that is awaited.
SECONDS = 120.0
REAL_KUBECTL = shutil.which("kubectl")

# Notes its arguments, keeps what it is told to apply, and fails or hangs where it is told to.
FAKE = r"""#!/bin/sh
printf '%s\n' "$*" >> "$FAKE_LOG"
case "$*" in
  "apply --kustomize "*) rm -rf "$FAKE_APPLIED"; cp -R "$3/.." "$FAKE_APPLIED" ;;
  *"get namespace"*) printf '%s' "${FAKE_THERE:-}" ;;
esac
case "${FAKE_DENIED:-}$*" in
  yes*"rollout status statefulset/rabbitmq"*)
    # Until what was told is more than the first time.
    [ "$(grep -c '^apply ' "$FAKE_LOG")" -gt 1 ] || { sleep "$LOOK_SECONDS"; exit 1; } ;;
  yes*"logs mongodb-0"*) echo "IllegalOperation: Attempted to create a lock file on a read-only directory: /data/db" ;;
esac
case "$*" in
  *"${FAKE_FAILS:-nothing fails}"*) echo "the cluster says no" >&2; exit 1 ;;
  *"${FAKE_SLOW:-nothing is slow}"*) sleep "$LOOK_SECONDS"; exit 1 ;;
  *"${FAKE_HANGS:-nothing hangs}"*) exec sleep 60 ;;
esac
"""
STUB = '#!/bin/sh\nprintf "python %s\\n" "$*" >> "$FAKE_LOG"\nexit "${STUDY_STATUS:-0}"\n'


@dataclass
class Stage:
    """A kubectl that plays the cluster, and a Python that plays the study."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, text in (("kubectl", FAKE), ("python", STUB)):
            path = self.folder / name
            path.write_text(text)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        self.environment = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PYTHON": str(self.folder / "python"),
            "FAKE_LOG": str(self.folder / "log"),
            "FAKE_APPLIED": str(self.folder / "applied"),
        }

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(K8S / "e2e.sh"), *arguments],
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        process = self.start(*arguments, **environment)
        said, _ = process.communicate(timeout=SECONDS)
        return process.returncode, said

    @property
    def calls(self) -> list[str]:
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    def left(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.name.startswith("tmp.")]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def place(calls: list[str], words: str) -> int:
    found = [number for number, call in enumerate(calls) if words in call]
    assert found, f"no call asked for {words!r}: {calls}"
    return found[0]


def test_it_applies_waits_runs_the_study_and_takes_down(stage: Stage) -> None:
    status, said = stage.run("warren-worker:dev", NAMESPACE="mine", SEED="7", WORKERS="4")
    assert status == 0, said
    assert said.rstrip().endswith("all held")
    waits = [f"rollout status {what}" for what in ("statefulset/rabbitmq", "deployment/worker")]
    steps = ("get namespace mine", "apply --kustomize", *waits)
    order = [place(stage.calls, words) for words in (*steps, "python -m cluster_e2e", "delete namespace mine")]
    assert order == sorted(order)
    assert "--namespace mine --workers 4" in stage.calls[order[-2]]
    assert "--seed 7" in stage.calls[order[-2]]
    assert not stage.left(), "its passwords are gone"


@pytest.mark.skipif(REAL_KUBECTL is None, reason="no kubectl here to render with")
def test_a_volume_that_only_root_may_write_to_is_handed_over(stage: Stage) -> None:
    status, said = stage.run("warren-worker:dev", FAKE_DENIED="yes", LOOK_SECONDS="2")
    assert status == 0, said
    assert said.count("hands them over") == 1
    assert place(stage.calls, "delete pod rabbitmq-0 mongodb-0") > place(stage.calls, "apply --kustomize")
    done = subprocess.run(
        [str(REAL_KUBECTL), "kustomize", str(stage.folder / "applied/e2e")],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    objects = parse(done.stdout)
    for name in ("rabbitmq", "mongodb"):
        spec = named(objects, "StatefulSet", name)["spec"]["template"]["spec"]
        [init] = spec["initContainers"]
        assert (init["image"], init["command"]) == ("warren-worker:dev", ["chown", "999:999", "/data"])
        assert spec["securityContext"]["runAsNonRoot"], "the server itself is what it was"
    [namespace] = [thing for thing in objects if thing["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"


def test_the_wait_for_a_server_that_does_not_start_has_a_limit(stage: Stage) -> None:
    began = time.monotonic()
    status, said = stage.run(
        "warren-worker:dev", FAKE_SLOW="rollout status statefulset/mongodb", ROLLOUT_SECONDS="3", LOOK_SECONDS="2"
    )
    assert status != 0
    assert "hands them over" not in said
    assert "delete namespace" in stage.calls[-1]
    assert time.monotonic() - began < SECONDS


@pytest.mark.skipif(REAL_KUBECTL is None, reason="no kubectl here to render with")
def test_image_class_and_namespace_come_from_outside(stage: Stage) -> None:
    digest = "sha256:" + "a" * 64
    status, said = stage.run(
        "registry.example:5000/me/worker:1.2",
        NAMESPACE="mine",
        STORAGE_CLASS="hostpath",
        RABBITMQ_IMAGE=f"mirror.example/rabbitmq@{digest}",
        MONGO_IMAGE="mirror.example/mongo:8.0",
        WORKER_CPU="1",
    )
    assert status == 0, said
    # Rendered from a copy: the script's own folder is gone, and with it the passwords.
    done = subprocess.run(
        [str(REAL_KUBECTL), "kustomize", str(stage.folder / "applied/e2e")],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    objects = parse(done.stdout)
    assert {thing["metadata"].get("namespace", "mine") for thing in objects} == {"mine"}
    assert named(objects, "RoleBinding", "idle-first")["subjects"][0]["namespace"] == "mine"
    assert {container["image"] for _, container in containers(objects)} == {
        "registry.example:5000/me/worker:1.2",
        f"mirror.example/rabbitmq@{digest}",
        "mirror.example/mongo:8.0",
    }
    for name in ("rabbitmq", "mongodb"):
        (claim,) = named(objects, "StatefulSet", name)["spec"]["volumeClaimTemplates"]
        assert claim["spec"]["storageClassName"] == "hostpath"
    worker = named(objects, "Deployment", "worker")["spec"]
    assert worker["replicas"] == 2
    assert worker["template"]["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "1", "memory": "384Mi"}


def test_without_a_class_the_clusters_default_is_taken(stage: Stage) -> None:
    assert stage.run("warren-worker:dev")[0] == 0
    assert "storageClassName" not in (stage.folder / "applied/e2e/kustomization.yaml").read_text()


@pytest.mark.parametrize("image", ["warren-worker", "registry.example:5000/worker"])
def test_an_image_without_a_tag_is_refused(stage: Stage, image: str) -> None:
    status, said = stage.run(image)
    assert status == 2
    assert f"{image}: an image needs a tag, as in {image}:0.1.0" in said
    assert not [call for call in stage.calls if "delete" in call or "apply" in call]


def test_an_existing_namespace_is_not_deleted(stage: Stage) -> None:
    status, said = stage.run("warren-worker:dev", NAMESPACE="tuning", FAKE_THERE="namespace/tuning")
    assert status == 2
    assert "namespace tuning is there already" in said
    assert not [call for call in stage.calls if "delete" in call or "apply" in call]


@pytest.mark.parametrize("words", ["apply --kustomize", "rollout status statefulset/mongodb"])
def test_a_failure_is_shown_and_then_taken_down(stage: Stage, words: str) -> None:
    status, said = stage.run("warren-worker:dev", FAKE_FAILS=words)
    assert status != 0
    assert "FAILED" in said
    order = [place(stage.calls, one) for one in ("get events", "logs", "delete namespace warren-e2e")]
    assert order == sorted(order)
    assert not [call for call in stage.calls if call.startswith("python")]
    assert not stage.left()


def test_a_study_that_is_wrong_ends_in_its_exit_status(stage: Stage) -> None:
    status, said = stage.run("warren-worker:dev", STUDY_STATUS="1")
    assert status == 1
    assert "FAILED (1)" in said
    place(stage.calls, "delete namespace")


def test_a_namespace_that_does_not_go_away_is_a_failure(stage: Stage) -> None:
    status, said = stage.run("warren-worker:dev", FAKE_FAILS="delete namespace")
    assert status == 1
    assert "is not gone" in said


def test_what_failed_can_be_kept(stage: Stage) -> None:
    status, said = stage.run("warren-worker:dev", STUDY_STATUS="1", KEEP="1")
    assert status == 1
    assert "kubectl delete namespace warren-e2e" in said
    assert not [call for call in stage.calls if call.startswith("delete")]


def test_ctrl_c_takes_down(stage: Stage) -> None:
    process = stage.start("warren-worker:dev", FAKE_HANGS="rollout status statefulset/rabbitmq")
    until(lambda: any("rollout status" in call for call in stage.calls), SECONDS, "it waits for the broker")
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode != 0, said
    place(stage.calls, "delete namespace")


@pytest.mark.parametrize(
    "script", ["e2e.sh", "secrets/create.sh", "overlays/backup/backup.sh", "overlays/backup/restore.sh"]
)
def test_a_script_holds_what_shellcheck_asks(script: str) -> None:
    if (shellcheck := shutil.which("shellcheck")) is None:
        pytest.skip("no shellcheck here: Debian calls the package shellcheck")
    done = subprocess.run([shellcheck, str(K8S / script)], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout


# ------------------------------------------------------------------------------------- the study


@dataclass
class Processes:
    """Worker processes that play pods: one that is deleted gets a successor."""

    start: StartWorker
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: int = 0
    gone: list[str] = field(default_factory=list)

    def _add(self) -> None:
        name = f"pod-{self.started}"
        self.started += 1
        self.running[name] = self.start(WARREN_WORKER_NAME=name)

    def scale(self, count: int) -> None:
        while len(self.running) < count:
            self._add()

    def workers(self) -> list[str]:
        return [name for name, process in self.running.items() if process.poll() is None]

    def delete(self, name: str, *, hard: bool) -> None:
        self.gone.append(name)
        self.running.pop(name).send_signal(signal.SIGKILL if hard else signal.SIGTERM)
        self._add()

    def roll(self) -> None:
        for name in list(self.running):
            self.delete(name, hard=False)

    def settle(self, seconds: float) -> None:
        assert self.workers()


@pytest.fixture
def search() -> Search:
    X, y = load_breast_cancer(return_X_y=True)
    forest = RandomForestClassifier(random_state=0, n_jobs=1)
    grid = {"n_estimators": [20, 40], "max_depth": [3, 4, 5], "min_samples_leaf": [1, 2]}
    return Search(forest, grid, X, y, options={"cv": 3, "scoring": ["roc_auc", "accuracy"]})


@pytest.fixture
def fleet(start_worker: StartWorker) -> Processes:
    return Processes(start_worker)


@pytest.mark.slow
def test_a_study_under_fire_holds(fleet: Processes, search: Search) -> None:
    assert cluster_e2e.run(fleet, search, workers=2, deletions=2, seconds=SECONDS, seed=1) == []
    assert len(fleet.gone) == 4, "two deleted, and two rolled"


@pytest.mark.slow
def test_what_went_wrong_is_said(
    fleet: Processes, search: Search, servers: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.scale(1)
    study = search.there().wait(timeout=SECONDS, progress=False)
    over = SimpleNamespace(there=lambda: study, here=search.here)
    (said,) = cluster_e2e.run(fleet, over, workers=1, deletions=0, seconds=SECONDS, seed=1)
    assert "over before the last worker was deleted" in said, "and nothing else"
    store = Store(servers)
    here = store.study(study.id, StudyProgress).versions
    store.update_study(study.id, {"$set": {"versions.numpy": "1.0"}})
    (said,) = cluster_e2e.check(study, search)
    assert said.startswith("other versions than the workers': "), "and not that scores differ"
    assert "submitted with NumPy 1.0, and workers have NumPy " in said
    other = {"python": f"3.{sys.version_info.minor}.99"}
    store.update_study(study.id, {"$set": {"versions": here | other}})
    assert cluster_e2e.check(study, search) == [], "the image may have another of Python's last numbers"
    trials = store.trials._collection
    victim = trials.find_one({"study_id": study.id, "number": 3})
    trials.update_one({"_id": victim["_id"]}, {"$set": {"split_test_roc_auc.1": 0.5}})
    (said,) = cluster_e2e.check(study, search)
    assert "scores are not those of GridSearchCV" in said
    trials.delete_one({"_id": victim["_id"]})
    assert any("1 of 12 trials have no document: [3]" in one for one in cluster_e2e.check(study, search))
    trials.insert_many([victim, victim | {"_id": "again"}])
    assert any("1 trials have more than one document: [3]" in one for one in cluster_e2e.check(study, search))
    store.close()


def test_there_are_two_hundred_trials() -> None:
    from sklearn.model_selection import ParameterGrid

    assert len(ParameterGrid(cluster_e2e.search_of(140).grid)) == 200


@pytest.mark.slow
def test_the_search_of_the_cluster_is_one_that_both_sides_can_run(fleet: Processes) -> None:
    whole = cluster_e2e.search_of(22)
    forests, boosters = whole.grid
    forests |= {"model__max_depth": [4], "model__min_samples_leaf": [1]}
    boosters |= {"model__n_estimators": [20]}
    fleet.scale(1)
    search = replace(whole, grid=[forests, boosters])
    study = search.there().wait(timeout=SECONDS, progress=False)
    assert cluster_e2e.check(study, search) == []
    assert study.status().total == 18


def test_kubectl_is_asked_for_what_is_meant(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)
    kubectl = cluster_e2e.Kubectl("mine")
    kubectl.scale(10)
    kubectl.delete("worker-1", hard=False)
    kubectl.delete("worker-2", hard=True)
    kubectl.roll()
    kubectl.settle(5)
    assert stage.calls == [
        "--namespace mine scale deployment/worker --replicas=10",
        "--namespace mine delete pod worker-1 --wait=false --ignore-not-found",
        "--namespace mine delete pod worker-2 --wait=false --ignore-not-found --grace-period=0 --force",
        "--namespace mine rollout restart deployment/worker",
        "--namespace mine rollout status deployment/worker --timeout=5s",
    ]
    monkeypatch.setattr(cluster_e2e, "_LOOK_SECONDS", 0.0)
    monkeypatch.setenv("FAKE_FAILS", "scale")
    with pytest.raises(SystemExit, match="the cluster says no"):
        kubectl.scale(3)
    assert sum("--replicas=3" in call for call in stage.calls) == 4, "an API that is busy is asked again"
    monkeypatch.setenv("FAKE_FAILS", "restart")
    with pytest.raises(SystemExit, match="the cluster says no"):
        kubectl.roll()
    assert sum("rollout restart" in call for call in stage.calls) == 2
