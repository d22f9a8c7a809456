"""Cuts the units of a plan into chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TypeAlias

from producer.planning.blocks import Unit
from producer.planning.plan import Plan
from producer.space.space import split_sizes

# A trial's number and expected seconds.
Planned: TypeAlias = tuple[int, float]

# Number of workers to plan for: the real number is unknown at submission, and forty are many.
_WORKERS = 40
# A chunk takes the remaining work divided by workers times this factor: with two, estimates may be
# wrong by that factor.
_FACTOR = 2
# Shortest chunk in seconds: its overhead at the worker, broker and database is about ten
# milliseconds.
_SHORTEST = 0.25
# Longest chunk in seconds: it is lost with its worker, and the broker redelivers it after half an
# hour.
_LONGEST = 60.0
# Tolerance for rounding errors of sums.
_NEARLY = 1 - 1e-9
# Most trials of a chunk, so that a message stays small.
_MOST_TRIALS = 1000
# The same if the cost is only a guess: a trial may take hours.
_MOST_GUESSED = 20


def cut(plan: Plan, n_chunks: int | None) -> Iterator[list[Planned]]:
    """Cut a plan into chunks, lazily.

    Parameters
    ----------
    plan : Plan
    n_chunks : int or None
        Number of chunks; None sizes them by cost.

    Yields
    ------
    list of (int, float)
        Numbers and expected seconds of the trials of a chunk, in the order of the plan.

        With `n_chunks`, ``min(n_chunks, trials)`` chunks: consecutive whole units with about equal
        expected seconds; or, with fewer units than chunks, consecutive trials whose numbers differ
        by at most one.

        Without, every chunk takes the same share of the remaining expected seconds, so that the
        last chunks are the smallest and all workers end at about the same time: guided
        self-scheduling (C. Polychronopoulos, D. Kuck, IEEE Transactions on Computers C-36, 1987)
        with the factor of factoring (S. F. Hummel, E. Schonberg, L. E. Flynn, Communications of the
        ACM 35, 1992). Units stay whole; a longer unit is its own chunk.
    """
    if n_chunks is None:
        return _by_cost(plan.units(), plan.seconds, plan.n_trials)
    if plan.n_units < n_chunks:
        trials = chain.from_iterable(map(_planned, plan.units()))
        return (list(islice(trials, size)) for size in split_sizes(plan.n_trials, n_chunks))
    return _evenly(plan.units(), plan.seconds, plan.n_units, n_chunks)


def _planned(unit: Unit) -> Iterator[Planned]:
    return zip(unit.numbers, unit.shares, strict=True)


def _evenly(units: Iterator[Unit], seconds_left: float, units_left: int, n_chunks: int) -> Iterator[list[Planned]]:
    """Cut into `n_chunks` chunks of about equal seconds, each with at least one unit."""
    unit = next(units)
    for chunks_left in range(n_chunks, 0, -1):
        target = seconds_left / chunks_left
        chunk: list[Planned] = []
        filled = 0.0
        # The last chunk takes the rest, and each later chunk needs a unit; larger chunks come
        # first.
        while units_left and (
            not chunk or (units_left >= chunks_left and (chunks_left == 1 or filled < target * _NEARLY))
        ):
            chunk += _planned(unit)
            filled += unit.seconds
            units_left -= 1
            unit = next(units, unit)
        yield chunk
        seconds_left = max(seconds_left - filled, 0.0)


def _by_cost(units: Iterable[Unit], seconds_left: float, trials_left: int) -> Iterator[list[Planned]]:
    chunk: list[Planned] = []
    filled = target = 0.0
    most = _MOST_TRIALS
    for unit in units:
        room = _room(unit, trials_left)
        if chunk and (filled + unit.seconds > target or len(chunk) + len(unit.numbers) > min(most, room)):
            yield chunk
            seconds_left -= filled
            trials_left -= len(chunk)
            chunk, filled, room = [], 0.0, _room(unit, trials_left)
        if not chunk:
            target = min(max(seconds_left / (_FACTOR * _WORKERS), _SHORTEST), _LONGEST)
            most = _MOST_TRIALS
        most = min(most, room)
        chunk += _planned(unit)
        filled += unit.seconds
    if chunk:
        yield chunk


def _room(unit: Unit, trials_left: int) -> int:
    """Return the most trials of a chunk with this unit."""
    return max(min(_MOST_GUESSED, trials_left // (_FACTOR * _WORKERS)), 1) if unit.guess else _MOST_TRIALS
