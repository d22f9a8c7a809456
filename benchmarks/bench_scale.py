"""Forty workers on trials that only sleep, and a producer's memory with a million trials."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass
from uuid import uuid4

import numpy as np

from benchmarks.machine import describe, workers
from benchmarks.noop import NoOp, Sleep
from warren import Study, submit

WORKERS, TRIALS, SECONDS, RUNS = 40, 4_000, 0.5, 3
AIM_PERCENT, FEW, MANY = 97.0, 1_000, 1_000_000
ONE_SPLIT = [(np.arange(5), np.arange(5, 10))]
X, Y = np.zeros((10, 1)), np.arange(10) % 2


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Seconds of a study, and seconds from its first worker's end to the last one's."""

    seconds: float
    first_done: float

    @property
    def percent(self) -> float:
        """Part of the ideal: only trials, evenly distributed over the workers."""
        return 100 * TRIALS * SECONDS / WORKERS / self.seconds


def run() -> Scaling:
    """Run a study of sleeping trials on new servers and warm workers.

    The servers are new because the stand-in database becomes slower with the number of writes.
    """
    with workers(WORKERS):
        # Every worker has its training process, and the planner has measured the trial.
        _study(4 * WORKERS, n_chunks=4 * WORKERS).wait(progress=False)
        study = _study(TRIALS).wait()
        frame = study.results()
    last = frame.groupby("worker")["finished_at"].max()
    if len(last) != WORKERS:
        raise SystemExit(f"{len(last)} of {WORKERS} workers took part")
    return Scaling(
        seconds=(frame["finished_at"].max() - frame["started_at"].min()).total_seconds(),
        first_done=(last.max() - last.min()).total_seconds(),
    )


def _study(trials: int, n_chunks: int | None = None) -> Study:
    grid = {"number": range(trials)}
    name = f"sleep {uuid4().hex}"
    return submit(Sleep(seconds=SECONDS), grid, X, Y, cv=ONE_SPLIT, n_chunks=n_chunks, name=name)


def peak_megabytes(trials: int) -> float:
    """Return the largest resident memory of a process that submits this many trials."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_scale", str(trials)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def submit_only(trials: int) -> None:
    """Submit no-op trials and print this process's largest resident memory, MB."""
    study = submit(NoOp(), {"number": range(trials)}, X, Y, cv=ONE_SPLIT, name=f"memory {uuid4().hex}")
    study.cancel()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def main() -> None:
    """Print the figures."""
    print(describe(), flush=True)
    runs = [run() for _ in range(RUNS)]
    percent = statistics.median(one.percent for one in runs)
    behind = statistics.median(one.first_done for one in runs)
    print(
        f"{TRIALS:,} trials of {SECONDS} s on {WORKERS} workers: {percent:.1f} % of ideal (aim: {AIM_PERCENT:g} %); "
        f"the first worker to end waited {behind:.2f} s for the last (aim: one trial); all runs: "
        + ", ".join(f"{one.percent:.1f} %, {one.first_done:.2f} s" for one in runs),
        flush=True,
    )
    with workers(0):
        few, many = peak_megabytes(FEW), peak_megabytes(MANY)
    print(f"memory of a producer, largest: {few:.0f} MB for {FEW:,} trials, {many:.0f} MB for {MANY:,}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        submit_only(int(sys.argv[1]))
    else:
        main()
