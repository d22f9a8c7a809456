"""Folders for temporary files of training processes, and the removal of those that killed workers have left.

A worker and its training process hold a lock on their folder (`worker.process.file_locks`): a folder without one is
abandoned. systemd-tmpfiles leaves locked folders alone, too (https://systemd.io/TEMPORARY_DIRECTORIES).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path

from worker.process.file_locks import lock_path

logger = logging.getLogger(__name__)

_PREFIX = "warren-fits-"
# How often a folder is created again that another worker removed as abandoned before it was locked.
_TRIES = 10


def _lock(path: str) -> int | None:
    """Return a descriptor that holds the lock on a folder; None where another process does, or there is no folder."""
    try:
        return lock_path(path, os.O_RDONLY | os.O_DIRECTORY)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return None


class TempFolder:
    """A folder for temporary files, locked for as long as this process or one that inherits `lock` lives.

    Raises
    ------
    OSError
        It can't be created.
    """

    def __init__(self) -> None:
        for _ in range(_TRIES):
            self.path = tempfile.mkdtemp(prefix=_PREFIX)
            lock = _lock(self.path)
            if lock is not None:
                self.lock = lock
                return
        raise OSError(f"{tempfile.gettempdir()}: every new folder for temporary files is removed at once")

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


# Locks of folders that this process created again; they are held until it ends.
_recreated: list[int] = []


def recreate(path: str) -> None:
    """Create the folder of temporary files again if another process has removed it.

    Parameters
    ----------
    path : str
        The path of a `TempFolder`.
    """
    try:
        os.mkdir(path, 0o700)  # noqa: PTH102 - one system call, for it is made with every trial
    except FileExistsError:
        return
    except OSError as exc:
        logger.warning("no folder for temporary files of fits", extra={"path": path, "reason": str(exc)})
        return
    logger.warning("the folder for temporary files of fits was removed: created it again", extra={"path": path})
    lock = _lock(path)
    if lock is not None:
        _recreated.append(lock)


def remove_abandoned() -> None:
    """Remove this user's folders whose workers have ended without doing so; links are not followed."""
    try:
        with os.scandir(tempfile.gettempdir()) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    except OSError as exc:
        logger.debug("can't look for abandoned temporary files", extra={"reason": str(exc)})
        return
    for path in found:
        try:
            lock = _lock(str(path)) if path.lstat().st_uid == os.getuid() else None
        except OSError as exc:  # its worker has just ended, or the file system knows no locks
            logger.debug(
                "can't tell whether temporary files are abandoned", extra={"path": str(path), "reason": str(exc)}
            )
            continue
        if lock is not None:
            logger.info("removing temporary files that a worker has left", extra={"path": str(path)})
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
