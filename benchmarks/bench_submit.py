"""Seconds until a grid of 26,160 points in 5,000 chunks is stored and confirmed by the broker."""

from __future__ import annotations

import time

from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier

from benchmarks.machine import describe, workers
from warren import submit

POINTS, CHUNKS, AIM_SECONDS = 26_160, 5_000, 2.0


def measure(runs: int = 3) -> float:
    """Return the median of `runs` submissions of different studies."""
    X, y = load_breast_cancer(return_X_y=True)
    seconds = []
    for run in range(runs):
        began = time.perf_counter()
        submit(DummyClassifier(), {"random_state": range(POINTS)}, X, y, n_chunks=CHUNKS, name=f"submit {run}")
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[runs // 2]


def main() -> None:
    """Print the figure."""
    with workers(0) as servers:
        print(f"{describe()}\n{servers}")
        print(f"submit {POINTS:,} points in {CHUNKS:,} chunks: {measure():.2f} s (aim: under {AIM_SECONDS:g} s)")


if __name__ == "__main__":
    main()
