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
    ("lines", "options", "n_chunks", "share_fits"),
    [
        ("", [], None, True),
        ("", ["--no-share-fits"], None, False),
        ("share_fits: false", [], None, False),
        ("share_fits: true", ["--no-share-fits"], None, False),
        ("chunks: 7", [], 7, True),
        ("chunks: 7", ["--chunks", "3"], 3, True),
    ],
)
def test_how_a_study_is_run_comes_from_file_and_options(
    lines: str,
    options: list[str],
    n_chunks: int | None,
    share_fits: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: dict[str, Any] = {}

    def submit(*_: object, **keywords: Any) -> None:
        taken.update(keywords)
        raise InputError("enough")

    monkeypatch.setattr(submission, "submit", submit)
    path = tmp_path / "study.yaml"
    path.write_text(f"{EXAMPLE.read_text()}\n{lines}\n")
    data = EXAMPLE.parent / "breast_cancer.csv"
    assert main(["submit", str(path), "--data", str(data), *options]) == 1
    assert (taken["n_chunks"], taken["share_fits"]) == (n_chunks, share_fits)
