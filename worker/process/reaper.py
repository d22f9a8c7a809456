"""Runs a training process and ends all its descendants: pools of processes outlive the process that made them.

Run by path, as ``python -I -S reaper.py SOCKET COMMAND...``: the standard library and `warren.processes` only, so that
it takes a few megabytes and hundredths of a second.

The reaper's standard input is a pipe whose other end only the worker holds. Its end of file means: kill the training
process, for the worker wants that or is dead. When the training process has ended, however it did, everything below it
is killed, and the reaper ends the same way: by the same signal, or with the same exit code. Orphans become the reaper's
children, so that it waits for them and none stays a zombie, also where the worker is process 1.

SOCKET is the file descriptor of the training process's connection to the worker. What the worker reads there first is
the process id of the training process: 8 bytes, little-endian.
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

# Isolated, this interpreter finds only the standard library. Appended, so that it hides none of its modules.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from warren.processes import adopt_orphans, end_with, kill_descendants, never_trace, reap


def _begin(reaper: int, connection: int) -> None:
    """Prepare the training process, just before its program is loaded."""
    end_with(reaper, signal.SIGKILL)
    never_trace()
    os.write(connection, os.getpid().to_bytes(8, "little"))


def _wait(pid: int, wake: int) -> int | None:
    """Return the exit code of a process when it has ended, or None when standard input has."""
    while (code := reap().get(pid)) is None:
        ready, _, _ = select.select([wake, sys.stdin.fileno()], [], [])
        if wake in ready:
            os.read(wake, 512)
        if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 512):
            return None
    return code


def _end_as(code: int) -> int:
    """Die of the signal that a negative exit code stands for, without a core dump; return any other."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def main(argv: list[str]) -> int:
    """Run the command to its end, or to that of standard input.

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
    # Handlers that do nothing, not SIG_IGN: a command would inherit that. The worker alone decides about the end.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        # Inherited from the worker: the connection, and locks that last as long as any process here.
        close_fds=False,
        preexec_fn=partial(_begin, os.getpid(), connection),
        # Where orphans are not adopted, all that stay in its process group end with it.
        process_group=None if sys.platform == "linux" else 0,
    )
    process.returncode = 0  # `_wait` waits for all children, adopted ones too
    os.close(connection)
    code = _wait(process.pid, wake)
    if left := kill_descendants([process.pid]):
        sys.stderr.write(f"reaper: still there after SIGKILL: {sorted(left)}\n")
    return _end_as(-signal.SIGKILL if code is None else code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
