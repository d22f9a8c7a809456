r"""Regular expressions of a message: those that may take for ever are refused before anybody matches them.

Python's `re` tries one way after the other. Where a text can be cut in several ways by a pattern the tries multiply:
with every letter, if the choice lies in a repetition, ``(a+)+b`` for one; or as a power, ``.*.*.*b``. So a repetition
of something that leaves a choice is refused, unless each turn begins or ends with a letter that nothing else in it may
be, ``(?:-\w+)*`` for one; and so are repetitions in a row that may take each other's letters. What is left takes time
that grows as a small power of the text. No library is imported.

A clock could not do it: patterns are matched inside of scikit-learn and pandas, in threads and in joblib's processes,
and a text of moderate length would still take each its time, thousands of times.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from re import _constants, _parser  # type: ignore[attr-defined]  # `sre_parse` under its name since Python 3.11
from typing import Any, NamedTuple, TypeAlias

Letters: TypeAlias = frozenset[int]
"""Letters that a place may be: codes of ASCII, and one of four for all others."""

LONGEST = 1000
"""Characters of a pattern."""
# Choices in a row that may take each other's letters: of repetitions each is a factor of the length of a text, of
# others each is a factor of two. Two of the first and a few of the second, or some more of the second, and no more.
_A_LOOP, _HEAVIEST = 4, 11
_WORD, _DIGIT, _SPACE, _OTHER = range(128, 132)
_ALL = frozenset(range(132))
_CATEGORIES = {
    "DIGIT": frozenset({*map(ord, "0123456789"), _DIGIT}),
    "SPACE": frozenset({*(code for code in range(128) if chr(code).isspace()), _SPACE}),
    "WORD": frozenset({ord("_"), *(code for code in range(128) if chr(code).isalnum()), _WORD, _DIGIT}),
}
_LOOPS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}
# Choices of what may be read in two ways: no letter around it tells which.
_TWO_WAYS = 2
_LOOKS = {_constants.ASSERT, _constants.ASSERT_NOT}


class _Piece(NamedTuple):
    """A piece of a pattern.

    Attributes
    ----------
    letters : frozenset of int
        What its letters may be; nothing for what has no width.
    optional : bool
        It may take no letter.
    first : frozenset of int
        What it may begin with.
    choices : int
        Places in it that leave a choice; two and more for one where a text can be read in two ways.
    weight : int
        What its own choice, if any, counts among others in a row.
    loops : bool
        It is a repetition.
    ways : tuple of tuple of _Piece
        What it is made of: alternatives of pieces after one another.
    """

    letters: Letters
    optional: bool
    first: Letters
    choices: int = 0
    weight: int = 0
    loops: bool = False
    ways: tuple[tuple[_Piece, ...], ...] = ()


# Letters that choices in a row have in common, and what they weigh together.
_Rows: TypeAlias = frozenset[tuple[Letters, int]]


class _EndlessError(Exception):
    """A pattern may take for ever; the text says why."""


@functools.lru_cache
def problem_of_pattern(pattern: str) -> str | None:
    """Return why a regular expression may take for ever, or None.

    Parameters
    ----------
    pattern : str
        One that is none is no problem: whoever compiles it says so.
    """
    if len(pattern) > LONGEST:
        return f"has {len(pattern):,} characters, and {LONGEST:,} are enough"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what later versions will read otherwise
            parsed = _parser.parse(pattern)
        _rows_after(_sequence(parsed, bool(parsed.state.flags & re.IGNORECASE)), frozenset())
    except (re.error, OverflowError):
        return None
    except RecursionError:
        return "is nested too deeply"
    except _EndlessError as exc:
        return str(exc)
    return None


def _sequence(items: Iterable[Any], either_case: bool) -> _Piece:
    """Return what pieces after one another make together."""
    pieces = tuple(_piece(operator, argument, either_case) for operator, argument in items)
    needed = next((position for position, piece in enumerate(pieces) if not piece.optional), len(pieces))
    return _Piece(
        _union(pieces),
        needed == len(pieces),
        frozenset[int]().union(*(piece.first for piece in pieces[: needed + 1])),
        sum(piece.choices for piece in pieces),
        ways=(pieces,),
    )


def _union(pieces: Iterable[_Piece]) -> Letters:
    return frozenset[int]().union(*(piece.letters for piece in pieces))


def _rows_after(piece: _Piece, rows: _Rows) -> _Rows:
    """Return the rows of choices that may still take each other's letters behind a piece.

    Raises
    ------
    _EndlessError
        One has too many.
    """
    found = frozenset(row for row in rows if piece.optional or row[0] & piece.letters)
    if piece.ways and not piece.loops:
        within = (functools.reduce(lambda rows, one: _rows_after(one, rows), way, rows) for way in piece.ways)
        found = frozenset[tuple[Letters, int]]().union(*within, found if piece.optional else ())
    if not piece.weight:
        return found
    letters = piece.letters or _ALL  # what takes no letter stands between any
    longer = {(shared & letters, weight + piece.weight) for shared, weight in rows if shared & letters}
    if any(weight > _HEAVIEST for _, weight in longer):
        raise _EndlessError(
            "has too many repetitions or choices in a row that may take each other's letters, and may take for ever"
        )
    return found | longer | {(letters, piece.weight)}


def _piece(operator: Any, argument: Any, either_case: bool) -> _Piece:
    if operator in _LOOPS:
        least, most, inside = argument
        return _loop(least, most, inside, either_case)
    if operator is _constants.SUBPATTERN:
        _, added, removed, inside = argument
        return _sequence(inside, bool((either_case or added & re.IGNORECASE) and not removed & re.IGNORECASE))
    if operator is _constants.ATOMIC_GROUP:
        return _sequence(argument, either_case)
    if operator is _constants.BRANCH:
        return _branch([_sequence(one, either_case) for one in argument[1]])
    if operator in _LOOKS:
        inside = _sequence(argument[1], either_case)
        _rows_after(inside, frozenset())
        return _Piece(frozenset(), True, frozenset(), inside.choices)
    if operator is _constants.AT:
        return _Piece(frozenset(), True, frozenset())
    if operator in (_constants.GROUPREF, _constants.GROUPREF_EXISTS):
        return _Piece(_ALL, True, _ALL, _TWO_WAYS)  # nobody knows before it is matched
    letters = _letters(operator, argument, either_case)
    return _Piece(letters, False, letters)


def _branch(ways: Sequence[_Piece]) -> _Piece:
    """Return what alternatives make: no choice where the first letter tells one from the others."""
    apart = all(not one.first & other.first for i, one in enumerate(ways) for other in ways[:i])
    empty = sum(way.optional for way in ways)
    own = _TWO_WAYS if not apart or empty > 1 else empty
    return _Piece(
        _union(ways),
        bool(empty),
        frozenset[int]().union(*(way.first for way in ways)),
        max(way.choices for way in ways) + own,
        own,
        ways=tuple((way,) for way in ways),
    )


def _loop(least: int, most: int, body: Any, either_case: bool) -> _Piece:
    inside = _sequence(body, either_case)
    optional = inside.optional or least == 0
    if most <= 1:
        choice = int(least < most)
        return inside._replace(optional=optional, choices=inside.choices + choice, weight=choice)
    if inside.choices > 1 or (inside.choices == 1 and not _delimited(body, either_case)):
        raise _EndlessError(
            "repeats what leaves a choice, as in (a+)+ or (a|aa)*, and may take for ever; let each turn begin with a "
            "letter that nothing else in it may be, or repeat less"
        )
    varies = least != most
    weight = _A_LOOP if varies or inside.choices else 0
    return _Piece(
        inside.letters, optional, inside.first, inside.choices + varies, weight, loops=weight > 0, ways=inside.ways
    )


def _delimited(body: Any, either_case: bool) -> bool:
    """Say whether a sequence begins or ends with a letter that nothing else in it may be."""
    while len(body) == 1 and body[0][0] is _constants.SUBPATTERN:
        body = body[0][1][3]
    pieces = [_piece(operator, argument, either_case) for operator, argument in body]
    return any(
        end.letters and not end.optional and not end.choices and not end.letters & _union(others)
        for end, others in ((pieces[0], pieces[1:]), (pieces[-1], pieces[:-1]))
    )


def _letters(operator: Any, argument: Any, either_case: bool) -> Letters:
    if operator is _constants.LITERAL:
        return _of_code(argument, either_case)
    if operator is _constants.NOT_LITERAL:
        return _ALL - _of_code(argument, either_case) if argument < 128 else _ALL
    if operator is _constants.IN:
        return _of_set(argument, either_case)
    return _ALL  # any, and what a later version brings


def _of_code(code: int, either_case: bool) -> Letters:
    letter = chr(code)
    if code >= 128:
        kind = _SPACE if letter.isspace() else _DIGIT if letter.isdecimal() else _WORD if letter.isalnum() else _OTHER
        return frozenset({kind}) | ({*range(65, 91), *range(97, 123)} if either_case else set())
    return frozenset(_cases(code)) if either_case else frozenset({code})


def _cases(code: int) -> Iterator[int]:
    yield from {code, ord(chr(code).lower()), ord(chr(code).upper())}
    if chr(code) in "ikIKsS":  # of which other alphabets have a letter that is the same in another case
        yield _WORD


def _of_set(items: Iterable[Any], either_case: bool) -> Letters:
    found: set[int] = set()
    whole = set()  # of which nothing else is outside
    negated = False
    for operator, argument in items:
        if operator is _constants.NEGATE:
            negated = True
        elif operator is _constants.LITERAL:
            found |= _of_code(argument, either_case)
        elif operator is _constants.RANGE:
            low, high = argument
            for code in range(low, min(high, 127) + 1):
                found |= _of_code(code, either_case)
            if high > 127:
                found |= {_WORD, _DIGIT, _SPACE, _OTHER}
        elif operator is _constants.CATEGORY:
            name = str(argument).removeprefix("CATEGORY_").removeprefix("UNI_").removeprefix("LOC_")
            letters = _CATEGORIES.get(name.removeprefix("NOT_"), _ALL)
            if name.startswith("NOT_"):
                letters = _ALL - letters
            found |= letters
            whole |= {code for code in letters if code > 127}
        else:
            return _ALL
    if not negated:
        return frozenset(found)
    # Of a class of letters outside of ASCII a set may hold a few only.
    return _ALL - {code for code in found if code < 128 or code in whole}
