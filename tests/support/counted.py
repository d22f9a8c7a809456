"""A forest and a scaler that note each of their fits, for counting work that was done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

ALLOW = "counted.CountedForest,counted.CountedScaler"


class CountedForest(RandomForestClassifier):
    """Leaves a line in the file `diary` when a fit begins, and one when it ends."""

    def __init__(self, n_estimators: int = 100, max_depth: int | None = None, random_state: int = 0, diary: str = ""):
        super().__init__(n_estimators=n_estimators, max_depth=max_depth, random_state=random_state, n_jobs=1)
        self.diary = diary

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        self._note("begun")
        super().fit(X, y, sample_weight)
        self._note("ended")
        return self

    def _note(self, what: str) -> None:
        # One write of few bytes to a file opened for appending: whole, also while other
        # processes write.
        with Path(self.diary).open("a") as diary:
            diary.write(f"{what}\n")


class CountedScaler(StandardScaler):
    """Leaves a line in the file `diary` for each of its fits, with how many rows it saw
    and a `mark`."""

    def __init__(self, with_mean: bool = True, mark: str = "", diary: str = ""):
        super().__init__(with_mean=with_mean)
        self.mark = mark
        self.diary = diary

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        with Path(self.diary).open("a") as diary:
            diary.write(f"{len(X)} {self.mark}\n")
        return super().fit(X, y, sample_weight)
