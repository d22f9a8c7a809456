"""What Warren adds to a trial that does next to nothing: wall time × workers, less the time in fit and score."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from sklearn.dummy import DummyClassifier

from benchmarks.machine import describe, workers
from producer import Study, submit

WORKERS, FOLDS, AIM_MILLISECONDS = 2, 2, 1.0
TRIALS, CHUNKS = 5_000, 50


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Milliseconds a trial: on the wall clock, in fit and score, and what Warren added on each worker."""

    wall: float
    trained: float
    added: float


def run(trials: int, n_chunks: int | None) -> tuple[Study, Overhead]:
    """Run a study of no-op trials on workers that are warm, and return it with its figures.

    Wall time is from the first trial's start to the last one's end, as the trial documents have them.
    """
    X, y = np.zeros((100, 4)), np.arange(100) % 2
    submit(
        DummyClassifier(), {"random_state": range(20 * WORKERS)}, X, y, cv=FOLDS, n_chunks=2 * WORKERS, name=uuid4().hex
    ).wait(progress=False)
    study = submit(
        DummyClassifier(),
        {"random_state": range(trials)},
        X,
        y,
        cv=FOLDS,
        n_chunks=n_chunks,
        name=f"overhead {uuid4().hex}",
    )
    study.wait()
    frame, status = study.results(), study.status()
    wall = (frame["finished_at"].max() - frame["started_at"].min()).total_seconds()
    trained = status.fit_seconds + status.score_seconds
    per_trial = 1000 / trials
    return study, Overhead(
        wall=wall * per_trial, trained=trained * per_trial, added=(wall * WORKERS - trained) * per_trial
    )


def report(trials: int, n_chunks: int | None) -> tuple[Study, str]:
    """Run a study and say its figures in a line."""
    study, figures = run(trials, n_chunks)
    chunks = f"{n_chunks:,} chunks" if n_chunks else "chunks left to Warren"
    return study, (
        f"{trials:,} no-op trials of {FOLDS} folds, {chunks}, {WORKERS} workers: {figures.wall:.2f} ms of wall time a "
        f"trial, {figures.trained:.2f} ms in fit and score, {figures.added:.2f} ms added on each worker "
        f"(aim: under {AIM_MILLISECONDS:g} ms)"
    )


def main() -> None:
    """Print the figures."""
    with workers(WORKERS) as servers:
        print(f"{describe()}\n{servers}")
        for n_chunks in (CHUNKS, None):
            print(report(TRIALS, n_chunks)[1])


if __name__ == "__main__":
    main()
