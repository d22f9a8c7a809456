"""The folder of a stack: used by one stack at a time, and removed at the end if it is temporary."""

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

# Seconds to wait for the servers of an earlier stack in the same folder: their grace and some more.
EARLIER_SECONDS = GRACE_SECONDS + 5.0
# Seconds to wait for the removal of a temporary folder; on a slow disk it goes on in its own
# process.
REMOVE_SECONDS = 30.0

# The subfolders, and the prefixes of all names in the folder.
_FOLDERS = ("broker", "database", "logs")
_NAMES = (*_FOLDERS, "key", "stack.lock", HOLD)

_CLEANUP = Path(__file__).with_name("cleanup.py")


def path_of(named: str | Path) -> Path:
    """Return the absolute path of a folder.

    Raises
    ------
    StackError
        It begins with ``~``, and this home folder is not known.
    """
    try:
        return Path(named).expanduser().resolve()
    except RuntimeError:
        raise StackError(f"data_dir={str(named)!r}: this home folder is not known. Pass the whole path") from None


class Folder:
    """A stack's folder, locked while this object is open.

    Parameters
    ----------
    named : str or Path, default=None
        A folder to keep, created if missing; None makes a temporary one, which a separate process
        removes after `close` or when this process is killed.

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
                    f"can't make a temporary folder: {exc.strerror or exc}. Pass a data_dir, or set TMPDIR to a folder "
                    "with free space"
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
        # Not thread_local: another thread may stop the stack.
        self._lock = FileLock(self.path / "stack.lock", mode=0o600, thread_local=False)
        try:
            self._make()
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StackError(
                f"data_dir={str(self.path)!r}: another stack uses this folder. Stop that one, use it through its "
                "AMQP_URL and MONGO_URL, or pass another folder"
            ) from None
        except OSError as exc:
            raise StackError(
                f"data_dir={str(self.path)!r}: {exc.strerror}. Pass a folder that you may write, or None"
            ) from exc
        self._await_earlier_servers()

    def _make(self) -> None:
        """Make the folder and its subfolders, and remove other users' access to them."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700, exist_ok=True)
        inside = [self.path / name for name in _FOLDERS]
        for folder in inside:
            folder.mkdir(mode=0o700, exist_ok=True)
        # A folder with other files is the user's project: only our subfolders lose others' access.
        ours = all(entry.name.startswith(_NAMES) for entry in self.path.iterdir())
        if left := close_to_others([self.path, *inside] if ours else inside):
            logger.warning(
                "other users may read the stack's data: can't change the permissions of these folders",
                extra={"folders": [str(folder) for folder in left]},
            )

    def _await_earlier_servers(self) -> None:
        """Wait for the servers of a killed stack, which their guards are about to end."""
        earlier = FileLock(self.path / HOLD, mode=0o600, thread_local=False)
        try:
            earlier.acquire(timeout=EARLIER_SECONDS)
            earlier.release()
        except Timeout:
            self.close()
            raise StackError(
                f"data_dir={str(self.path)!r}: servers of an earlier stack still use this folder. "
                "End their processes (their command lines name the folder), or pass another one"
            ) from None
        except BaseException:  # also Ctrl-C: no one else releases the folder
            self.close()
            raise

    def close(self) -> None:
        """Release the folder; a temporary one is removed."""
        self._lock.release()
        if self._cleaner is not None and self._cleaner.stdin is not None:
            self._cleaner.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._cleaner.wait(REMOVE_SECONDS)
