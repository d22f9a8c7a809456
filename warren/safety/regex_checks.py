r"""Refuse regular expressions in a message that may take for ever, before anything matches them.

Python's `re` tries one way after the other. If a pattern can match a text in several ways, the
number of tries multiplies: with every letter if the choice is in a repetition, as in ``(a+)+b``; or
as a power, as in ``.*.*.*b``. So these are refused: a repetition of something with a choice, unless
each turn begins or ends with a letter that nothing else in it can match, as in ``(?:-\w+)*``; a
repetition of something that may match no letter; and too many choices, anywhere in a pattern, that
can match each other's letters, unless what follows surely matches those letters too. The remaining
patterns take time that grows at most with the cube of a name's length, and with the square of a
document's. No library is imported.

A time limit would not work: patterns are matched inside scikit-learn and pandas, in threads and in
joblib's processes, and each of thousands of texts of moderate length would still use up its limit.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from re import _constants, _parser  # type: ignore[attr-defined]  # `sre_parse` under its name since Python 3.11
from typing import Any, NamedTuple

from warren.safety.regex_letters import ALL, NONE, Letters, letters_of, surely_taken, word

# Most characters of a pattern, and most parentheses: they limit the time of the check itself.
LONGEST, MOST_GROUPS = 1000, 100
# Weights of choices, as powers of two of the number of ways: a repetition has as many ways as a
# text has letters, alternatives as many as there are, a repetition with few turns no more than
# those. More than `_MOST_WAYS` powers count as a repetition.
_A_LOOP, _A_BRANCH, _MOST_WAYS = 16, 3, 5
# Largest sum of weights: if no repetition can match another's letters, and if one can.
_HEAVIEST, _HEAVIEST_BESIDE_A_LOOP = 8, 3
# Repetitions that may match another's letters because everything that follows matches them too:
# matching never goes back into these.
_MOST_FREE = 2
# Turns of a repetition that are checked one by one, and letters by which alternatives are
# distinguished.
_MOST_UNROLLED, _LONGEST_HEAD = 4, 16
# Choices of a piece that can be read in two ways: no letter around it decides which.
_TWO_WAYS = 2
_LOOPS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}
_LOOKS = {_constants.ASSERT, _constants.ASSERT_NOT}
_LOOKAROUND = re.compile(r"\(\?<?[=!]")


class _Scope(NamedTuple):
    """The context of a piece: flags, and how many letters each group may match."""

    flags: int
    widths: Sequence[tuple[int, int] | None]


class _Piece(NamedTuple):
    """A piece of a pattern.

    Attributes
    ----------
    letters : frozenset of int
        Letters that it can match; empty for a piece without width.
    width : int or None
        Number of letters that it matches; None if that varies.
    optional : bool
        Whether it may match no letter.
    first : frozenset of int
        Letters with which it may begin.
    head : tuple of frozenset of int
        Possible letters at each of its first positions, as far as certain.
    sure : frozenset of int
        Of any text of only these letters it matches some, whatever comes before.
    choices : int
        Number of places in it with a choice; two or more for a place where a text can be read in
        two ways.
    weight : int
        Weight of its own choice, if it has one.
    two_ways : bool
        Whether its choice counts, whatever is before it.
    repeats : bool
        Whether it contains a repetition.
    loops : bool
        Whether it is a repetition with a varying number of turns.
    looks : int
        1 if it only looks ahead, -1 if it only looks behind, else 0.
    ways : tuple of tuple of _Piece
        Its parts: alternatives, each a sequence of pieces.
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
    """The choices on the way to a place in a pattern.

    Attributes
    ----------
    open : dict
        Weight of the heaviest choice that may still be made differently, by the letters at which
        another way may be, and those of them at which it may be last.
    weight : int
        Sum of the weights of choices that can match each other's letters.
    loops : int
        How many of these may be repetitions.
    free : int
        How many further repetitions may be of the kind that matching never goes back into.
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
        An invalid one is no problem here: compiling it raises an error.
    of_documents : bool, default=False
        Whether it is searched in texts of any length, and not in names: then one repetition may not
        match another's letters.

    Returns
    -------
    str or None
        The end of a sentence.
    """
    if len(pattern) > LONGEST:
        return f"has {len(pattern):,} characters, more than the {LONGEST:,} allowed"
    if (groups := pattern.count("(")) > MOST_GROUPS:
        return f"has {groups} opening parentheses, more than the {MOST_GROUPS} allowed"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of syntax that later versions will read differently
            parsed = _parser.parse(pattern)
        whole = _sequence(parsed, _Scope(parsed.state.flags, parsed.state.groupwidths))
        # If it can begin only at few letters, the way to its beginning does not multiply the tries.
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
    """Return whether a pattern begins with the text, or with a word that it never leaves."""
    flags, place = parsed.state.flags, parsed[0][1] if len(parsed) and parsed[0][0] is _constants.AT else None
    if place is _constants.AT_BOUNDARY:
        return whole.letters <= word(flags) and not _LOOKAROUND.search(pattern)
    return place is _constants.AT_BEGINNING_STRING or (place is _constants.AT_BEGINNING and not flags & re.MULTILINE)


