"""Refuse parameters that could reach a file, a socket or code.

A class on the allow-list may still accept a path, or text that its library evaluates. Both sides
use these checks: the producer before it publishes, `warren.messages.decode_chunk` for every
message, and `warren.encoding.codec.decode` for subclasses of the boosting libraries' classes.
`warren.safety.denylist` has the tables; no library is imported.

A class that the operator named in ``WARREN_ALLOW`` may have any parameters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from warren.encoding.encoded import (
    SEARCHES,
    UNKNOWN,
    Assignments,
    Finder,
    Json,
    class_of,
    grid_of,
    holds_estimator,
    listed,
    package_of_class,
)
from warren.encoding.tags import KEYS, is_state, items_of, problem_of
from warren.errors import InputError, plain, short
from warren.libraries.registry import ALLOWED_PACKAGES
from warren.safety.denylist import LABELLED
from warren.safety.parameter_rules import (
    LONGEST_NAME,
    check_name,
    check_named,
    check_rules,
    check_whole_name,
    has_rule,
    last_part,
)

LARGEST_INT = 2**63 - 1
"""The largest integer in BSON, and so in a trial document: 64 bits."""
DEEPEST = 32
"""Levels of nesting: enough for any estimator, few enough for Python's stack and MongoDB."""
LARGEST_PARAMS = 2**20
"""Bytes of one trial's parameters as JSON.

As BSON they may take nine times as many of a document's 16 MiB.
"""
# Bytes of JSON of a search's grid, which is checked again for each trial that replaces the search's
# estimator. The limit keeps a message from causing hours of checks.
_LARGEST_GRID = 2**12


def check_estimator(encoded: Json, where: str, depth: int = 0) -> None:
    """Refuse an invalid encoded estimator, or one with a forbidden parameter.

    Parameters
    ----------
    encoded : Json
        The result of `warren.encoding.codec.encode_estimator`, or what a message contains in its
        place.
    where : str
        Names it in the error.
    depth : int, default=0
        How deep it is nested in other values.

    Raises
    ------
    InputError
        The text names the parameter, its value and what to do.
    """
    match encoded:
        case {"__estimator__": str(name), "params": dict(params), **rest} if (
            is_state(rest) and len(name) <= LONGEST_NAME
        ):
            kind, shown = class_of(encoded), plain(name.rpartition(".")[2])
            searched = Start([params.get("estimator", UNKNOWN)])
            for key, value in params.items():
                check_parameter((kind,), key, value, f"{where}: {shown}({plain(key)}=...)", depth + 1, searched)
        case _:
            raise InputError(
                f"{where} = {short(encoded)} is no estimator: {{'__estimator__': name, 'params': {{...}}}}"
            )


