"""Runs one command and ends it when the parent process ends, even if that was killed.

Run by path, as ``python -I -S guard.py [options] -- command``. It uses only the standard library
and `warren.processes`, so that it starts within a few hundredths of a second and needs no installed
package.

The guard's standard input is a pipe whose other end only the parent holds. End of file there,
another parent process, or SIGTERM means: end the command. The command gets SIGTERM and a grace
period, then it and all its descendants get SIGKILL. Only the command itself gets SIGTERM, like
process 1 of a container: a worker itself ends its training process, and a start script forwards the
signal to its server.

Options, each followed by its value:

--grace SECONDS
    Seconds between SIGTERM and SIGKILL; 0 kills at once.
--hold FILE
    Keeps a shared lock on this file while the guard runs.
--pid-fd NUMBER
    File descriptor to which the command's process id is written once it runs.
--beside JSON
    A second command (a list) that runs next to the first and ends after it.
--finally JSON
    A command (a list) that always runs at the end.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

# The isolated interpreter finds only the standard library. Append, so that our folder hides none of
# its modules.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from warren.processes import adopt_orphans, end_with, kill_descendants, reap

# Seconds between checks of the parent's process id. The pipe shows the parent's end at once, unless
# a fork of the parent holds it open, too: then the servers outlive it by this time.
PARENT_POLL_SECONDS = 1.0
# Seconds for the command of --finally, which sends a request to a Docker engine.
FINALLY_SECONDS = 30.0


class Options:
    """The guard's parsed command line."""

    def __init__(self, argv: list[str]) -> None:
        split = argv.index("--")
        given = dict(zip(argv[0:split:2], argv[1:split:2], strict=True))
        self.command = argv[split + 1 :]
        self.grace = float(given.get("--grace", "5"))
        self.hold = given.get("--hold")
        self.pid_fd = int(given["--pid-fd"]) if "--pid-fd" in given else None
        self.beside: list[str] = json.loads(given.get("--beside", "[]"))
        self.last: list[str] = json.loads(given.get("--finally", "[]"))


def _spawn(command: list[str]) -> int:
    """Start a command in a new session and return its process id."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # If the guard itself is killed, the command still gets a signal.
        preexec_fn=partial(end_with, os.getpid(), signal.SIGTERM),
    )
    process.returncode = 0  # `reap` waits for all children, including adopted ones
    return process.pid


def _wait(pid: int, wake: int, seconds: float | None, parent: int | None) -> int | None:
    """Return the command's exit code; None if the parent ends, a signal comes or time is over."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        code = reap().get(pid)
        if code is not None:
            return code
        if parent is not None and os.getppid() != parent:
            return None
        left = PARENT_POLL_SECONDS if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return None
        watched = [wake] if parent is None else [wake, sys.stdin.fileno()]
        ready, _, _ = select.select(watched, [], [], min(left, PARENT_POLL_SECONDS))
        if wake in ready and signal.SIGTERM in os.read(wake, 512) and parent is not None:
            return None
        if parent is not None and sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 512):
            return None


def main(argv: list[str]) -> int:
    """Run the command until it or the parent ends.

    Parameters
    ----------
    argv : list of str
        Options, ``--`` and the command; see the module's docstring.

    Returns
    -------
    int
        The command's exit code; 128 + n if signal n ended it, 127 if it could not be started.
    """
    options = Options(argv)
    parent = os.getppid()
    # Orphans of the command become children of the guard, instead of escaping to process 1.
    adopt_orphans()
    wake, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    # Empty handlers instead of SIG_IGN, which the command would inherit.
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    if options.hold is not None:
        # Never closed: the kernel releases the lock when the guard ends.
        fcntl.flock(os.open(options.hold, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_SH)
    groups: list[int] = []
    code: int | None = 127
    try:
        if options.beside:
            groups.append(_spawn(options.beside))
        pid = _spawn(options.command)
        groups.append(pid)
        if options.pid_fd is not None:
            os.write(options.pid_fd, str(pid).encode())
            os.close(options.pid_fd)
        code = _wait(pid, wake, None, parent)
        if code is None and options.grace > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            code = _wait(pid, wake, options.grace, None)
    except OSError as exc:
        sys.stderr.write(f"guard: {options.command[0]} can't be started: {exc}\n")
    finally:
        if left := kill_descendants(groups):
            sys.stderr.write(f"guard: processes still running after SIGKILL: {sorted(left)}\n")
        if options.last:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    options.last,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=FINALLY_SECONDS,
                    check=False,
                )
    if code is None:
        return 128 + signal.SIGKILL
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
