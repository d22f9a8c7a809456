"""The machine of a process: the CPUs and the memory that it may use."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
from pathlib import Path

# The folder where the kernel shows the CPU quota of this process's control group. "max 100000" or
# "-1" is no quota: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/cpusets
CGROUP_ROOT = Path("/sys/fs/cgroup")
# Version 1 shows "no limit" as the largest number of pages that 64 bits hold.
_NO_LIMIT = 2**60
# The rest is for the worker itself, and for what a fit takes between two checks.
_SHARE_OF_MEMORY = 0.85


def _own_cgroup(root: Path, controller: str, membership: str) -> list[Path]:
    """Return the folders from this process's control group up to the root.

    The lowest quota counts.
    """
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            here = root / path.lstrip("/")
            return [here, *[parent for parent in here.parents if parent.is_relative_to(root)]]
    return [root]


def _folders(root: Path, controller: str, membership: str | None) -> list[Path]:
    """Return the folders that may limit this process, of version 2 and version 1."""
    if membership is None:
        own = Path("/proc/self/cgroup")
        membership = own.read_text() if own.exists() else ""
    return _own_cgroup(root, "", membership) + _own_cgroup(root / controller, controller, membership)


def _quota(folder: Path) -> float | None:
    """Return the CPUs that one control group grants, from its v2 or v1 file.

    None if it sets no quota.
    """
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
    return None if quota in {"max", "-1"} else int(quota) / int(period)


def available_threads(root: Path = CGROUP_ROOT, membership: str | None = None) -> int:
    """Return how many threads one fit should use here: the CPU quota, rounded down, at least 1.

    Parameters
    ----------
    root : Path, default=/sys/fs/cgroup
        The folder where control groups are mounted.
    membership : str, default=None
        Text of ``/proc/self/cgroup``; None reads it.

    Returns
    -------
    int
        The smallest of the cgroup quotas (v1 or v2) and the CPUs in the affinity mask.
    """
    cpus = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quotas = [quota for folder in _folders(root, "cpu", membership) if (quota := _quota(folder)) is not None]
    return max(1, int(min([cpus, *quotas])))


def available_memory(root: Path = CGROUP_ROOT, membership: str | None = None) -> int | None:
    """Return how many bytes a training process may use here: most of what the control group grants.

    Parameters
    ----------
    root, membership
        As for `available_threads`.

    Returns
    -------
    int or None
        None if no control group sets a limit.
    """
    limits = []
    for folder in _folders(root, "memory", membership):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # "max" is no limit
                limits.append(int((folder / name).read_text()))
    lowest = min(limits, default=_NO_LIMIT)
    return int(lowest * _SHARE_OF_MEMORY) if lowest < _NO_LIMIT else None


@functools.cache
def cpu_model() -> str:
    """Return the model name of the CPU; no library promises bit-equal results across models."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def oom_kills() -> int | None:
    """Return how many processes the kernel has killed for lack of memory since it booted.

    Returns
    -------
    int or None
        None if the kernel does not report it: before Linux 4.13, or on other systems (``oom_kill``
        in proc_vmstat(5)).
    """
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return None
    return next((int(count) for name, _, count in (line.partition(" ") for line in lines) if name == "oom_kill"), None)
