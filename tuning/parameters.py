"""What a parameter may not say: nothing that reaches a file, a socket or code.

A class on the allow-list may still take a path, or a word that its library evaluates. Both sides ask here: the producer
before anything is published, `tuning.messages.decode_chunk` for whatever a queue delivers, and `tuning.codec.decode`
for subclasses of the boosting libraries' classes. `tuning.refused` has the tables; no library is imported.

A class that the operator named in ``WARREN_ALLOW`` takes what it likes: naming it said so.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from tuning import networks
from tuning.encoded import is_estimator, items_of, package_of, packages_of
from tuning.errors import InputError
from tuning.names import ALLOWED_PACKAGES
from tuning.refused import EVERYWHERE, FILE, LABELLED, REFUSED, SOCKET, SOUNDS_LIKE_A_FILE, SOUNDS_LIKE_A_SOCKET, Rule
from tuning.reserved import KEYS, is_state, problem_of

Json: TypeAlias = Any  # as in tuning.codec, which brings NumPy: an idle worker does without

LARGEST_INT = 2**63 - 1
"""BSON, and so a trial document, holds integers of 64 bits."""
DEEPEST = 32
"""Levels of a value: enough for any estimator of estimators, few enough for the interpreter's stack and for MongoDB."""
LARGEST_PARAMS = 2**20
"""Bytes of one trial's parameters as JSON; as BSON they may take nine times as many, of the 16 MiB of a document."""
_LONGEST_NAME = 200
_BOOSTING = frozenset({"xgboost", "lightgbm", "catboost"})

# What a boosting library reads as one of its names; LightGBM drops quotes around it, and splits at spaces.
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
# A name becomes a field of a document; a part of it may be a pipeline's step, which people call what they like.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f.$\u2028\u2029]")
# Distinct names that are looked up in an estimator, and its largest size in bytes of JSON, so that no message makes the
# look-ups take hours. Beyond, a name counts as one of any library.
_MOST_LOOKUPS = 200
_LARGEST_LOOKUP = 2**14

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60


def short(value: object) -> str:
    """Return a value as an error repeats it: ASCII, on one line, at most 60 characters, however large it is."""
    text = _repr.repr(value).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


def plain(name: str) -> str:
    """Return a name as an error repeats it where it is one, and what `short` makes of it where it is anything else."""
    return name if name.isascii() and name.isidentifier() and len(name) <= 60 else short(name)


def check_estimator(encoded: Json, where: str, depth: int = 0) -> None:
    """Refuse an encoded estimator that is none, or whose parameters reach what they must not.

    Parameters
    ----------
    encoded : Json
        What `tuning.codec.encode_estimator` returned, or what a message has in its place.
    where : str
        What it is, for the error.
    depth : int, default=0
        How deep it lies in other values.

    Raises
    ------
    InputError
        Names the parameter, its value and the way out.
    """
    match encoded:
        case {"__estimator__": str(name), "params": dict(params), **rest} if (
            is_state(rest) and len(name) <= _LONGEST_NAME
        ):
            package, kind = package_of(encoded), plain(name.rpartition(".")[2])
            for key, value in params.items():
                check_parameter((package,), key, value, f"{where}: {kind}({plain(key)}=...)", depth + 1)
        case _:
            raise InputError(
                f"{where} = {short(encoded)} is no estimator: {{'__estimator__': name, 'params': {{...}}}}"
            )


class TrialCheck:
    """Checks the parameters of trials of one estimator.

    Parameters
    ----------
    estimator : Json
        The encoded estimator that they are set on.
    """

    def __init__(self, estimator: Json) -> None:
        self._estimator = estimator
        self._own = (package_of(estimator),)
        self._small = len(json.dumps(estimator)) <= _LARGEST_LOOKUP
        self._looked_up: dict[str, frozenset[str]] = {}

    def __call__(self, params: Mapping[str, Json], where: str) -> None:
        """Refuse a trial's encoded parameters that reach what they must not.

        Parameters
        ----------
        params : mapping
            Encoded values by name; ``a__b`` goes to what is called ``a`` in the estimator.
        where : str
            What they are, for the error.

        Raises
        ------
        InputError
            Names the parameter, its value and the way out.
        """
        swaps = {name: (value,) for name, value in params.items() if is_estimator(value)}
        small = self._small and len(json.dumps(swaps)) <= _LARGEST_LOOKUP
        # What inner estimators a trial brings along differs from the next one's.
        looked_up = {} if swaps else self._looked_up
        for name, value in params.items():
            packages: Iterable[str] = self._own
            if "__" in name:
                packages = looked_up.get(name, ALLOWED_PACKAGES)
                if name not in looked_up and small and len(looked_up) < _MOST_LOOKUPS:
                    packages = looked_up[name] = packages_of((self._estimator,), name, swaps)
            check_parameter(packages, name, value, f"{where}[{short(name)}]")


