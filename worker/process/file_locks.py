"""Locks on files and folders that last as long as any process has their descriptor open.

The kernel releases a flock(2) lock when all processes that inherited the descriptor are dead,
however they died. This works also where process ids are not comparable, as in containers that share
a folder. The package filelock does not let a child inherit its descriptor, but a training process
must hold the locks of its worker too.
"""

from __future__ import annotations

import fcntl
import os


def lock_path(path: str | os.PathLike[str], flags: int) -> int | None:
    """Open a file or folder and lock it; links are not followed.

    Parameters
    ----------
    path : str or path-like
        The file or folder.
    flags : int
        The flags for `os.open`.

    Returns
    -------
    int or None
        The descriptor that holds the lock; None if the path was removed or replaced meanwhile.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    OSError
        It can't be opened, or the file system has no locks.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
            return descriptor
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
