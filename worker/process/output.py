"""Output of fits: the worker forwards it, and keeps the end of each part.

A fit writes to a pipe, so that it does not depend on the worker's own output: its reader may be
gone, the disk full, the terminal stopped. The worker empties the pipe as fast as it fills, and
drops what can't be forwarded in time. It forwards lines, printable characters and tabs; it removes
colours, and replaces other control characters.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import fcntl
import io
import logging
import os
import queue
import re
import select
import sys
import threading
from collections import OrderedDict

from warren.logs import without_passwords
from warren.printable import COLOUR

logger = logging.getLogger(__name__)

# Bytes of its output that a trial keeps: the end of a log is the most useful, and the document
# stays small.
TAIL_BYTES = 4096
# Bytes from which they are taken: more, because some are removed.
_KEPT_BYTES = 4 * TAIL_BYTES
# A crash report of `faulthandler` ends with the names of hundreds of modules, which would fill the
# whole tail.
_MODULES = re.compile(rb"^Extension modules: [^\n]*\n?", re.MULTILINE)
# Size of a pipe: a fit that prints much rarely has to wait. Linux allows every user this size
# (pipe(7)).
_PIPE_BYTES = 2**20
_READ_BYTES = 2**16
# Pieces of output that wait to be forwarded, some kilobytes each; more are dropped.
_MOST_WAITING = 64
# Bytes of an unfinished line that wait for its end, so that lines of several processes are not
# mixed.
_LONGEST_LINE = 2**16
# Number of parts to keep: a worker that waits for its database may be some trials behind.
_MOST_PARTS = 64
# Replaces control characters, which could move a terminal's cursor, and bytes that are not text.
_NO_TEXT = "\N{REPLACEMENT CHARACTER}"
# Characters that may have to be replaced; most output has none.
_ODD = re.compile(rb"[^\t\n\x20-\x7e]")
# The constant of stdio.h for a stream that writes whole lines.
_IOLBF = 1
# Marks where a part begins. It is written into the output itself, so that the place is exact.
_PART_MARKER = re.compile(rb"\x00warren (\d+)\x00\n")


def part_marker(part: int) -> bytes:
    """Return the marker that a training process writes into its output where a new part begins."""
    return b"\x00warren %d\x00\n" % part


def tail_of(printed: bytes) -> str:
    """Return the end of printed output as text that any document, page and terminal can hold."""
    text = _plain(_MODULES.sub(b"", printed)[-TAIL_BYTES:])
    return without_passwords(text.strip())[-TAIL_BYTES:]


def _plain(printed: bytes) -> str:
    """Return text that is safe in a terminal: no colours, control or bidirectional characters."""
    text = COLOUR.sub("", printed.decode(errors="replace")).replace("\r\n", "\n")
    # A progress bar that overwrites itself leaves only its last state.
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join("".join(c if c.isprintable() or c == "\t" else _NO_TEXT for c in line) for line in lines)


class Forwarder:
    """Writes to a file descriptor on a separate thread, so that the caller never waits.

    Parameters
    ----------
    descriptor : int
        Where to write; it may be closed.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.Queue[bytes] = queue.Queue(_MOST_WAITING)
        self._left_out = 0
        threading.Thread(target=self._run, name="output", daemon=True).start()

    def put(self, printed: bytes) -> None:
        """Queue output to be written, or drop it if too much waits."""
        note = b"[%d bytes of output left out]\n" % self._left_out if self._left_out else b""
        try:
            self._waiting.put_nowait(note + printed)
            self._left_out = 0
        except queue.Full:
            self._left_out += len(printed)

    def _run(self) -> None:
        lost = False
        while True:
            left = memoryview(self._waiting.get())
            try:
                while left:
                    left = left[os.write(self._descriptor, left) :]
                lost = False
            except OSError as exc:
                # The next piece is tried again: a full disk may have room by then.
                if not lost:
                    logger.warning("can't forward what fits print", extra={"reason": str(exc)})
                lost = True


