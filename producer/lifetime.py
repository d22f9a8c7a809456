"""Resources that end explicitly, or when their owner object is deleted."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable


class Lasting:
    """A resource that exists at most as long as its owner object.

    Parameters
    ----------
    owner : object
        The owner. `undo` must not refer to it, or it would never be garbage-collected.
    undo : contextlib.ExitStack
        Ends the resource; may take long.
    say : callable
        Called with `line` when the resource ends because its owner was deleted.
    line : str
        A line of text.
    """

    def __init__(self, owner: object, undo: contextlib.ExitStack, say: Callable[[str], None], line: str) -> None:
        self._undo = undo
        self._say = say
        self._line = line
        self._process = os.getpid()
        self._ending = threading.Lock()
        self.over = False
        self._finalizer = weakref.finalize(owner, self._lose_owner)
        # At the end of the process the resource ends by itself.
        self._finalizer.atexit = False

    @property
    def has_owner(self) -> bool:
        """Whether the owner object still exists."""
        return self._finalizer.alive

    def end(self) -> None:
        """End the resource, or wait while another thread ends it. Does nothing if it has ended."""
        self._finalizer.detach()
        self.over = True
        with self._ending:
            self._undo.close()

    def _lose_owner(self) -> None:
        if os.getpid() != self._process:  # a forked copy: the servers belong to its parent
            return
        # Garbage collection may happen on any thread and under any lock, so end the resource on a
        # new thread.
        threading.Thread(target=self._end_alone, name="warren-end").start()

    def _end_alone(self) -> None:
        self._say(self._line)
        self.end()
