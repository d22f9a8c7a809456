"""The commands on a cluster, against an API server over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cluster_api import FakeCluster
from commands import run

ROOT = Path(__file__).resolve().parents[2]


def test_scale_says_what_is_wanted(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "scale", "40")
    assert (code, err) == (0, "")
    assert out == "40 workers requested; see warren cluster status\n"
    assert fake.get("deployments", "worker")["spec"]["replicas"] == 40
    assert run(capsys, "scale", "2", "--wait")[1] == "2 workers ready\n"
    code, _, err = run(capsys, "scale", "3", "--wait", "--timeout", "0")
    assert (code, err) == (1, "warren: 2 of 3 workers are ready after 0 s, 2 pods are there\n")


@pytest.mark.parametrize("arguments", [["scale"], ["scale", "--", "-1"], ["cluster", "autoscale"], ["scale", "x"]])
def test_a_misspelt_command_is_status_2(
    fake: FakeCluster, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(capsys, *arguments)[0] == 2


def test_an_error_is_one_line(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "scale", "4", "--context", "prod")
    assert (code, out) == (1, "")
    assert err.startswith("warren: no context 'prod' in kubeconfig")
    assert len(err.splitlines()) == 1


def test_status_is_a_table_or_json(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "cluster", "status")
    assert code == 0
    assert out.splitlines()[0] == "2 of 2 workers ready"
    assert "worker-6d9f7c5b4-00000  Running  yes" in out
    found = json.loads(run(capsys, "cluster", "status", "--json")[1])
    assert (found["ready"], found["wanted"], found["preemptible"], found["problems"]) == (2, 2, 2, [])
    assert {"name", "phase", "node", "preemptible", "restarts", "age_seconds", "reason"} <= set(found["pods"][0])


def test_logs_are_printed(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    fake.logs["rabbitmq-0"] = ["one", "two", "three"]
    assert run(capsys, "cluster", "logs", "rabbit", "--lines", "2")[1] == "two\nthree\n"


def test_autoscale_is_switched_on_and_off(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "cluster", "autoscale", "0", "40")
    assert (code, out) == (0, "0 to 40 workers by ScaledObject worker: KEDA, by the chunks in the queue\n")
    assert run(capsys, "scale", "4")[0] == 1
    assert (
        run(capsys, "cluster", "autoscale", "--off")[1] == "removed ScaledObject worker (0 to 40); the workers stay\n"
    )
    assert run(capsys, "cluster", "autoscale", "--off")[1] == "there was no autoscaler\n"


@pytest.mark.slow
def test_connect_stays_until_it_is_told_to_end(fake: FakeCluster) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "producer", "cluster", "connect", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "connected to namespace tuning; Ctrl-C ends it\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert json.loads(out)["amqp_url"].startswith("amqp://warren:0123abcd@127.0.0.1:")
    assert json.loads(out)["mongo_url"].endswith("/tuning?authSource=admin&directConnection=true")


@pytest.mark.parametrize(
    "command", [["scale"], *(["cluster", name] for name in ("status", "logs", "connect", "autoscale"))]
)
def test_every_command_has_an_example_in_its_help(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0
    assert f"\n    warren {' '.join(command)}" in out
