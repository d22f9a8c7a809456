r"""Regular expressions of a message: those that may take for ever are refused before anybody matches them.

Python's `re` tries one way after the other. Where a text can be cut in several ways by a pattern the tries multiply:
with every letter, if the choice lies in a repetition, ``(a+)+b`` for one; or as a power, ``.*.*.*b``. So a repetition
of something that leaves a choice is refused, unless each turn begins or ends with a letter that nothing else in it may
be, ``(?:-\w+)*`` for one; so is a repetition of what may take no letter; and so are too many choices, all along a
pattern, of which one may take letters of another. What is left takes time that grows as a small power of the text.
No library is imported.

A clock could not do it: patterns are matched inside of scikit-learn and pandas, in threads and in joblib's processes,
and a text of moderate length would still take each its time, thousands of times.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from re import _constants, _parser  # type: ignore[attr-defined]  # `sre_parse` under its name since Python 3.11
from typing import Any, NamedTuple, TypeAlias

Letters: TypeAlias = frozenset[int]
"""Letters that a place may be: codes of ASCII, and one of four for all others."""

# Characters of a pattern, and parentheses: with these the time of the check itself is bounded.
LONGEST, MOST_GROUPS = 1000, 100
# What choices weigh, in powers of two of their ways: a repetition as many as a text is long, alternatives as many as
# they are. One repetition that may take another's letters, and a few others, and no more.
_A_LOOP, _A_BRANCH, _HEAVIEST = 4, 3, 7
_WORD, _DIGIT, _SPACE, _OTHER = range(128, 132)
_ALL = frozenset(range(132))
_NONE: Letters = frozenset()
_CATEGORIES = {
    "DIGIT": frozenset({*map(ord, "0123456789"), _DIGIT}),
    "SPACE": frozenset({*(code for code in range(128) if chr(code).isspace()), _SPACE}),
    "WORD": frozenset({ord("_"), *(code for code in range(128) if chr(code).isalnum()), _WORD, _DIGIT}),
}
# Of categories under the flag ASCII, which has four separators less for spaces.
_ASCII = frozenset(range(128)) - frozenset(range(28, 32))
# Letters that one outside of ASCII may be in another case.
_ASCII_CASES = frozenset(map(ord, "iIkKsS"))
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
    width : int or None
        Letters that it takes; None if that varies.
    optional : bool
        It may take no letter.
    first : frozenset of int
        What it may begin with.
    choices : int
        Places in it that leave a choice; two and more for one where a text can be read in two ways.
    weight : int
        What its own choice, if any, counts.
    two_ways : bool
        Its choice counts whatever is before it.
    repeats : bool
        There is a repetition in it.
    loops : bool
        It is a repetition of which the turns vary.
    looks : int
        Whether it only looks: ahead if 1, behind if -1.
    ways : tuple of tuple of _Piece
        What it is made of: alternatives of pieces after one another.
    """

    letters: Letters = _NONE
    width: int | None = 0
    optional: bool = True
    first: Letters = _NONE
    choices: int = 0
    weight: int = 0
    two_ways: bool = False
    repeats: bool = False
    loops: bool = False
    looks: int = 0
    ways: tuple[tuple[_Piece, ...], ...] = ()


class _Path(NamedTuple):
    """What was chosen on the way to a place in a pattern.

    Attributes
    ----------
    open : dict
        The heaviest choice that may still be made otherwise here, by the letters that another way may be at.
    weight : int
        What choices weigh that may take each other's letters, together.
    """

    open: Mapping[Letters, int]
    weight: int = 0


_START = _Path({})


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
    if (groups := pattern.count("(")) > MOST_GROUPS:
        return f"has {groups} opening parentheses, and {MOST_GROUPS} are enough"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what later versions will read otherwise
            parsed = _parser.parse(pattern)
        _follow(_sequence(parsed, parsed.state.flags), _START)
    except (re.error, OverflowError):
        return None
    except RecursionError:
        return "is nested too deeply"
    except _EndlessError as exc:
        return str(exc)
    return None


