"""Passwords in no log, no error and no document, seen on real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pymongo
import pytest
from acceptance.conftest import StartWorker, X, Y
from faulty import Sleeps
from polling import until

from producer import submit
from tuning.settings import Settings

SECRET = "s3cret-of-nobody"


def with_password(url: str) -> str:
    """Return a URL with a user and a password that its server does not know."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"ann:{SECRET}@{parts.hostname}:{parts.port}").geturl()


def logs(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*.log"))


def test_a_worker_with_a_wrong_password_for_the_broker_says_so_and_not_which(
    servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    worker = start_worker(AMQP_URL=with_password(servers.amqp_url), WARREN_LOG_LEVEL="DEBUG")
    until(lambda: "refused the user or password: check AMQP_URL" in logs(tmp_path), what="it says what is wrong")
    assert worker.poll() is None, "it tries again"
    worker.terminate()
    assert worker.wait(20) == 0
    assert SECRET not in logs(tmp_path)


def test_a_worker_with_a_wrong_password_for_the_database_says_so_and_not_which(
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


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("AMQP_URL", "refused the user or password: check AMQP_URL"),
        ("MONGO_URL", "refused the user or password: check M"),
    ],
)
def test_a_submission_with_a_wrong_password_says_so_and_not_which(
    servers: Settings, monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    """In a notebook an error is shown with all its causes: none of them holds a password."""
    url = servers.amqp_url if variable == "AMQP_URL" else servers.mongo_url
    monkeypatch.setenv(variable, with_password(url))
    code = (
        "from sklearn.tree import DecisionTreeClassifier; from producer import submit; "
        "submit(DecisionTreeClassifier(), {'max_depth': [1]}, [[0], [1], [2], [3]], [0, 1, 0, 1], cv=2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" in done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["list"], ["watch", "study"], ["results", "study"]])
def test_the_command_line_says_no_password(
    servers: Settings, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("MONGO_URL", with_password(servers.mongo_url))
    done = subprocess.run(
        [sys.executable, "-m", "producer", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert SECRET not in done.stdout + done.stderr


def test_no_document_holds_a_password(servers: Settings, start_worker: StartWorker, tmp_path: Path) -> None:
    password = urlsplit(servers.amqp_url).password
    assert password
    start_worker(WARREN_LOG_LEVEL="DEBUG")
    submit(Sleeps(), {"number": [1, 2]}, X, Y, cv=2).wait(timeout=60, progress=False)
    with pymongo.MongoClient(servers.mongo_url) as client:
        database = client.get_default_database()
        names = database.list_collection_names()
        assert {"studies", "trials"} <= set(names)
        for name in names:
            assert not any(password in str(document) for document in database[name].find({}, {"data": 0}))
    assert password not in logs(tmp_path)
