"""The command line as processes, on real servers, with real workers."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from servers import Urls

from producer.cli import main
from warren.settings import Settings

EXAMPLES = Path(__file__).parents[2] / "examples"
# Seconds after which a command counts as stuck.
STUCK_SECONDS = 90.0


@dataclass(frozen=True)
class Ran:
    """What a command printed."""

    stdout: str
    stderr: str


def warren(*arguments: str, status: int = 0) -> Ran:
    """Run a command in this process, for its imports are slow; it must end with this status."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        found = main(arguments)
    assert found == status, err.getvalue()
    return Ran(out.getvalue(), err.getvalue())


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command next to the test; it has ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "producer", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def write_study(folder: Path, name: str, **fields: Any) -> str:
    shutil.copy(EXAMPLES / "breast_cancer.csv", folder)
    study = {
        "name": name,
        "data": {"path": "breast_cancer.csv", "target": "diagnosis"},
        "estimator": "sklearn.dummy.DummyClassifier",
        "grid": {"strategy": ["most_frequent", "stratified"], "random_state": list(range(20))},
        "chunks": 10,
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(study | fields))
    return str(path)


@pytest.mark.usefixtures("stack")
def test_the_example_goes_from_a_file_to_its_results(tmp_path: Path) -> None:
    with running("submit", str(EXAMPLES / "study.yaml"), "--wait", "--name", "from-a-file") as process:
        ran = Ran(*process.communicate(timeout=STUCK_SECONDS))
    assert process.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert re.match(r"from-a-file \(from-a-file-\w+\): COMPLETE, 16 of 16 trials, ", lines[0])
    assert lines[1].split()[:4] == ["trial", "model", "roc_auc", "accuracy"]
    assert len(lines) == 8
    assert "diagnosis: text labels become numbers: benign = 0, malignant = 1" in ran.stderr
    assert "16/16 trials (100%)" in ran.stderr
    assert "\r" not in ran.stderr
    assert "\x1b" not in ran.stdout + ran.stderr

    again = warren("submit", str(EXAMPLES / "study.yaml"), "--name", "from-a-file", "--json")
    status = json.loads(again.stdout)
    assert (status["state"], status["done"], status["failed"]) == ("COMPLETE", 16, 0)
    told = warren("submit", str(EXAMPLES / "study.yaml"), "--name", "from-a-file")
    assert "all 16 trials have ended before; nothing was queued" in told.stdout

    listed = json.loads(warren("list", "--limit", "0", "--json").stdout)
    assert status["id"] in [study["id"] for study in listed]
    assert status["id"] in warren("list", "--limit", "0").stdout

    trials = json.loads(warren("results", "from-a-file", "--json").stdout)
    scores = [trial["mean_test_roc_auc"] for trial in trials]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == status["best_score"] > 0.95
    assert {trial["estimator"] for trial in trials} == {"XGBClassifier", "LGBMClassifier"}
    frame = pd.read_csv(io.StringIO(warren("results", "from-a-file", "--csv", "-").stdout))
    assert frame["mean_test_roc_auc"].tolist() == scores
    # A parameter that a library does not have is empty, whatever its kind.
    assert frame["param_num_leaves"].isna().sum() == 8
    assert set(frame["param_num_leaves"].dropna()) == {4, 8}
    warren("results", "from-a-file", "--parquet", str(tmp_path / "r.parquet"))
    assert len(pd.read_parquet(tmp_path / "r.parquet")) == 16


@pytest.mark.usefixtures("stack")
def test_failures_are_told_with_their_reason(tmp_path: Path) -> None:
    path = write_study(
        tmp_path, "some-fail", estimator="sklearn.linear_model.LogisticRegression", grid={"C": [1.0, -1.0]}, cv=3
    )
    ran = warren("submit", path, "--wait")
    assert "1 trial failed:" in ran.stdout
    assert "'C' parameter" in ran.stdout
    assert "try them again with: warren retry some-fail-" in ran.stdout


@pytest.mark.usefixtures("servers")
def test_ctrl_c_ends_the_watching_and_not_the_study(tmp_path: Path) -> None:
    study = json.loads(warren("submit", write_study(tmp_path, "goes-on"), "--json").stdout)
    with running("watch", study["id"]) as watching:
        assert watching.stderr is not None
        assert "0/40 trials (0%)" in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        out, err = watching.communicate(timeout=STUCK_SECONDS)
    assert (watching.returncode, out) == (130, "")
    assert err == f"warren: study {study['id']} goes on without you; look again with: warren watch {study['id']}\n"
    assert json.loads(warren("list", "--json").stdout)[0]["state"] == "RUNNING"
    assert "goes on without you" in warren("watch", study["id"], "--timeout", "0.2", status=1).stderr


