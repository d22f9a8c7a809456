"""Folders for temporary files of training processes, and what workers that were killed have left of them."""

from __future__ import annotations

import logging
import os
import re
import shutil
import socket
import tempfile

import psutil

logger = logging.getLogger(__name__)

# Seconds by which a folder must be older than this process, whose number it bears: clocks are not exact.
_SURELY_OLDER = 1.0


def prefix(pid: int | None = None) -> str:
    """Return how the name of a worker's folder begins: it says whose it is.

    Parameters
    ----------
    pid : int, default=None
        The worker's process id; None is this process.
    """
    # Process ids are those of one machine, or container, and others may share the folder that this one lies in.
    return f"warren-training-{pid or os.getpid()}-{socket.gethostname()}-"


def remove_abandoned() -> None:
    """Remove folders of this user whose workers have ended without doing so; links are not followed."""
    host = re.escape(socket.gethostname())
    ours = re.compile(rf"warren-training-([1-9]\d{{0,9}})-{host}-[^-]+")
    try:
        with os.scandir(tempfile.gettempdir()) as entries:
            found = [(entry, named) for entry in entries if (named := ours.fullmatch(entry.name))]
    except OSError as exc:
        logger.debug("can't look for temporary files of others", extra={"reason": str(exc)})
        return
    for entry, named in found:
        try:
            about = entry.stat(follow_symlinks=False)
            mine = entry.is_dir(follow_symlinks=False) and about.st_uid == os.getuid()
        except FileNotFoundError:  # its worker has just ended
            continue
        if mine and not _lives(int(named[1]), since=about.st_mtime):
            logger.info("removing temporary files that a worker has left", extra={"path": entry.path})
            shutil.rmtree(entry.path, ignore_errors=True)


def _lives(pid: int, since: float) -> bool:
    """Say whether a worker runs; one with our number was another if `since` is before our time, as in a container."""
    try:
        process = psutil.Process(pid)
        if pid == os.getpid():
            return float(process.create_time()) < since + _SURELY_OLDER
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # somebody else's, of whom nothing is said
        return True
