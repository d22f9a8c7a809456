"""How errors, tables, cards and pictures show values, names, counts and durations."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from warren.safety.printable import one_line

# Characters of a value that an error repeats: enough to find it, short enough for a line.
_LONGEST = 60
# Characters of a value in a card, and of a reason: a callable's or a list's text may be a page.
_LONGEST_VALUE = 60
_LONGEST_REASON = 240


def short(value: Any) -> str:
    """Return a value's ``repr`` on one line of at most 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like `name`; text unless `known` is empty."""
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)), "")


def listing(words: Iterable[object], most: int = 5) -> str:
    """Return words with commas between, and how many more there are after the first few."""
    found = [str(word) for word in words]
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


def show_span(seconds: float) -> str:
    """Return a duration as a person says it: ``0.4 s``, ``48 s``, ``12 min``, ``3 h 20 min``, ``4 d 6 h``."""
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


def show_score(score: float | None) -> str:
    """Return a score with the digits that tell trials apart; a dash where there is none."""
    if score is None or math.isnan(score):
        return "–"
    if score == 0 or 1e-3 <= abs(score) < 1000:
        return f"{score:.4f}"
    return f"{score:,.1f}" if 1000 <= abs(score) < 1e7 else f"{score:.4g}"


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
    """Return a text on one line, cut off after so many characters."""
    line = one_line(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def count(number: int, noun: str) -> str:
    """Return a count with its noun: ``1 trial``, ``1,200 trials``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
