"""What a training process starts and prints: it ends with it, and it is kept, whatever becomes of
who looks on."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from acceptance.conftest import SUPPORT, StartWorker, X, Y
from faulty import Odd, Prints, Spawns
from polling import until

from producer import Study, submit
from warren.errors import StudyError
from warren.settings import Settings
from warren.storage.store import Store


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _family(file: Path) -> list[int]:
    until(lambda: file.exists() and file.read_text(), 60, "it has started its processes")
    return [int(pid) for pid in file.read_text().split()]


@pytest.mark.parametrize(
    "how",
    [
        "process killed",
        "worker killed",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("exit", "time-out", "keeper killed")),
    ],
)
def test_whatever_a_training_process_started_ends_with_it(how: str, start_worker: StartWorker, tmp_path: Path) -> None:
    family = tmp_path / "family"
    worker = start_worker(WARREN_MAX_ATTEMPTS="1")
    estimator = Spawns(family=str(family), seconds=0 if how == "exit" else 60, code=3 if how == "exit" else None)
    submit(
        estimator,
        {"number": [1]},
        X,
        Y,
        cv=[(range(10), range(10, 20))],
        trial_timeout=20 if how == "time-out" else None,
    )
    started = _family(family)
    assert len(started) >= 7, "itself, two of loky's, two of multiprocessing's, a program, and one of another session"
    if how == "worker killed":
        worker.send_signal(signal.SIGKILL)
        worker.wait(10)
    elif how == "process killed":
        os.kill(min(started), signal.SIGKILL)
    elif how == "keeper killed":
        [keeper] = psutil.Process(worker.pid).children()
        # No process is left to find those that chose a session of their own.
        alone = [pid for pid in started if _lives(pid) and os.getsid(pid) != keeper.pid]
        started = [pid for pid in started if pid not in alone]
        keeper.send_signal(signal.SIGKILL)
        for pid in alone:
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(_lives, started)), 40, "all are gone")
    if how != "worker killed":
        assert not [one for one in psutil.Process(worker.pid).children() if one.status() == psutil.STATUS_ZOMBIE]


def test_a_failed_trial_keeps_the_end_of_what_its_fit_printed(start_worker: StartWorker, store: Store) -> None:
    start_worker(WARREN_MAX_ATTEMPTS="2")
    grid = [
        {"text": ["first"]},
        {"text": ["secund \N{SNOWMAN}"], "ends": ["error"]},
        {"text": ["third"], "ends": ["crash"]},
        {"text": ["fourth"], "megabytes": [1], "ends": ["error"]},
    ]
    study = submit(Prints(), grid, X, Y, cv=2, n_chunks=1, share_fits=False)
    study.wait(timeout=120, progress=False)
    first, second, third, fourth = sorted(store.trials.of(study.id), key=lambda one: int(one["number"]))
    assert first["state"] == "COMPLETE"
    assert "output" not in first
    for said in ("Python says secund \N{SNOWMAN}", "C says secund", "a program says secund", "the end, without"):
        assert said in second["output"]
    assert "third" not in second["output"]
    assert "first" not in second["output"]
    assert "killed by signal 11" in third["error"]
    assert "C says third" in third["output"]
    assert "Segmentation fault" in third["output"]
    assert re.search(r"faulty.py., line \d+ in fit", third["output"]), "where it was"
    assert len(fourth["output"]) <= 4096
    assert fourth["output"].endswith("x\nthe end, without a new line" + "the end, without a new line")  # a fold each
    frame = study.results()
    assert list(frame["output"].isna()) == [True, False, False, False]


@pytest.mark.parametrize(
    "lost",
    [
        "closed pipe",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("full disk", "stuck pipe", "nothing open")),
    ],
)
def test_fits_that_print_complete_whether_it_is_read_or_not(
    lost: str, start_worker: StartWorker, servers: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "worker"]
    monkeypatch.setenv("WARREN_ALLOW", "faulty.Prints")
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    reader, writer = os.pipe()
    if lost == "nothing open":
        command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    if lost == "full disk":
        os.dup2(os.open("/dev/full", os.O_WRONLY), writer)
    # A log that is not read holds up any program, so that this one has room.
    errors = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT) if lost == "stuck pipe" else os.dup(writer)
    worker = subprocess.Popen(command, stdout=writer, stderr=errors, cwd=tmp_path)
    try:
        os.close(writer)
        os.close(errors)
        if lost == "closed pipe":
            os.close(reader)
        study = submit(Prints(text="much", megabytes=20), {"text": ["a", "b"]}, X, Y, cv=2)
        study.wait(timeout=60, progress=False)
        assert study.status().complete == 2
        assert worker.poll() is None
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        if lost != "closed pipe":
            os.close(reader)


def test_whatever_a_fit_raises_or_scores_is_a_failed_trial_with_its_reason(
    start_worker: StartWorker, store: Store
) -> None:
    start_worker()
    reasons = {
        "surrogates": r"RuntimeError: no \\udcff text \\ud800",
        "unspeakable": "_UnspeakableError: <its text can't be had: RuntimeError>",
        "lambda": "RuntimeError: <function",
        "deep": "RecursionError: ",
        "long": "RuntimeError: long long",
        "huge": "OverflowError: the score is too large",
        "complex": "TypeError: the score is a complex, not a number",
        "none": "TypeError: the score is a NoneType, not a number",
        "text": "TypeError: the score is a str, not a number",
        "surrogate text": "TypeError: the score is a str, not a number",
        "list": "TypeError: the score is a list, not a number",
        "array": "TypeError: the score is a ndarray, not a number",
        "unspeakable score": "TypeError: the score is a _UnspeakableError, not a number",
    }
    fine = {"one": 0.5, "fraction": 0.5, "": 1.0}
    study = submit(Odd(), {"what": [*reasons, *fine]}, X, Y, cv=2, n_chunks=1)
    study.wait(timeout=120, progress=False)
    found = sorted(store.trials.of(study.id), key=lambda one: int(one["number"]))
    for document, (what, reason) in zip(found, reasons.items(), strict=False):
        assert document["state"] == "FAILED", what
        assert re.match(f"fold 0: (scorer score: )?{reason}", document["error"]), what
        assert document["attempts"] == 1, "no process was lost"
    assert [document["mean_test_score"] for document in found[len(reasons) :]] == list(fine.values())


# What people call their files, in the folder where they start a worker.
_THEIRS = ("worker", "tuning", "random", "queue", "select", "json", "numpy", "sklearn", "dask")
_MINE = """
import joblib
from sklearn.dummy import DummyClassifier

