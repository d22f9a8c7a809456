"""Adopt, reap and end descendants of this process.

Standard library only, for programs run by path.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

# Seconds between two checks of processes that were killed.
REAP_SECONDS = 0.02
# Seconds to wait for killed processes to vanish. Only one in uninterruptible sleep needs any.
KILL_SECONDS = 5.0
# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
# linux/capability.h
_CAP_SYS_PTRACE = 19


def _prctl(option: int, value: int) -> None:
    """Set a property of this process; does nothing outside Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants that lose their own parent, instead of process 1."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with(parent: int, number: int) -> None:
    """Let the kernel send this process a signal when its parent dies.

    Exit now if it is dead already.

    Parameters
    ----------
    parent : int
        The parent's process id.
    number : int
        The signal.
    """
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def keep_memory_private() -> None:
    """Keep other processes of this user from reading this one's memory, environment and files.

    This holds until it starts another program, and also prevents core dumps (prctl(2),
    PR_SET_DUMPABLE). Only root can still read them, with the capability to trace.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def never_trace() -> None:
    """Give up the capability to trace other processes, for all programs from here, even as root."""
    _prctl(_PR_CAPBSET_DROP, _CAP_SYS_PTRACE)


def reap() -> dict[int, int]:
    """Return the exit codes of the children that have ended since the last call, by process id."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def descendants(root: int) -> set[int]:
    """Return the process ids of all descendants of a process, if there is a ``/proc``.

    Parameters
    ----------
    root : int
        The process id of the ancestor, which is not included.

    Returns
    -------
    set of int
        Their process ids.
    """
    parent_of: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # "pid (name) state ppid ...": the name may hold spaces and brackets.
            parent_of[int(entry.parent.name)] = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
    found: set[int] = set()
    frontier = {root}
    while frontier:
        frontier = {pid for pid, parent in parent_of.items() if parent in frontier and pid not in found}
        found |= frontier
    return found


def kill_descendants(groups: list[int]) -> set[int]:
    """Kill and reap all descendants of this process, which has called `adopt_orphans`.

    Parameters
    ----------
    groups : list of int
        Process groups to kill instead on systems without ``/proc``.

    Returns
    -------
    set of int
        Process ids that still exist after `KILL_SECONDS`.
    """
    deadline = time.monotonic() + KILL_SECONDS
    if sys.platform != "linux":
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
    while left := descendants(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        reap()
        if time.monotonic() > deadline:
            return left
        time.sleep(REAP_SECONDS)
    return set()
