"""Grids over three libraries against ``GridSearchCV``: two processes with one thread each.

Every score of every fold must be equal bit for bit.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
from catboost import CatBoostClassifier
from lightgbm import LGBMClassifier
from rich.console import Console
from rich.table import Table
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from xgboost import XGBClassifier

from benchmarks.machine import describe, workers
from producer.results.status import Status
from warren import submit

WORKERS, FOLDS = 2, 3
Grid = dict[str, Sequence[Any]]


def models() -> tuple[Any, Any, Any]:
    """Return an estimator of each library, without output and with one thread."""
    return (
        XGBClassifier(n_jobs=1),
        LGBMClassifier(n_jobs=1, verbosity=-1),
        CatBoostClassifier(thread_count=1, logging_level="Silent", allow_writing_files=False),
    )


def reference(rounds: Sequence[int]) -> list[Grid]:
    """Return 20 points over three libraries for each number of rounds."""
    xgboost, lightgbm, catboost = models()
    rates = [0.05, 0.1]
    common: Grid = {"n_estimators": rounds, "learning_rate": rates}
    return [
        {"estimator": [xgboost], "max_depth": [4, 6], "subsample": [0.8, 1.0], **common},
        {"estimator": [lightgbm], "num_leaves": [15, 31], "colsample_bytree": [0.8, 1.0], **common},
        {"estimator": [catboost], "depth": [4, 6], "iterations": rounds, "learning_rate": rates},
    ]


def short_fits() -> list[Grid]:
    """Return 36 points of 100 rounds of shallow trees; no two of them can share a fit."""
    xgboost, lightgbm, catboost = models()
    rates = [0.05, 0.1, 0.2]
    return [
        {
            "estimator": [xgboost],
            "n_estimators": [100],
            "max_depth": [3, 4],
            "reg_lambda": [1, 5],
            "learning_rate": rates,
        },
        {
            "estimator": [lightgbm],
            "n_estimators": [100],
            "num_leaves": [7, 15],
            "reg_lambda": [0, 5],
            "learning_rate": rates,
        },
        {"estimator": [catboost], "iterations": [100], "depth": [3, 4], "l2_leaf_reg": [3, 9], "learning_rate": rates},
    ]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A grid, its number of rows, and how many times faster than the peer Warren should be."""

    name: str
    grids: list[Grid]
    rows: int
    aim: float

    @property
    def points(self) -> int:
        """Number of trials."""
        return sum(int(np.prod([len(values) for values in grid.values()])) for grid in self.grids)


CASES = {
    "reference": Case(name="5 round counts, 100 to 500", grids=reference(range(100, 501, 100)), rows=10_000, aim=2.7),
    "ten": Case(name="10 round counts, 100 to 1,000", grids=reference(range(100, 1001, 100)), rows=10_000, aim=4.5),
    "short": Case(name="100 rounds, no rounds axis", grids=short_fits(), rows=100_000, aim=1.2),
}
Scores = list[list[float]]


def peer(grids: list[Grid], X: Any, y: Any) -> tuple[float, Scores]:
    """Return the seconds of one ``GridSearchCV`` over all grids, and all scores by fold."""
    inner = [
        {"model": grid["estimator"]}
        | {f"model__{name}": values for name, values in grid.items() if name != "estimator"}
        for grid in grids
    ]
    search = GridSearchCV(
        Pipeline([("model", grids[0]["estimator"][0])]),
        inner,
        scoring="roc_auc",
        cv=StratifiedKFold(FOLDS),
        n_jobs=WORKERS,
        refit=False,
        error_score="raise",
    )
    began = time.perf_counter()
    search.fit(X, y)
    seconds = time.perf_counter() - began
    return seconds, [search.cv_results_[f"split{fold}_test_score"].tolist() for fold in range(FOLDS)]


def warren(grids: list[Grid], X: Any, y: Any) -> tuple[float, Scores, Status]:
    """Return the same for a study, from the call of `submit` to the last result, and its status."""
    began = time.perf_counter()
    study = submit(None, grids, X, y, scoring="roc_auc", cv=StratifiedKFold(FOLDS), name=uuid4().hex)
    study.wait(progress=False)
    seconds = time.perf_counter() - began
    results = study.cv_results_
    return seconds, [results[f"split{fold}_test_score"].tolist() for fold in range(FOLDS)], study.status()


def run(case: Case, runs: int) -> list[str]:
    """Run both in turns, and return a row of the table; raise if a score differs in any bit."""
    X, y = make_classification(case.rows, 28, n_informative=15, random_state=0)
    theirs, ours, limits = [], [], []
    status: Status | None = None
    for number in range(runs):
        their_seconds, their_scores = peer(case.grids, X, y)
        our_seconds, our_scores, status = warren(case.grids, X, y)
        if our_scores != their_scores:
            raise SystemExit(f"{case.name}: the scores of run {number} differ")
        theirs.append(their_seconds)
        ours.append(our_seconds)
        limits.append(status.fit_seconds / WORKERS)
        print(f"  run {number + 1}: GridSearchCV {their_seconds:.1f} s, Warren {our_seconds:.1f} s", flush=True)
    their_median, our_median, limit = (statistics.median(column) for column in (theirs, ours, limits))
    assert status is not None
    return [
        f"{case.points} points, {case.rows:,} x 28, {case.name}",
        f"{their_median:.1f}",
        f"{our_median:.1f}",
        f"{their_median / our_median:.2f}",
        f"{case.aim:g}",
        f"{limit:.1f} ({100 * limit / our_median:.0f} %)",
        f"{status.saved_seconds:.0f}",
    ]


def main(arguments: Sequence[str] = ()) -> None:
    """Print a table: seconds of both, how many times faster, and the seconds of training alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="which grids; all by default")
    parser.add_argument("--runs", type=int, default=3, help="times each, in turns; the median counts (default 3)")
    chosen = parser.parse_args(arguments)
    table = Table("grid", "GridSearchCV, s", "Warren, s", "times", "aim", "training alone, s", "saved, s")
    with workers(WORKERS, threads=1) as servers:
        print(f"{describe()}\n{servers}", flush=True)
        # Both have their processes and libraries ready before the first run.
        X, y = make_classification(300, 28, random_state=0)
        tiny = reference([5])
        peer(tiny, X, y)
        warren(tiny, X, y)
        for name in chosen.cases or CASES:
            table.add_row(*run(CASES[name], chosen.runs))
    Console(width=140).print(table)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