class Mine(DummyClassifier):
    def fit(self, X, y):
        self.two_ = joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(n) for n in (-1, 1))
        return super().fit(X, y)
"""


@pytest.mark.slow
def test_a_worker_imports_from_its_folder_only_what_it_is_told_to(
    servers: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _THEIRS:
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(99)\n")
    (tmp_path / "mine.py").write_text(_MINE)
    monkeypatch.syspath_prepend(SUPPORT)
    monkeypatch.setenv("WARREN_ALLOW", "mine.Mine")
    spec = importlib.util.spec_from_file_location("mine", tmp_path / "mine.py")
    assert spec is not None
    assert spec.loader is not None
    mine = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mine", mine)
    spec.loader.exec_module(mine)

    def run(estimator: object, **environment: str) -> Study:
        command = [str(Path(sys.executable).with_name("warren")), "worker"]
        worker = subprocess.Popen(command, env=os.environ | environment, cwd=tmp_path)
        try:
            study = submit(estimator, {"strategy": ["prior"]}, X, Y, cv=2, name=f"{len(environment)}")
            return study.wait(timeout=60, progress=False)
        finally:
            worker.terminate()
            worker.wait(30)

    with pytest.raises(StudyError, match=r"mine.Mine.*can't be imported here.*name its folder in WARREN_PATH"):
        run(mine.Mine())
    assert run(mine.Mine(), WARREN_PATH=".").status().complete == 1
