"""Why a library's parameter is refused: what its value would reach, and what to do instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = Any  # as in warren.encoding.codec, which brings NumPy: an idle worker does without


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Why a parameter is refused.

    Attributes
    ----------
    reaches : str
        What its value would do.
    instead : str
        What to do instead.
    only : tuple
        Values that are harmless.
    default : bool
        Whether None is harmless, too: it is the library's own default, which may not be in `only`.
    pattern : str or None
        Pattern of harmless text; it must match the whole text.
    fits : callable or None
        Returns whether any other value is harmless.
    """

    reaches: str
    instead: str = "leave it out"
    only: tuple[Json, ...] = ()
    default: bool = True
    pattern: str | None = None
    fits: Callable[[Json], bool] | None = None

    def allows(self, value: Json) -> bool:
        """Return whether a value is harmless."""
        if value is None:
            return self.default
        if any(type(value) is type(one) and value == one for one in self.only):
            return True
        if self.fits is not None and self.fits(value):
            return True
        return self.pattern is not None and isinstance(value, str) and re.fullmatch(self.pattern, value) is not None


def rules(names: str, rule: Rule) -> dict[str, Rule]:
    """Return one rule for several names."""
    return dict.fromkeys(names.split(), rule)


CALLED = Rule(reaches="is called, and a message must not run code", instead="leave it out, or None")
FILE = Rule(reaches="names a file or folder, and a worker reads and writes none for a message")
SOCKET = Rule(reaches="opens connections to other machines")
FROM_THE_START = "leave it out: every trial is trained from the start"
STORED_MODEL = Rule(reaches="names a stored model to go on from", instead=FROM_THE_START)
