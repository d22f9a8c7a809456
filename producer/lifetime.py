"""What lasts until it is told to end, or until nobody can tell it any more."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable


class Lasting:
    """Something that is up for as long as the object that stands for it.

    Parameters
    ----------
    owner : object
        Stands for it. Nothing in `undo` may refer to it, or it would never be collected.
    undo : contextlib.ExitStack
        Ends it; may take its time.
    say : callable
        Takes a line of text when it ends for want of an owner.
    line : str
        That line.
    """

    def __init__(self, owner: object, undo: contextlib.ExitStack, say: Callable[[str], None], line: str) -> None:
        self._undo = undo
        self._say = say
        self._line = line
        self._process = os.getpid()
        self._ending = threading.Lock()
        self.over = False
        self._finalizer = weakref.finalize(owner, self._lose_owner)
        # With the process it ends without our help.
        self._finalizer.atexit = False

    @property
    def has_owner(self) -> bool:
        """Whether somebody may still use it."""
        return self._finalizer.alive

    def end(self) -> None:
        """End it, or wait until whoever is ending it is done. Harmless when it is over."""
        self._finalizer.detach()
        self.over = True
        with self._ending:
            self._undo.close()

    def _lose_owner(self) -> None:
        if os.getpid() != self._process:  # a copy that was forked off: the servers are its parent's
            return
        # Collection happens anywhere, in the middle of anything: on any thread, and under any lock.
        threading.Thread(target=self._end_alone, name="warren-end").start()

    def _end_alone(self) -> None:
        self._say(self._line)
        self.end()
