"""Passwords in no log, no error and no document, seen on real processes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from acceptance.conftest import StartWorker, X, Y
from faulty import Sleeps
from polling import until

from producer import submit
from warren.settings import Settings

SECRET = "s3cret-of-nobody"


def with_password(url: str) -> str:
    """Return a URL with a user and a password that its server does not know."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"ann:{SECRET}@{parts.hostname}:{parts.port}").geturl()


def logs(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*.log"))


def test_a_wrong_password_for_the_broker_is_reported_but_not_shown(
    servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(AMQP_URL=with_password(servers.amqp_url), WARREN_LOG_LEVEL="DEBUG")
    until(lambda: "refused the user or password: check AMQP_URL" in logs(tmp_path), what="it says what is wrong")
    assert worker.poll() is None, "it tries again"
    worker.terminate()
    assert worker.wait(20) == 0
    assert SECRET not in logs(tmp_path)


def test_a_wrong_password_for_the_database_is_reported_but_not_shown(
    servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    submit(Sleeps(), {"number": [1]}, X, Y, cv=2)
    worker = start_worker(
        MONGO_URL=with_password(servers.mongo_url), WARREN_LOG_LEVEL="DEBUG", WARREN_CONNECT_SECONDS="2"
    )
    until(lambda: "refused the user or password: check MONGO_URL" in logs(tmp_path), what="it says what is wrong")
    worker.kill()
    worker.wait(20)
    assert SECRET not in logs(tmp_path)


def test_a_submission_with_a_wrong_password_says_so_and_not_which(servers: Settings) -> None:
    """In a notebook an error is shown with all its causes: none of them holds a password."""
    # Both in one process, which takes seconds to import what it needs.
    code = (
        "import os, sys, traceback\n"
        "from sklearn.tree import DecisionTreeClassifier\n"
        "from producer import submit\n"
        "for variable, url in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        "    right = os.environ[variable]\n"
        "    os.environ[variable] = url\n"
        "    try:\n"
        "        submit(DecisionTreeClassifier(), {'max_depth': [1]}, [[0], [1], [2], [3]], [0, 1, 0, 1], cv=2)\n"
        "    except Exception:\n"
        "        traceback.print_exc()\n"
        "    os.environ[variable] = right\n"
    )
    wrong = {"AMQP_URL": with_password(servers.amqp_url), "MONGO_URL": with_password(servers.mongo_url)}
    given = [part for item in wrong.items() for part in item]
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    for variable, said in (("AMQP_URL", "check AMQP_URL"), ("MONGO_URL", "check M")):
        assert f"refused the user or password: {said}" in done.stderr, variable
    assert done.stderr.count("Traceback") >= 2
    assert SECRET not in done.stdout + done.stderr


def test_the_command_line_says_no_password(servers: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_URL", with_password(servers.mongo_url))
    code = (
        "from producer.cli import main\n"
        "commands = ['list'], ['watch', 'study'], ['results', 'study']\n"
        "print('ended with', [main(arguments) for arguments in commands])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    said = re.search(r"ended with \[(\d+), (\d+), (\d+)\]", done.stdout)
    assert said, done.stderr
    assert "0" not in said.groups()
    assert SECRET not in done.stdout + done.stderr
