"""The demo, on a few points of its grid: its servers, its two runs, its leaderboard."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from producer import Study
from producer.cli import demo, main


@pytest.fixture
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = demo.grids()
    few = [
        {name: values[:2] if position < 3 else values[:1] for position, (name, values) in enumerate(grid.items())}
        for grid in whole
    ]
    monkeypatch.setattr(demo, "grids", lambda: few)


@pytest.mark.slow
@pytest.mark.usefixtures("few_points")
def test_the_demo_searches_and_a_second_run_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name in {"AMQP_URL", "MONGO_URL"} or name.startswith("WARREN_")]:
        monkeypatch.delenv(name)
    folder = str(tmp_path / "kept")
    assert main(["demo", "--data-dir", folder]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "12 trials on 5 folds, 60 fits" in err
    assert "demo-breast-cancer: 12/12 trials (100%)" in err
    first = lines.index("The 10 best of 12 trials, by roc_auc")
    assert lines[first + 1].split() == ["trial", "model", "roc_auc", "accuracy", "fit", "s", "parameters"]
    assert len(lines[first + 2 : lines.index("", first)]) == 10
    best = lines.index("The best of each library")
    assert [line.split()[1] for line in lines[best + 2 : best + 5]] == [
        "XGBClassifier",
        "LGBMClassifier",
        "CatBoostClassifier",
    ]
    assert any(re.match(r"  MongoDB Compass  mongodb://\w+:\w+@127\.0\.0\.1:\d+/", line) for line in lines)
    assert any(line.startswith("12 trials ran now. ") for line in lines)
    assert any(line.strip().endswith(f"up --data-dir {folder}") for line in lines)
    assert "AMQP_URL" not in os.environ

    assert main(["demo", "--data-dir", folder, "--workers", "0"]) == 0
    out, err = capsys.readouterr()
    assert "All of them ended in an earlier run and are not repeated." in err
    assert "No worker listens" not in err, "nothing waits for one"
    assert any(line.startswith("0 trials ran now. ") for line in out.splitlines())
    assert out.splitlines()[first : best + 5] == lines[first : best + 5]


@pytest.mark.usefixtures("stack", "few_points")
def test_the_demo_uses_existing_servers_and_says_how_to_start_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["demo", "--data-dir", str(tmp_path), "--workers", "0"]) == 0
    out, err = capsys.readouterr()
    assert " up --data-dir" not in out
    assert str(tmp_path) not in out + err, "nothing of the study lies there"
    (study,) = [line.split()[1] for line in out.splitlines() if line.startswith("  study ")]
    assert any(line.endswith(f" delete {study}") for line in out.splitlines() if line.startswith("  to start over "))


@pytest.mark.usefixtures("few_points", "servers")
def test_the_demo_says_when_no_worker_listens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(Study, "wait", lambda study: study.cancel())
    assert main(["demo", "--data-dir", str(tmp_path), "--workers", "0"]) == 1
    assert "No idle worker listens: the trials wait for one." in capsys.readouterr().err
