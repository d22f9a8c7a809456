"""A pipeline with expensive preparation against ``GridSearchCV``: two one-thread processes.

Every score of every fold must be equal bit for bit.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from xgboost import XGBClassifier

from benchmarks.bench_grid import Scores
from benchmarks.machine import describe, workers
from producer.results.status import Status
from warren import submit

WORKERS, FOLDS = 2, 3
GRID = {"clf__n_estimators": [50, 100, 150, 200], "clf__max_depth": [3, 4, 5]}
WORDS = ["late", "early", "good", "bad", "new", "old", "large", "small", "first", "last"]


def table_of(rows: int) -> tuple[pd.DataFrame, Any]:
    """Return a table of 30 numbers and a remark of 20 words, and labels."""
    X, y = make_classification(rows, 30, n_informative=15, random_state=0)
    draw = np.random.default_rng(0)
    remarks = [" ".join(words) for words in draw.choice(WORDS, (rows, 20))]
    return pd.DataFrame(X, columns=[f"number{position}" for position in range(30)]).assign(remark=remarks), y


def pipeline() -> Pipeline:
    """Return preparation steps that take about as long as the booster after them."""
    numbers = FeatureUnion(
        [
            ("components", PCA(n_components=10, random_state=0)),
            ("bins", KBinsDiscretizer(n_bins=16, encode="ordinal", strategy="kmeans", random_state=0, subsample=None)),
        ]
    )
    columns = ColumnTransformer(
        [
            ("numbers", Pipeline([("scale", StandardScaler()), ("more", numbers)]), make_column_selector("^number")),
            ("remark", TfidfVectorizer(ngram_range=(1, 2), max_features=50), "remark"),
        ],
        sparse_threshold=0,
    )
    return Pipeline([("columns", columns), ("clf", XGBClassifier(n_jobs=1))])


def peer(X: Any, y: Any) -> tuple[float, Scores]:
    """Return the seconds of one ``GridSearchCV``, and the scores of each candidate on each fold."""
    search = GridSearchCV(
        pipeline(),
        GRID,
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


def warren(X: Any, y: Any) -> tuple[float, Scores, Status]:
    """Return the same for a study, from the call of `submit` to the last result, and its status."""
    began = time.perf_counter()
    study = submit(pipeline(), GRID, X, y, scoring="roc_auc", cv=StratifiedKFold(FOLDS), name=uuid4().hex)
    study.wait(progress=False)
    seconds = time.perf_counter() - began
    results = study.cv_results_
    return seconds, [results[f"split{fold}_test_score"].tolist() for fold in range(FOLDS)], study.status()


def main(arguments: Sequence[str] = ()) -> None:
    """Print a table: seconds of both, how many times faster, and the seconds saved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="of the table (default 10,000)")
    parser.add_argument("--runs", type=int, default=3, help="times each, in turns; the median counts (default 3)")
    chosen = parser.parse_args(arguments)
    theirs, ours = [], []
    status: Status | None = None
    with workers(WORKERS, threads=1) as servers:
        print(f"{describe()}\n{servers}", flush=True)
        # Both have their processes and libraries ready before the first run.
        small = table_of(300)
        peer(*small)
        warren(*small)
        X, y = table_of(chosen.rows)
        for number in range(chosen.runs):
            their_seconds, their_scores = peer(X, y)
            our_seconds, our_scores, status = warren(X, y)
            if our_scores != their_scores:
                raise SystemExit(f"the scores of run {number + 1} differ")
            theirs.append(their_seconds)
            ours.append(our_seconds)
            print(f"  run {number + 1}: GridSearchCV {their_seconds:.1f} s, Warren {our_seconds:.1f} s", flush=True)
    assert status is not None
    points = int(np.prod([len(values) for values in GRID.values()]))
    table = Table("grid", "GridSearchCV, s", "Warren, s", "times", "trained, s", "saved, s")
    table.add_row(
        f"{points} points, {chosen.rows:,} rows, 31 columns, {FOLDS} folds",
        f"{statistics.median(theirs):.1f}",
        f"{statistics.median(ours):.1f}",
        f"{statistics.median(theirs) / statistics.median(ours):.2f}",
        f"{status.fit_seconds:.0f}",
        f"{status.saved_seconds:.0f}",
    )
    Console(width=140).print(table)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
