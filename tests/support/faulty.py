"""Estimators that misbehave on purpose; workers may build them because WARREN_ALLOW names them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

ALLOW = "faulty.Sleeps,faulty.Exits,faulty.Raises,faulty.Draws,faulty.Grows,faulty.KillsItsWorker"


class _Constant(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Self:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])


class Sleeps(_Constant):
    """Takes `seconds` a fold, leaves a line in the file `diary` for each, and waits while there is a file `gate`."""

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
    """Takes its process down after `seconds` with `code`, or with the signal of a negative one, when `when` is true.

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
            time.sleep(0.01)  # so that whoever watches the memory sees it grow
        return super().fit(X, y)


class KillsItsWorker(_Constant):
    """Takes the worker down that its process belongs to, as memory may that runs out for a whole container."""

    def __init__(self, when: bool = True, number: int = 0) -> None:
        self.when = when
        self.number = number

    def fit(self, X: Any, y: Any) -> Self:
        if self.when:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)  # it ends with its worker
        return super().fit(X, y)


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
    """Scores what NumPy's global generator gives: the same on every worker only if that is seeded."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def fit(self, X: Any, y: Any) -> Self:
        self.drawn_ = float(np.random.random())
        return super().fit(X, y)

    def score(self, X: Any, y: Any) -> float:
        return self.drawn_
