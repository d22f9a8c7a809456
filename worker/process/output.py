"""What fits print: written in parts by the training process, forwarded by its worker, and the end of each part kept.

A fit writes to a pipe, whatever becomes of the worker's own output: a reader that went away, a full disk, a terminal
that was stopped. The worker empties the pipe as fast as it is filled, and drops what can't be forwarded in time. Lines,
printable characters and tabs are forwarded; colours are removed, and other control characters are replaced.
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

# Bytes of its output that a trial keeps: the end of a log says most, and a document stays small.
TAIL_BYTES = 4096
# Bytes that are kept to take them from: more, for not all is shown.
_KEPT_BYTES = 4 * TAIL_BYTES
# The end of what `faulthandler` says of a crash names hundreds of modules, and would leave no room for anything else.
_MODULES = re.compile(rb"^Extension modules: [^\n]*\n?", re.MULTILINE)
# Bytes of a pipe: a fit that prints much waits less often for us. Linux grants so much to every user (pipe(7)).
_PIPE_BYTES = 2**20
_READ_BYTES = 2**16
# Pieces of output that wait to be forwarded, each of some kilobytes; what comes beyond is dropped.
_MOST_WAITING = 64
# Bytes of a line that waits for its end before it is forwarded: lines of several processes stay whole.
_LONGEST_LINE = 2**16
# Parts that are kept, since a worker that waits for its database may be some trials behind.
_MOST_PARTS = 64
# What replaces control characters, which would move a terminal's cursor, and for bytes that are no text.
_NO_TEXT = "\N{REPLACEMENT CHARACTER}"
# What may have to be replaced: nothing of most output.
_ODD = re.compile(rb"[^\t\n\x20-\x7e]")
# stdio.h: a stream writes whole lines.
_IOLBF = 1
# Where a part begins: written into the output itself, so that it is exact.
_PART_MARKER = re.compile(rb"\x00warren (\d+)\x00\n")


def part_marker(part: int) -> bytes:
    """Return what a training process writes into its output where a new part of it begins."""
    return b"\x00warren %d\x00\n" % part


def tail_of(printed: bytes) -> str:
    """Return the end of what was printed as text that any document, page and terminal can hold."""
    text = _plain(_MODULES.sub(b"", printed)[-TAIL_BYTES:])
    return without_passwords(text.strip())[-TAIL_BYTES:]


def _plain(printed: bytes) -> str:
    """Return lines as text that is safe to show in a terminal: no colours, control or bidirectional characters."""
    text = COLOUR.sub("", printed.decode(errors="replace")).replace("\r\n", "\n")
    # A bar that draws over itself leaves what was drawn last.
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join("".join(c if c.isprintable() or c == "\t" else _NO_TEXT for c in line) for line in lines)


class Forwarder:
    """Writes to a file descriptor on a thread of its own: the caller never waits.

    Parameters
    ----------
    descriptor : int
        Where to write; it need not be open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.Queue[bytes] = queue.Queue(_MOST_WAITING)
        self._left_out = 0
        threading.Thread(target=self._run, name="output", daemon=True).start()

    def put(self, printed: bytes) -> None:
        """Take output to write, or drop it where too much waits."""
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
                # Tried again with what comes next: a disk that was full may have room.
                if not lost:
                    logger.warning("can't forward what fits print", extra={"reason": str(exc)})
                lost = True


class OutputReader:
    """Reads what one training process, and all that it starts, writes to standard output or error.

    Parameters
    ----------
    source : int
        The end of a pipe to read from; it is closed at the end of what was printed.
    forwarder : Forwarder
        Where it goes.
    """

    def __init__(self, source: int, forwarder: Forwarder) -> None:
        self._source = source
        self._forwarder = forwarder
        self._lock = threading.Lock()
        # The end of each part, by its number; what comes before the first marker belongs to no trial.
        self._parts: OrderedDict[int, bytes] = OrderedDict({-1: b""})
        # What is not forwarded yet: the beginning of a line.
        self._line = b""
        self._ended = False
        os.set_blocking(source, False)
        self._capacity = _READ_BYTES
        with contextlib.suppress(OSError, AttributeError):  # not Linux, or this user has many pipes
            self._capacity = fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        threading.Thread(target=self._run, name="output-reader", daemon=True).start()

    def tail(self, part: int | None = None) -> str:
        """Return the end of what was printed in a part that is complete; None stands for the last part."""
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
        """Take what the pipe holds now."""
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
        # A marker is a line, or the end of one.
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
    """Standard output and error of this process, which are pipes to its worker: written by whole lines, and in parts.

    Attributes
    ----------
    part : int
        Number of the part that is being printed.
    """

    def __init__(self) -> None:
        self.part = -1
        # Copies: a fit may send its own output elsewhere.
        self._descriptors = [os.dup(stream.fileno()) for stream in (sys.__stdout__, sys.__stderr__) if stream]
        # A library that crashes says where.
        faulthandler.enable(all_threads=False)
        # Into a pipe both Python and C write blocks, which a crash would lose. And a fit must not fail for a character
        # that can't be encoded.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True, write_through=False, errors="backslashreplace")
        self._c = ctypes.CDLL(None)
        if sys.platform == "linux":
            self._c.setvbuf(ctypes.c_void_p.in_dll(self._c, "stdout"), None, _IOLBF, 0)

    def begin(self) -> None:
        """Begin the next part: what is printed from now on belongs to another trial."""
        self.flush()
        self.part += 1
        for descriptor in self._descriptors:
            os.write(descriptor, part_marker(self.part))

    def flush(self) -> None:
        """Write what is printed and not written yet: the beginning of a line."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError, OSError):  # a fit may have closed or replaced it
                stream.flush()
        self._c.fflush(None)