class OutputReader:
    """Reads what a training process and its children write to standard output or error.

    Parameters
    ----------
    source : int
        The read end of a pipe; it is closed at the end of the output.
    forwarder : Forwarder
        Forwards the output.
    """

    def __init__(self, source: int, forwarder: Forwarder) -> None:
        self._source = source
        self._forwarder = forwarder
        self._lock = threading.Lock()
        # The end of each part, by its number; output before the first marker belongs to no trial.
        self._parts: OrderedDict[int, bytes] = OrderedDict({-1: b""})
        # An unfinished line, which is not forwarded yet.
        self._line = b""
        self._ended = False
        os.set_blocking(source, False)
        self._capacity = _READ_BYTES
        with contextlib.suppress(OSError, AttributeError):  # not Linux, or this user has many pipes
            self._capacity = fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        threading.Thread(target=self._run, name="output-reader", daemon=True).start()

    def tail(self, part: int | None = None) -> str:
        """Return the end of what was printed in a finished part; None means the last part."""
        self._read()
        with self._lock:
            last = next(reversed(self._parts))
            wanted = last if part is None else part
            return tail_of(self._parts.get(wanted, b"") + (self._line if wanted == last else b""))

    def _run(self) -> None:
        waiting = select.poll()
        waiting.register(self._source, select.POLLIN)
        while not self._ended:
            waiting.poll()
            self._read()
        os.close(self._source)

    def _read(self) -> None:
        """Read what the pipe holds now."""
        with self._lock:
            left = self._capacity
            while left > 0 and not self._ended:
                try:
                    printed = os.read(self._source, _READ_BYTES)
                except BlockingIOError:
                    return
                left -= len(printed)
                self._take(printed)

    def _take(self, printed: bytes) -> None:
        self._ended = not printed
        lines, newline, self._line = (self._line + printed).rpartition(b"\n")
        if self._ended or len(self._line) > _LONGEST_LINE:
            newline, self._line = newline + self._line, b""
        # A marker is a whole line, or the end of one.
        before, *marked = _PART_MARKER.split(lines + newline)
        self._keep(next(reversed(self._parts)), before)
        for number, after in zip(marked[::2], marked[1::2], strict=True):
            self._keep(int(number), after)
        if forwarded := b"".join([before, *marked[1::2]]):
            # The worker's own output may be shown in a terminal.
            self._forwarder.put(_plain(forwarded).encode() if _ODD.search(forwarded) else forwarded)

    def _keep(self, part: int, printed: bytes) -> None:
        self._parts[part] = (self._parts.get(part, b"") + printed)[-_KEPT_BYTES:]
        while len(self._parts) > _MOST_PARTS:
            self._parts.popitem(last=False)


class PartedOutput:
    """Standard output and error of this process: written in whole lines, and in parts.

    Attributes
    ----------
    part : int
        Number of the current part.
    """

    def __init__(self) -> None:
        self.part = -1
        # Copies: a fit may send its own output elsewhere.
        self._descriptors = [os.dup(stream.fileno()) for stream in (sys.__stdout__, sys.__stderr__) if stream]
        # A library that crashes prints where.
        faulthandler.enable(all_threads=False)
        # Python and C write to a pipe in blocks, which would be lost in a crash. And a fit must not
        # fail because of a character that can't be encoded.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True, write_through=False, errors="backslashreplace")
        self._c = ctypes.CDLL(None)
        if sys.platform == "linux":
            self._c.setvbuf(ctypes.c_void_p.in_dll(self._c, "stdout"), None, _IOLBF, 0)

    def begin(self) -> None:
        """Begin the next part: further output belongs to the next trial."""
        self.flush()
        self.part += 1
        for descriptor in self._descriptors:
            os.write(descriptor, part_marker(self.part))

    def flush(self) -> None:
        """Write buffered output, such as an unfinished line."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError, OSError):  # a fit may have closed or replaced it
                stream.flush()
        self._c.fflush(None)
