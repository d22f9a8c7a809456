"""The command line itself: errors, help, pipes, workers and the demo, without servers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run

from producer.cli.demo import METRICS, grids
from producer.space.space import Space
from producer.study import Study
from warren.errors import StackError, StoreError


@pytest.mark.parametrize(
    "error", [StoreError("MongoDB at mongodb://u:***@db/t can't be reached"), StackError("no broker:\n  - Docker: no")]
)
def test_an_error_is_its_text_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def attach(study_id: str) -> Study:
        raise error

    monkeypatch.setattr(Study, "attach", attach)
    code, out, err = run(capsys, "watch", "x")
    assert (code, out, err) == (1, "", f"warren: {error}\n")


def test_a_setting_that_cannot_be_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARREN_CONNECT_SECONDS", "soon")
    code, _, err = run(capsys, "list")
    assert code == 1
    assert "WARREN_CONNECT_SECONDS" in err
    assert len(err.splitlines()) == 1


def test_a_study_file_with_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("grid: {}\ndta: x")
    code, out, err = run(capsys, "submit", str(tmp_path / "s.yaml"))
    assert (code, out) == (1, "")
    assert "unknown key 'dta': did you mean 'data'?" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sumbit"], "Did you mean 'submit'?"),
        (["results"], "Missing argument 'ID'"),
        (["results", "x", "--tpo", "3"], "--top"),
        (["worker", "--count", "0"], "--count"),
    ],
)
def test_a_misspelt_command_is_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err


COMMANDS = [
    *("submit", "watch", "results", "list", "pause", "resume", "cancel", "retry", "delete"),
    *("worker", "up", "demo"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_in_its_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert "Example" in out
    assert f"\n    warren {command}" in out


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--help")
    assert all(f"\n  {command} " in out for command in COMMANDS)
    assert run(capsys, "--version")[1].startswith("warren ")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from producer.cli import main; main(['submit', '--help']); "
        "print(*sorted({'numpy', 'pandas', 'sklearn', 'pymongo', 'pika'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize("arguments", [["--help"], ["submit", "--help"], ["--version"]])
def test_a_reader_that_went_away_makes_no_traceback(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run([sys.executable, "-m", "producer", *arguments], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert ran.stderr == b""


def test_several_workers_end_together_and_their_worst_status_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from producer.cli.local import _run_workers

    script = "import os, sys; sys.exit(3 if os.environ['WARREN_WORKER_NAME'] == 'w-1' else 0)"
    environment = {**os.environ, "WARREN_WORKER_NAME": "w"}
    assert _run_workers([sys.executable, "-S", "-c", script], environment, 2) == 3
    err = capsys.readouterr().err
    assert "ended with status 3; " in err
    assert len(err.splitlines()) == 1


def test_the_demo_searches_three_libraries_on_300_points_and_more() -> None:
    found = grids()
    sizes = [Space(grid).size for grid in found]
    assert sum(sizes) >= 300
    libraries = {type(grid["estimator"][0]).__module__.partition(".")[0] for grid in found}
    assert libraries == {"xgboost", "lightgbm", "catboost"}
    assert len(METRICS) == 2
