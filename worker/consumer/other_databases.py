"""Messages of other databases: report them, at most one log line in ten minutes."""

from __future__ import annotations

import logging
import time

from warren.settings import Settings, redact
from worker.monitoring.liveness import Pulse

logger = logging.getLogger(__name__)

# Seconds between two log lines, and how long the health page shows the note after the last message.
_LINE_SECONDS = 600.0

_WHAT_TO_DO = (
    "compare MONGO_URL and AMQP_URL of this worker with those of the machine that submits: a broker serves one "
    "database, or each database has its own virtual host. Messages of a deleted database stay until they are deleted"
)


class ForeignMessages:
    """Reports messages that this worker requeued because they belong to another database.

    Parameters
    ----------
    settings : Settings
        The broker's URL, for the log.
    pulse : Pulse
        Shows the note on the health page.
    """

    def __init__(self, settings: Settings, pulse: Pulse) -> None:
        self._settings = settings
        self._pulse = pulse
        self._since_line = 0
        self._next_line_at = float("-inf")

    def report(self, lane: str, whose: str) -> None:
        """Report one more message.

        Parameters
        ----------
        lane : str
            The lane that it came from, and to which it was returned.
        whose : str
            Its database, and the database of this worker, as text.
        """
        self._since_line += 1
        self._pulse.note("foreign", f"{lane}: a message {whose}; {_WHAT_TO_DO}", _LINE_SECONDS)
        moment = time.monotonic()
        if moment < self._next_line_at:
            return
        logger.warning(
            "returned messages of another database",
            extra={
                "whose": whose,
                "lane": lane,
                "broker": redact(self._settings.amqp_url),
                "messages": self._since_line,
                "what_to_do": _WHAT_TO_DO,
            },
        )
        self._since_line, self._next_line_at = 0, moment + _LINE_SECONDS
