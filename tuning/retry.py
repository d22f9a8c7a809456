"""Waiting for a server that is away: back-off with jitter, and a line that says what waits."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception_type, sleep, stop_never, wait_random_exponential
from tenacity.stop import stop_base

# Seconds between two tries, at most; jitter keeps forty workers from knocking together.
_LONGEST_WAIT = 15.0
# Seconds that the first wait may take; it doubles from there.
_FIRST_WAIT = 0.4


def patiently(
    error: type[Exception],
    consequence: str,
    logger: logging.Logger,
    *,
    stop: stop_base | Callable[[RetryCallState], bool] = stop_never,
    wait: Callable[[float], None] = sleep,
) -> Retrying:
    """Return a policy that calls again as long as a server is away.

    Parameters
    ----------
    error : type
        What the call raises when the server is away; anything else comes through.
    consequence : str
        What that means, for the log: ``"finished trials wait for the database"``.
    logger : logging.Logger
        Of the module that waits.
    stop : callable, default=never
        When to give up; the last error is then raised.
    wait : callable, default=time.sleep
        Waits that many seconds, or less if something comes up.

    Returns
    -------
    tenacity.Retrying
        Call it with a function and its arguments.
    """

    def say_so(state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0.0
        logger.warning("%s; next try in %.1f s: reason=%s", consequence, seconds, reason)

    return Retrying(
        retry=retry_if_exception_type(error),
        wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
        stop=stop,
        sleep=wait,
        before_sleep=say_so,
        reraise=True,
    )
