"""Estimators that misbehave on purpose; workers may build them because WARREN_ALLOW names them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
import psutil
from sklearn.base import BaseEstimator, ClassifierMixin

ALLOW = ",".join(
    f"faulty.{name}"
    for name in ("Sleeps", "Exits", "Raises", "Draws", "Grows", "KillsItsWorker", "Prints", "Spawns", "Odd", "Snoops")
)


class _Constant(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Self:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])


class Sleeps(_Constant):
    """Takes `seconds` a fold, leaves a line in the file `diary` for each, and waits while there is
    a file `gate`."""

    def __init__(self, seconds: float = 0.0, number: int = 0, diary: str = "", gate: str = "") -> None:
        self.seconds = seconds
        self.number = number
        self.diary = diary
        self.gate = gate

    def fit(self, X: Any, y: Any) -> Self:
        if self.diary:
            with Path(self.diary).open("a") as diary:
                diary.write(f"{self.number}\n")
        time.sleep(self.seconds)
        while self.gate and Path(self.gate).exists():
            time.sleep(0.02)
        return super().fit(X, y)


class Exits(_Constant):
    """Takes its process down after `seconds` with `code`, or with the signal of a negative one,
    when `when` is true.

    Only where it gets at least so many `rows`.
    """

    def __init__(self, code: int = 7, when: bool = True, number: int = 0, seconds: float = 0.0, rows: int = 0) -> None:
        self.code = code
        self.when = when
        self.number = number
        self.seconds = seconds
        self.rows = rows

    def fit(self, X: Any, y: Any) -> Self:
        if self.when and len(X) >= self.rows:
            time.sleep(self.seconds)
            if self.code < 0:
                os.kill(os.getpid(), -self.code)
            os._exit(self.code)
        return super().fit(X, y)


class Grows(_Constant):
    """Takes `megabytes` of memory, ten at a time."""

    def __init__(self, megabytes: int = 0) -> None:
        self.megabytes = megabytes

    def fit(self, X: Any, y: Any) -> Self:
        held = []
        for _ in range(0, self.megabytes, 10):
            held.append(np.ones(10 * 2**20, dtype=np.uint8))
            time.sleep(0.01)  # so that a process that watches the memory sees it grow
        return super().fit(X, y)


class KillsItsWorker(_Constant):
    """Takes the worker down that its process belongs to, as memory may that runs out for a
    whole container."""

    def __init__(self, when: bool = True, number: int = 0) -> None:
        self.when = when
        self.number = number

    def fit(self, X: Any, y: Any) -> Self:
        if self.when:
            keeper = psutil.Process().parent()
            assert keeper is not None
            os.kill(keeper.ppid(), signal.SIGKILL)
            time.sleep(60)  # it ends with its worker
        return super().fit(X, y)


class Prints(_Constant):
    """Prints `text` from Python and C, then `megabytes` of lines; `ends` well, by an error
    or a crash."""

    def __init__(self, text: str = "", megabytes: int = 0, ends: str = "well") -> None:
        self.text = text
        self.megabytes = megabytes
        self.ends = ends

    def fit(self, X: Any, y: Any) -> Self:
        print(f"Python says {self.text}")  # noqa: T201
        libc = ctypes.CDLL(None)
        libc.puts(f"C says {self.text}".encode(errors="replace"))
        subprocess.run(["echo", "a program says", self.text.encode(errors="replace")], check=True)
        line = b"x" * 1023 + b"\n"
        for _ in range(self.megabytes):
            os.write(1, line * 1024)
        sys.stderr.write("the end, without a new line")
        if self.ends == "error":
            raise RuntimeError("it can't be fitted")
        if self.ends == "crash":
            ctypes.string_at(0)
        return super().fit(X, y)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


class Spawns(_Constant):
    """Starts processes of every kind, writes their numbers into the file `family`, and
    ends or sleeps."""

    def __init__(self, family: str = "", seconds: float = 0.0, code: int | None = None, number: int = 0) -> None:
        self.family = family
        self.seconds = seconds
        self.code = code
        self.number = number

    def fit(self, X: Any, y: Any) -> Self:
        joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(time.sleep)(0.1) for _ in range(2))
        for method in ("fork", "spawn"):
            multiprocessing.get_context(method).Process(target=_sleep, args=(600,), daemon=True).start()
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        # An orphan of another session.
        subprocess.run(["sh", "-c", "setsid sleep 600 &"], check=True)
        mine = psutil.Process()
        keeper = mine.parent()
        assert keeper is not None
        below = {process.pid for process in keeper.children(recursive=True)}
        Path(self.family).write_text(" ".join(map(str, sorted(below))))
        time.sleep(self.seconds)
        if self.code is not None:
            os._exit(self.code)
        return super().fit(X, y)


class Snoops(_Constant):
    """Looks for a text in all that a process of this user shows of itself and of those above it,
    and fails with it.

    It looks at so many `generations`: 0 is its own process.
    """

    def __init__(self, text: str = "", generations: int = 2) -> None:
        self.text = text
        self.generations = generations

    def fit(self, X: Any, y: Any) -> Self:
        me = psutil.Process()
        found = []
        for process in [me, *me.parents()[: self.generations]]:
            folder = Path("/proc") / str(process.pid)
            found += [f"{name} of {process.pid}" for name in ("environ", "cmdline") if self._is_in(folder / name)]
            if process is not me and self._is_in_memory(folder):
                found.append(f"memory of {process.pid}")
        raise ValueError(f"found: {found}")

    def _is_in(self, file: Path) -> bool:
        try:
            return self.text.encode() in file.read_bytes()
        except OSError:
            return False

    def _is_in_memory(self, folder: Path) -> bool:
        try:
            with (folder / "mem").open("rb", 0) as memory:
                for line in (folder / "maps").read_text().splitlines():
                    first, last = (int(part, 16) for part in line.split()[0].split("-"))
                    if "rw" in line and last - first < 2**26:
                        memory.seek(first)
                        if self.text.encode() in memory.read(last - first):
                            return True
        except OSError:
            return False
        return False


class Raises(_Constant):
    """Raises in the first `times` fits on data of different lengths: on some folds, or on all."""

    def __init__(self, fails: bool = True, number: int = 0) -> None:
        self.fails = fails
        self.number = number

    def fit(self, X: Any, y: Any) -> Self:
        if self.fails:
            raise RuntimeError(f"number {self.number} can't be fitted")
        return super().fit(X, y)


class Draws(_Constant):
    """Scores what NumPy's global generator gives: the same on every worker only if
    that is seeded."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def fit(self, X: Any, y: Any) -> Self:
        self.drawn_ = float(np.random.random())
        return super().fit(X, y)

    def score(self, X: Any, y: Any) -> float:
        return self.drawn_


class _UnspeakableError(Exception):
    """An error that can't be told."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Odd(_Constant):
    """Raises or scores what no caller expects; `what` says which."""

    def __init__(self, what: str = "") -> None:
        self.what = what

    def fit(self, X: Any, y: Any) -> Self:
        match self.what:
            case "surrogates":
                raise RuntimeError("no \udcff text \ud800\x00")
            case "unspeakable":
                raise _UnspeakableError
            case "lambda":
                raise RuntimeError(lambda: 0)
            case "deep":
                self.fit(X, y)
            case "long":
                raise RuntimeError("long " * 10_000_000)
        return super().fit(X, y)

    def score(self, X: Any, y: Any) -> Any:
        odd = {
            "huge": 10**400,
            "complex": 1j,
            "none": None,
            "text": "good",
            "surrogate text": "\udcff",
            "list": [1.0],
            "array": np.array([0.25, 0.75]),
            "one": np.array([0.5]),
            "fraction": Fraction(1, 2),
            "unspeakable score": _UnspeakableError(),
        }
        return odd.get(self.what, 1.0)
