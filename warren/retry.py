"""Waiting for a server that is away: back-off with jitter, and lines that say what waits, and for how long it did.

A worker's log gets lines with fields (`patiently` with a logger). A person gets whole sentences, one when a server goes
away and one when it is back (`Outage`), both of the same level: a notebook and a terminal show no fields, and who saw
that something waits wants to see that it goes on.
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

# Seconds that the first wait may take; it doubles from there.
_FIRST_WAIT = 0.4
# Seconds between two tries, at most; jitter keeps forty workers from knocking together.
_LONGEST_WAIT = 15.0
# The same where a person waits for it to go on.
PERSONS_WAIT = 3.0
# Doublings after which the longest wait is reached in any case.
_MOST_DOUBLINGS = 10
# Seconds that a server must have stayed before the next outage begins with short waits again: one that lets us in and
# throws us out is not asked without a pause.
_STEADY_SECONDS = 15.0
# Seconds from an outage's first line to its second; from line to line twice as many, up to ten minutes.
_NEXT_LINE = 10.0
_LONGEST_SILENCE = 600.0


class Patience:
    """Calls a function again as long as a server is away; made by `patiently`.

    It remembers an outage from call to call, and logs its begin, its end, and now and then that it lasts.
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
        # When this outage began and its next line is due, and when the last one ended.
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
        """Call until the server is there; raise what `call` raised last where `stop` gave up."""
        result = self._retrying(call, *args, **kwargs)
        self.back()
        return result

    def back(self) -> None:
        """Note that the server is there. For a function that stays as long as it is; others say so by returning."""
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
        """Count a failure, and say so when it is news; called before each pause."""
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
        What the call raises when the server is away; anything else comes through.
    consequence : str
        What that means, for the log: ``"finished trials wait for the database"``.
    logger : logging.Logger or None
        Of the module that waits; None leaves the telling to `on_away` and `on_back`.
    server : str, default="the server"
        Who is away: ``"the database"``, for the line that says that it is back.
    stop : callable, default=never
        When to give up; the last error is then raised.
    wait : callable, default=time.sleep
        Waits that many seconds, or less if something comes up.
    longest : float, default=15.0
        Seconds between two tries, at most.
    on_away : callable, default=None
        Called with the reason when an outage begins.
    on_back : callable, default=None
        Called when it is over.
    clock : callable, default=time.monotonic
        Seconds.

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


def wait_for_store(settings: Settings, logger: logging.Logger, consequence: str) -> Patience:
    """Return a policy that calls the store again while the database is away, for as long as a submission waits.

    Parameters
    ----------
    settings : Settings
        Say how long.
    logger : logging.Logger
        Of the module that waits.
    consequence : str
        What waits.

    Returns
    -------
    Patience
        Call it with a function and its arguments. It raises the last `StoreError` when the time is over.
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
