"""Repair the standard streams of a process that was started without them (``>&-``)."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """Open the closed ones on the null device, before another file gets their numbers.

    A new file or connection takes the lowest free number, and would receive all printed output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # All lower numbers are open, so it gets this one.
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            # Child processes inherit it, like a real one.
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
            setattr(sys, f"__{name}__", getattr(sys, name))


def discard_unread_output() -> None:
    """Discard buffered standard output and error if their reader or disk does not take it.

    Python tries again at exit, and exits with code 120 if that fails, even if the program succeeded
    (https://docs.python.org/3/library/sys.html#sys.exit).
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
