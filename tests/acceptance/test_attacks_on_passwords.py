"""Code in a training process looks for the passwords of its worker: what a message could do if it
could run code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from acceptance.conftest import StartWorker, X, Y
from faulty import Sleeps, Snoops
from polling import until

from producer import submit
from warren.settings import Settings


def urls_shown_by(pid: int) -> list[str]:
    """Return the kinds of URLs in the environment of a process, as far as its own user sees it."""
    try:
        shown = Path(f"/proc/{pid}/environ").read_text()
    except PermissionError:  # root sees it
        return []
    assert "PATH=" in shown, "the rest of the environment is there"
    return re.findall(r"(?:amqp|mongodb)://", shown)


def test_no_password_is_within_reach_of_a_training_process(servers: Settings, start_worker: StartWorker) -> None:
    start_worker()
    texts = [servers.amqp_url, servers.mongo_url, "RABBITMQ_PASSWORD=", "s3cret-key"]
    study = submit(Snoops(), {"text": texts}, X, Y, cv=2, name="snoops")
    study.wait(60, progress=False)
    assert list(study.results()["error"]) == ["fold 0: ValueError: found: []"] * len(texts)


def test_what_is_within_reach_is_found(servers: Settings, start_worker: StartWorker) -> None:
    """The attack of the test above, on what a training process may know."""
    start_worker(WARREN_WORKER_NAME="a-name-for-all-to-see")
    study = submit(Snoops(), {"text": ["a-name-for-all-to-see"]}, X, Y, cv=2, name="snoops")
    study.wait(60, progress=False)
    [error] = study.results()["error"]
    assert "environ of" in error


def test_a_worker_that_begins_again_is_the_same_process(servers: Settings, start_worker: StartWorker) -> None:
    worker = start_worker()
    study = submit(Sleeps(), {"number": [1, 2]}, X, Y, cv=2)
    study.wait(60, progress=False)
    assert study.status().state == "COMPLETE"
    assert not urls_shown_by(worker.pid)
    assert psutil.Process(worker.pid).cmdline()[-2:] == ["-m", "worker"]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0


def test_the_entry_of_the_image_hides_passwords_from_process_1_on(servers: Settings, tmp_path: Path) -> None:
    entry = Path(__file__).parents[2] / "worker" / "process" / "entry.py"
    log = tmp_path / "worker.log"
    # `env` stands for tini: a program between the entry and the worker.
    command = [sys.executable, "-I", "-S", str(entry), "env", sys.executable, "-m", "worker"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=dict(os.environ), stdout=output, stderr=output)
    try:
        until(lambda: "waiting for chunks" in log.read_text(), 30, "the worker has its URLs")
        assert not urls_shown_by(process.pid)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(10)
