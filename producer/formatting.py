"""Formats values, names, counts and durations for errors, tables, cards and plots."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from warren.safety.printable import one_line

# Most characters of a value in an error: enough to find it, short enough for a line.
_LONGEST = 60
# Most names in a hint.
_CHOICES = 20
# Most characters of a value and a reason in a card: the text of a list may be very long.
_LONGEST_VALUE = 60
_LONGEST_REASON = 240


def short(value: Any) -> str:
    """Return a value's ``repr`` on one line of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most similar to `name`; empty if `known` is empty."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)), "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the most similar name, or with the possible names."""
    choices = list(known)
    if not choices:
        return "it has none"
    close = difflib.get_close_matches(name, choices, 1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {listing(choices, _CHOICES)}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 trial``, ``1,200 trials``, ``2 studies``."""
    nouns = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else nouns}"


def listing(words: Iterable[object], most: int = 5) -> str:
    """Return the first words, separated by commas, and the number of further ones."""
    found = [str(word) for word in words]
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


def show_span(seconds: float) -> str:
    """Return a duration in words: ``0.4 s``, ``48 s``, ``12 min``, ``3 h 20 min``, ``4 d 6 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest and hours < 24 else f"{hours} h"
    days, hours = divmod(round(minutes / 60), 24)
    return f"{days} d {hours} h" if hours and days < 10 else f"{days:,} d"


def show_seconds(seconds: float) -> str:
    """Return a duration in clock form: ``0:07``, ``12:30``, ``3:05:00``, ``2 d 4 h``."""
    whole = round(seconds)
    if whole >= 2 * 24 * 3600:
        return f"{whole // (24 * 3600)} d {whole // 3600 % 24} h"
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def show_age(seconds: float) -> str:
    """Return an age in one unit: ``40 s``, ``12 min``, ``3 h``, ``9 d``."""
    whole = max(0, int(seconds))
    for size, unit in ((24 * 3600, "d"), (3600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def show_rate(rate: float) -> str:
    """Return a rate in trials per second, minute or hour, whichever is readable."""
    for seconds, unit in ((1, "s"), (60, "min")):
        if rate * seconds >= 1:
            return f"{rate * seconds:.1f} trials/{unit}"
    return f"{rate * 3600:.1f} trials/h"


def show_score(score: float | None, std: float | None = None, *, none: str = "–") -> str:
    """Return a score with enough digits to compare trials: ``0.9953``, ``0.9953 ± 0.0042``.

    Parameters
    ----------
    score : float or None
    std : float, default=None
        Its standard deviation.
    none : str, default="–"
        The text for a missing score.

    Returns
    -------
    str
    """
    if score is None or math.isnan(score):
        return none
    return _digits(score) if std is None or math.isnan(std) else f"{_digits(score)} ± {_digits(std)}"


def _digits(number: float) -> str:
    if number == 0 or 1e-3 <= abs(number) < 1000:
        return f"{number:.4f}"
    return f"{number:,.1f}" if 1000 <= abs(number) < 1e7 else f"{number:.4g}"


def show_value(value: Any) -> str:
    """Return a parameter's value on one line of bounded length."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return shorten(str(value), _LONGEST_VALUE)


def show_values(params: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return parameters as names and texts."""
    return [(shorten(str(name), _LONGEST_VALUE), show_value(value)) for name, value in params.items()]


def show_reason(text: str) -> str:
    """Return a reason of a failure on one line of bounded length."""
    return shorten(text, _LONGEST_REASON)


def shorten(text: str, most: int) -> str:
    """Return a text on one line with at most `most` characters."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"
