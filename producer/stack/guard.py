"""Runs one command and ends it when the process that asked for it is gone, however that went.

Run by path, as ``python -I -S guard.py [options] -- command``: the standard library and `warren.processes` only, so
that it is up in a few hundredths of a second, and so that nothing has to be installed.

The guard's standard input is a pipe whose other end only the parent holds. End of file there, another
parent process, or SIGTERM means: end the command. It gets SIGTERM and a grace, then it and everything that
descends from it get SIGKILL. Only the command itself gets the SIGTERM, as process 1 of a container does: a
worker decides what becomes of its training process, a start script forwards the signal to its server.

Options, each followed by its value:

--grace SECONDS
    Seconds between SIGTERM and SIGKILL; 0 kills at once.
--hold FILE
    Keeps a shared lock on this file while the guard runs.
--pid-fd NUMBER
    File descriptor on which the command's process id is written, once it runs.
--beside JSON
    A second command (a list) that runs next to the first and ends after it.
--finally JSON
    A command (a list) that runs at the end, whatever happened.
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

# Isolated, this interpreter finds nothing beside the standard library. Behind that, so that it never stands in its way.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from warren.processes import adopt_orphans, end_with, kill_descendants, reap

# Seconds between two looks at the parent's process id. The pipe tells at once, unless a forked copy of the
# parent holds it open too: then this is how long its servers outlive it.
PARENT_POLL_SECONDS = 1.0
# Seconds for the command of --finally, which asks a Docker engine.
FINALLY_SECONDS = 30.0


class Options:
    """The command line of the guard, parsed."""

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
    """Start a command in a session of its own and return its process id."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # Should the guard itself be killed, the command still gets a signal.
        preexec_fn=partial(end_with, os.getpid(), signal.SIGTERM),
    )
    process.returncode = 0  # the guard waits for all its children itself, adopted ones too
    return process.pid


def _wait(pid: int, wake: int, seconds: float | None, parent: int | None) -> int | None:
    """Wait until the command ends (its exit code), the parent is gone or a signal or the time ends it (None)."""
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
    """Run the command to its end or the parent's.

    Parameters
    ----------
    argv : list of str
        Options, ``--`` and the command, as the module's docstring says.

    Returns
    -------
    int
        The command's exit code; 128 + n when signal n ended it, 127 when it could not be started.
    """
    options = Options(argv)
    parent = os.getppid()
    # Orphans of the command become children of the guard, instead of escaping to process 1.
    adopt_orphans()
    wake, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    signal.set_wakeup_fd(wake_writer)
    # Handlers that do nothing, not SIG_IGN: a command would inherit that.
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    if options.hold is not None:
        # Never closed: the kernel lets go of it when the guard has ended.
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
            sys.stderr.write(f"guard: still there after SIGKILL: {sorted(left)}\n")
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
