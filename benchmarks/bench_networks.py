"""Percent that the queue adds to training networks of ten epochs on scikit-learn's digits."""

from __future__ import annotations

import argparse
import functools
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch
from uuid import uuid4

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import ShuffleSplit

from benchmarks.machine import describe, workers
from warren import KerasModel, submit
from worker.process.main import with_room

TRIALS, ROUNDS, AIM_PERCENT = 5, 30, 2.0
NETWORK = KerasModel(hidden_layers=(64, 32), epochs=10, batch_size=32, scale=16.0, random_state=0)
SPLITTER = ShuffleSplit(1, test_size=0.2, random_state=0)
# As in a worker with one thread.
_POOLS = ("OMP", "OPENBLAS", "MKL")
_THREADS = (*(f"{pool}_NUM_THREADS" for pool in _POOLS), "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_ALONE = dict.fromkeys(_THREADS, "1") | {"TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True, kw_only=True)
class Round:
    """The same networks trained twice, one after the other, by two warm processes.

    Attributes
    ----------
    alone : float
        Seconds for each network without the queue, from the end of one to the end of the next.
    queued : float
        The same with the queue.
    beside : float
        The part of `queued` that was neither in a fit nor in scoring.
    alone_cpu, queued_cpu : float
        Processor seconds for each network of the process alone, and of the worker's training
        process. Other work on the machine makes these longer too, but not while it has the core.
    """

    alone: float
    queued: float
    beside: float
    alone_cpu: float
    queued_cpu: float

    @property
    def added(self) -> float:
        """Percent that the queue added."""
        return 100 * (self.queued / self.alone - 1)

    @property
    def added_cpu(self) -> float:
        """Percent more processor time than the process alone."""
        return 100 * (self.queued_cpu / self.alone_cpu - 1)


def rates(trials: int) -> list[float]:
    """Return the learning rates of the networks, which differ in nothing else."""
    return [float(rate) for rate in np.geomspace(1e-4, 1e-2, trials)]


def queued(trials: int) -> tuple[float, float]:
    """Let the worker train them; return mean seconds, and those outside of fit and scoring.

    The first network is left out, because its time includes the submission. Every epoch's loss is
    in the database while it trains.
    """
    X, y = load_digits(return_X_y=True)
    name = f"networks {uuid4().hex}"
    study = submit(NETWORK, {"learning_rate": rates(trials)}, X, y, cv=SPLITTER, name=name).wait(progress=False)
    found = study.results()
    if (found["state"] != "COMPLETE").any():
        raise RuntimeError(f"networks failed: {found['error'].dropna().tolist()[:1]}")
    found = found.sort_values("finished_at")
    whole = float(found["finished_at"].diff().dt.total_seconds().iloc[1:].mean())
    inside = float((found["fit_seconds"] + found["score_seconds"]).iloc[1:].mean())
    return whole, whole - inside


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


class Alone:
    """A process that trains the networks on request: a worker's threads, but no worker."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = psutil.Process(process.pid)
        assert process.stdin
        assert process.stdout
        self._asks, self._says = process.stdin, process.stdout

    def train(self, trials: int) -> float:
        """Return the mean seconds of all networks except the first."""
        print(trials, file=self._asks, flush=True)
        return statistics.mean(float(one) for one in self._says.readline().split()[1:])


@contextmanager
def alone() -> Iterator[Alone]:
    """Start the process, and end it when the block ends."""
    command = [sys.executable, "-m", "benchmarks.bench_networks", "--alone"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=os.environ | _ALONE, stdin=pipe, stdout=pipe, text=True) as process:
        yield Alone(process)
        process.communicate()


def cpu_seconds(process: psutil.Process) -> float:
    """Return the processor seconds of a process so far, all threads included."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def training_process() -> psutil.Process:
    """Return the training process of the only worker."""
    (found,) = (one for one in psutil.Process().children(recursive=True) if "worker.process.main" in one.cmdline())
    return found


def compare(trials: int, rounds: int) -> list[Round]:
    """Train the networks with and without the queue in turns; each comes first equally often."""
    with workers(1), alone() as without:
        queued(2)  # the worker imports TensorFlow
        without.train(2)
        child = training_process()
        found = []
        for number in range(rounds):
            began = cpu_seconds(without.process), cpu_seconds(child)
            if number % 2:
                whole, beside = queued(trials)
                plain = without.train(trials)
            else:
                plain = without.train(trials)
                whole, beside = queued(trials)
            plain_cpu, whole_cpu = cpu_seconds(without.process) - began[0], cpu_seconds(child) - began[1]
            one = Round(
                alone=plain,
                queued=whole,
                beside=beside,
                alone_cpu=plain_cpu / trials,
                queued_cpu=whole_cpu / trials,
            )
            found.append(one)
            print(
                f"  {plain:.3f} s without, {whole:.3f} s with the queue: {one.added:+.1f} %; of a core "
                f"{one.alone_cpu:.3f} and {one.queued_cpu:.3f} s: {one.added_cpu:+.1f} %",
                flush=True,
            )
    return found


def main(arguments: Sequence[str] = ()) -> None:
    """Print what the queue adds, with and without a checkpoint folder.

    The trainings are too short to write checkpoints.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"of a study (default {TRIALS})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"times each, in turns (default {ROUNDS})")
    parser.add_argument("--alone", action="store_true", help="train as many as standard input says, and print seconds")
    chosen = parser.parse_args(arguments)
    if chosen.alone:
        for line in sys.stdin:
            # As in a worker, so that the queue is the only difference: room for frames, and
            # libraries excluded from garbage collection.
            print(*with_room(functools.partial(train_here, int(line))), flush=True)
            gc.collect()
            gc.freeze()
        return
    print(describe(), flush=True)
    table = Table(
        "10 epochs of 1,437 digits, one thread",
        "s alone",
        "s queued",
        "added, %",
        "95 %",
        "beside, ms",
        "core, %",
        "95 %",
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, place in {"as it comes": "", "WARREN_CHECKPOINTS is set": folder}.items():
            print(name)
            with patch.dict(os.environ, WARREN_CHECKPOINTS=place):
                table.add_row(name, *_figures(compare(chosen.trials, chosen.rounds)))
    Console(width=140).print(table)


def _figures(rounds: Sequence[Round]) -> list[str]:
    """Return medians, and the interval of the median of what the queue adds."""
    return [
        f"{statistics.median(one.alone for one in rounds):.3f}",
        f"{statistics.median(one.queued for one in rounds):.3f}",
        *_median([one.added for one in rounds], f" (aim: below {AIM_PERCENT:g})"),
        f"{1000 * statistics.median(one.beside for one in rounds):.0f}",
        *_median([one.added_cpu for one in rounds]),
    ]


def _median(values: Sequence[float], aim: str = "") -> tuple[str, str]:
    between = bootstrap((values,), np.median, rng=0).confidence_interval
    return f"{statistics.median(values):.1f}{aim}", f"{between.low:.1f} to {between.high:.1f}"


if __name__ == "__main__":
    main(sys.argv[1:])
