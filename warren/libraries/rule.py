"""Why a parameter of a library is refused: what its value would reach, and the way out."""

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
        The way out.
    only : tuple
        Values that are harmless.
    default : bool
        None is harmless, too. A library takes it for its own default, which may be none of
        those above.
    pattern : str or None
        Text that is harmless, as a whole.
    fits : callable or None
        Says of any other value whether it is harmless.
    """

    reaches: str
    instead: str = "leave it out"
    only: tuple[Json, ...] = ()
    default: bool = True
    pattern: str | None = None
    fits: Callable[[Json], bool] | None = None

    def allows(self, value: Json) -> bool:
        """Say whether a value is harmless."""
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
