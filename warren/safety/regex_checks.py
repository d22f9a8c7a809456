r"""Regular expressions of a message: those that may take for ever are refused before anybody matches them.

Python's `re` tries one way after the other. Where a text can be cut in several ways by a pattern the tries multiply:
with every letter, if the choice lies in a repetition, ``(a+)+b`` for one; or as a power, ``.*.*.*b``. So a repetition
of something that leaves a choice is refused, unless each turn begins or ends with a letter that nothing else in it may
be, ``(?:-\w+)*`` for one; so is a repetition of what may take no letter; and so are too many choices, all along a
pattern, of which one may take letters of another, unless what follows surely takes them too. What is left takes time
that grows at most with the cube of a name's length, and with the square of a document's. No library is imported.

A clock could not do it: patterns are matched inside of scikit-learn and pandas, in threads and in joblib's processes,
and a text of moderate length would still take each its time, thousands of times.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from re import _constants, _parser  # type: ignore[attr-defined]  # `sre_parse` under its name since Python 3.11
from typing import Any, NamedTuple

from warren.safety.regex_letters import ALL, NONE, Letters, letters_of, surely_taken, word

# Characters of a pattern, and parentheses: with these the time of the check itself is bounded.
LONGEST, MOST_GROUPS = 1000, 100
# What choices weigh, in powers of two of their ways: a repetition as many as a text is long, alternatives as many as
# they are, a repetition of few turns no more than these. What has more than `_MOST_WAYS` powers counts as a repetition.
_A_LOOP, _A_BRANCH, _MOST_WAYS = 16, 3, 5
# What choices may weigh: where no repetition takes another's letters, and where one does.
_HEAVIEST, _HEAVIEST_BESIDE_A_LOOP = 8, 3
# Repetitions that may take another's letters since all that follows takes them too: nobody goes back into these.
_MOST_FREE = 2
# Turns of a repetition that are looked at one by one, and letters by which alternatives are told apart.
_MOST_UNROLLED, _LONGEST_HEAD = 4, 16
# Choices of what may be read in two ways: no letter around it tells which.
_TWO_WAYS = 2
_LOOPS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}
_LOOKS = {_constants.ASSERT, _constants.ASSERT_NOT}
_LOOKAROUND = re.compile(r"\(\?<?[=!]")


class _Scope(NamedTuple):
    """Where a piece stands: the flags there, and how many letters each group of the pattern may take."""

    flags: int
    widths: Sequence[tuple[int, int] | None]


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
    head : tuple of frozenset of int
        What its first letters may be, one by one, as far as that is certain.
    sure : frozenset of int
        Letters of which it takes some of any text that has no others, whatever comes before.
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

    letters: Letters = NONE
    width: int | None = 0
    optional: bool = True
    first: Letters = NONE
    head: tuple[Letters, ...] = ()
    sure: Letters = NONE
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
        The heaviest choice that may still be made otherwise here, by the letters that another way may be at, and by
        those of them that it is at last.
    weight : int
        What choices weigh that may take each other's letters, together.
    loops : int
        How many of these may be repetitions.
    free : int
        How many more may be such that nobody goes back into.
    """

    open: Mapping[tuple[Letters, Letters], int]
    weight: int = 0
    loops: int = 1
    free: int = _MOST_FREE


_START = _Path({})


class _EndlessError(Exception):
    """A pattern may take for ever; the text says why."""


@functools.lru_cache
def problem_of_pattern(pattern: str, *, of_documents: bool = False) -> str | None:
    """Return why a regular expression may take for ever, or None.

    Parameters
    ----------
    pattern : str
        One that is none is no problem: whoever compiles it says so.
    of_documents : bool, default=False
        It is looked for in texts of any length, and not in names: one repetition may not take another's letters.
    """
    if len(pattern) > LONGEST:
        return f"has {len(pattern):,} characters, and {LONGEST:,} are enough"
    if (groups := pattern.count("(")) > MOST_GROUPS:
        return f"has {groups} opening parentheses, and {MOST_GROUPS} are enough"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what later versions will read otherwise
            parsed = _parser.parse(pattern)
        whole = _sequence(parsed, _Scope(parsed.state.flags, parsed.state.groupwidths))
        # Where it may begin at few letters only, the way to there is none that multiplies.
        loops = (not of_documents) + _is_anchored(pattern, parsed, whole)
        _follow(whole, _START._replace(loops=loops), ALL)
    except (re.error, OverflowError):
        return None
    except RecursionError:
        return "is nested too deeply"
    except _EndlessError as exc:
        return str(exc)
    return None


