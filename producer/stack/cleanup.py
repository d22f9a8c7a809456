"""Removes the temporary folder of a stack when the stack is gone, however that went.

Run by path, as ``python -I -S cleanup.py folder``. End of file on its standard input says that the parent is
gone or done; then it waits for the servers, each of which holds a shared lock while it runs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys

HOLD = "servers.lock"


def main(folder: str) -> None:
    """Wait, then remove.

    Parameters
    ----------
    folder : str
        Path of the folder.
    """
    # Ending early is of no use to anybody: a signal to a whole process tree mustn't leave the folder behind.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    lock = os.open(os.path.join(folder, HOLD), os.O_RDWR | os.O_CREAT, 0o600)  # noqa: PTH118 - pathlib doubles the start-up
    fcntl.flock(lock, fcntl.LOCK_EX)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
