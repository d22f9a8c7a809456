"""What fits print, on its way through the worker: passed on while somebody takes it, and the end of it kept.

A fit writes to a pipe, whatever becomes of the worker's own output: a reader that went away, a full disk, a terminal
that was stopped. The pipe is emptied as fast as it is filled, and what nobody takes in time is left out. Lines, letters
and tabs are passed on; colours are left out, and whatever else steers a terminal is replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import queue
import re
import select
import threading
from collections import OrderedDict

from warren.logs import without_passwords

logger = logging.getLogger(__name__)

# Bytes of its output that a trial keeps: the end of a log tells, a document stays small.
TAIL_BYTES = 4096
# Bytes that are kept to make them of: more, for not all is shown.
_KEPT_BYTES = 4 * TAIL_BYTES
# The end of what `faulthandler` says of a crash names hundreds of modules, and would leave no room for anything else.
_MODULES = re.compile(rb"^Extension modules: [^\n]*\n?", re.MULTILINE)
# Bytes of a pipe: a fit that prints much waits less often for us. Linux grants so much to everybody (pipe(7)).
_PIPE_BYTES = 2**20
_READ_BYTES = 2**16
# Parts of the output that wait to be passed on, each of some kilobytes; what comes beyond is left out.
_MOST_WAITING = 64
# Bytes of a line that waits for its end before it is passed on: lines of several processes stay whole.
_LONGEST_LINE = 2**16
# Parts that are kept, since a worker that waits for its database may be some trials behind.
_MOST_PARTS = 64
# What stands for control characters, which would move a terminal's cursor, and for bytes that are no text.
_NO_TEXT = "\N{REPLACEMENT CHARACTER}"
# Colours, which mean nothing to a log.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What may have to be replaced: nothing of most output.
_ODD = re.compile(rb"[^\t\n\x20-\x7e]")
# Where a part of the output begins: told in the output itself, so that it is exact.
_MARK = re.compile(rb"\x00warren (\d+)\x00\n")


def mark(part: int) -> bytes:
    """Return what a training process writes into its output where a new part of it begins."""
    return b"\x00warren %d\x00\n" % part


def tail_of(printed: bytes) -> str:
    """Return the end of what was printed as text that any document, page and terminal can hold."""
    text = _plain(_MODULES.sub(b"", printed)[-TAIL_BYTES:])
    return without_passwords(text.strip())[-TAIL_BYTES:]


def _plain(printed: bytes) -> str:
    """Return lines as text that steers no terminal: letters and tabs, no colours, nothing that turns a line round."""
    text = _COLOUR.sub("", printed.decode(errors="replace")).replace("\r\n", "\n")
    # A bar that draws over itself leaves what was drawn last.
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join("".join(c if c.isprintable() or c == "\t" else _NO_TEXT for c in line) for line in lines)


class Sink:
    """Writes to a file descriptor, on a thread of its own: whoever gives it something never waits.

    Parameters
    ----------
    descriptor : int
        Where to; it need not be open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: queue.Queue[bytes] = queue.Queue(_MOST_WAITING)
        self._left_out = 0
        threading.Thread(target=self._run, name="output", daemon=True).start()

    def put(self, printed: bytes) -> None:
        """Take something to write, or leave it out where too much waits."""
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
                    logger.warning("what fits print can't be passed on", extra={"reason": str(exc)})
                lost = True


class Output:
    """What one training process, and all that it starts, writes to standard output or error.

    Parameters
    ----------
    source : int
        The end of a pipe to read from; it is closed at the end of what was printed.
    sink : Sink
        Where it goes.
    """

    def __init__(self, source: int, sink: Sink) -> None:
        self._source = source
        self._sink = sink
        self._lock = threading.Lock()
        # The end of each part, by its number; what comes before the first mark is no trial's.
        self._parts: OrderedDict[int, bytes] = OrderedDict({-1: b""})
        # What is not passed on yet: the beginning of a line.
        self._line = b""
        self._ended = False
        os.set_blocking(source, False)
        self._capacity = _READ_BYTES
        with contextlib.suppress(OSError, AttributeError):  # not Linux, or this user has many pipes
            self._capacity = fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        threading.Thread(target=self._run, name="output-reader", daemon=True).start()

    def tail(self, part: int | None = None) -> str:
        """Return the end of what was printed in a part, of which everything was written by now; None is the last."""
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
        # A mark is a line, or the end of one.
        before, *marked = _MARK.split(lines + newline)
        self._keep(next(reversed(self._parts)), before)
        for number, after in zip(marked[::2], marked[1::2], strict=True):
            self._keep(int(number), after)
        if passed_on := b"".join([before, *marked[1::2]]):
            # A person may read the worker's own output in a terminal.
            self._sink.put(_plain(passed_on).encode() if _ODD.search(passed_on) else passed_on)

    def _keep(self, part: int, printed: bytes) -> None:
        self._parts[part] = (self._parts.get(part, b"") + printed)[-_KEPT_BYTES:]
        while len(self._parts) > _MOST_PARTS:
            self._parts.popitem(last=False)