def _is_anchored(pattern: str, parsed: Any, whole: _Piece) -> bool:
    """Say whether a pattern begins where a text does, or where a word does that it never leaves."""
    flags, place = parsed.state.flags, parsed[0][1] if len(parsed) and parsed[0][0] is _constants.AT else None
    if place is _constants.AT_BOUNDARY:
        return whole.letters <= word(flags) and not _LOOKAROUND.search(pattern)
    return place is _constants.AT_BEGINNING_STRING or (place is _constants.AT_BEGINNING and not flags & re.MULTILINE)


def _sequence(items: Iterable[Any], scope: _Scope) -> _Piece:
    """Return what pieces after one another make together."""
    pieces: list[_Piece] = []
    greedy = False  # what is before takes all letters of a word that there are
    for operator, argument in items:
        piece = _piece(operator, argument, scope)
        if operator is _constants.AT and argument is _constants.AT_BOUNDARY and greedy:
            piece = _Piece(sure=word(scope.flags))
        greedy = operator is _constants.MAX_REPEAT and _takes_words(argument, scope.flags)
        pieces.append(piece)
    return _joined(tuple(pieces))


def _takes_words(repeated: Any, flags: int) -> bool:
    _, most, inside = repeated
    if most != _constants.MAXREPEAT or len(inside) != 1:
        return False
    operator, argument = inside[0]
    return letters_of(operator, argument, flags) == word(flags) == surely_taken(operator, argument, flags)


def _joined(pieces: tuple[_Piece, ...]) -> _Piece:
    needed = next((position for position, piece in enumerate(pieces) if not piece.optional), len(pieces))
    widths = [piece.width for piece in pieces if piece.width is not None]
    return _Piece(
        _union(pieces),
        sum(widths) if len(widths) == len(pieces) else None,
        needed == len(pieces),
        NONE.union(*(piece.first for piece in pieces[: needed + 1])),
        _head(pieces),
        ALL.intersection(*(piece.sure for piece in pieces)),
        sum(piece.choices for piece in pieces),
        repeats=any(piece.repeats for piece in pieces),
        ways=(pieces,),
    )


def _union(pieces: Iterable[_Piece]) -> Letters:
    return NONE.union(*(piece.letters for piece in pieces))


def _head(pieces: Iterable[_Piece]) -> tuple[Letters, ...]:
    """Return what the first letters of pieces after one another may be."""
    head: tuple[Letters, ...] = ()
    for piece in pieces:
        head += piece.head
        if len(piece.head) != piece.width or len(head) >= _LONGEST_HEAD:
            break
    return head[:_LONGEST_HEAD]


def _follow(piece: _Piece, path: _Path, rest: Letters) -> _Path:
    """Return the path behind a piece, of which the rest surely takes some letters.

    Two ways to read a text part at a choice: the one that goes on is ahead, and the other may be at any letter of the
    choice, or of what comes between. They meet again, as one, where the first needs a letter that the other cannot be
    at. Until then each choice that the first has is one more to multiply, if it may take what the other is at last:
    only then do both come to the same place. And only if the rest may fail there.

    Raises
    ------
    _EndlessError
        Choices weigh too much.
    """
    if piece.looks:
        # Nothing goes back into it; but it is tried again for each way that leads to it. What is behind may be any.
        behind = piece.looks < 0 and path.open
        before = path._replace(open={(ALL, ALL): max(path.open.values())}) if behind else path
        _follow(piece._replace(looks=0), before, ALL)
        return path
    met = {
        letters & piece.letters: heavy
        for (letters, last), heavy in path.open.items()
        if letters & piece.letters and last & piece.letters
    }
    added = piece.weight if piece.two_ways else min(piece.weight, max(met.values(), default=0))
    if added and path.free and piece.loops and piece.sure and all(letters <= rest for letters in met):
        path, added = path._replace(free=path.free - 1), 0
    weight = path.weight + added
    loops, others = divmod(weight, _A_LOOP)
    if loops > path.loops or others > (_HEAVIEST_BESIDE_A_LOOP if loops else _HEAVIEST):
        raise _EndlessError(
            "has too many repetitions or choices that may take each other's letters, and may take for ever; let "
            r"each end before what comes next, as [^_]+_ does and \w+_ does not"
        )
    if piece.ways and not piece.loops:
        ends = [_follow_way(way, path._replace(weight=weight), rest) for way in piece.ways]
        weight, path = max(end.weight for end in ends), path._replace(free=min(end.free for end in ends))
        found = [row for end in ends for row in end.open.items()]
    else:
        found = []
    if piece.loops or not piece.ways or piece.optional:
        found += [
            ((letters | piece.letters, last | piece.letters if piece.optional else piece.letters), heavy)
            for (letters, last), heavy in path.open.items()
            if piece.optional or letters & piece.letters
        ]
    if piece.weight:
        found.append(((piece.letters, piece.letters), piece.weight))
    rows: dict[tuple[Letters, Letters], int] = {}
    for key, heavy in found:
        rows[key] = max(heavy, rows.get(key, 0))
    return path._replace(open=rows, weight=weight)


