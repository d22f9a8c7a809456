"""Patterns that somebody made up, and texts that nearly fit them: what the check lets through has
to end soon."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from re import _constants, _parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any

from fuzz.decoder import ACCEPTED
from warren.safety.regex_checks import problem_of_pattern

REFUSED = "refused: "
# Of this process's own time: what doubles with every letter would take years.
SECONDS = 4.0
_LETTERS = "abc-_1 é"
_ATOMS = (
    *("a", "b", "[ab]", "[bc]", ".", "[^b]", r"\w", r"\W", "é", "-", "a?", "a*", "a+?", "[ab]?", "a{0,2}"),
    *("(?=a)", "(?!b)", r"\b", "(?:)", "^", "$", r"\1"),
)
_COUNTS = ("*", "+", "?", "*?", "{2}", "{2,3}", "{0,2}", "{3,}", "{5}", "*+", "{,9}")


class SlowPatternError(AssertionError):
    """A pattern was let through, or judged, and did not end."""


def drawn(random: Random, depth: int) -> str:
    """Return a pattern, or what looks like one."""
    kind = random.random()
    if depth == 0 or kind < 0.3:
        return random.choice(_ATOMS)
    if kind < 0.55:
        return drawn(random, depth - 1) + drawn(random, depth - 1)
    if kind < 0.7:
        return f"(?:{drawn(random, depth - 1)}|{drawn(random, depth - 1)})"
    if kind < 0.9:
        return f"(?:{drawn(random, depth - 1)}){random.choice(_COUNTS)}"
    return f"{random.choice(('(?=', '(?!', '(?<=', '(?>', '(', '(?i:', '(?a:'))}{drawn(random, depth - 1)})"


def text_of(random: Random, items: Any) -> str:
    """Return a text that a parsed pattern nearly fits."""
    return "".join(_text_of_one(random, operator, argument) for operator, argument in items)


def _text_of_one(random: Random, operator: Any, argument: Any) -> str:
    if operator is _constants.LITERAL:
        return chr(argument)
    if operator is _constants.BRANCH:
        return text_of(random, random.choice(argument[1]))
    if operator is _constants.SUBPATTERN:
        return text_of(random, argument[3])
    if operator is _constants.ATOMIC_GROUP:
        return text_of(random, argument)
    if operator in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
        least, most, inside = argument
        turns = min(int(most), least + random.choice((0, 1, 2, 12)))
        return "".join(text_of(random, inside) for _ in range(min(turns, 20)))[:60]
    return random.choice(_LETTERS) if operator in (_constants.IN, _constants.ANY, _constants.NOT_LITERAL) else ""


@contextmanager
def _soon(what: str) -> Iterator[None]:
    def late(_: int, __: FrameType | None) -> None:
        raise SlowPatternError(what)

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def outcome(random: Random) -> str | None:
    """Return what became of one pattern, or None if it was none.

    Raises
    ------
    SlowPatternError
        It takes for ever, to judge or to match.
    """
    pattern = drawn(random, random.choice((2, 3, 4, 5))) + random.choice(("", "b", "c", "-"))
    pattern *= random.choice((1, 1, 1, 3, 8))
    try:
        compiled, parsed = re.compile(pattern), _parser.parse(pattern)
    except (re.error, OverflowError):
        return None
    with _soon(f"judging {pattern!r}"):
        problem = problem_of_pattern(pattern)
    if problem is not None:
        return REFUSED + problem.split(",", maxsplit=1)[0]
    for text in ("a" * 60, "ab" * 30, *((text_of(random, parsed) * 60)[:60] for _ in range(3))):
        with _soon(f"{pattern!r} on {text!r}"):
            compiled.search(f"{text}!")
            compiled.fullmatch(f"{text}!")
    return ACCEPTED


def run(number: int, seed: int) -> Counter[str]:
    """Put patterns through the check, and texts through what it lets through."""
    outcomes = (outcome(Random(seed + one)) for one in range(number))
    return Counter(found for found in outcomes if found is not None)
