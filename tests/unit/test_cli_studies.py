"""The commands on a study, without servers: what they print, and where."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import LONG, FakeStudy, run


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
    assert "1 x, such as trial 3: ValueError: no" in out
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


def test_a_study_without_results_says_so(
    study: FakeStudy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "best_trials", lambda n: [])
    monkeypatch.setattr(study, "results", lambda: pd.DataFrame({"number": [], "state": []}))
    study.fields = {"state": "RUNNING", "complete": 0, "failed": 0}
    assert "no trial is complete yet" in run(capsys, "results", study.id)[1]
    assert json.loads(run(capsys, "results", study.id, "--json")[1]) == []


def test_an_id_may_be_cut_short_while_it_is_clear(study: FakeStudy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "pause", "canc")[0] == 0
    assert study.calls == ["pause"]
    code, _, err = run(capsys, "pause", "other")
    assert (code, err) == (1, "warren: 2 studies begin with 'other': other-1, other-2; type more of the id\n")
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
    asked = "Delete study cancer-0a1b2c (COMPLETE, 4 of 4 trials done) permanently? [y/N]" in err
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
