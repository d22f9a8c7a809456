"""The commands without servers: what they print, and where."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from producer.cli import main, studies
from producer.demo import METRICS, grids
from producer.space import Space
from producer.status import Status
from producer.study import Study
from tuning.errors import StackError, StoreError, StudyError

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LONG = {f"parameter_{number}": number / 7 for number in range(30)}


def status(**fields: Any) -> Status:
    given: dict[str, Any] = {
        "id": "cancer-0a1b2c",
        "name": "cancer",
        "state": "COMPLETE",
        "total": 4,
        "complete": 3,
        "failed": 1,
        "dead": 0,
        "fit_seconds": 10.0,
        "score_seconds": 1.0,
        "saved_seconds": 0.0,
        "best_score": 0.9,
        "best_number": 2,
        "created_at": WHEN,
        "finished_at": WHEN,
    }
    return Status(**(given | fields))


class FakeStudy:
    """A study of four trials, the last of them failed."""

    id, name = "cancer-0a1b2c", "cancer"
    refit = "auc"

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        self.calls: list[str] = []

    def status(self) -> Status:
        return status(**self.fields)

    def wait(self, timeout: float | None, progress: bool) -> FakeStudy:
        self.calls.append("wait")
        if timeout == 0:
            raise TimeoutError
        if timeout == 1:
            raise KeyboardInterrupt
        return self

    def best_trials(self, n: int) -> list[dict[str, Any]]:
        order = [2, 0, 1]
        trials = [
            {
                "number": number,
                "estimator": "XGBClassifier",
                "params": {"estimator": "XGBClassifier()", **LONG},
                "mean_test_accuracy": 0.5,
                "std_test_accuracy": 0.1,
                "mean_test_auc": 0.9 - place / 10,
                "std_test_auc": 0.01,
                "mean_test_score": 0.9 - place / 10,
                "std_test_score": 0.01,
                "fit_seconds": 1.5,
            }
            for place, number in enumerate(order)
        ]
        return trials[:n]

    def results(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "number": [0, 1, 2, 3],
                "state": ["COMPLETE", "COMPLETE", "COMPLETE", "FAILED"],
                "params": [{"depth": 1}, {"depth": "two"}, {"sizes": (1, 2)}, {}],
                "param_depth": [1, "two", None, None],
                "param_sizes": [None, None, (1, 2), None],
                "mean_test_auc": [0.8, 0.7, 0.9, math.nan],
                "error": [None, None, None, "ValueError: no"],
                "finished_at": pd.to_datetime([WHEN, WHEN, WHEN, None], utc=True),
            }
        )

    def pause(self) -> None:
        self.calls.append("pause")

    cancel = pause

    def delete(self) -> None:
        self.calls.append("delete")

    def resume(self) -> int:
        return 2

    retry_failed = resume


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> FakeStudy:
    """The only study there is."""
    fake = FakeStudy()

    def attach(study_id: str) -> FakeStudy:
        if study_id != fake.id:
            raise StudyError(f"no study {study_id!r}: the newest are {fake.id}")
        return fake

    @contextmanager
    def open_store() -> Any:
        documents = [{"_id": "cancer-0a1b2c"}, {"_id": "other-1"}, {"_id": "other-2"}]
        yield SimpleNamespace(studies=lambda **_: documents)

    monkeypatch.setattr(Study, "attach", attach)
    monkeypatch.setattr(studies, "_open_store", open_store)
    return fake


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_results_are_plain_and_whole_when_piped(study: FakeStudy, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "results", study.id)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert not set(out) & set("─│┃━╭╰…")
    assert all(f"{name}={value}" in out for name, value in LONG.items())
    lines = out.splitlines()
    assert lines[0] == "cancer (cancer-0a1b2c): COMPLETE, 4 of 4 trials, 1 failed, 11 s of computing"
    assert lines[1].split() == ["trial", "model", "accuracy", "auc", "fit", "s", "parameters"]
    assert [line.split()[0] for line in lines[2:5]] == ["2", "0", "1"]
    assert "0.9000 ± 0.0100" in lines[2]
    assert "1 trial failed:" in out
    assert "1 x, trial 3 for one: ValueError: no" in out
    assert "estimator=" not in out


def test_results_as_json_are_best_first_and_hold_no_nan(study: FakeStudy, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "results", study.id, "--json")
    trials = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    assert [trial["number"] for trial in trials] == [2, 0, 1, 3]
    assert trials[3] == {
        "number": 3,
        "state": "FAILED",
        "params": {},
        "mean_test_auc": None,
        "error": "ValueError: no",
        "finished_at": None,
    }
    assert trials[0]["params"] == {"sizes": [1, 2]}
    assert len(json.loads(run(capsys, "results", study.id, "--json", "--top", "2")[1])) == 2


def test_results_go_to_files_that_read_back(
    study: FakeStudy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    csv, parquet = tmp_path / "r.csv", tmp_path / "r.parquet"
    code, out, err = run(capsys, "results", study.id, "--csv", str(csv), "--parquet", str(parquet))
    assert (code, out) == (0, "")
    assert err.splitlines() == [f"wrote 4 trials to {csv}", f"wrote 4 trials to {parquet}"]
    for frame in (pd.read_csv(csv), pd.read_parquet(parquet)):
        assert frame["number"].tolist() == [2, 0, 1, 3]
        assert [json.loads(value) for value in frame["params"]][:2] == [{"sizes": [1, 2]}, {"depth": 1}]
        assert frame["param_depth"].tolist()[1:3] == ["1", '"two"']
        assert frame["param_depth"].isna().tolist() == [True, False, False, True]


def test_results_may_go_to_standard_output_as_csv(study: FakeStudy, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(capsys, "results", study.id, "--csv", "-", "--top", "1")
    assert err == ""
    assert [line.split(",")[0] for line in out.splitlines()] == ["number", "2"]


def test_a_file_that_cannot_be_written_is_one_line(
    study: FakeStudy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = run(capsys, "results", study.id, "--csv", str(tmp_path / "no" / "r.csv"))
    assert (code, out) == (1, "")
    assert "r.csv: can't be written" in err
    assert len(err.splitlines()) == 1


def test_a_study_without_results_says_so(study: FakeStudy, capsys: pytest.CaptureFixture[str]) -> None:
    study.best_trials = lambda n: []  # type: ignore[method-assign]
    study.results = lambda: pd.DataFrame({"number": [], "state": []})  # type: ignore[method-assign]
    study.fields = {"state": "RUNNING", "complete": 0, "failed": 0}
    assert "no trial is complete yet" in run(capsys, "results", study.id)[1]
    assert json.loads(run(capsys, "results", study.id, "--json")[1]) == []


def test_an_id_may_be_cut_short_while_it_is_clear(study: FakeStudy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "pause", "canc")[0] == 0
    assert study.calls == ["pause"]
    code, _, err = run(capsys, "pause", "other")
    assert (code, err) == (1, "warren: 2 studies begin with 'other': other-1, other-2; write more of the id\n")
    code, _, err = run(capsys, "pause", "nothing")
    assert (code, err) == (1, "warren: no study 'nothing': the newest are cancer-0a1b2c\n")
    assert run(capsys, "pause", "")[0] == 1


@pytest.mark.parametrize("command", ["pause", "cancel", "resume", "retry"])
def test_a_study_that_was_steered_says_how_it_stands(
    study: FakeStudy, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, err = run(capsys, command, study.id)
    assert (code, err) == (0, "")
    again = "; 2 trials queued" if command in {"resume", "retry"} else ""
    assert out == f"study cancer-0a1b2c: COMPLETE, 4 of 4 trials done, 1 failed{again}\n"
    assert json.loads(run(capsys, command, study.id, "--json")[1])["done"] == 4


@pytest.mark.parametrize(
    ("options", "answer", "code", "calls"),
    [
        ([], "y\n", 0, ["delete"]),
        ([], "n\n", 1, []),
        ([], "", 1, []),
        (["--yes"], "", 0, ["delete"]),
    ],
)
def test_a_study_is_deleted_by_who_says_so(
    study: FakeStudy,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    answer: str,
    code: int,
    calls: list[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    found, out, err = run(capsys, "delete", study.id, *options)
    assert (found, study.calls) == (code, calls)
    deleted = "study cancer-0a1b2c: DELETED, with the results of 4 trials\n"
    assert out == (deleted if calls else "")
    asked = "Delete study cancer-0a1b2c (COMPLETE, 4 of 4 trials done) for good? [y/N]" in err
    assert asked is not bool(options)
    assert ("nothing was deleted; --yes deletes without asking" in err) is not bool(calls)


def test_a_deletion_for_programs_prints_what_there_was(study: FakeStudy, capsys: pytest.CaptureFixture[str]) -> None:
    deleted = json.loads(run(capsys, "delete", study.id, "--yes", "--json")[1])
    assert (deleted["state"], deleted["done"]) == ("DELETED", 4)


@pytest.mark.parametrize("command", ["results", "resume"])
def test_trials_that_no_worker_can_evaluate_are_named_with_the_way_out(
    study: FakeStudy, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    study.fields = {
        "state": "RUNNING",
        "complete": 1,
        "failed": 0,
        "dead": 3,
        "dead_numbers": (1, 2, 3),
        "dead_reasons": ("schema_version: Input should be 1",),
    }
    said = (
        "trials 1, 2 and 3 can't be evaluated by any worker: schema_version: Input should be 1. "
        "Mend that, and put them back with study.retry_failed() or `warren retry cancer-0a1b2c`"
    )
    assert said in run(capsys, command, study.id)[1]


def test_watching_ends_with_the_best(study: FakeStudy, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "watch", study.id)
    assert code == 0
    assert study.calls == ["wait"]
    assert out.splitlines()[-1] == "all results: warren results cancer-0a1b2c"
    found = json.loads(run(capsys, "watch", study.id, "--json")[1])
    assert (found["state"], found["best_score"], found["waiting"]) == ("COMPLETE", 0.9, 0)
    assert found["created_at"] == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize(("timeout", "code"), [("0", 1), ("1", 130)])
def test_watching_that_ends_early_says_how_to_look_again(
    study: FakeStudy, capsys: pytest.CaptureFixture[str], timeout: str, code: int
) -> None:
    found, out, err = run(capsys, "watch", study.id, "--timeout", timeout)
    assert (found, out) == (code, "")
    assert err == "warren: study cancer-0a1b2c goes on without you; look again with: warren watch cancer-0a1b2c\n"


@pytest.mark.parametrize("fields", [{"state": "CANCELLED"}, {"complete": 0, "failed": 4}])
def test_watching_a_study_that_came_to_nothing_is_status_1(
    study: FakeStudy, capsys: pytest.CaptureFixture[str], fields: dict[str, Any]
) -> None:
    study.fields = fields
    assert run(capsys, "watch", study.id, "--json")[0] == 1


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
    from producer.cli.machines import _run_workers

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
