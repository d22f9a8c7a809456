"""The folder of a stack: one stack at a time, and gone afterwards when nobody named it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from producer.stack.process import GRACE_SECONDS
from tuning.errors import StackError

# Seconds that the servers of an earlier stack may still need on the same folder: their grace and a little.
EARLIER_SECONDS = GRACE_SECONDS + 5.0
# Removes a folder once the other end of its standard input is closed everywhere.
_JANITOR = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


class Folder:
    """A stack's folder, locked while this object is open.

    Parameters
    ----------
    named : str or Path, default=None
        A folder to keep, made when it is missing; None makes a temporary one, which a process of its own
        removes after `close` and also after this process was killed.

    Raises
    ------
    StackError
        Another stack uses it, or it can't be written.
    """

    def __init__(self, named: str | Path | None) -> None:
        self.temporary = named is None
        self._janitor: subprocess.Popen[bytes] | None = None
        if named is None:
            # Short: a socket's path, which some servers make in their folder, has about 100 characters.
            self.path = Path(tempfile.mkdtemp(prefix="warren-"))
            self._employ_janitor()
        else:
            self.path = Path(named).expanduser().absolute()
        self._lock = FileLock(self.path / "stack.lock", timeout=0, thread_local=False)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / "logs").mkdir(exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise StackError(
                f"data_dir={str(self.path)!r}: another stack uses this folder. Stop that one, use it through its "
                "AMQP_URL and MONGO_URL, or name another folder"
            ) from None
        except OSError as exc:
            raise StackError(
                f"data_dir={str(self.path)!r}: {exc.strerror}. Name a folder that can be written, or none for a temporary one"
            ) from exc
        self._await_earlier_servers()

    def _employ_janitor(self) -> None:
        self._janitor = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _JANITOR, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
