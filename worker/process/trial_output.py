"""What a training process prints, seen from inside: whole lines at once, and a mark where a trial's output begins."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import os
import sys

from worker.process.output import mark

# stdio.h: a stream writes whole lines.
_IOLBF = 1


class Printing:
    """Standard output and error of this process, which are pipes to its worker.

    Attributes
    ----------
    part : int
        Number of the part that is printed now.
    """

    def __init__(self) -> None:
        self.part = -1
        # Copies: a fit may send its own output elsewhere.
        self._marks = [os.dup(stream.fileno()) for stream in (sys.__stdout__, sys.__stderr__) if stream]
        # A library that crashes says where.
        faulthandler.enable(all_threads=False)
        # Into a pipe both Python and C write blocks, of which a crash would leave nothing. And what can't be encoded is
        # no reason to fail.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True, write_through=False, errors="backslashreplace")
        self._c = ctypes.CDLL(None)
        if sys.platform == "linux":
            self._c.setvbuf(ctypes.c_void_p.in_dll(self._c, "stdout"), None, _IOLBF, 0)

    def begin(self) -> None:
        """Begin the next part: what is printed from here on is another trial's."""
        self.flush()
        self.part += 1
        for descriptor in self._marks:
            os.write(descriptor, mark(self.part))

    def flush(self) -> None:
        """Write what is printed and not written yet: the beginning of a line."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError, OSError):  # a fit may have closed or replaced it
                stream.flush()
        self._c.fflush(None)
