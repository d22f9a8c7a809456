"""docker-compose.yml for real: images built, everything up, a study from this machine, workers
killed, down and up."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostClassifier
from composed import BUILD_SECONDS, ROOT, Project, docker
from lightgbm import LGBMClassifier
from polling import until
from searches import Search, assert_same_best, assert_same_results
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import XGBClassifier

from producer import Study

# `make test-compose` runs them; without an engine they fail there. A build takes minutes.
pytestmark = [pytest.mark.docker, pytest.mark.timeout(2 * BUILD_SECONDS)]

# Seconds for a study of a minute, while its workers are killed and its servers restarted.
STUDY_SECONDS = 400.0

X, Y = make_classification(400, 12, n_informative=6, flip_y=0.2, random_state=1)
_draw = np.random.default_rng(2)
FRAME = pd.DataFrame(X[:, :5], columns=list("abcde")).assign(
    city=_draw.choice(["Ulm", "Bonn", "Kiel"], len(X)),
    grade=pd.Series(_draw.choice(["low", "high"], len(X))).astype("category"),
)

ROUNDS = {"learning_rate": [0.05, 0.1, 0.2, 0.3], "n_estimators": [20, 40, 60]}
SCORED = {"cv": 5, "scoring": "roc_auc"}
BOOSTED = [
    Search(estimator, {**own, **ROUNDS}, X, Y, options=SCORED)
    for estimator, own in (
        (XGBClassifier(n_jobs=1, random_state=7, subsample=0.8), {"max_depth": [2, 3, 4, 5, 6]}),
        (LGBMClassifier(n_jobs=1, verbosity=-1, random_state=7), {"num_leaves": [4, 7, 15, 20, 31]}),
        (
            CatBoostClassifier(thread_count=1, verbose=False, allow_writing_files=False, random_seed=7),
            {"depth": [2, 3, 4, 5, 6]},
        ),
    )
]
PIPELINE = make_pipeline(
    ColumnTransformer([("numbers", StandardScaler(), list("abcde")), ("words", OneHotEncoder(), ["city", "grade"])]),
    LogisticRegression(random_state=7),
)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project with one worker, on empty volumes."""
    project = Project(tmp_path_factory.mktemp("compose"))
    try:
        project.compose("build", "worker", seconds=BUILD_SECONDS)
        project.compose("up", "--detach", "--wait", "--no-build")
        yield project
    finally:
        project.remove()
    assert project.leftovers() == []


@pytest.fixture
def project(up: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project as it stands, and this machine's way to its servers."""
    monkeypatch.setenv("AMQP_URL", up.amqp_url)
    monkeypatch.setenv("MONGO_URL", up.mongo_url)
    monkeypatch.setenv("WARREN_KEY", up.key)
    return up


def start(project: Project, *words: str) -> None:
    project.compose("up", "--detach", "--wait", "--no-build", *words)


def get(port: int, path: str, host: str = "localhost") -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers={"Host": host})
        with connection.getresponse() as answer:
            return answer.status, answer.read().decode()


