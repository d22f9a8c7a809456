"""Values and names as errors show them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

# Characters of a value that an error repeats: enough to find it, short enough for a line.
_LONGEST = 60


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
