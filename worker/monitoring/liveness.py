"""Whether a worker lives and is ready for chunks, as its threads report."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from warren.settings import Settings

# Seconds without a turn of the connection's thread after which the worker is not ready. A turn
# takes half a second while the broker answers, and a try to connect takes WARREN_CONNECT_SECONDS.
_SILENT_SECONDS = 15.0


class Pulse:
    """The state of a worker's threads and servers.

    Parameters
    ----------
    settings : Settings
        How long a call to the broker may take.
    clock : callable, default=time.monotonic
        Returns seconds.

    Notes
    -----
    There is no lock: each write is a single step of the interpreter, so that a signal handler may
    write too.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The longest time that pika may block its thread: the broker blocks publishers, or it does
        # not answer and the second missed heartbeat ends the connection. A worker that is late by
        # more hangs, and should be restarted.
        self._stuck_seconds = max(settings.blocked_seconds, 2.0 * settings.heartbeat_seconds) + settings.connect_seconds
        self._beat_at = clock()
        self._threads: list[threading.Thread] = []
        self._missing = {"broker": "not connected yet"}
        self._checks: dict[str, Callable[[], str | None]] = {}
        self._notes: dict[str, tuple[str, float]] = {}

    def beat(self) -> None:
        """Note that the connection's thread is alive.

        Called on each turn, and while it waits for the broker.
        """
        self._beat_at = self._clock()

    def guard(self, thread: threading.Thread) -> None:
        """Register a thread without which the worker is dead. Called once the thread runs."""
        self._threads.append(thread)

    def ready(self, what: str) -> None:
        """Note that something that chunks need is available.

        Parameters
        ----------
        what : str
            ``"broker"``: connected and consuming; ``"database"``; or any other that `unready`
            named.
        """
        self._missing.pop(what, None)

    def unready(self, what: str, reason: str) -> None:
        """Note that something is missing, so that the worker takes no chunks.

        Parameters
        ----------
        what : str
            As for `ready`.
        reason : str
            For people; must not contain passwords.
        """
        self._missing[what] = reason

    def note(self, what: str, text: str, seconds: float) -> None:
        """Note something that a person should know about a worker which still takes chunks.

        Parameters
        ----------
        what : str
            As for `ready`; a second note replaces the first.
        text : str
            Must not contain passwords.
        seconds : float
            How long the note is shown.
        """
        self._notes[what] = (text, self._clock() + seconds)

    def notes(self) -> dict[str, str]:
        """Return the notes that are still shown."""
        moment = self._clock()
        return {what: text for what, (text, until) in list(self._notes.items()) if moment < until}

    def ask(self, what: str, why_not: Callable[[], str | None]) -> None:
        """Register a check of something that chunks need.

        Parameters
        ----------
        what : str
            ``"database"``.
        why_not : callable
            Returns why it is unavailable, or None. Called on threads of the HTTP server, so it must
            be quick and must not log.
        """
        self._checks[what] = why_not

    def faults(self) -> dict[str, str]:
        """Return why the worker should be restarted; empty while it lives."""
        found = {thread.name: "the thread has ended" for thread in list(self._threads) if not thread.is_alive()}
        return found | self._late(self._stuck_seconds)

    def missing(self) -> dict[str, str]:
        """Return what keeps the worker from taking chunks.

        Empty while it has one or listens for one.
        """
        asked = {what: reason for what, why_not in list(self._checks.items()) if (reason := why_not()) is not None}
        return self._late(_SILENT_SECONDS) | self.faults() | asked | dict(self._missing)

    def _late(self, limit: float) -> dict[str, str]:
        seconds = self._clock() - self._beat_at
        return {"connection": f"its thread has not turned for {seconds:.0f} s"} if seconds > limit else {}
