"""Removes the temporary folder of a stack when the stack has ended, even if it was killed.

Run by path, as ``python -I -S cleanup.py folder``. End of file on standard input means that the
parent has ended or has stopped the stack. Then it waits for the servers, each of which holds a
shared lock while it runs.
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
    # Ignore signals: one sent to the whole process tree must not leave the folder behind.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    lock = os.open(os.path.join(folder, HOLD), os.O_RDWR | os.O_CREAT, 0o600)  # noqa: PTH118 - pathlib doubles the start-up
    fcntl.flock(lock, fcntl.LOCK_EX)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
