"""A server that goes away and comes back, told to a person: one line each, however often it is tried in between.

Whole sentences, for a notebook and a terminal show no fields of a log line, and both of the same level: who saw that
something waits wants to see that it goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tenacity import sleep, stop_after_delay

from warren.errors import StoreError
from warren.retry import Patience, patiently
from warren.settings import Settings

# Seconds between two tries at most: a person waits for it to go on.
LONGEST_PAUSE = 3.0


class Outage:
    """Tells when a server goes away and when it is back.

    Parameters
    ----------
    logger : logging.Logger
        Of the module that waits.
    server : str
        Who may go away: ``"the broker"``.
    """

    def __init__(self, logger: logging.Logger, server: str) -> None:
        self._logger = logger
        self._server = server
        self._since: float | None = None

    def begin(self, consequence: str, reason: object) -> None:
        """Say what waits and why, unless this outage has been told."""
        if self._since is None:
            self._since = time.monotonic()
            self._logger.warning("%s: %s", consequence, reason)

    def end(self) -> None:
        """Say that it is over, if there was one."""
        if self._since is not None:
            seconds, self._since = time.monotonic() - self._since, None
            self._logger.warning("%s is back after %.1f s: it goes on", self._server, seconds)


def ride_over(settings: Settings, outage: Outage, consequence: str) -> Patience:
    """Return a policy that calls the store again while the database is away, for as long as a submission waits.

    Parameters
    ----------
    settings : Settings
        Say how long.
    outage : Outage
    consequence : str
        What waits.

    Returns
    -------
    warren.retry.Patience
        Call it with a function and its arguments. It raises the last `StoreError` when the time is over.
    """
    return patiently(
        StoreError,
        consequence,
        None,
        stop=stop_after_delay(settings.patience_seconds),
        wait=bounded(sleep),
        on_away=lambda reason: outage.begin(consequence, reason),
        on_back=outage.end,
    )


def bounded(wait: Callable[[float], None]) -> Callable[[float], None]:
    """Return a way to wait that lasts no longer than a person likes."""
    return lambda seconds: wait(min(seconds, LONGEST_PAUSE))