def _sequence(items: Iterable[Any], flags: int) -> _Piece:
    """Return what pieces after one another make together."""
    pieces = tuple(_piece(operator, argument, flags) for operator, argument in items)
    needed = next((position for position, piece in enumerate(pieces) if not piece.optional), len(pieces))
    widths = [piece.width for piece in pieces if piece.width is not None]
    return _Piece(
        _union(pieces),
        sum(widths) if len(widths) == len(pieces) else None,
        needed == len(pieces),
        _NONE.union(*(piece.first for piece in pieces[: needed + 1])),
        sum(piece.choices for piece in pieces),
        repeats=any(piece.repeats for piece in pieces),
        ways=(pieces,),
    )


def _union(pieces: Iterable[_Piece]) -> Letters:
    return _NONE.union(*(piece.letters for piece in pieces))


def _follow(piece: _Piece, path: _Path) -> _Path:
    """Return the path behind a piece.

    Two ways to read a text part at a choice: the one that goes on is ahead, and the other may be at any letter of the
    choice, or of what comes between. They meet again, as one, where the first needs a letter that the other cannot be
    at. Until then each choice that the first has is one more to multiply.

    Raises
    ------
    _EndlessError
        Choices weigh too much.
    """
    if piece.looks:
        # Nothing goes back into it; but it is tried again for each way that leads to it. What is behind may be any.
        before = path if piece.looks > 0 or not path.open else _Path({_ALL: max(path.open.values())}, path.weight)
        _follow(piece._replace(looks=0), before)
        return path
    met = max((weight for letters, weight in path.open.items() if letters & piece.letters), default=0)
    weight = path.weight + (piece.weight if piece.two_ways else min(piece.weight, met))
    if weight > _HEAVIEST:
        raise _EndlessError(
            "has too many repetitions or choices that may take each other's letters, and may take for ever; let "
            r"each end before what comes next, as [^_]+_ does and \w+_ does not"
        )
    if piece.ways and not piece.loops:
        ends = [
            functools.reduce(lambda at, one: _follow(one, at), way, path._replace(weight=weight)) for way in piece.ways
        ]
        weight = max(end.weight for end in ends)
        found = [row for end in ends for row in end.open.items()]
    else:
        found = []
    if piece.loops or not piece.ways or piece.optional:
        found += [
            (letters | piece.letters, heavy)
            for letters, heavy in path.open.items()
            if piece.optional or letters & piece.letters
        ]
    if piece.weight:
        found.append((piece.letters, piece.weight))
    rows: dict[Letters, int] = {}
    for letters, heavy in found:
        rows[letters] = max(heavy, rows.get(letters, 0))
    return _Path(rows, weight)


def _piece(operator: Any, argument: Any, flags: int) -> _Piece:
    if operator in _LOOPS:
        least, most, inside = argument
        return _loop(least, most, _sequence(inside, flags))
    if operator is _constants.SUBPATTERN:
        _, added, removed, inside = argument
        kept = flags & ~_parser.TYPE_FLAGS if added & _parser.TYPE_FLAGS else flags
        return _sequence(inside, (kept | added) & ~removed)
    if operator is _constants.ATOMIC_GROUP:
        return _sequence(argument, flags)
    if operator is _constants.BRANCH:
        return _branch([_sequence(one, flags) for one in argument[1]])
    if operator is _constants.GROUPREF_EXISTS:
        return _branch([_sequence(one or (), flags) for one in argument[1:]])
    if operator in _LOOKS:
        direction, items = argument
        inside = _sequence(items, flags)
        # One that repeats reads letters over again: in a repetition time would multiply with each level.
        choices = _TWO_WAYS if inside.repeats else inside.choices
        return _Piece(choices=choices, repeats=inside.repeats, looks=direction, ways=inside.ways)
    if operator is _constants.AT:
        return _Piece()
    if operator is _constants.GROUPREF:
        return _Piece(_ALL, None, True, _ALL, _TWO_WAYS)  # nobody knows before it is matched
    letters = _letters(operator, argument, flags)
    return _Piece(letters, 1, False, letters)


