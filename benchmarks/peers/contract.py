"""What all peers share: the trial, the number of workers, and the line that each prints.

``python -m benchmarks.peers.run_dask --trials 2000`` prints
``{"seconds": 3.7, "trials": 2000, "version": "…"}``.

The clock runs from the first submitted trial until the last result exists. Workers have started and
done some trials before: their start is not counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib import metadata

WORKERS = 2
# Trials of each peer before the clock runs, because some things are created at first use.
WARM_UP = 50


def noop(number: int) -> float:  # noqa: ARG001 - a trial has a parameter
    """Do nothing: the trial for peers that take a function."""
    return 0.0


def arguments() -> argparse.ArgumentParser:
    """Return a parser for the options that every peer has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, required=True)
    return parser


def report(measure: Callable[[int], float], trials: int, distribution: str) -> None:
    """Measure a peer and print the line.

    Parameters
    ----------
    measure : callable
        Runs this many trials, and returns the seconds that they took.
    trials : int
    distribution : str
        The peer's name on PyPI.
    """
    line = {"seconds": measure(trials), "trials": trials, "version": metadata.version(distribution)}
    print(json.dumps(line), flush=True)