def assert_hardened(container: dict[str, Any], project: Project) -> None:
    host, config = container["HostConfig"], container["Config"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert config["User"].split(":")[0] not in {"", "0", "root"}
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    published = [where["HostIp"] for ports in (host["PortBindings"] or {}).values() for where in ports]
    assert set(published) <= {"127.0.0.1"}
    volumes = [mount["Name"] for mount in container["Mounts"] if mount["Type"] == "volume"]
    assert all(name.startswith(project.name) for name in volumes), "a volume without a name is left behind by `down`"
    assert container["State"]["Health"]["Status"] == "healthy"


def test_every_container_is_healthy_and_hardened(project: Project) -> None:
    found = {service: project.inspect(service) for service in ("rabbitmq", "mongodb", "worker")}
    for (container,) in found.values():
        assert_hardened(container, project)
    worker = found["worker"][0]
    assert not worker["HostConfig"]["PortBindings"]
    assert worker["Config"]["User"] == "10001:10001"
    assert worker["Config"]["StopTimeout"] > 10, "WARREN_GRACE_SECONDS and the writes after it"
    (network,) = worker["NetworkSettings"]["Networks"]
    assert json.loads(docker("network", "inspect", network))[0]["Internal"] is True
    assert get(project.ports["MANAGEMENT_PORT"], "/")[0] == 200


def test_a_worker_can_write_nowhere_but_in_tmp(project: Project) -> None:
    (worker,) = project.containers("worker")
    tried = "for folder in / /app /venv /lab /etc /tmp; do touch $folder/x 2>/dev/null && echo $folder; done; true"
    assert docker("exec", worker, "sh", "-c", tried).split() == ["/tmp"]


def test_a_worker_s_container_shows_no_password_to_what_it_trains(project: Project) -> None:
    (worker,) = project.containers("worker")
    look = "for pid in 1 $(cat /proc/1/task/1/children); do cat /proc/$pid/environ; done; true"
    shown = docker("exec", worker, "sh", "-c", look)
    assert "PATH=" in shown, "process 1 can be read"
    assert not [name for name, password in project.passwords.items() if password in shown]


def test_a_worker_holds_no_tools_of_the_build(project: Project) -> None:
    (worker,) = project.containers("worker")
    tried = "for tool in pip gcc /tools/bin/pip /venv/bin/pip; do command -v $tool; done; ls /build; true"
    assert not [line for line in docker("exec", worker, "sh", "-c", tried).split() if not line.startswith("/usr")]
    layers = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", "warren-worker:0.1.0")
    assert "PIP_INDEX_URL" not in layers


def test_tables_pipelines_and_a_refit_on_workers_are_those_of_scikit_learn(project: Project) -> None:
    words = FRAME.assign(city=FRAME["city"].astype("category"))
    searches = [
        Search(PIPELINE, {"logisticregression__C": [0.01, 0.1, 1.0]}, FRAME, Y),
        Search(LGBMClassifier(n_jobs=1, verbosity=-1, random_state=7), {"num_leaves": [4, 7]}, words, Y),
    ]
    for search, study in [(search, search.there()) for search in searches]:
        theirs = search.here()
        study.wait(timeout=STUDY_SECONDS, progress=False)
        assert_same_results(study.cv_results_, theirs.cv_results_)
        assert_same_best(study, theirs)
        refitted = search.estimator.set_params(**theirs.best_params_).fit(search.X, search.y)
        assert np.array_equal(study.best_model().predict_proba(search.X), refitted.predict_proba(search.X))


def test_the_documents_backup_brings_a_deleted_study_back(project: Project, tmp_path: Path) -> None:
    (mongodb,) = project.containers("mongodb")
    if not docker("exec", mongodb, "sh", "-c", "command -v mongodump mongorestore || true").strip():
        pytest.skip("this image of MongoDB has no tools: the one that docker-compose.yml names has them")
    document = (ROOT / "docs/docker.md").read_text().partition("Back up the results")[2]
    there, back = document.partition("```sh\n")[2].partition("```")[0].split("\n\n")
    study = Search(LogisticRegression(), {"C": [0.01, 0.1, 1.0]}, X, Y).there()
    study.wait(timeout=STUDY_SECONDS, progress=False)
    results, coefficients = study.results(), study.best_model(timeout=STUDY_SECONDS).coef_
    project.shell(there, tmp_path)
    study.delete()
    said = project.shell(f"{there.splitlines()[0]}\n{back}", tmp_path)
    assert "0 document(s) failed to restore" in said
    again = Study.attach(study.id)
    pd.testing.assert_frame_equal(again.results(), results, check_exact=True)
    assert np.array_equal(again.best_model(timeout=STUDY_SECONDS).coef_, coefficients)
    project.await_healthy("worker")


def test_a_worker_that_ends_by_itself_is_started_again(project: Project) -> None:
    (worker,) = project.containers("worker")
    before = project.inspect("worker")[0]["RestartCount"]
    # The second signal ends it at once, as an error would; `docker kill` would count as our wish.
    docker("exec", worker, "python", "-c", "import os; os.kill(1, 15); os.kill(1, 15)")
    until(lambda: project.inspect("worker")[0]["RestartCount"] > before, 60)
    project.await_healthy("worker")


def test_killed_workers_and_a_night_switched_off_change_no_score(project: Project) -> None:
    start(project, "--scale", "worker=4")
    studies = [search.there() for search in BOOSTED]
    until(lambda: any(study.status().done for study in studies), STUDY_SECONDS)
    killed = project.containers("worker")[:2]
    docker("kill", "--signal", "KILL", *killed)
    assert len(project.containers("worker")) == 2
    status = studies[-1].status()
    assert status.done < status.total, "killed too late to show anything"
    project.compose("down")
    assert project.leftovers() != [], "`down` keeps the volumes"
    start(project, "--scale", "worker=4")
    # Who was killed is back, since `up` was asked for four.
    project.await_healthy("worker", 4)
    workers = set()
    for search, study in zip(BOOSTED, studies, strict=True):
        theirs = search.here()
        again = Study.attach(study.id)
        again.wait(timeout=STUDY_SECONDS, progress=False)
        assert set(again.results()["state"]) == {"COMPLETE"}
        assert_same_results(again.cv_results_, theirs.cv_results_)
        assert_same_best(again, theirs)
        workers |= set(again.results()["worker"])
    assert len(workers) > 2, workers
    start(project, "--scale", "worker=1")


def test_a_command_leaves_as_many_workers_as_there_were(project: Project) -> None:
    start(project, "--scale", "worker=3")
    before = sorted(project.containers("worker"))
    assert "[" in project.compose("run", "--rm", "--no-TTY", "demo", "warren", "list", "--json")
    start(project, "rabbitmq")
    assert sorted(project.containers("worker")) == before
    assert len(before) == 3
    start(project, "--scale", "worker=1")


def test_the_demo_prints_its_leaderboard(project: Project) -> None:
    printed = project.compose("run", "--rm", "--no-TTY", "demo", seconds=STUDY_SECONDS)
    assert "The 10 best of 324 trials, by roc_auc" in printed
    assert "/tmp/warren" not in printed, "nothing lies there"
    assert re.search("to start over +warren delete demo-breast-cancer-", printed)
    for library in ("XGBClassifier", "LGBMClassifier", "CatBoostClassifier"):
        assert library in printed.partition("The best of each library")[2]


def test_notebook_and_dashboard_answer_on_this_machine(project: Project) -> None:
    project.compose("--profile", "notebook", "build", "notebook", seconds=BUILD_SECONDS)
    for name in ("notebook", "dashboard"):
        project.compose("--profile", name, "up", "--detach", "--wait", "--no-build", name)
    for service in ("notebook", "dashboard"):
        assert_hardened(project.inspect(service)[0], project)
    assert get(project.ports["NOTEBOOK_PORT"], "/api/contents")[0] == 403, "a notebook without its token"
    status, files = get(project.ports["NOTEBOOK_PORT"], f"/api/contents/notebooks?token={project.token}")
    assert status == 200
    assert "01_quickstart.ipynb" in files
    assert "[" in project.compose("exec", "--no-TTY", "notebook", "warren", "list", "--json"), "it finds the database"
    assert get(project.ports["DASHBOARD_PORT"], "/dashboard")[0] == 200
    status, studies = get(project.ports["DASHBOARD_PORT"], "/api/studies")
    assert status == 200
    assert "study_summaries" in studies
    for name, path in (("NOTEBOOK_PORT", "/api"), ("DASHBOARD_PORT", "/dashboard")):
        assert get(project.ports[name], path, "evil.example")[0] == 403, "a name that leads here, and is not ours"


def test_no_password_is_left_in_the_logs(project: Project, tmp_path: Path) -> None:
    logs = project.compose("--profile", "*", "logs", "--no-color")
    assert not [name for name, secret in project.passwords.items() if secret in logs]