def _branch(ways: list[_Piece]) -> _Piece:
    """Return what alternatives make: no choice where the first letter tells one from the others."""
    apart, first = True, _NONE
    for way in ways:
        apart = apart and not first & way.first
        first |= way.first
    empty = sum(way.optional for way in ways)
    two_ways = not apart or empty > 1
    width = ways[0].width if len({way.width for way in ways}) == 1 else None
    return _Piece(
        _union(ways),
        width,
        bool(empty),
        first,
        max(way.choices for way in ways) + (_TWO_WAYS if two_ways else empty),
        min(_A_BRANCH, (len(ways) - 1).bit_length()) if two_ways or width is None else 0,
        two_ways,
        any(way.repeats for way in ways),
        ways=tuple((way,) for way in ways),
    )


def _loop(least: int, most: int, inside: _Piece) -> _Piece:
    """Return what a repetition makes, from a to b times."""
    varies = least != most
    if most <= 1:
        choice = 0 if not varies else _TWO_WAYS if inside.optional else 1
        return inside._replace(
            width=None if varies else inside.width if most else 0,
            optional=inside.optional or least == 0,
            choices=inside.choices + choice,
            weight=int(varies),
            two_ways=choice == _TWO_WAYS,
        )
    if inside.optional:
        raise _EndlessError(
            r"repeats what may take no letter, as in (a*)* or (\b){9}, and may take for ever; let each turn take one"
        )
    if inside.choices > 1 or (inside.choices == 1 and not _delimited(inside)):
        raise _EndlessError(
            "repeats what leaves a choice, as in (a+)+ or (a|aa)*, or looks ahead with a repetition, and may take for "
            "ever; let each turn begin with a letter that nothing else in it may be, or repeat less"
        )
    weight = _A_LOOP if inside.width is None else min(_A_LOOP, (most - least).bit_length())
    return inside._replace(
        width=None if varies or inside.width is None else least * inside.width,
        optional=least == 0,
        choices=inside.choices + varies,
        weight=weight,
        repeats=True,
        loops=weight > 0,
    )


def _delimited(body: _Piece) -> bool:
    """Say whether a sequence with a choice begins or ends with a letter that nothing else in it may be.

    And nothing else in it may take letters of that choice.
    """
    [pieces] = body.ways
    while len(pieces) == len(pieces[0].ways) == 1 and not pieces[0].weight and not pieces[0].looks:
        [pieces] = pieces[0].ways
    return not _follow(body, _START).weight and any(
        end.letters and not end.optional and not end.choices and not end.letters & _union(others)
        for end, others in ((pieces[0], pieces[1:]), (pieces[-1], pieces[:-1]))
    )


def _letters(operator: Any, argument: Any, flags: int) -> Letters:
    if operator is _constants.LITERAL:
        return _of_code(argument, flags)
    if operator is _constants.NOT_LITERAL:
        return _of_set([(_constants.NEGATE, None), (_constants.LITERAL, argument)], flags)
    if operator is _constants.IN:
        return _of_set(argument, flags)
    return _ALL  # any, and what a later version brings


@functools.lru_cache(maxsize=1024)
def _of_code(code: int, flags: int) -> Letters:
    letter = chr(code)
    if code >= 128:
        kind = _SPACE if letter.isspace() else _DIGIT if letter.isdecimal() else _WORD if letter.isalnum() else _OTHER
        return frozenset({kind}) | (_ASCII_CASES if flags & re.IGNORECASE else _NONE)
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
                found |= _ASCII_CASES if flags & re.IGNORECASE else _NONE
        elif operator is _constants.CATEGORY:
            name = str(argument).removeprefix("CATEGORY_").removeprefix("UNI_").removeprefix("LOC_")
            letters = _CATEGORIES.get(name.removeprefix("NOT_"))
            if letters is None:
                return _ALL
            if flags & re.ASCII:
                letters &= _ASCII
            if name.startswith("NOT_"):
                letters = _ALL - letters
            found |= letters
            whole |= letters
        else:
            return _ALL
    return _ALL - whole if negated else frozenset(found)
