"""What the queue adds to networks of ten epochs on scikit-learn's digits, in percent of training them without it."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from unittest.mock import patch
from uuid import uuid4

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import ShuffleSplit

from benchmarks.machine import describe, workers
from producer import KerasModel, submit

TRIALS, RUNS, AIM_PERCENT = 20, 3, 2.0
NETWORK = KerasModel(hidden_layers=(64, 32), epochs=10, batch_size=32, scale=16.0, random_state=0)
SPLITTER = ShuffleSplit(1, test_size=0.2, random_state=0)
# One worker of one thread has them all so.
_POOLS = ("OMP", "OPENBLAS", "MKL")
_THREADS = (*(f"{pool}_NUM_THREADS" for pool in _POOLS), "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_ALONE = dict.fromkeys(_THREADS, "1") | {"TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Networks that were trained one after the other by one process that was warm.

    Attributes
    ----------
    each : list of float
        Seconds from one's end to the next one's, or from the first one's begin.
    beside : list of float
        Seconds of these that were neither in a fit nor in scoring.
    """

    each: list[float]
    beside: list[float]


def rates(trials: int) -> list[float]:
    """Return the learning rates by which the networks differ."""
    return [float(rate) for rate in np.geomspace(1e-4, 1e-2, trials)]


def queued(trials: int) -> Run:
    """Let the worker train them; every epoch's loss is in the database while it trains, as always."""
    X, y = load_digits(return_X_y=True)
    name = f"networks {uuid4().hex}"
    study = submit(NETWORK, {"learning_rate": rates(trials)}, X, y, cv=SPLITTER, name=name).wait(progress=False)
    found = study.results()
    if (found["state"] != "COMPLETE").any():
        raise RuntimeError(f"networks failed: {found['error'].dropna().tolist()[:1]}")
    found = found.sort_values("finished_at")
    each = [float(seconds) for seconds in found["finished_at"].diff().dt.total_seconds().iloc[1:]]
    inside = (found["fit_seconds"] + found["score_seconds"]).iloc[1:]
    return Run(each=each, beside=[one - float(trained) for one, trained in zip(each, inside, strict=True)])


def train_here(trials: int) -> list[float]:
    """Train and score them in this process, and return the seconds of each."""
    X, y = load_digits(return_X_y=True)
    ((train, test),) = SPLITTER.split(X)
    each = []
    for rate in rates(trials):
        began = time.perf_counter()
        network = clone(NETWORK).set_params(learning_rate=rate)
        network.fit(X[train], y[train]).score(X[test], y[test])
        each.append(time.perf_counter() - began)
    return each


def alone(trials: int) -> Run:
    """Train them in a process of their own, with a worker's threads and nothing else of a worker."""
    command = [sys.executable, "-m", "benchmarks.bench_networks", "--alone", "--trials", str(trials)]
    said = subprocess.run(command, env=os.environ | _ALONE, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Run(each=[float(one) for one in said.split()], beside=[])


def main(arguments: Sequence[str] = ()) -> None:
    """Print what the queue adds, with and without a folder for checkpoints, which so short trainings never write to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"of a study (default {TRIALS})")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"times each, in turns (default {RUNS})")
    parser.add_argument("--alone", action="store_true", help="train here, and print the seconds")
    chosen = parser.parse_args(arguments)
    if chosen.alone:
        train_here(2)  # TensorFlow is imported
        print(*train_here(chosen.trials))
        return
    plain: list[Run] = []
    runs: dict[str, list[Run]] = {"without checkpoints": [], "WARREN_CHECKPOINTS is set": []}
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(chosen.runs):
            plain.append(alone(chosen.trials))
            print(f"  without the queue: {sum(plain[-1].each):.1f} s", flush=True)
            for name, place in zip(runs, ("", folder), strict=True):
                with patch.dict(os.environ, WARREN_CHECKPOINTS=place), workers(1):
                    queued(2)  # the worker imports TensorFlow
                    runs[name].append(queued(chosen.trials))
                print(f"  {name}: {sum(runs[name][-1].each):.1f} s", flush=True)
    table = Table(
        "10 epochs of 1,437 digits, one thread", "s a network", "median", "added, %", "beside fit and score, ms"
    )
    least = _typical(plain)
    table.add_row("without the queue", f"{least:.3f}", f"{_median(plain):.3f}", "", "")
    for name, several in runs.items():
        added = f"{100 * (_typical(several) / least - 1):.1f} (aim: below {AIM_PERCENT:g})"
        beside = statistics.median(seconds for run in several for seconds in run.beside)
        table.add_row(name, f"{_typical(several):.3f}", f"{_median(several):.3f}", added, f"{1000 * beside:.0f}")
    Console(width=140).print(table)


def _typical(runs: Sequence[Run]) -> float:
    """Return the lower quartile of all networks' seconds: what other work on the machine adds is above it."""
    return statistics.quantiles([seconds for run in runs for seconds in run.each], n=4)[0]


def _median(runs: Sequence[Run]) -> float:
    return statistics.median(seconds for run in runs for seconds in run.each)


if __name__ == "__main__":
    main(sys.argv[1:])
