"""Letters that a place in a regular expression may be: ASCII one by one, and all others by what they are.

A part of `warren.safety.regex_checks`, and like it without a library.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from re import _constants  # type: ignore[attr-defined]  # `sre_constants` under its name since Python 3.11
from typing import Any, TypeAlias

Letters: TypeAlias = frozenset[int]
"""Letters that a place may be: codes of ASCII, and one of four for all others."""

_WORD, _DIGIT, _SPACE, _OTHER = range(128, 132)
ALL = frozenset(range(132))
NONE: Letters = frozenset()
_CATEGORIES = {
    "DIGIT": frozenset({*map(ord, "0123456789"), _DIGIT}),
    "SPACE": frozenset({*(code for code in range(128) if chr(code).isspace()), _SPACE}),
    "WORD": frozenset({ord("_"), *(code for code in range(128) if chr(code).isalnum()), _WORD, _DIGIT}),
}
# Of categories under the flag ASCII, which has four separators less for spaces.
_ASCII = frozenset(range(128)) - frozenset(range(28, 32))
# Letters that one outside of ASCII may be in another case.
_ASCII_CASES = frozenset(map(ord, "iIkKsS"))


def word(flags: int) -> Letters:
    r"""Return the letters of words, which \w takes and \b tells from others."""
    return _CATEGORIES["WORD"] & (_ASCII if flags & re.ASCII else ALL)


def letters_of(operator: Any, argument: Any, flags: int) -> Letters:
    """Return what one letter may be that a parsed piece of a pattern takes, under its flags: rather more than that."""
    if operator is _constants.LITERAL:
        return _of_code(argument, flags)
    if operator is _constants.NOT_LITERAL:
        return _of_set([(_constants.NEGATE, None), (_constants.LITERAL, argument)], flags)
    if operator is _constants.IN:
        return _of_set(argument, flags)
    if operator is _constants.ANY and not flags & re.DOTALL:
        return ALL - {ord("\n")}
    return ALL  # any, and what a later version brings


def surely_taken(operator: Any, argument: Any, flags: int) -> Letters:
    """Return letters that a parsed piece of a pattern takes whichever it meets: none of which some may be others."""
    if operator is _constants.LITERAL:
        return ALL - letters_of(_constants.NOT_LITERAL, argument, flags)
    if operator is _constants.NOT_LITERAL:
        return ALL - letters_of(_constants.LITERAL, argument, flags)
    if operator is _constants.IN:
        negate = (_constants.NEGATE, None)
        others = argument[1:] if argument[0] == negate else [negate, *argument]
        return ALL - _of_set(others, flags)
    return letters_of(operator, argument, flags) if operator is _constants.ANY else NONE


@functools.lru_cache(maxsize=1024)
def _of_code(code: int, flags: int) -> Letters:
    letter = chr(code)
    if code >= 128:
        kind = _SPACE if letter.isspace() else _DIGIT if letter.isdecimal() else _WORD if letter.isalnum() else _OTHER
        return frozenset({kind}) | (_ASCII_CASES if flags & re.IGNORECASE else NONE)
    return frozenset(_cases(code)) if flags & re.IGNORECASE else frozenset({code})


def _cases(code: int) -> Iterator[int]:
    yield from {code, ord(chr(code).lower()), ord(chr(code).upper())}
    if chr(code) in "ikIKsS":  # of which other alphabets have a letter that is the same in another case
        yield _WORD


def _of_set(items: Iterable[Any], flags: int) -> Letters:
    found: set[int] = set()
    whole: set[int] = set()  # of which nothing else is outside
    negated = False
    for operator, argument in items:
        if operator is _constants.NEGATE:
            negated = True
        elif operator in (_constants.LITERAL, _constants.RANGE):
            low, high = argument if operator is _constants.RANGE else (argument, argument)
            for code in range(low, min(high, 127) + 1):
                found |= _of_code(code, flags)
                whole |= {one for one in _of_code(code, flags) if one < 128}
            if high > 127:
                found |= _of_code(high, flags) if low == high else {_WORD, _DIGIT, _SPACE, _OTHER}
                found |= _ASCII_CASES if flags & re.IGNORECASE else NONE
        elif operator is _constants.CATEGORY:
            name = str(argument).removeprefix("CATEGORY_").removeprefix("UNI_").removeprefix("LOC_")
            letters = _CATEGORIES.get(name.removeprefix("NOT_"))
            if letters is None:
                return ALL
            if flags & re.ASCII:
                letters &= _ASCII
            if name.startswith("NOT_"):
                letters = ALL - letters
            found |= letters
            whole |= letters
        else:
            return ALL
    return ALL - whole if negated else frozenset(found)
