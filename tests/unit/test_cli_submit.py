"""What `warren submit` hands on of its options and of the study's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import RandomForestClassifier

from producer import submission
from producer.cli import main
from producer.space.space import Space
from producer.validation import check_estimators
from producer.validation.estimators import Candidates
from warren.errors import InputError

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
    assert "device: needs 'gpu' or 'cpu', or None, not 'cuda'" in capsys.readouterr().err


STEPS = """
name: steps
data: {path: breast_cancer.csv, target: diagnosis}
estimator: sklearn.pipeline.Pipeline
params:
  steps:
    - __tuple__: [scale, {__estimator__: sklearn.preprocessing.StandardScaler, params: {}}]
    - __tuple__: [estimator, {__estimator__: sklearn.svm.SVC, params: {}}]
grid:
  estimator: [{__estimator__: sklearn.svm.SVC, params: {C: 0.1}}, {__estimator__: sklearn.svm.LinearSVC, params: {}}]
"""
ENSEMBLE = """
name: forest
data: {path: breast_cancer.csv, target: diagnosis}
estimator: sklearn.ensemble.RandomForestClassifier
grid: {max_depth: [2, 3]}
"""


def taken_of(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Candidates:
    """Return what a study's file asks for."""
    found: list[Candidates] = []

    def submit(estimator: Any, param_grid: Any, *_: object, **__: Any) -> None:
        found.append(check_estimators(estimator, Space(param_grid)))
        raise InputError("enough")

    monkeypatch.setattr(submission, "submit", submit)
    path = tmp_path / "study.yaml"
    path.write_text(text)
    assert main(["submit", str(path), "--data", str(EXAMPLE.parent / "breast_cancer.csv")]) == 1
    return found[0]


def test_a_file_sets_a_step_that_is_called_estimator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = taken_of(STEPS, tmp_path, monkeypatch)
    assert [type(one).__name__ for one in taken.estimators] == ["Pipeline"]
    assert (taken.own, taken.estimator_is_member) == (False, True)


def test_a_file_names_an_ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has a length, and so no truth value, once it is fitted."""
    assert [type(one) for one in taken_of(ENSEMBLE, tmp_path, monkeypatch).estimators] == [RandomForestClassifier]