class Start:
    """The estimators on which parameters are set.

    Finds the class that gets each parameter, and checks it by its rules.

    Parameters
    ----------
    estimators : sequence of Json
        Encoded estimators; parameters may be set on any of them.
    before : Assignments, default={}
        Parameters that were set on them before.
    """

    def __init__(self, estimators: Sequence[Json], before: Assignments = MappingProxyType({})) -> None:
        self._estimators = estimators
        self._before = before
        self._finder = Finder()
        # Classes by name of a parameter if no estimator is replaced, as in most trials.
        self._known: dict[str, frozenset[str]] = {}

    def check(
        self,
        given: Assignments,
        where: Callable[[str, int], str],
        depth: int = 0,
        *,
        grid: bool = False,
        deep: bool = True,
    ) -> None:
        """Refuse forbidden parameters.

        Parameters
        ----------
        given : Assignments
            ``a__b`` is set on the part called ``a``, after ``a`` itself was replaced if it has a
            value.
        where : callable
            Returns where a value is, from the parameter's name and a position, for the error.
        depth : int, default=0
            How deep the values are nested.
        grid : bool, default=False
            Whether a search sets them, so that a distribution stands for the values that it draws.
        deep : bool, default=True
            Whether to check inside the values too; False if that was done before.

        Raises
        ------
        InputError
            The text names the parameter, its value and what to do.
        """
        replacing = [name for name, column in given.items() if _holds_estimator(column)]
        together = _merged(self._before, given) if self._before else given
        for name, column in given.items():
            check_name(name, where(name, 0))
            self._check_whole(name, together, where(name, 0))
            classes = self.classes(name, together) if replacing or self._before else self._usual_classes(name)
            searched = self._searched(name.split("__")[:-1], together) if _is_grid(classes, name) else None
            ruled = has_rule(classes, name)
            # If both ends of a range of integers are harmless, so are the integers between them.
            shown = (column[0], column[-1]) if isinstance(column, range) else column
            for position, value in enumerate(shown):
                if ruled or position == 0 or isinstance(value, (str, list, dict)):
                    drawn = grid and isinstance(value, dict) and "__distribution__" in value
                    check_rules(classes, name, value, where(name, position), drawn=drawn)
                    if deep:
                        _check_inside(classes, name, value, where(name, position), depth, searched)
        if replacing:
            self._check_searches(replacing, together, where)

    def check_grids(self, grids: Json, where: str, depth: int, *, deep: bool = True) -> None:
        """Refuse the grids of a search that would set forbidden parameters on its estimator.

        Parameters
        ----------
        grids : Json
            Its encoded grid, or a list of grids.
        where, depth, deep
            As for `check`.

        Raises
        ------
        InputError
            The text names the parameter, its value and what to do.
        """
        for grid in listed(grids):
            named = grid_of(grid)
            if named is None:
                check_value(grid, where, depth + 1)
            else:
                columns = {name: listed(values) for name, values in named.items()}
                self.check(columns, lambda name, _: f"{where}[{short(name)}]", depth + 2, grid=True, deep=deep)

    def classes(self, name: str, given: Assignments) -> frozenset[str]:
        """Return the classes that may get a parameter: see `Finder.classes`."""
        return self._finder.classes(self._estimators, name, given)

    def _check_whole(self, name: str, given: Assignments, where: str) -> None:
        """Refuse a name that leads into a boosting library's class.

        Such a class has no inner parts, so the rest of the name belongs to its parameter.
        """
        parts = [] if name.isidentifier() else name.split("__")
        for position in range(1, len(parts)):
            owners = self.classes("__".join(parts[:position]), given)
            check_whole_name((owner for owner in owners if "." in owner), "__".join(parts[position - 1 :]), where)

    def _usual_classes(self, name: str) -> frozenset[str]:
        if name not in self._known:
            self._known[name] = self.classes(name, {})
        return self._known[name]

    def _searched(self, path: Sequence[str], given: Assignments) -> Start:
        """Return the estimators on which a search at a path sets the parameters of its grid."""
        path = [*path, "estimator"]
        prefix = "".join(f"{part}__" for part in path)
        inside = {
            name.removeprefix(prefix): column
            for name, column in given.items()
            if name.startswith(prefix) and not isinstance(column, range)
        }
        return Start(self._finder.at(self._estimators, path, given), inside)

    def _check_searches(self, names: Iterable[str], given: Assignments, where: Callable[[str, int], str]) -> None:
        """Check the grids of searches again whose estimator is replaced by some parameter."""
        paths: dict[tuple[str, ...], str] = {}
        for name in names:
            parts = name.split("__")
            paths |= {tuple(parts[:position]): name for position, part in enumerate(parts) if part == "estimator"}
        for path, name in paths.items():
            for search in self._finder.at(self._estimators, path, given):
                grid = SEARCHES.get(class_of(search), "")
                params = search.get("params") if grid else None
                if (
                    not isinstance(params, dict) or "__".join([*path, grid]) in given
                ):  # a grid that is set is checked with its own name
                    continue
                if len(json.dumps(params.get(grid))) > _LARGEST_GRID:
                    raise InputError(
                        f"{where(name, 0)}: it replaces the estimator of a search whose {grid} takes more than "
                        f"{_LARGEST_GRID:,} bytes; make whole searches values of the grid instead, one for each "
                        "estimator"
                    )
                self._searched(path, given).check_grids(params.get(grid), f"{where(name, 0)}: {grid}", 0, deep=False)


