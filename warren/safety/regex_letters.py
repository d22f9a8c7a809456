"""Sets of letters at a place in a regular expression: ASCII one by one, others by kind.

A part of `warren.safety.regex_checks`, and like it independent of libraries.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from re import _constants  # type: ignore[attr-defined]  # `sre_constants` under its name since Python 3.11
from typing import Any, TypeAlias

Letters: TypeAlias = frozenset[int]
"""Possible letters at a place: ASCII codes, and one of four kinds for all others."""

_WORD, _DIGIT, _SPACE, _OTHER = range(128, 132)
ALL = frozenset(range(132))
NONE: Letters = frozenset()
_CATEGORIES = {
    "DIGIT": frozenset({*map(ord, "0123456789"), _DIGIT}),
    "SPACE": frozenset({*(code for code in range(128) if chr(code).isspace()), _SPACE}),
    "WORD": frozenset({ord("_"), *(code for code in range(128) if chr(code).isalnum()), _WORD, _DIGIT}),
}
# Letters of categories with the flag ASCII, where four separators are not spaces.
_ASCII = frozenset(range(128)) - frozenset(range(28, 32))
# ASCII letters that equal a letter outside ASCII in another case.
_ASCII_CASES = frozenset(map(ord, "iIkKsS"))


def word(flags: int) -> Letters:
    r"""Return the letters of words, which \w matches and \b separates from others."""
    return _CATEGORIES["WORD"] & (_ASCII if flags & re.ASCII else ALL)


def letters_of(operator: Any, argument: Any, flags: int) -> Letters:
    """Return the letters that a parsed item can match with its flags, or a larger set."""
    if operator is _constants.LITERAL:
        return _of_code(argument, flags)
    if operator is _constants.NOT_LITERAL:
        return _of_set([(_constants.NEGATE, None), (_constants.LITERAL, argument)], flags)
    if operator is _constants.IN:
        return _of_set(argument, flags)
    if operator is _constants.ANY and not flags & re.DOTALL:
        return ALL - {ord("\n")}
    return ALL  # any letter, or an item of a later version


def surely_taken(operator: Any, argument: Any, flags: int) -> Letters:
    """Return letters that an item surely matches.

    A kind of letters only if it matches all of the kind.
    """
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
    if chr(code) in "ikIKsS":  # other alphabets have a letter that equals one of these in another case
        yield _WORD


def _of_set(items: Iterable[Any], flags: int) -> Letters:
    found: set[int] = set()
    whole: set[int] = set()  # letters and kinds that are matched completely
    negated = False
    for operator, argument in items:
        if operator is _constants.NEGATE:
            negated = True
        elif operator in (_constants.LITERAL, _constants.RANGE):
            low, high = argument if operator is _constants.RANGE else (argument, argument)
            for code in range(low, min(high, 127) + 1):
                found |= _of_code(code, flags)
                whole |= {letter for letter in _of_code(code, flags) if letter < 128}
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
