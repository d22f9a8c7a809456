"""``warren dashboard`` as a process, and its pages in a real browser."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from acceptance.conftest import StartWorker
from browser import chromium, find_chromium
from playwright.sync_api import Browser, Page, expect
from polling import until
from sklearn.datasets import load_breast_cancer
from sklearn.tree import DecisionTreeClassifier
from submitting import finish, stored

from producer import Study, submit
from producer.cli import main
from producer.views import optional_packages
from warren.settings import Settings
from warren.storage.documents import pack
from warren.storage.store import Store

# Seconds after which a command or a page counts as stuck: a page asks every ten, and the machine
# may be busy.
STUCK_SECONDS = 60.0
GRID = {"max_depth": [1, 2, 3, None], "min_samples_leaf": [1, 5, 25]}


@dataclass(frozen=True)
class Served:
    url: str
    process: subprocess.Popen[str]
    errors: Path

    def end(self, with_signal: int = signal.SIGINT) -> str:
        """Let it end; return what it wrote besides its address."""
        self.process.send_signal(with_signal)
        assert self.process.wait(STUCK_SECONDS) == 0
        return self.errors.read_text()


@contextmanager
def dashboard(folder: Path, *arguments: str) -> Iterator[Served]:
    """Run ``warren dashboard`` at a free port."""
    errors = folder / "dashboard.log"
    with errors.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "producer", "dashboard", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), errors.read_text()
        yield Served(url, process, errors)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium here: install Debian's package chromium, or let CHROMIUM name one")
    with chromium(path) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    opened.set_default_timeout(STUCK_SECONDS * 1000)
    yield opened
    opened.close()


@pytest.fixture
def study(servers: Settings, store: Store) -> Study:
    X, y = load_breast_cancer(return_X_y=True)
    return submit(DecisionTreeClassifier(random_state=0), GRID, X, y, cv=3, n_chunks=12)


# How many points or lines the plots of a page have, by what Plotly keeps with each.
_POINTS = """id => Math.max(0, ...(document.querySelector(id)?.data ?? []).map(
    trace => (trace.dimensions ? trace.dimensions[0].values : trace.x ?? []).length))"""


def points(page: Page, plot: str) -> int:
    return int(page.evaluate(_POINTS, plot))


def until_points(page: Page, plot: str, count: int) -> None:
    page.wait_for_function(f"([id, count]) => ({_POINTS})(id) === count", arg=[plot, count])


@pytest.mark.slow
def test_a_page_of_a_running_study_changes_when_trials_end(
    study: Study, store: Store, page: Page, start_worker: StartWorker, tmp_path: Path
) -> None:
    finish(store, study, range(5))
    with dashboard(tmp_path, study.id) as served:
        page.goto(served.url)
        until_points(page, "#plot-history", 5)
        assert study.status().state == "RUNNING"
        assert "RUNNING" in page.inner_text("body")

        # The same page, which is not loaded again.
        start_worker()
        until_points(page, "#plot-history", 12)
        until_points(page, "#graph-hyperparameter-importances", 2)
        expect(page.get_by_text("COMPLETE", exact=True)).to_be_visible()
        best = study.best_trials(1)[0]
        assert str(best["mean_test_score"])[:8] in page.inner_text("body")

        page.goto(f"{served.url}/smartSelection")
        until_points(page, "#plot-parallel-coordinate", 12)
        page.goto(f"{served.url}/analytics")
        until_points(page, "#plot-slice", 12)
        assert points(page, "#graph-rank") == 12
        page.goto(f"{served.url}/trials")
        expect(page.get_by_text("12 Trials")).to_be_visible()
        assert "Traceback" not in served.end()


def test_a_write_from_the_page_changes_nothing(study: Study, store: Store, page: Page, tmp_path: Path) -> None:
    finish(store, study, range(5))
    before = pack(stored(store, study))
    with dashboard(tmp_path) as served:
        page.goto(served.url)
        page.get_by_label("delete study").click()
        page.get_by_role("button", name="Yes").click()
        expect(page.get_by_text("Failed to delete study")).to_be_visible()
        page.reload()
        expect(page.get_by_text(study.id)).to_be_visible()

        page.get_by_text(study.id).click()
        until_points(page, "#plot-history", 5)
        written = page.evaluate(
            "url => fetch(url, {method: 'PUT', body: '{}'}).then(answer => answer.json())", "/api/studies/1/note"
        )
        assert "read only" in written["reason"]
        assert pack(stored(store, study)) == before
        assert "Traceback" not in served.end()


def test_ctrl_c_ends_it_without_a_word(study: Study, tmp_path: Path) -> None:
    with dashboard(tmp_path) as served, urllib.request.urlopen(served.url) as answer:
        assert answer.status == 200
        said = served.end()
    assert served.url.endswith("/dashboard")
    assert len(said.splitlines()) == 1
    assert "read only; Ctrl-C ends it" in said


def test_an_address_that_others_reach_is_warned_of_and_sigterm_ends_it_too(study: Study, tmp_path: Path) -> None:
    errors = tmp_path / "log"
    with errors.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "producer", "dashboard", study.id[:6], "--host", "0.0.0.0", "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        host, _, path = process.stdout.readline().strip().removeprefix("http://").partition("/")
        until(lambda: "there is no password" in errors.read_text(), STUCK_SECONDS, "it warns")
        api = f"http://127.0.0.1:{host.rpartition(':')[2]}/api/{path.removeprefix('dashboard/')}"
        assert json.loads(urllib.request.urlopen(api).read())["name"] == study.id
        process.terminate()
        assert process.wait(STUCK_SECONDS) == 0
        assert len(errors.read_text().splitlines()) == 2, "the warning, and how to end it"
    finally:
        process.kill()
        process.communicate()


def test_what_keeps_it_from_serving_is_said_in_a_line(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def says(*arguments: str) -> str:
        assert main(["dashboard", *arguments]) == 1
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

    monkeypatch.setenv("MONGO_URL", "mongodb://127.0.0.1:1/tuning")
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "0.2")
    assert "MongoDB at mongodb://127.0.0.1:1/tuning can't be reached" in says()

    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None if name.startswith("optuna") else os)
    expected = "warren dashboard needs optuna and optuna-dashboard: pip install optuna optuna-dashboard"
    assert expected in says()