def check_class(cls: type, params: Mapping[str, Json]) -> None:
    """Refuse parameters of a class that inherits from a boosting library's, whatever its own name is.

    Parameters
    ----------
    cls : type
        An estimator class.
    params : mapping
        Its encoded parameters by name.

    Raises
    ------
    InputError
        Names the parameter, its value and the way out.
    """
    packages = _BOOSTING.intersection(base.__module__.partition(".")[0] for base in cls.__mro__)
    for name, value in params.items() if packages else ():
        check_parameter(packages, name, value, f"{cls.__name__}({plain(name)}=...)")


def _tables(packages: Iterable[str]) -> Iterator[Mapping[str, Rule]]:
    """Yield what is refused of some packages, and of any."""
    yield from (REFUSED[package] for package in packages if package)
    yield EVERYWHERE


def _last(name: str) -> str:
    """Return the part of a name that an estimator of its own knows."""
    return name.split("__")[-1]  # from the left, as set_params does: "a___b" is "_b" of "a"


def check_parameter(packages: Iterable[str], name: str, value: Json, where: str, depth: int = 0) -> None:
    """Refuse a parameter that reaches what it must not, by its name and its encoded value.

    Parameters
    ----------
    packages : iterable of str
        Of the estimators that it may be set on, as `packages_of` returns them.
    name : str
        The parameter; of ``a__b``, the last part decides.
    value : Json
        Its encoded value.
    where : str
        What it is, for the error.
    depth : int, default=0
        How deep the value lies.

    Raises
    ------
    InputError
        Names the parameter, its value and the way out.
    """
    known = [package for package in packages if package]
    check_name(name, where, identifier=not _BOOSTING.isdisjoint(known))
    last = _last(name)
    if known:
        _check_named(known, last, value, where)
    if known and _BOOSTING.issuperset(known) and isinstance(value, dict) and "__function__" in value:
        raise InputError(
            f"{where} = {short(value)}: a boosting library takes no function of a message; pass the name of a built-in "
            "objective or metric"
        )
    if "lightgbm" in known:
        _check_words(value, where)
    check_value(value, where, depth, named=bool(known) and last not in LABELLED)
    if known == [networks.PACKAGE]:
        networks.check_parameter(last, value, where, encoded=True)


def has_rule(packages: Collection[str], name: str) -> bool:
    """Say whether there are numbers that a parameter may not have; other values are always looked at."""
    return any(_last(name) in rules for rules in _tables(packages)) or networks.PACKAGE in packages


def check_name(name: str, where: str, *, identifier: bool = False) -> None:
    """Refuse a name that is no field of a document, or that a library would read as something else.

    Raises
    ------
    InputError
    """
    wrong = not name or len(name) > _LONGEST_NAME or _NOT_IN_NAMES.search(name)
    if wrong or any(not part or part.startswith("_") for part in name.split("__")):
        raise InputError(
            f"{where}: {short(name)} can't name a parameter, which becomes a field of its trial's document: at most "
            f"{_LONGEST_NAME} characters, no '.', '$' or line break, and no '_' in front of it or of a part"
        )
    if identifier and not _IDENTIFIER.fullmatch(_last(name)):
        raise InputError(f"{where}: {short(name)} is no parameter of a boosting library: use letters, digits and '_'")


def _check_rule(rule: Rule | None, name: str, value: Json, where: str) -> None:
    if rule is not None and not rule.allows(value):
        raise InputError(f"{where} = {short(value)}: {name!r} {rule.reaches}; {rule.instead}")


def _check_named(packages: Iterable[str], name: str, value: Json, where: str) -> None:
    """Refuse what the tables of some packages refuse, and text where a name sounds like a file's in any version."""
    for rules in _tables(packages):
        _check_rule(rules.get(name), name, value, where)
    if not value or not isinstance(value, (str, list, dict)):
        return
    if SOUNDS_LIKE_A_FILE.search(name):
        _check_rule(FILE, name, value, where)
    if SOUNDS_LIKE_A_SOCKET.match(name):
        _check_rule(SOCKET, name, value, where)


