"""Run a training process, and end all its descendants with it.

Run by path, as ``python -I -S reaper.py SOCKET COMMAND...``: it uses only the standard library and
`warren.processes`, so that it needs a few megabytes and hundredths of a second.

The reaper's standard input is a pipe whose other end only the worker holds. At its end of file, the
reaper kills the training process: the worker wants that or is dead. When the training process has
ended for any reason, the reaper kills all its descendants and ends the same way: by the same
signal, or with the same exit code. Orphans become children of the reaper, which waits for them so
that none stays a zombie, even if the worker is process 1.

SOCKET is the file descriptor of the training process's connection to the worker. The first message
on it is the process id of the training process: 8 bytes, little-endian.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

# In isolated mode this interpreter finds only the standard library. Append, so that the folder
# hides none of its modules.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from warren.processes import adopt_orphans, end_with, kill_descendants, never_trace, reap


def _begin(reaper: int, connection: int) -> None:
    """Prepare the training process, just before it loads its program."""
    end_with(reaper, signal.SIGKILL)
    never_trace()
    os.write(connection, os.getpid().to_bytes(8, "little"))


def _wait(pid: int, wake: int) -> int | None:
    """Return the exit code of a process when it ends, or None when standard input ends."""
    while (code := reap().get(pid)) is None:
        ready, _, _ = select.select([wake, sys.stdin.fileno()], [], [])
        if wake in ready:
            os.read(wake, 512)
        if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 512):
            return None
    return code


def _end_as(code: int) -> int:
    """For a negative exit code, die of that signal without a core dump; return any other."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def main(argv: list[str]) -> int:
    """Run the command until it ends or standard input does.

    Parameters
    ----------
    argv : list of str
        The socket's file descriptor, and the command.

    Returns
    -------
    int
        The command's exit code.
    """
    connection, command = int(argv[0]), argv[1:]
    adopt_orphans()
    wake, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    # Handlers that do nothing instead of SIG_IGN, which a command would inherit. Only the worker
    # decides when to end.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        # Inherit from the worker: the connection, and the locks that last as long as any process
        # here.
        close_fds=False,
        preexec_fn=partial(_begin, os.getpid(), connection),
        # On systems that don't let us adopt orphans, the process group ends them.
        process_group=None if sys.platform == "linux" else 0,
    )
    process.returncode = 0  # `_wait` waits for all children, including adopted ones
    os.close(connection)
    code = _wait(process.pid, wake)
    if left := kill_descendants([process.pid]):
        sys.stderr.write(f"reaper: still there after SIGKILL: {sorted(left)}\n")
    return _end_as(-signal.SIGKILL if code is None else code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
