"""The folder of a stack: one stack at a time, and gone afterwards when nobody named it."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from producer.stack.cleanup import HOLD
from producer.stack.private_files import close_to_others
from producer.stack.process import GRACE_SECONDS
from warren.errors import StackError

logger = logging.getLogger(__name__)

# Seconds that the servers of an earlier stack may still need on the same folder: their grace and a little.
EARLIER_SECONDS = GRACE_SECONDS + 5.0
# Seconds for removing a temporary folder; longer on a slow disk, and then it goes on by itself.
REMOVE_SECONDS = 30.0

# What lies in the folder, and beginnings of the names of all of it.
_FOLDERS = ("broker", "database", "logs")
_NAMES = (*_FOLDERS, "key", "stack.lock", HOLD)

_CLEANUP = Path(__file__).with_name("cleanup.py")


def path_of(named: str | Path) -> Path:
    """Return where a folder lies that somebody named.

    Raises
    ------
    StackError
        It begins with ``~``, and nobody knows whose home that is.
    """
    try:
        return Path(named).expanduser().resolve()
    except RuntimeError:
        raise StackError(f"data_dir={str(named)!r}: that home folder is not known. Name the whole path") from None


class Folder:
    """A stack's folder, locked while this object is open.

    Parameters
    ----------
    named : str or Path, default=None
        A folder to keep, made when it is missing; None makes a temporary one, which a process of its own
        removes after `close`, and also after this process was killed.

    Raises
    ------
    StackError
        Another stack uses it, or it can't be written.
    """

    def __init__(self, named: str | Path | None) -> None:
        self.temporary = named is None
        self._cleaner: subprocess.Popen[bytes] | None = None
        if named is None:
            try:
                self.path = Path(tempfile.mkdtemp(prefix="warren-"))
            except OSError as exc:
                raise StackError(
                    f"no temporary folder can be made: {exc.strerror or exc}. Name a data_dir, or in TMPDIR a folder "
                    "with room"
                ) from exc
            self._cleaner = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_CLEANUP), str(self.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        else:
            self.path = path_of(named)
        # Not thread_local: a stack may be stopped from another thread than the one that started it.
        self._lock = FileLock(self.path / "stack.lock", mode=0o600, thread_local=False)
        try:
            self._make()
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StackError(
                f"data_dir={str(self.path)!r}: another stack uses this folder. Stop that one, use it through its "
                "AMQP_URL and MONGO_URL, or name another folder"
            ) from None
        except OSError as exc:
            raise StackError(
                f"data_dir={str(self.path)!r}: {exc.strerror}. Name a folder that you may write, or none at all"
            ) from exc
        self._await_earlier_servers()

    def _make(self) -> None:
        """Make the folder and those in it, or close to others what an earlier version made."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)
        inside = [self.path / name for name in _FOLDERS]
        for folder in inside:
            folder.mkdir(mode=0o700, exist_ok=True)
        # One in which something else lies is somebody's project: ours in it are closed, and it stays as it is.
        ours = all(entry.name.startswith(_NAMES) for entry in self.path.iterdir())
        if left := close_to_others([self.path, *inside] if ours else inside):
            logger.warning(
                "others on this machine may read what the stack keeps: these folders can't be closed to them",
                extra={"folders": [str(folder) for folder in left]},
            )

    def _await_earlier_servers(self) -> None:
        """Wait for servers that a killed stack left to their guards; they are about to be gone."""
        earlier = FileLock(self.path / HOLD, mode=0o600, thread_local=False)
        try:
            earlier.acquire(timeout=EARLIER_SECONDS)
            earlier.release()
        except Timeout:
            self.close()
            raise StackError(
                f"data_dir={str(self.path)!r}: servers of an earlier stack still use this folder. "
                "End their processes (their command lines name the folder), or name another one"
            ) from None
        except BaseException:  # Ctrl-C too: nobody else lets go of the folder
            self.close()
            raise

    def close(self) -> None:
        """Let go of the folder; a temporary one is removed."""
        self._lock.release()
        if self._cleaner is not None and self._cleaner.stdin is not None:
            self._cleaner.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._cleaner.wait(REMOVE_SECONDS)
