"""Milliseconds for a trial that does nothing, with Warren and its peers, on two workers each."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from math import ceil
from statistics import median
from uuid import uuid4

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe, workers
from benchmarks.noop import NoOp
from benchmarks.peers.launch import PEERS, Figure, Peer, PeerError, run_peer
from warren import Study, submit
from warren.storage.documents import now

WORKERS, RUNS, AIM_MILLISECONDS = 2, 3, 1.0
TRIALS, FEW, MANY = 5_000, 1_000, 100_000
# Trials before each measurement, because some things are created at first use.
WARM_UP = 50 * WORKERS


@dataclass(frozen=True, kw_only=True)
class Run:
    """A study of trials that did nothing, on warm workers.

    Attributes
    ----------
    study : Study
    trials : int
    seconds : float
        From the call of ``submit`` until every result is durable and counted.
    early, late : float
        Milliseconds for each trial in the first tenth of the study and in the last, by the trials'
        ends.
    """

    study: Study
    trials: int
    seconds: float
    early: float
    late: float

    @property
    def figure(self) -> Figure:
        """The figure in the table."""
        return Figure(seconds=self.seconds, trials=self.trials, version=metadata.version("warren"))

    def __str__(self) -> str:
        each = 1000 * self.seconds / self.trials
        return (
            f"{self.trials:,} no-op trials, {WORKERS} workers: {each:.2f} ms a trial from submit until every "
            f"result is durable; {self.early:.2f} ms in the first tenth, {self.late:.2f} ms in the last"
        )


def run(trials: int) -> Run:
    """Run no-op trials of one split, in the chunks that Warren chooses.

    The end is that in the study's document: `Study.wait` looks only at intervals, and would be
    inexact for short runs.
    """
    _study(WARM_UP).wait(progress=False)
    began = now()
    study = _study(trials).wait(progress=False)
    status = study.status()
    if status.failed or status.finished_at is None:
        raise RuntimeError(f"{status.failed} of {trials} no-op trials failed")
    ends = study.results()["finished_at"].sort_values()
    tenth = trials // 10
    early, late = (
        1000 * (ends.iloc[last] - ends.iloc[first]).total_seconds() / tenth
        for first, last in ((0, tenth), (trials - 1 - tenth, trials - 1))
    )
    return Run(
        study=study,
        trials=trials,
        seconds=(status.finished_at - began).total_seconds(),
        early=early,
        late=late,
    )


def _study(trials: int) -> Study:
    rows = np.arange(100)
    grid = {"number": range(trials)}
    return submit(NoOp(), grid, np.zeros((100, 4)), cv=[(rows[:80], rows[80:])], name=f"no-ops {uuid4().hex}")


def compare(rounds: int, scale: float) -> Table:
    """Run Warren and its peers in turn and tabulate the medians.

    Parameters
    ----------
    rounds : int
        How often; in turn, so that other work of the machine affects all of them.
    scale : float
        Part of the trials to run; 1 for published figures.

    Returns
    -------
    Table
    """
    warren: list[Figure] = []
    peers: dict[Peer, list[Figure]] = {peer: [] for peer in PEERS}
    notes: dict[Peer, PeerError] = {}
    for _ in range(rounds):
        # New servers each time: the stand-in database becomes slower with the number of writes.
        with workers(WORKERS):
            warren.append(run(ceil(TRIALS * scale)).figure)
        for peer in PEERS:
            if peer in notes:
                continue
            try:
                with workers(0) if peer.on_servers else nullcontext():
                    peers[peer].append(run_peer(peer, ceil(peer.trials * scale)))
            except PeerError as exc:
                notes[peer] = exc
    table = Table("system", "version", title=f"a trial that does nothing, {WORKERS} workers", box=SIMPLE)
    for heading in ("trials", "ms a trial", f"the {rounds} runs", "times Warren"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("results are")
    table.add_row(*_row("Warren", warren, warren), "documents")
    for peer, figures in peers.items():
        if peer not in notes:
            table.add_row(*_row(peer.name, figures, warren), peer.results)
    table.caption = "\n".join(f"{peer.name}: {note}" for peer, note in notes.items())
    return table


def _row(name: str, figures: list[Figure], warren: list[Figure]) -> tuple[str, ...]:
    each = [figure.milliseconds for figure in figures]
    times = median(each) / median(figure.milliseconds for figure in warren)
    trials, version = figures[0].trials, figures[0].version
    return name, version, f"{trials:,}", f"{median(each):.2f}", ", ".join(f"{ms:.2f}" for ms in each), f"{times:.1f}"


def growth() -> str:
    """Compare a trial of a large study with one of a small study, and late with early ones."""
    with workers(WORKERS):
        few = sorted((run(FEW) for _ in range(RUNS)), key=lambda one: one.seconds)[RUNS // 2]
        many = run(MANY)
    return f"{few} (median of {RUNS})\n{many}: {many.late / many.early - 1:+.0%}"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials, once: to see that all runs")
    quick = parser.parse_args().quick
    print(describe())
    table = compare(1, 0.1) if quick else compare(RUNS, 1)
    Console(width=120).print(table)
    print(f"aim: Warren at most {AIM_MILLISECONDS:g} ms, and ahead of all")
    if not quick:
        print(growth())


if __name__ == "__main__":
    main()
