"""Frames in one piece: calls at any depth, whatever CPython's version, ask the system
for no memory."""

from __future__ import annotations

import resource
import sys

import pytest

from worker.process.main import with_room

CALLS = 200
DEPTHS = 700


def wide() -> None:
    """Has a frame of some size: at more of the depths the end of a chunk lies within it."""


wide.__code__ = wide.__code__.replace(co_stacksize=80)


def faults_at(depth: int) -> int:
    """Pages that the system had to give to this thread for calls at some depth."""
    if depth:
        return faults_at(depth - 1)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(CALLS):
        wide()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


def most_faults() -> int:
    return max(faults_at(depth) for depth in range(DEPTHS))


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the faults of a thread")


def test_calls_at_any_depth_ask_for_no_memory() -> None:
    with_room(most_faults)  # what is made once
    assert with_room(most_faults) < CALLS / 2


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="CPython keeps a chunk from 3.13 on")
def test_without_room_a_depth_at_which_every_call_asks_is_there() -> None:
    assert most_faults() >= CALLS


def test_what_is_called_returns_and_raises_through_it() -> None:
    assert with_room(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        with_room(lambda: 1 // 0)