def _check_words(value: Json, where: str, *, inside: bool = False) -> None:
    """Refuse text that LightGBM would read as further parameters: it gets all of them as one line, spaces between.

    Python writes a dict or tuple in a list with spaces; of text in them, "a=b" would then stand alone.
    """
    if isinstance(value, str) and (any(letter.isspace() for letter in value) or (inside and "=" in value)):
        raise InputError(
            f"{where} = {short(value)}: LightGBM reads what follows a space as further parameters; write it without"
        )
    if isinstance(value, dict) and not KEYS.isdisjoint(value):
        if "__array__" not in value:
            raise InputError(f"{where} = {short(value)}: LightGBM takes numbers, text, and lists and arrays of them")
        value = _flat(value["__array__"])
    if inside and isinstance(value, dict) and "__float__" not in value:
        raise InputError(f"{where} = {short(value)}: LightGBM takes numbers, text and lists of them in a list")
    for item in items_of(value):
        _check_words(item, where, inside=True)


def _flat(array: Json) -> list[Json]:
    """Return the items of an encoded array, whatever a message has in its place."""
    return [item for part in items_of(array) for item in (items_of(part) or [part])]


def check_value(value: Json, where: str, depth: int = 0, *, named: bool = True) -> None:
    """Refuse an encoded value that `tuning.codec.decode` could not read, or that reaches what it must not.

    Parameters
    ----------
    value : Json
        What `tuning.codec.encode` returned, or what a message has in its place.
    where : str
        What it is, for the error.
    depth : int, default=0
        How deep it lies.
    named : bool, default=True
        Whether the keys of a dict are names of parameters.

    Raises
    ------
    InputError
        Too deep, a number over 64 bits, NaN that is not written as encode does, a misused reserved key, or a dict
        that holds a parameter which is refused.
    """
    if value is None or isinstance(value, (bool, str)):
        return
    if isinstance(value, int):
        if abs(value) > LARGEST_INT:
            raise InputError(f"{where} = {short(value)}: integers must fit in 64 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{where} = {value}: JSON has no such number; use {{'__float__': {str(value)!r}}}")
    elif depth > DEEPEST:
        raise InputError(f"{where}: nested deeper than {DEEPEST} levels")
    elif isinstance(value, list):
        for item in value:
            check_value(item, where, depth + 1, named=named)
    else:
        _check_dict(value, where, depth, named=named)


def _check_dict(value: dict[str, Json], where: str, depth: int, *, named: bool) -> None:
    match value:
        case {"__estimator__": _}:
            check_estimator(value, where, depth)
        case {"__float__": "nan" | "inf" | "-inf", **rest} if not rest:
            pass
        case {"__tuple__": list(items), **rest} if not rest:
            check_value(items, where, depth, named=named)
        case {"__dict__": list(pairs), **rest} if not rest and all(isinstance(p, list) and len(p) == 2 for p in pairs):
            for key, item in pairs:
                _check_key(key, item, where, named=named)
                check_value(item, where, depth + 1, named=named)
        case _ if not KEYS.isdisjoint(value):
            if problem := problem_of(value, lambda inside: check_value(inside, where, depth + 1, named=False)):
                raise InputError(f"{where} = {short(value)} {problem}")
        case _:
            if reserved := [key for key in value if key.startswith("__")]:
                raise InputError(f"{where}: a parameter value misuses the reserved key {short(reserved[0])}")
            for key, item in value.items():
                _check_key(key, item, where, named=named)
                check_value(item, where, depth + 1, named=named)


def _check_key(key: Json, value: Json, where: str, *, named: bool) -> None:
    """Refuse what can't be a key, and a key that names a parameter which is refused."""
    if isinstance(key, dict) and "__tuple__" in key:
        check_value(key, where, named=named)
        for item in items_of(key):
            _check_key(item, None, where, named=False)
        return
    if isinstance(key, (list, dict)) and not (isinstance(key, dict) and "__float__" in key):
        raise InputError(f"{where}: {short(key)} can't be the key of a dict; use text, a number or a tuple of them")
    check_value(key, where)
    if isinstance(key, str):
        if "\x00" in key:
            raise InputError(f"{where}: {short(key)} holds a NUL, and a document's names have none")
        if named:
            # Each of the values that a grid in a search gives a parameter.
            for item in items_of(value) or [value]:
                _check_named(REFUSED, _last(key), item, f"{where}[{short(key)}]")
