"""What `warren submit` hands on of its options and of the study's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from producer import submission
from producer.cli import main
from tuning.errors import InputError

EXAMPLE = Path(__file__).parents[2] / "examples" / "study.yaml"


@pytest.mark.parametrize(
    ("lines", "options", "taken"),
    [
        ("", [], {"n_chunks": None, "share_fits": True, "priority": 1}),
        ("", ["--no-share-fits"], {"share_fits": False}),
        ("share_fits: false", [], {"share_fits": False}),
        ("share_fits: true", ["--no-share-fits"], {"share_fits": False}),
        ("chunks: 7", [], {"n_chunks": 7}),
        ("chunks: 7", ["--chunks", "3"], {"n_chunks": 3}),
        ("priority: 7", [], {"priority": 7}),
        ("priority: 7", ["--priority", "2"], {"priority": 2}),
        ("", [], {"device": None}),
        ("device: gpu", [], {"device": "gpu"}),
        ("device: gpu", ["--device", "cpu"], {"device": "cpu"}),
    ],
)
def test_how_a_study_is_run_comes_from_file_and_options(
    lines: str,
    options: list[str],
    taken: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: dict[str, Any] = {}

    def submit(*_: object, **keywords: Any) -> None:
        found.update(keywords)
        raise InputError("enough")

    monkeypatch.setattr(submission, "submit", submit)
    path = tmp_path / "study.yaml"
    path.write_text(f"{EXAMPLE.read_text()}\n{lines}\n")
    data = EXAMPLE.parent / "breast_cancer.csv"
    assert main(["submit", str(path), "--data", str(data), *options]) == 1
    assert {name: found[name] for name in taken} == taken


@pytest.mark.parametrize("priority", ["0", "10", "high"])
def test_a_priority_beyond_its_range_is_refused(priority: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", str(EXAMPLE), "--priority", priority]) == 2
    assert "--priority" in capsys.readouterr().err


def test_a_device_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", str(EXAMPLE), "--device", "cuda"]) == 2
    assert "--device" in capsys.readouterr().err
    path = tmp_path / "study.yaml"
    path.write_text(f"{EXAMPLE.read_text()}\ndevice: cuda\n")
    assert main(["submit", str(path)]) == 1
    assert "device: needs cpu or gpu, not 'cuda'" in capsys.readouterr().err