@pytest.mark.usefixtures("servers")
def test_a_study_is_paused_resumed_and_cancelled_and_workers_run_it(tmp_path: Path) -> None:
    study = json.loads(warren("submit", write_study(tmp_path, "steered"), "--json").stdout)["id"]
    assert "PAUSED, 0 of 40 trials done" in warren("pause", study).stdout
    assert "RUNNING, 0 of 40 trials done; 40 trials queued" in warren("resume", study).stdout
    with running("worker", "--count", "2", "--threads", "1") as workers:
        ran = warren("watch", study)
        assert "COMPLETE, 40 of 40 trials" in ran.stdout
        workers.send_signal(signal.SIGTERM)
        _, err = workers.communicate(timeout=STUCK_SECONDS)
    assert workers.returncode == 0, err
    trials = json.loads(warren("results", study, "--json").stdout)
    assert sorted(trial["number"] for trial in trials) == list(range(40))
    said = warren("cancel", study, status=1).stderr
    assert "COMPLETE" in said
    assert len(said.splitlines()) == 1
    assert "DELETED, with the results of 40 trials" in warren("delete", study, "--yes").stdout
    assert "no study" in warren("results", study, status=1).stderr


@pytest.mark.slow
@pytest.mark.usefixtures("servers")
def test_one_worker_takes_the_place_of_its_command(tmp_path: Path) -> None:
    study = json.loads(warren("submit", write_study(tmp_path, "alone"), "--json").stdout)["id"]
    with running("worker") as worker:
        warren("watch", study)
        assert psutil.Process(worker.pid).cmdline()[-2:] == ["-m", "worker"]
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate(timeout=STUCK_SECONDS)
    assert worker.returncode == 0, err


@pytest.mark.slow
@pytest.mark.usefixtures("stack")
def test_a_reader_that_goes_away_makes_no_traceback(tmp_path: Path) -> None:
    study = json.loads(warren("submit", write_study(tmp_path, "long"), "--json", "--wait").stdout)["id"]
    for arguments in (("results", study, "--top", "0"), ("results", study, "--csv", "-")):
        with running(*arguments) as process:
            assert process.stdout is not None
            process.stdout.close()
            process.stdout = None
            _, err = process.communicate(timeout=STUCK_SECONDS)
        assert err == ""


def test_servers_that_are_away_are_named_without_their_password(
    servers: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write_study(tmp_path, "nowhere")
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "1")
    monkeypatch.setenv("AMQP_URL", "amqp://user:secret@127.0.0.1:1/%2F")
    said = warren("submit", path, status=1).stderr.splitlines()[-1]
    assert said.startswith("warren: ")
    assert "127.0.0.1:1" in said
    monkeypatch.setenv("MONGO_URL", "mongodb://user:secret@127.0.0.1:1/tuning")
    listed = warren("list", status=1).stderr
    assert "mongodb://user:***@127.0.0.1:1/tuning" in listed
    assert len(listed.splitlines()) == 1
    assert "secret" not in said + listed


@pytest.mark.slow
def test_up_brings_servers_and_workers_and_takes_them_away_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name in {"AMQP_URL", "MONGO_URL"} or name.startswith("WARREN_")]:
        monkeypatch.delenv(name)
    with running("up", "--workers", "1", "--data-dir", str(tmp_path / "kept"), "--json") as up:
        assert up.stdout is not None
        place = json.loads("".join(iter(up.stdout.readline, "}\n")) + "}")
        with monkeypatch.context() as patch:
            patch.setenv("AMQP_URL", place["amqp_url"])
            patch.setenv("MONGO_URL", place["mongo_url"])
            assert place["warren_key"] == str(tmp_path / "kept" / "key")
            patch.setenv("WARREN_KEY", place["warren_key"])
            ran = warren("submit", write_study(tmp_path, "kept"), "--wait")
            assert "COMPLETE, 40 of 40 trials" in ran.stdout
        children = psutil.Process(up.pid).children(recursive=True)
        assert len(children) >= 3
        up.send_signal(signal.SIGINT)
        _, err = up.communicate(timeout=STUCK_SECONDS)
    assert up.returncode == 130
    assert err.splitlines()[-1] == "stopped; the next `warren up` continues"
    assert not any(child.is_running() for child in children)
    assert (tmp_path / "kept").is_dir()


def test_up_uses_servers_that_are_there_and_ends_by_sigterm_too(stack: Urls, tmp_path: Path) -> None:
    with running("up", "--workers", "0", "--data-dir", str(tmp_path)) as up:
        assert up.stdout is not None
        lines = list(iter(up.stdout.readline, "MongoDB Compass opens the MONGO_URL.\n"))
        up.send_signal(signal.SIGTERM)
        up.communicate(timeout=STUCK_SECONDS)
    assert up.returncode == 130
    assert "  AMQP_URL as set here\n" in lines
    assert not any(stack.amqp_url in line for line in lines), "no password of somebody's server on the screen"
