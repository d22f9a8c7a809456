"""How a study is called and run: its name, its error score, its limits."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from warren.errors import InputError

# Characters of a study's name; it stands in ids, bars and tables.
LONGEST_NAME = 100
# Shares of the workers. AMQP has one byte for it; nine are enough, and a digit.
HIGHEST_PRIORITY = 9


def check_name(name: str | None, estimators: Iterable[Any]) -> str:
    """Return a study's name; None is the classes of its estimators.

    Raises
    ------
    InputError
    """
    if name is None:
        return "+".join(dict.fromkeys(type(one).__name__ for one in estimators))[:LONGEST_NAME]
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
        raise InputError(f"name={name!r}: pass text of 1 to {LONGEST_NAME} characters")
    # Arguments of a command hold halves of characters for bytes that are no text.
    if any(letter == "\x00" or "\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError(f"name={name!a}: pass text in Unicode, without a NUL; a terminal's locale may be wrong")
    return name.strip()


def check_error_score(error_score: Any) -> float | Literal["raise"]:
    """Return the score of a fold that fails.

    Raises
    ------
    InputError
    """
    if error_score == "raise":
        return "raise"
    if isinstance(error_score, bool) or not isinstance(error_score, numbers.Real):
        raise InputError(f"error_score={error_score!r}: pass a number, nan for one, or 'raise'")
    return float(error_score)


def check_timeout(seconds: Any) -> float | None:
    """Return the seconds that a trial may take.

    Raises
    ------
    InputError
    """
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
        raise InputError(f"trial_timeout={seconds!r}: pass seconds, more than 0, or None for no limit")
    return float(seconds)


def check_priority(priority: Any) -> int:
    """Return a study's share of the workers.

    Raises
    ------
    InputError
    """
    if (
        isinstance(priority, bool)
        or not isinstance(priority, (int, np.integer))
        or not 1 <= priority <= HIGHEST_PRIORITY
    ):
        raise InputError(
            f"priority={priority!r}: pass a whole number from 1 to {HIGHEST_PRIORITY}, the study's share of workers"
        )
    return int(priority)