class TrialCheck:
    """Checks the parameters of trials of one estimator.

    Parameters
    ----------
    estimator : Json
        The encoded estimator on which they are set.
    """

    def __init__(self, estimator: Json) -> None:
        self._start = Start([estimator])

    def __call__(self, params: Mapping[str, Json], where: str) -> None:
        """Refuse a trial's encoded parameters if one is forbidden.

        Parameters
        ----------
        params : mapping
            Encoded values by name; ``a__b`` is set on the part called ``a`` of the estimator.
        where : str
            Names them in the error.

        Raises
        ------
        InputError
            The text names the parameter, its value and what to do.
        """
        columns = {name: (value,) for name, value in params.items()}
        self._start.check(columns, lambda name, _: f"{where}[{short(name)}]")


def _holds_estimator(column: Sequence[Json]) -> bool:
    return not isinstance(column, range) and any(map(holds_estimator, column))


def _merged(before: Assignments, given: Assignments) -> Assignments:
    """Return all values that each name may have: those from before, and those that are given."""
    return {**before, **{name: [*before.get(name, ()), *column] for name, column in given.items()}}


def _is_grid(classes: Iterable[str], name: str) -> bool:
    """Return whether a parameter is the grid of a search, for every class that may get it."""
    return all(SEARCHES.get(kind) == last_part(name) for kind in classes)


def check_parameter(
    classes: Iterable[str], name: str, value: Json, where: str, depth: int = 0, searched: Start | None = None
) -> None:
    """Refuse a forbidden parameter, by its name and its encoded value.

    Parameters
    ----------
    classes : iterable of str
        Classes that may get it, from `warren.encoding.encoded.Finder.classes`.
    name : str
        The parameter; of ``a__b``, the last part decides.
    value : Json
        Its encoded value.
    where : str
        Names it in the error.
    depth : int, default=0
        How deep the value is nested.
    searched : Start, default=None
        If it is the grid of a search: the estimators on which that sets parameters.

    Raises
    ------
    InputError
        The text names the parameter, its value and what to do.
    """
    kinds = [*classes]
    check_name(name, where)
    check_rules(kinds, name, value, where)
    _check_inside(kinds, name, value, where, depth, searched)


def _check_inside(
    classes: Collection[str], name: str, value: Json, where: str, depth: int, searched: Start | None
) -> None:
    """Check inside the value of a parameter."""
    if classes and _is_grid(classes, name):
        (searched or Start([UNKNOWN])).check_grids(value, where, depth)
    else:
        named = any(map(package_of_class, classes)) and last_part(name) not in LABELLED
        check_value(value, where, depth, named=named)


def check_value(value: Json, where: str, depth: int = 0, *, named: bool = True) -> None:
    """Refuse an encoded value that can't be decoded, or contains a forbidden parameter.

    Parameters
    ----------
    value : Json
        The result of `warren.encoding.codec.encode`, or what a message contains in its place.
    where : str
        Names it in the error.
    depth : int, default=0
        How deep it is nested.
    named : bool, default=True
        Whether the keys of a dict are names of parameters.

    Raises
    ------
    InputError
        Nested too deep, a number over 64 bits, NaN in another form than encode's, a misused
        reserved key, or a dict with a forbidden parameter.
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
    """Refuse a value that can't be a key, and a key that names a forbidden parameter."""
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
            raise InputError(f"{where}: {short(key)} holds a NUL, which names in a document can't have")
        if named:
            # Check each of the values that a grid in a search gives a parameter.
            for item in items_of(value) or [value]:
                check_named(ALLOWED_PACKAGES, last_part(key), item, f"{where}[{short(key)}]")