def _follow_way(way: Sequence[_Piece], path: _Path, rest: Letters) -> _Path:
    rests = [rest]
    for piece in reversed(way[1:]):
        rests.append(rests[-1] & piece.sure)
    for piece, after in zip(way, reversed(rests), strict=False):
        path = _follow(piece, path, after)
    return path


def _piece(operator: Any, argument: Any, scope: _Scope) -> _Piece:
    flags = scope.flags
    if operator in _LOOPS:
        least, most, inside = argument
        loop = _loop(least, most, _sequence(inside, scope))
        # It gives no letter back to what follows.
        return loop._replace(sure=NONE) if operator is _constants.POSSESSIVE_REPEAT else loop
    if operator is _constants.SUBPATTERN:
        _, added, removed, inside = argument
        kept = flags & ~_parser.TYPE_FLAGS if added & _parser.TYPE_FLAGS else flags
        return _sequence(inside, scope._replace(flags=(kept | added) & ~removed))
    if operator is _constants.ATOMIC_GROUP:
        # Behind it is nothing that it gives a letter back to.
        return _joined((_sequence(argument, scope), _Piece()))
    if operator is _constants.BRANCH:
        return _branch([_sequence(one, scope) for one in argument[1]])
    if operator is _constants.GROUPREF_EXISTS:
        return _branch([_sequence(one or (), scope) for one in argument[1:]])._replace(sure=NONE)
    if operator in _LOOKS:
        direction, items = argument
        inside = _sequence(items, scope)
        # One that repeats reads letters over again: in a repetition time would multiply with each level.
        choices = _TWO_WAYS if inside.repeats else inside.choices
        return _Piece(choices=choices, repeats=inside.repeats, looks=direction, ways=inside.ways)
    if operator is _constants.AT:
        return _Piece()
    if operator is _constants.GROUPREF:
        # Nobody knows its letters before it is matched; and it takes as long as a repetition if the group does.
        least, most = scope.widths[argument] or (0, 1)
        fixed = least == most
        return _Piece(ALL, least if fixed else None, True, ALL, choices=_TWO_WAYS, weight=0 if fixed else _A_LOOP)
    letters = letters_of(operator, argument, flags)
    return _Piece(letters, 1, False, letters, (letters,), surely_taken(operator, argument, flags))


def _branch(ways: list[_Piece]) -> _Piece:
    """Return what alternatives make: no choice where their first letters tell one from the others."""
    alike: list[list[_Piece]] = [[]]  # of which those in one list are told apart
    for way in ways:
        found = next((group for group in alike if all(_are_apart(way, one) for one in group)), None)
        if found is None:
            alike.append(found := [])
        found.append(way)
    empty = sum(way.optional for way in ways)
    readings = len(alike) + max(0, empty - 1)
    two_ways = readings > 1
    width = ways[0].width if len({way.width for way in ways}) == 1 else None
    return _Piece(
        _union(ways),
        width,
        bool(empty),
        NONE.union(*(way.first for way in ways)),
        tuple(NONE.union(*letters) for letters in zip(*(way.head for way in ways), strict=False)),
        max((way.sure for way in ways), key=len),
        max(way.choices for way in ways) + (_TWO_WAYS if two_ways else empty),
        _weight(readings) if two_ways else min(_A_BRANCH, _weight(len(ways))) * (width is None),
        two_ways,
        any(way.repeats for way in ways),
        ways=tuple((way,) for way in ways),
    )


def _weight(ways: int) -> int:
    powers = (ways - 1).bit_length()
    return powers if powers <= _MOST_WAYS else _A_LOOP


def _are_apart(one: _Piece, other: _Piece) -> bool:
    """Say whether no text begins as both."""
    return not one.first & other.first or any(not a & b for a, b in zip(one.head, other.head, strict=False))


def _loop(least: int, most: int, inside: _Piece) -> _Piece:
    """Return what a repetition makes, from a to b times."""
    varies = least != most
    inside = inside if least else inside._replace(head=(), sure=ALL)
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
        if least == most <= _MOST_UNROLLED and not inside.repeats:
            return _joined((inside,) * least)._replace(repeats=True)
        raise _EndlessError(
            "repeats what leaves a choice, as in (a+)+ or (a|aa)*, or looks ahead with a repetition, and may take for "
            "ever; let each turn begin with a letter that nothing else in it may be, or repeat less"
        )
    weight = _A_LOOP if inside.width is None else _weight(most - least + 1)
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
    return not _follow(body, _START, NONE).weight and any(
        end.letters and not end.optional and not end.choices and not end.letters & _union(others)
        for end, others in ((pieces[0], pieces[1:]), (pieces[-1], pieces[:-1]))
    )
