"""What the queue adds to networks of ten epochs on scikit-learn's digits, in percent of their training."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from unittest.mock import patch
from uuid import uuid4

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import ShuffleSplit

from benchmarks.machine import describe, workers
from producer import KerasModel, submit

TRIALS, RUNS, AIM_PERCENT = 30, 3, 2.0


@dataclass(frozen=True, kw_only=True)
class Run:
    """A study of networks on one worker that was warm.

    Attributes
    ----------
    trained : float
        Seconds in fits and in scoring.
    between : float
        Seconds from the first trial's begin to the last one's end that were neither.
    """

    trained: float
    between: float

    @property
    def percent(self) -> float:
        """What a trial takes beside its training, of it."""
        return 100 * self.between / self.trained


def run(trials: int) -> Run:
    """Train networks that differ in their learning rate, one after the other, each on one split.

    Every epoch's loss is in the database while it trains, as always.
    """
    X, y = load_digits(return_X_y=True)
    network = KerasModel(hidden_layers=(64, 32), epochs=10, batch_size=32, scale=16.0, random_state=0)
    grid = {"learning_rate": np.geomspace(1e-4, 1e-2, trials).tolist()}
    cv = ShuffleSplit(1, test_size=0.2, random_state=0)
    study = submit(network, grid, X, y, cv=cv, name=f"networks {uuid4().hex}").wait(progress=False)
    found = study.results()
    if (found["state"] != "COMPLETE").any():
        raise RuntimeError(f"networks failed: {found['error'].dropna().tolist()[:1]}")
    trained = float((found["fit_seconds"] + found["score_seconds"]).sum())
    took = (found["finished_at"].max() - found["started_at"].min()).total_seconds()
    return Run(trained=trained, between=took - trained)


def main(arguments: Sequence[str] = ()) -> None:
    """Print what is added with and without a folder for checkpoints, which trainings of a second never write to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"of a study (default {TRIALS})")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"times each, in turns; the median counts ({RUNS})")
    chosen = parser.parse_args(arguments)
    runs: dict[str, list[Run]] = {"without checkpoints": [], "WARREN_CHECKPOINTS is set": []}
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(chosen.runs):
            for name, place in zip(runs, ("", folder), strict=True):
                with patch.dict(os.environ, WARREN_CHECKPOINTS=place), workers(1):
                    run(2)  # the worker imports TensorFlow
                    runs[name].append(run(chosen.trials))
                print(f"  {name}: {runs[name][-1].percent:.2f} %", flush=True)
    table = Table("10 epochs of 1,437 digits, one worker", "training a trial, s", "beside it, ms", "% (median)", "runs")
    for name, several in runs.items():
        table.add_row(
            name,
            f"{statistics.median(one.trained for one in several) / chosen.trials:.2f}",
            f"{1000 * statistics.median(one.between for one in several) / chosen.trials:.0f}",
            f"{statistics.median(one.percent for one in several):.2f} (aim: below {AIM_PERCENT:g})",
            ", ".join(f"{one.percent:.2f}" for one in several),
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
