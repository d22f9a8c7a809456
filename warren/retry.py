"""Wait for a server that is away: back-off with jitter, and log lines about the outage.

A worker's log gets lines with fields (`patiently` with a logger). A person gets whole sentences,
one when a server goes away and one when it is back (`Outage`), both at the same level: notebooks
and terminals show no fields, and a person who reads that something waits also wants to read that it
continues.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep, stop_after_delay, stop_never
from tenacity.stop import stop_base

from warren.errors import StoreError
from warren.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")

# Longest first wait in seconds; it doubles with each failure.
_FIRST_WAIT = 0.4
# Longest time between two tries in seconds; jitter keeps many workers from calling at the same
# moment.
_LONGEST_WAIT = 15.0
# The same when a person waits.
PERSONS_WAIT = 3.0
# After so many doublings the longest wait is reached in any case.
_MOST_DOUBLINGS = 10
# Seconds that a server must have been reachable before the next outage starts with short waits
# again: a server that accepts connections and drops them is not called without a pause.
_STEADY_SECONDS = 15.0
# Seconds between the first and second line of an outage; the time doubles from line to line, up to
# ten minutes.
_NEXT_LINE = 10.0
_LONGEST_SILENCE = 600.0


class Patience:
    """Calls a function again as long as a server is away; made by `patiently`.

    It remembers an outage between calls, and logs when it begins, when it ends, and now and then
    that it continues.
    """

    def __init__(
        self,
        error: type[Exception],
        consequence: str,
        logger: logging.Logger | None,
        *,
        server: str,
        stop: stop_base | Callable[[RetryCallState], bool],
        wait: Callable[[float], None],
        longest: float,
        on_away: Callable[[str], None] | None,
        on_back: Callable[[], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self._consequence = consequence
        self._longest = longest
        self._logger = logger
        self._server = server
        self._on_away = on_away
        self._on_back = on_back
        self._clock = clock
        self._failures = 0
        # When this outage began, when its next line is due, and when the last outage ended.
        self._away_at: float | None = None
        self._next_line_at = 0.0
        self._silence = _NEXT_LINE
        self._back_at = float("-inf")
        self._retrying = Retrying(
            retry=retry_if_exception_type(error),
            wait=self._pause,
            stop=stop,
            sleep=wait,
            before_sleep=self._note,
            reraise=True,
        )

    def __call__(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call until the server answers; raise the last error of `call` if `stop` gives up."""
        result = self._retrying(call, *args, **kwargs)
        self.back()
        return result

    def back(self) -> None:
        """Note that the server is reachable.

        Only needed by a function that runs as long as the connection; for others, their return
        shows it.
        """
        if self._away_at is None:
            return
        self._back_at = self._clock()
        seconds = round(self._back_at - self._away_at, 1)
        self._away_at = None
        if self._logger:
            self._logger.info("%s is back", self._server, extra={"away_seconds": seconds, "tries": self._failures})
        if self._on_back:
            self._on_back()

    def _pause(self, _: RetryCallState) -> float:
        if self._away_at is None and self._clock() - self._back_at > _STEADY_SECONDS:
            self._failures = 0
        longest = _FIRST_WAIT * 2 ** min(self._failures, _MOST_DOUBLINGS)
        return random.uniform(0, min(longest, self._longest))  # noqa: S311 - jitter, no secret

    def _note(self, state: RetryCallState) -> None:
        """Count a failure, and log it if it is news; called before each pause."""
        moment = self._clock()
        self._failures += 1
        reason = str(state.outcome.exception()) if state.outcome else ""
        fields: dict[str, object] = {"reason": reason}
        if self._away_at is None:
            self._away_at, self._silence = moment, _NEXT_LINE
            if self._on_away:
                self._on_away(reason)
        elif moment < self._next_line_at:
            return
        else:
            self._silence = min(2 * self._silence, _LONGEST_SILENCE)
            fields |= {"away_seconds": round(moment - self._away_at, 1), "tries": self._failures}
        self._next_line_at = moment + self._silence
        if self._logger:
            self._logger.warning(self._consequence, extra=fields)


def patiently(
    error: type[Exception],
    consequence: str,
    logger: logging.Logger | None,
    *,
    server: str = "the server",
    stop: stop_base | Callable[[RetryCallState], bool] = stop_never,
    wait: Callable[[float], None] = sleep,
    longest: float = _LONGEST_WAIT,
    on_away: Callable[[str], None] | None = None,
    on_back: Callable[[], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Patience:
    """Return a policy that calls again as long as a server is away.

    Parameters
    ----------
    error : type
        The error that means the server is away; other errors are not caught.
    consequence : str
        What waits, for the log: ``"finished trials wait for the database"``.
    logger : logging.Logger or None
        The logger of the calling module; with None, only `on_away` and `on_back` report.
    server : str, default="the server"
        The server's name for the line that it is back: ``"the database"``.
    stop : callable, default=never
        When to give up and raise the last error.
    wait : callable, default=time.sleep
        Waits that many seconds; may return early.
    longest : float, default=15.0
        Longest time between two tries, in seconds.
    on_away : callable, default=None
        Called with the reason when an outage begins.
    on_back : callable, default=None
        Called when it is over.
    clock : callable, default=time.monotonic
        Returns seconds.

    Returns
    -------
    Patience
        Call it with a function and its arguments.
    """
    return Patience(
        error,
        consequence,
        logger,
        server=server,
        stop=stop,
        wait=wait,
        longest=longest,
        on_away=on_away,
        on_back=on_back,
        clock=clock,
    )


class Outage:
    """Logs when a server goes away and when it is back.

    Parameters
    ----------
    logger : logging.Logger
        The logger of the calling module.
    server : str
        The server's name: ``"the broker"``.
    """

    def __init__(self, logger: logging.Logger, server: str) -> None:
        self._logger = logger
        self._server = server
        self._since: float | None = None

    def begin(self, consequence: str, reason: object) -> None:
        """Log what waits and why, once per outage."""
        if self._since is None:
            self._since = time.monotonic()
            self._logger.warning("%s: %s", consequence, reason)

    def end(self) -> None:
        """Log that the outage is over, if there was one."""
        if self._since is not None:
            seconds, self._since = time.monotonic() - self._since, None
            self._logger.warning("%s is back after %.1f s: it goes on", self._server, seconds)


def wait_for_store(settings: Settings, logger: logging.Logger, consequence: str) -> Patience:
    """Return a policy that calls the store again while it is away, as long as a submission waits.

    Parameters
    ----------
    settings : Settings
        How long to wait.
    logger : logging.Logger
        The logger of the calling module.
    consequence : str
        What waits, for the log.

    Returns
    -------
    Patience
        Call it with a function and its arguments. It raises the last `StoreError` when the time is
        over.
    """
    outage = Outage(logger, "the database")
    return patiently(
        StoreError,
        consequence,
        None,
        stop=stop_after_delay(settings.patience_seconds),
        wait=sleep,
        longest=PERSONS_WAIT,
        on_away=lambda reason: outage.begin(consequence, reason),
        on_back=outage.end,
    )
