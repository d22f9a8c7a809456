"""Standard input, output and error of a process that was started without some of them (``warren worker >&-``)."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """Open those that are closed on nothing, before anything else gets their numbers.

    A file or a connection that is opened takes the lowest number that is free; whatever is printed would go into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # As all lower numbers are open, it gets this one.
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            # Inherited by what this process starts, as the real one would be.
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))
            setattr(sys, f"__{name}__", getattr(sys, name))


def drop_what_nobody_reads() -> None:
    """Let what standard output and error still hold go where their reader or their disk does not take it.

    Python tries once more when it ends, and ends with exit code 120 if that fails, however well the program went
    (https://docs.python.org/3/library/sys.html#sys.exit).
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
