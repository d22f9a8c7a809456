"""Folders for temporary files of training processes, and the removal of abandoned ones.

A worker and its training process hold a lock on their folder (`worker.process.file_locks`): a
folder without a lock is abandoned. systemd-tmpfiles does not remove locked folders either
(https://systemd.io/TEMPORARY_DIRECTORIES).
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
# How often to create a new folder if another worker removes it as abandoned before it is locked.
_TRIES = 10


def _lock(path: str) -> int | None:
    """Return a descriptor that holds the lock on a folder.

    None if another process holds it, or there is no folder.
    """
    try:
        return lock_path(path, os.O_RDONLY | os.O_DIRECTORY)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return None


class TempFolder:
    """A folder for temporary files.

    This process, and those that inherit `lock`, keep it locked while they live.

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
        """Remove the folder and its content."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


# Locks of folders that this process created again, held until it ends.
_recreated: list[int] = []


def recreate(path: str) -> None:
    """Create the folder of temporary files again if another process has removed it.

    Parameters
    ----------
    path : str
        The path of a `TempFolder`.
    """
    try:
        os.mkdir(path, 0o700)  # noqa: PTH102 - one system call, because it runs before every trial
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
    """Remove this user's folders whose workers ended without removing them.

    Links are not followed.
    """
    try:
        with os.scandir(tempfile.gettempdir()) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    except OSError as exc:
        logger.debug("can't look for abandoned temporary files", extra={"reason": str(exc)})
        return
    for path in found:
        try:
            lock = _lock(str(path)) if path.lstat().st_uid == os.getuid() else None
        except OSError as exc:  # its worker has just ended, or the file system has no locks
            logger.debug(
                "can't tell whether temporary files are abandoned", extra={"path": str(path), "reason": str(exc)}
            )
            continue
        if lock is not None:
            logger.info("removing temporary files that a worker has left", extra={"path": str(path)})
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
