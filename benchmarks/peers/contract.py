"""What all peers have in common: the trial, the number of workers, and the line that each prints.

``python -m benchmarks.peers.run_dask --trials 2000`` prints ``{"seconds": 3.7, "trials": 2000, "version": "…"}``.

The clock runs from the first trial that is handed over until the last result is there. Workers are up and
have done some trials before: what their start takes is not counted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib import metadata

WORKERS = 2
# Trials that each peer does before the clock runs, for whatever is made at first use.
WARM_UP = 50


def noop(number: int) -> float:  # noqa: ARG001 - a trial has a parameter
    """Do nothing: the trial of peers that take a function."""
    return 0.0


def arguments() -> argparse.ArgumentParser:
    """Return a parser of what every peer takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, required=True)
    return parser


def report(measure: Callable[[int], float], trials: int, distribution: str) -> None:
    """Measure a peer and print the line.

    Parameters
    ----------
    measure : callable
        Runs so many trials, and returns the seconds that they took.
    trials : int
    distribution : str
        What the peer is called on PyPI.
    """
    line = {"seconds": measure(trials), "trials": trials, "version": metadata.version(distribution)}
    print(json.dumps(line), flush=True)
