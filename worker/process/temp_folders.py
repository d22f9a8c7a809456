"""Folders for temporary files of training processes, and what workers that were killed have left of them.

Whoever uses a folder holds a lock on it (flock(2)), which the kernel takes back when all that have it are dead. So a
folder's life is known also where process ids say nothing, as in containers that share it; and systemd-tmpfiles leaves
locked folders alone (https://systemd.io/TEMPORARY_DIRECTORIES).
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from pathlib import Path

logger = logging.getLogger(__name__)

_PREFIX = "warren-fits-"
# How often a folder is made again that somebody took for abandoned between its making and its lock.
_TRIES = 10


def _open_locked(path: str) -> int | None:
    """Return a descriptor that holds the lock on a folder; None where another does, or there is no such folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


class Scratch:
    """A folder for temporary files, this process's own for as long as it or one that inherits `lock` lives.

    Raises
    ------
    OSError
        It can't be made.
    """

    def __init__(self) -> None:
        for _ in range(_TRIES):
            self.path = tempfile.mkdtemp(prefix=_PREFIX)
            lock = _open_locked(self.path)
            if lock is not None:
                self.lock = lock
                return
        raise OSError(f"no folder of our own in {tempfile.gettempdir()}: each one that is made is removed at once")

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


# Locks of folders that this process had to make again; they are held until it ends.
_made_again: list[int] = []


def make_again(path: str) -> None:
    """Make the folder of temporary files again if somebody has removed it.

    Parameters
    ----------
    path : str
        What was a `Scratch` folder's path.
    """
    try:
        os.mkdir(path, 0o700)  # noqa: PTH102 - a question to the system, asked with every trial
    except FileExistsError:
        return
    except OSError as exc:
        logger.warning("no folder for temporary files of fits", extra={"path": path, "reason": str(exc)})
        return
    logger.warning("somebody has removed the temporary files of fits: the folder is made again", extra={"path": path})
    lock = _open_locked(path)
    if lock is not None:
        _made_again.append(lock)


def remove_abandoned() -> None:
    """Remove folders of this user whose workers have ended without doing so; links are not followed."""
    try:
        with os.scandir(tempfile.gettempdir()) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    except OSError as exc:
        logger.debug("can't look for temporary files of others", extra={"reason": str(exc)})
        return
    for path in found:
        try:
            lock = _open_locked(str(path)) if path.lstat().st_uid == os.getuid() else None
        except OSError as exc:  # its worker has just ended, or the file system knows no locks
            logger.debug("can't say whose temporary files these are", extra={"path": str(path), "reason": str(exc)})
            continue
        if lock is not None:
            logger.info("removing temporary files that a worker has left", extra={"path": str(path)})
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
