"""Results as files: text that a spreadsheet would run is made text again, and nothing else
is changed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from test_results import document, objective, results_frame

from producer.cli import main, results
from producer.space.space import Space
from warren.printable import printable

FORMULAS = [
    "=HYPERLINK(1)",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\uff1d1",
    "\ufe66=",
    "\xa0\u207a1",
]
VALUES: list[Any] = [*FORMULAS, "a=b", "it's"]


@pytest.fixture
def frame(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Results as `Study.results` makes them: which dtypes hold text is pandas' choice."""
    count = len(VALUES)
    space = Space(
        [
            {"a": [value], "mixed": [mixed], "whole": [whole], "\u202eb": ["=1"]}
            for value, mixed, whole in zip(
                VALUES, [-1, "=1", *[0.5] * (count - 2)], [-1, None, *[-2.5] * (count - 2)], strict=True
            )
        ]
    )
    documents = [document(number, -float(number), -float(number)) for number in range(count)]
    documents[1] |= {"error": "over\r=cmd\r\n@x\x1b[2J", "worker": "=1+1", "output": " =1", "estimator": "-R()"}
    made = results_frame(documents, space, objective())
    study = SimpleNamespace(refit="score", results=lambda: made)
    monkeypatch.setattr(results, "find", lambda _: study)
    return made


def read(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["results", "x", *arguments]) == 0
    return capsys.readouterr().out


def test_no_cell_of_a_csv_is_a_formula(frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    written = read(capsys, "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(written, newline="")))
    assert [row["param_a"] for row in rows] == [*(f"'{printable(text)}" for text in FORMULAS), "a=b", "it's"]
    # A line that a cell has of its own is no row's beginning.
    assert rows[1]["error"] == "over\\r=cmd\n@x\\x1b[2J"
    assert [rows[1][name] for name in ("worker", "output", "estimator")] == ["'=1+1", "' =1", "'-R()"]
    assert {row["param_\\u202eb"] for row in rows} == {"'=1"}
    assert printable(written) == written


def test_text_is_made_safe_whatever_dtype_holds_it(frame: pd.DataFrame) -> None:
    for dtype in (object, "string", "category"):
        assert list(results._flat(frame[["param_a"]].astype(dtype), lambda _: "safe")["safe"]) == ["safe"] * len(VALUES)


def test_numbers_and_other_formats_stay_as_they_are(
    frame: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read(capsys, "--csv", str(tmp_path / "a.csv"))
    again = pd.read_csv(tmp_path / "a.csv")
    assert list(again["mean_test_score"]) == list(frame["mean_test_score"])
    assert list(again["param_whole"].dropna()) == [-1.0, *[-2.5] * (len(VALUES) - 2)]
    assert list(again["param_mixed"])[:2] == ["-1", '"=1"']
    assert list(again["param_a"])[-2:] == ["a=b", "it's"]
    assert [row["params"]["a"] for row in json.loads(read(capsys, "--json"))] == VALUES
    read(capsys, "--parquet", str(tmp_path / "a.parquet"))
    assert list(pd.read_parquet(tmp_path / "a.parquet")["param_a"]) == VALUES
