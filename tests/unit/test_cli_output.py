from __future__ import annotations

import io
import json
import math
from contextlib import redirect_stdout
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import typer
from sklearn.tree import DecisionTreeClassifier

from producer.cli import output
from producer.cli.output import Column, as_json, on_interrupt, table
from producer.formatting import show_age, show_score


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


COLUMNS = [Column("trial", "right"), Column("parameters")]
LONG = " ".join(f"parameter_{number}={number}" for number in range(60))


def test_a_pipe_gets_plain_columns_and_whole_values(capsys: pytest.CaptureFixture[str]) -> None:
    table(COLUMNS, [["7", LONG], ["123456", "a\nb"]])
    assert capsys.readouterr().out.splitlines() == [" trial  parameters", f"     7  {LONG}", "123456  a b"]


def test_a_terminal_gets_a_table_that_fits_and_cuts_nothing(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        table(COLUMNS, [["7", LONG]])
    lines = terminal.getvalue().splitlines()
    assert "\x1b[1m" in lines[0]
    assert all(f"parameter_{number}={number}" in terminal.getvalue() for number in range(60))
    assert max(len(line) for line in lines[1:]) <= 100


def test_a_narrow_terminal_gets_lines_that_run_over_rather_than_a_ribbon(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    with redirect_stdout(terminal):
        table(COLUMNS, [["7", LONG]])
    assert terminal.getvalue().splitlines()[1] == f"    7  {LONG}"


def test_brackets_in_a_value_are_not_styles(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        table(COLUMNS, [["7", "sizes=[red] [/red]"]])
        output.heading("[bold] 1 of 3")
    assert "sizes=[red] [/red]" in terminal.getvalue()
    assert "[bold] 1 of 3" in terminal.getvalue()


def test_a_value_becomes_what_json_has() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    value = {
        "nan": math.nan,
        "inf": math.inf,
        "scalar": np.float64(0.5),
        "whole": np.int64(3),
        "array": np.array([1.0, math.nan]),
        "tuple": (1, "a", None, True),
        "when": moment,
        "stamp": pd.Timestamp(moment),
        "never": pd.NaT,
        3: DecisionTreeClassifier(max_depth=2),
    }
    found = as_json(value)
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "nan": None,
        "inf": None,
        "scalar": 0.5,
        "whole": 3,
        "array": [1.0, None],
        "tuple": [1, "a", None, True],
        "when": "2026-01-02T03:04:05+00:00",
        "stamp": "2026-01-02T03:04:05+00:00",
        "never": None,
        "3": "DecisionTreeClassifier(max_depth=2)",
    }


@pytest.mark.parametrize(
    ("mean", "std", "shown"),
    [
        (0.99531, 0.0042, "0.9953 ± 0.0042"),
        (-12345.6, 78.9, "-12,345.6 ± 78.9000"),
        (0.5, None, "0.5000"),
        (None, None, "-"),
        (math.nan, math.nan, "-"),
    ],
)
def test_a_score_reads_well(mean: float | None, std: float | None, shown: str) -> None:
    assert show_score(mean, std, none="-") == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(-1, "0 s"), (40, "40 s"), (125, "2 min"), (3 * 3600, "3 h"), (9 * 86400, "9 d")]
)
def test_an_age_reads_well(seconds: float, shown: str) -> None:
    assert show_age(seconds) == shown


def test_an_interrupt_leaves_a_word_and_status_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught, on_interrupt("it goes on"):
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "it goes on\n"
