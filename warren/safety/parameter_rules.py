"""Rules for single parameters: what the tables of `warren.safety.denylist` say of a name and its value, by class.

A name is a parameter of a class or, in a pipeline and the like, what a user calls a step: that one has no rules. No
library is imported.
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
"""Characters of a parameter's name, and of a class's."""

# What a boosting library reads as one of its names; LightGBM drops quotes around it, and splits at spaces.
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
# One that no rule lists as harmless.
_SOME_NUMBER = 0.5
# Values that Python calls.
_CALLABLE = frozenset({"__function__", "__scorer__"})
# A name becomes a field of a document; a part of it may be a pipeline's step, which people call what they like.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f.$\u2028\u2029]")


def last_part(name: str) -> str:
    """Return the part of a name that an estimator of its own knows."""
    return name.split("__")[-1]  # from the left, as set_params does: "a___b" is "_b" of "a"


def _owners(classes: Iterable[str], last: str) -> list[str]:
    """Return the classes of which a name may be a parameter; in a composition it may be what a user calls a member."""
    return [
        kind
        for kind in classes
        if package_of_class(kind) and (kind not in COMPOSITIONS or last in COMPOSITIONS[kind].own)
    ]


def _tables(owners: Iterable[str]) -> Iterator[Mapping[str, Rule]]:
    """Yield what is refused of some classes, and of any."""
    yield from (REFUSED[package] for package in dict.fromkeys(map(package_of_class, owners)))
    yield EVERYWHERE


def check_rules(classes: Iterable[str], name: str, value: Json, where: str, *, drawn: bool = False) -> None:
    """Refuse what the tables say of a parameter, without a look into its value's values.

    Parameters
    ----------
    classes, name, value, where
        As for `warren.safety.parameter_checks.check_parameter`.
    drawn : bool, default=False
        The value is a distribution, and what is set are numbers of it.

    Raises
    ------
    InputError
        Names the parameter, its value and the way out.
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
    """Refuse a name that a boosting library would read as more than one of its own: nothing is inside of its classes.

    Raises
    ------
    InputError
    """
    if not BOOSTING.keys().isdisjoint(map(package_of_class, classes)) and not _IDENTIFIER.fullmatch(name):
        raise InputError(f"{where}: {short(name)} is no parameter of a boosting library: use letters, digits and '_'")


def check_class(cls: type, name: str, params: Mapping[str, Json]) -> None:
    """Refuse parameters of a class that reach what they must not: where they land, whatever led there.

    Other checks say what a message will do; this one, of the class itself when it is called and when something is set
    on it, needs to foresee nothing: no swap of a step, no grid of a search in a search, no other name of a class.

    Parameters
    ----------
    cls : type
        An estimator class.
    name : str
        Its dotted name; "" for one that the operator named.
    params : mapping
        Encoded values by the parameter's whole name. Estimators inside are looked at where they are made.

    Raises
    ------
    InputError
        Names the parameter, its value and the way out.
    """
    kinds = [name] if name else sorted(BOOSTING.keys() & {package_of_type(base) for base in cls.__mro__})
    for parameter, value in params.items() if kinds else ():
        where = f"{cls.__name__}({plain(parameter)}=...)"
        check_whole_name(kinds, parameter, where)
        check_rules(kinds, parameter, value, where)


def has_rule(classes: Collection[str], name: str) -> bool:
    """Say whether there are numbers that a parameter may not have; other values are always looked at."""
    owners = _owners(classes, last_part(name))
    return any(last_part(name) in rules for rules in _tables(owners)) or any(
        package_of_class(kind) == NETWORKS.package for kind in owners
    )


def check_name(name: str, where: str) -> None:
    """Refuse a name that is no field of a document.

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
    """Refuse what the tables of some classes refuse, and text where a name sounds like a file's in any version."""
    for rules in _tables(owners):
        _check_rule(rules.get(name), name, value, where)
    if not value or not isinstance(value, (str, list, dict)):
        return
    if SOUNDS_LIKE_A_FILE.search(name):
        _check_rule(FILE, name, value, where)
    if SOUNDS_LIKE_A_SOCKET.match(name):
        _check_rule(SOCKET, name, value, where)
