"""Whether a worker lives, and whether it takes chunks: written by its threads, read by the HTTP server's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from warren.settings import Settings

# Seconds without a turn of the connection's thread after which nobody should count on this worker: a turn takes half a
# second while the broker answers, and a try to connect takes WARREN_CONNECT_SECONDS.
_SILENT_SECONDS = 15.0


class Pulse:
    """What a worker's threads say of themselves.

    Parameters
    ----------
    settings : Settings
        Say how long a call to the broker may take.
    clock : callable, default=time.monotonic
        Seconds.

    Notes
    -----
    There is no lock: each write is one step of the interpreter, so that a signal handler may write as well.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The longest that pika may keep its thread: a broker that blocks us, or one that has stopped answering, whose
        # second missed heartbeat ends the connection. A worker that is late for longer hangs, and is worth its end.
        self._stuck_seconds = max(settings.blocked_seconds, 2.0 * settings.heartbeat_seconds) + settings.connect_seconds
        self._beat_at = clock()
        self._threads: list[threading.Thread] = []
        self._missing = {"broker": "not connected yet"}
        self._checks: dict[str, Callable[[], str | None]] = {}
        self._notes: dict[str, tuple[str, float]] = {}

    def beat(self) -> None:
        """Say that the connection's thread turns. Called at each turn, and while it waits for the broker."""
        self._beat_at = self._clock()

    def guard(self, thread: threading.Thread) -> None:
        """Name a thread without which the worker is dead. Called once it runs."""
        self._threads.append(thread)

    def ready(self, what: str) -> None:
        """Say that something chunks need is there again, or was all the time.

        Parameters
        ----------
        what : str
            ``"broker"``: connected, and taking chunks; ``"database"``; any other that `unready` named.
        """
        self._missing.pop(what, None)

    def unready(self, what: str, reason: str) -> None:
        """Say that something is missing, so that the worker takes no chunks.

        Parameters
        ----------
        what : str
            As for `ready`.
        reason : str
            For people, without passwords.
        """
        self._missing[what] = reason

    def note(self, what: str, text: str, seconds: float) -> None:
        """Say something that a person should know of a worker which takes chunks all the same.

        Parameters
        ----------
        what : str
            As for `ready`; a second note takes the place of the first.
        text : str
            Without passwords.
        seconds : float
            How long it holds.
        """
        self._notes[what] = (text, self._clock() + seconds)

    def notes(self) -> dict[str, str]:
        """Return what was noted and still holds."""
        moment = self._clock()
        return {what: text for what, (text, until) in list(self._notes.items()) if moment < until}

    def ask(self, what: str, why_not: Callable[[], str | None]) -> None:
        """Name somebody who knows about something chunks need.

        Parameters
        ----------
        what : str
            ``"database"``.
        why_not : callable
            Returns why it can't be had, or None while it can. Called on threads of the HTTP server's: quick, and quiet.
        """
        self._checks[what] = why_not

    def faults(self) -> dict[str, str]:
        """Return why the worker should be ended and started anew; empty while it lives."""
        found = {thread.name: "the thread has ended" for thread in list(self._threads) if not thread.is_alive()}
        return found | self._late(self._stuck_seconds)

    def missing(self) -> dict[str, str]:
        """Return what keeps the worker from taking chunks; empty while it holds one or listens for one."""
        asked = {what: reason for what, why_not in list(self._checks.items()) if (reason := why_not()) is not None}
        return self._late(_SILENT_SECONDS) | self.faults() | asked | dict(self._missing)

    def _late(self, limit: float) -> dict[str, str]:
        seconds = self._clock() - self._beat_at
        return {"connection": f"its thread has not turned for {seconds:.0f} s"} if seconds > limit else {}