def _sequence(items: Iterable[Any], scope: _Scope) -> _Piece:
    """Return the piece for a sequence of parsed items."""
    pieces: list[_Piece] = []
    greedy = False  # the item before matches all remaining letters of a word
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
    """Return the possible first letters of a sequence of pieces."""
    head: tuple[Letters, ...] = ()
    for piece in pieces:
        head += piece.head
        if len(piece.head) != piece.width or len(head) >= _LONGEST_HEAD:
            break
    return head[:_LONGEST_HEAD]


def _follow(piece: _Piece, path: _Path, rest: Letters) -> _Path:
    """Return the path after a piece; `rest` are letters that what follows surely matches.

    Two ways to read a text separate at a choice. The first one continues ahead; the other may be at
    any letter of the choice, or of what comes between. They meet again where the first needs a
    letter at which the other can't be. Until then each further choice of the first multiplies the
    tries, if it can match the letter at which the other is last, because only then do both come to
    the same place; and only if the rest may fail there.

    Raises
    ------
    _EndlessError
        The choices weigh too much.
    """
    if piece.looks:
        # Matching does not go back into it, but tries it again for each way that leads to it. What
        # is before may be any letter.
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
        # It gives no letter back to the items that follow.
        return loop._replace(sure=NONE) if operator is _constants.POSSESSIVE_REPEAT else loop
    if operator is _constants.SUBPATTERN:
        _, added, removed, inside = argument
        kept = flags & ~_parser.TYPE_FLAGS if added & _parser.TYPE_FLAGS else flags
        return _sequence(inside, scope._replace(flags=(kept | added) & ~removed))
    if operator is _constants.ATOMIC_GROUP:
        # The empty piece stands for the fact that it gives no letter back.
        return _joined((_sequence(argument, scope), _Piece()))
    if operator is _constants.BRANCH:
        return _branch([_sequence(way, scope) for way in argument[1]])
    if operator is _constants.GROUPREF_EXISTS:
        return _branch([_sequence(way or (), scope) for way in argument[1:]])._replace(sure=NONE)
    if operator in _LOOKS:
        direction, items = argument
        inside = _sequence(items, scope)
        # A look-around with a repetition reads letters again: inside a repetition, time would
        # multiply with each level.
        choices = _TWO_WAYS if inside.repeats else inside.choices
        return _Piece(choices=choices, repeats=inside.repeats, looks=direction, ways=inside.ways)
    if operator is _constants.AT:
        return _Piece()
    if operator is _constants.GROUPREF:
        # Its letters are unknown before matching; and it takes as long as a repetition if its group
        # does.
        least, most = scope.widths[argument] or (0, 1)
        fixed = least == most
        return _Piece(ALL, least if fixed else None, True, ALL, choices=_TWO_WAYS, weight=0 if fixed else _A_LOOP)
    letters = letters_of(operator, argument, flags)
    return _Piece(letters, 1, False, letters, (letters,), surely_taken(operator, argument, flags))


def _branch(ways: list[_Piece]) -> _Piece:
    """Return the piece for alternatives; no choice if their first letters distinguish them."""
    alike: list[list[_Piece]] = [[]]  # the alternatives in one list can be distinguished
    for way in ways:
        found = next((group for group in alike if all(_are_apart(way, other) for other in group)), None)
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
    """Return whether no text can begin as both."""
    return not one.first & other.first or any(not a & b for a, b in zip(one.head, other.head, strict=False))


def _loop(least: int, most: int, inside: _Piece) -> _Piece:
    """Return the piece for a repetition, from `least` to `most` times."""
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
    """Return whether a sequence with a choice begins or ends with a unique letter.

    Nothing else in the sequence can match such a letter.

    And nothing else in it may match letters of that choice.
    """
    [pieces] = body.ways
    while len(pieces) == len(pieces[0].ways) == 1 and not pieces[0].weight and not pieces[0].looks:
        [pieces] = pieces[0].ways
    return not _follow(body, _START, NONE).weight and any(
        end.letters and not end.optional and not end.choices and not end.letters & _union(others)
        for end, others in ((pieces[0], pieces[1:]), (pieces[-1], pieces[:-1]))
    )
