"""Checks single parameters by the tables of `warren.safety.denylist`: name and value, by class.

A name is a parameter of a class or, in a pipeline and the like, a step's name of the user, which
has no rules. No library is imported.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from warren.encoding.encoded import COMPOSITIONS, Json, package_of_class
from warren.errors import InputError, plain, short
from warren.libraries.keras import NETWORKS
from warren.libraries.registry import BOOSTING, LIBRARIES
from warren.libraries.rule import FILE, SOCKET, Rule
from warren.safety.allowlist import package_of_type
from warren.safety.denylist import EVERYWHERE, REFUSED, SOUNDS_LIKE_A_FILE, SOUNDS_LIKE_A_SOCKET

LONGEST_NAME = 200
"""Most characters of a parameter's and of a class's name."""

# A name for a boosting library; LightGBM removes quotes around names, and splits at spaces.
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
# A number that no rule lists as harmless.
_SOME_NUMBER = 0.5
# Values that Python calls.
_CALLABLE = frozenset({"__function__", "__scorer__"})
# A name becomes a field of a document; a part of it may be a pipeline's step with any name.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f.$\u2028\u2029]")


def last_part(name: str) -> str:
    """Return the last part of a name: the parameter in its own estimator."""
    return name.split("__")[-1]  # split from the left, as in set_params: "a___b" is "_b" of "a"


def _owners(classes: Iterable[str], last: str) -> list[str]:
    """Return the classes that may have a parameter; in a composition, it may be a member's name."""
    return [
        kind
        for kind in classes
        if package_of_class(kind) and (kind not in COMPOSITIONS or last in COMPOSITIONS[kind].own)
    ]


def _tables(owners: Iterable[str]) -> Iterator[Mapping[str, Rule]]:
    """Yield the tables of refused parameters for some classes."""
    yield from (REFUSED[package] for package in dict.fromkeys(map(package_of_class, owners)))
    yield EVERYWHERE


def check_rules(classes: Iterable[str], name: str, value: Json, where: str, *, drawn: bool = False) -> None:
    """Refuse a parameter by the tables, without a check of the values inside its value.

    Parameters
    ----------
    classes, name, value, where
        As for `warren.safety.parameter_checks.check_parameter`.
    drawn : bool, default=False
        Whether the value is a distribution, so that the parameter gets numbers.

    Raises
    ------
    InputError
        Names the parameter, its value and what to do.
    """
    last = last_part(name)
    owners = _owners(classes, last)
    packages = {package_of_class(kind) for kind in owners}
    check_whole_name(owners, last, where)
    if not owners:
        return
    if drawn:
        check_named(owners, last, _SOME_NUMBER, where)
        return
    check_named(owners, last, value, where)
    if BOOSTING.keys() >= packages and isinstance(value, dict) and not _CALLABLE.isdisjoint(value):
        raise InputError(
            f"{where} = {short(value)}: a boosting library takes no function of a message; pass the name of a built-in "
            "objective or metric"
        )
    for package in packages & LIBRARIES.keys():
        LIBRARIES[package].check_value(last, value, where, sure=len(packages) == 1)


def check_whole_name(classes: Iterable[str], name: str, where: str) -> None:
    """Refuse a name that a boosting library would read as several: its classes have no members.

    Raises
    ------
    InputError
    """
    if not BOOSTING.keys().isdisjoint(map(package_of_class, classes)) and not _IDENTIFIER.fullmatch(name):
        raise InputError(f"{where}: {short(name)} is no parameter of a boosting library: use letters, digits and '_'")


def check_class(cls: type, name: str, params: Mapping[str, Json]) -> None:
    """Refuse parameters of a class that reach what they must not, when they are set.

    Other checks predict what a message will do. This one checks the class itself, when it is
    created and when a parameter is set, so it need not foresee swapped steps, grids of searches
    inside searches, or other names of a class.

    Parameters
    ----------
    cls : type
        An estimator class.
    name : str
        Its dotted name; empty for a class of ``WARREN_ALLOW``.
    params : mapping
        Encoded values by the parameter's full name. Estimators inside are checked when they are
        created.

    Raises
    ------
    InputError
        Names the parameter, its value and what to do.
    """
    kinds = [name] if name else sorted(BOOSTING.keys() & {package_of_type(base) for base in cls.__mro__})
    for parameter, value in params.items() if kinds else ():
        where = f"{cls.__name__}({plain(parameter)}=...)"
        check_whole_name(kinds, parameter, where)
        check_rules(kinds, parameter, value, where)


def has_rule(classes: Collection[str], name: str) -> bool:
    """Return whether a parameter has refused numbers; other values are always checked."""
    owners = _owners(classes, last_part(name))
    return any(last_part(name) in rules for rules in _tables(owners)) or any(
        package_of_class(kind) == NETWORKS.package for kind in owners
    )


def check_name(name: str, where: str) -> None:
    """Refuse a name that can't be a field of a document.

    Raises
    ------
    InputError
    """
    wrong = not name or len(name) > LONGEST_NAME or _NOT_IN_NAMES.search(name)
    if wrong or any(not part or part.startswith("_") for part in name.split("__")):
        raise InputError(
            f"{where}: {short(name)} can't name a parameter, which becomes a field of its trial's document: at most "
            f"{LONGEST_NAME} characters, no '.', '$' or line break, and no '_' in front of it or of a part"
        )


def _check_rule(rule: Rule | None, name: str, value: Json, where: str) -> None:
    if rule is not None and not rule.allows(value):
        raise InputError(f"{where} = {short(value)}: {name!r} {rule.reaches}; {rule.instead}")


def check_named(owners: Iterable[str], name: str, value: Json, where: str) -> None:
    """Refuse what the tables refuse, and text for a name that sounds like a file's."""
    for rules in _tables(owners):
        _check_rule(rules.get(name), name, value, where)
    if not value or not isinstance(value, (str, list, dict)):
        return
    if SOUNDS_LIKE_A_FILE.search(name):
        _check_rule(FILE, name, value, where)
    if SOUNDS_LIKE_A_SOCKET.match(name):
        _check_rule(SOCKET, name, value, where)
