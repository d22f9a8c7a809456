"""``warren tensorboard`` as a process, and its HParams page in a real browser."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from acceptance.conftest import StartWorker
from browser import chromium, find_chromium
from playwright.sync_api import expect
from polling import until
from sklearn.datasets import load_breast_cancer
from sklearn.tree import DecisionTreeClassifier
from submitting import finish

from producer import Study, submit
from producer.cli import main
from producer.views import optional_packages
from warren.settings import Settings
from warren.storage.store import Store

# Seconds after which a command or a page counts as stuck.
STUCK_SECONDS = 90.0
GRID = {"max_depth": [1, 2, 3, None], "min_samples_leaf": [1, 5, 25]}


@pytest.fixture
def study(servers: Settings, store: Store) -> Study:
    X, y = load_breast_cancer(return_X_y=True)
    return submit(DecisionTreeClassifier(random_state=0), GRID, X, y, cv=3, n_chunks=4, scoring="roc_auc")


@contextmanager
def tensorboard(folder: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``warren tensorboard`` at a free port; yield the address of its page."""
    log = folder / "tensorboard.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "producer", "tensorboard", "--port=0", f"--logdir={folder / 'logs'}", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), log.read_text()
        yield url, process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask(url: str) -> Any:
    return json.loads(urllib.request.urlopen(url, timeout=STUCK_SECONDS).read())


@pytest.mark.slow
def test_the_table_of_the_hparams_page_shows_the_study(study: Study, start_worker: StartWorker, tmp_path: Path) -> None:
    if (path := find_chromium()) is None:
        pytest.skip("no Chromium here: install Debian's package chromium, or let CHROMIUM name one")
    start_worker()
    study.wait(STUCK_SECONDS, progress=False)
    best = study.best_trials(1)[0]
    with tensorboard(tmp_path, study.id[:8]) as (url, _), chromium(path) as browser:
        page = browser.new_page(viewport={"width": 1800, "height": 1000})
        page.set_default_timeout(STUCK_SECONDS * 1000)
        page.goto(url)
        for number in range(12):
            expect(page.get_by_text(f"{number} {study.id}"[:12]).first).to_be_visible()
        shown = ["estimator", "max_depth", "min_samples_leaf", "mean_test_score", "fit_seconds"]
        # TensorBoard rounds to five digits.
        for text in [*shown, "DecisionTreeClassifier", f"{best['mean_test_score']:.5g}"]:
            expect(page.get_by_text(text).locator("visible=true").first).to_be_visible()


def assert_ends(process: subprocess.Popen[str], ending: int, folder: Path) -> None:
    """End the command by a signal; TensorBoard has to end with it."""
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(ending)
    assert process.wait(STUCK_SECONDS) == 0
    assert not psutil.wait_procs(children, STUCK_SECONDS)[1]
    assert "Traceback" not in (folder / "tensorboard.log").read_text()


@pytest.mark.slow
def test_a_trial_that_ends_comes_to_the_page_and_ctrl_c_ends_it(study: Study, store: Store, tmp_path: Path) -> None:
    finish(store, study, range(3))
    with tensorboard(tmp_path) as (url, process):
        runs = f"{url.partition('#')[0]}data/runs"
        until(lambda: len(ask(runs)) == 4, STUCK_SECONDS, "the columns and three runs are there")
        finish(store, study, [7])
        until(lambda: f"{study.id}/7" in ask(runs), STUCK_SECONDS, "the fourth is there")
        study.delete()
        until(lambda: not [run for run in ask(runs) if run != "."], STUCK_SECONDS, "they are gone")
        assert_ends(process, signal.SIGINT, tmp_path)


@pytest.mark.slow
def test_sigterm_ends_it_and_tensorboard_with_it(study: Study, tmp_path: Path) -> None:
    with tensorboard(tmp_path) as (_, process):
        assert_ends(process, signal.SIGTERM, tmp_path)


@pytest.mark.slow
def test_tensorboard_does_not_outlive_a_command_that_was_killed(study: Study, tmp_path: Path) -> None:
    with tensorboard(tmp_path) as (_, process):
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        assert not psutil.wait_procs(children, STUCK_SECONDS)[1]


def test_it_can_write_alone(study: Study, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish(store, study, range(5))
    assert main(["tensorboard", study.id, "--logdir", str(tmp_path), "--no-serve", "--top", "2"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(tmp_path)
    assert printed.err.strip() == "1 study, 2 runs of 5: the best 2 of a study, more with --top"
    assert len(list(tmp_path.glob(f"{study.id}/*/events.out.tfevents.*"))) == 2


def test_what_keeps_it_from_serving_is_said_in_a_line(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(*arguments: str) -> str:
        assert main(["tensorboard", "--logdir", str(tmp_path), *arguments]) == 1
        printed = capsys.readouterr()
        assert not printed.out
        return printed.err

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is in use: stop the program that uses it, or pass another" in says(
            f"--port={port}"
        )
    assert "no study 'nothing'" in says("nothing")
    with monkeypatch.context() as patch:
        patch.setattr(optional_packages, "find_spec", lambda name: None)
        assert "warren tensorboard needs tensorboard: pip install tensorboard" in says()
    monkeypatch.setenv("MONGO_URL", "mongodb://127.0.0.1:1/tuning")
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "0.2")
    assert "MongoDB at mongodb://127.0.0.1:1/tuning can't be reached" in says()
