"""Seconds to read the results of a study of 100,000 trials that were really run."""

from __future__ import annotations

import time

from benchmarks.bench_overhead import WORKERS, run
from benchmarks.machine import describe, workers
from producer import Study

TRIALS, AIM_SECONDS = 100_000, 5.0


def measure(study: Study, runs: int = 3) -> str:
    """Say the medians of `runs` readings."""
    seconds: dict[str, list[float]] = {"results()": [], "cv_results_": [], "status()": []}
    for _ in range(runs):
        for name, read in (
            ("results()", study.results),
            ("cv_results_", lambda: study.cv_results_),
            ("status()", study.status),
        ):
            began = time.perf_counter()
            read()
            seconds[name].append(time.perf_counter() - began)
    return ", ".join(f"{name} {sorted(taken)[runs // 2]:.2f} s" for name, taken in seconds.items())


def main() -> None:
    """Print the figures."""
    with workers(WORKERS) as servers:
        print(f"{describe()}\n{servers}")
        ran = run(TRIALS)
        print(ran)
        print(f"reading {TRIALS:,} trials: {measure(ran.study)} (aim for results(): under {AIM_SECONDS:g} s)")


if __name__ == "__main__":
    main()
