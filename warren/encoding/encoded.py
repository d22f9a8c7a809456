"""Read encoded estimators: the class of one, and the estimators inside it by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from warren.encoding.tags import items_of
from warren.libraries.registry import ALLOWED_PACKAGES

Json: TypeAlias = Any  # as in warren.encoding.codec, which imports NumPy; an idle worker does not need it

Assignments: TypeAlias = Mapping[str, Sequence[Json]]
"""Encoded values by name of their parameter: one in a trial, a column in a grid."""

UNKNOWN: Json = ...
"""Stands for an estimator that is not in the message: a default of a class."""


class Composition(NamedTuple):
    """A class whose members have names that the user chooses.

    Attributes
    ----------
    members : str
        Its parameter that lists them: tuples of a name, a member, and perhaps columns.
    own : frozenset of str
        Its own parameters. Any other name that is set on it is a member.
    """

    members: str
    own: frozenset[str]


def _composition(members: str, others: str) -> Composition:
    return Composition(members, frozenset({members, *others.split()}))


COMPOSITIONS: Mapping[str, Composition] = {
    "sklearn.pipeline.Pipeline": _composition("steps", "memory transform_input verbose"),
    "sklearn.pipeline.FeatureUnion": _composition(
        "transformer_list", "n_jobs transformer_weights verbose verbose_feature_names_out"
    ),
    "sklearn.compose.ColumnTransformer": _composition(
        "transformers",
        "remainder sparse_threshold n_jobs transformer_weights verbose verbose_feature_names_out "
        "force_int_remainder_cols",
    ),
    **dict.fromkeys(
        ("sklearn.ensemble.VotingClassifier", "sklearn.ensemble.VotingRegressor"),
        _composition("estimators", "voting weights n_jobs flatten_transform verbose"),
    ),
    **dict.fromkeys(
        ("sklearn.ensemble.StackingClassifier", "sklearn.ensemble.StackingRegressor"),
        _composition("estimators", "final_estimator cv stack_method n_jobs passthrough verbose"),
    ),
}
"""Those of scikit-learn; `tests/unit/test_refused.py` compares them with the installed version."""

SEARCHES: Mapping[str, str] = {
    "sklearn.model_selection.GridSearchCV": "param_grid",
    "sklearn.model_selection.HalvingGridSearchCV": "param_grid",
    "sklearn.model_selection.RandomizedSearchCV": "param_distributions",
    "sklearn.model_selection.HalvingRandomSearchCV": "param_distributions",
}
"""Classes that set parameters on their ``estimator``, with their parameter that holds those."""


LEFT_OUT = frozenset({"passthrough", "drop"})
"""Values of a step or member that does nothing."""


def is_estimator(value: Json) -> bool:
    """Return whether a value is an encoded estimator."""
    return isinstance(value, dict) and "__estimator__" in value


def holds_estimator(value: Json) -> bool:
    """Return whether a value is an encoded estimator, or contains one."""
    if isinstance(value, dict):
        return "__estimator__" in value or any(map(holds_estimator, value.values()))
    return isinstance(value, list) and any(map(holds_estimator, value))


def class_of(estimator: Json) -> str:
    """Return the dotted name of an encoded estimator's class.

    "" for a class that the operator named.
    """
    name = str(estimator["__estimator__"]) if is_estimator(estimator) else ""
    return name if package_of_class(name) else ""


def package_of_class(name: str) -> str:
    """Return the package of a class from `class_of`, or of a package's name.

    "" for the operator's own.
    """
    package = name.partition(".")[0]
    return package if package in ALLOWED_PACKAGES else ""


def package_of(estimator: Json) -> str:
    """Return the package of an encoded estimator's class.

    "" for a class that the operator named.
    """
    return package_of_class(class_of(estimator))


class Finder:
    """Finds estimators inside others, as scikit-learn's ``set_params`` does.

    It remembers the members of each list that it has read, so that repeated searches in a long list
    are fast.
    """

    def __init__(self) -> None:
        # By ``id`` of a list: the list itself, to keep it alive, and its members by name.
        self._read: dict[int, tuple[Json, dict[str, list[Json]]]] = {}

    def at(self, estimators: Iterable[Json], path: Sequence[str], assigned: Assignments) -> list[Json]:
        """Return the encoded estimators at a path.

        Parameters
        ----------
        estimators : iterable of Json
            Encoded estimators from which a trial starts.
        path : sequence of str
            ``["a", "b"]`` for the estimator on which ``a__b__c`` is set.
        assigned : Assignments
            Values that are set on them. An estimator among the values replaces the one in its
            place.

        Returns
        -------
        list of Json
            `UNKNOWN` for an estimator that is not in the message; values that are no estimators are
            left out.
        """
        found = list(estimators)
        place = ""
        for part in path:
            column = assigned.get(place + part)
            if column is None:
                found = [inner for outer in found for inner in self._called(outer, part, place, assigned)]
            else:
                found = [] if isinstance(column, range) else list(column)
            place += f"{part}__"
        return [inner for inner in found if inner is UNKNOWN or is_estimator(inner)]

    def classes(self, estimators: Iterable[Json], name: str, assigned: Assignments) -> frozenset[str]:
        """Return the classes of the estimators on which a parameter may be set, by `class_of`.

        If one is unknown, the names of all packages are added; they stand for any class of theirs.
        """
        found = self.at(estimators, name.split("__")[:-1], assigned)
        known = frozenset(class_of(inner) for inner in found if inner is not UNKNOWN)
        return known if known and UNKNOWN not in found else known.union(ALLOWED_PACKAGES)

    def _called(self, estimator: Json, name: str, place: str, assigned: Assignments) -> list[Json]:
        """Return the member or parameter with this name in an estimator at a place."""
        if not is_estimator(estimator):
            return [UNKNOWN] if estimator is UNKNOWN else []
        params = estimator.get("params")
        if not isinstance(params, dict):
            return [UNKNOWN]
        kind = class_of(estimator)
        if composition := COMPOSITIONS.get(kind):
            lists = assigned.get(place + composition.members, (params.get(composition.members),))
        else:  # a class that the operator named may keep its members in any parameter
            lists = () if kind else [*params.values()]
        found = [member for items in lists for member in self._members(items).get(name, ())]
        return found or [params.get(name, UNKNOWN)]

    def _members(self, listed: Json) -> dict[str, list[Json]]:
        items = items_of(listed)
        if not items:
            return {}
        if id(listed) not in self._read:
            members: dict[str, list[Json]] = {}
            for pair in map(items_of, items):
                if len(pair) > 1 and isinstance(pair[0], str):
                    members.setdefault(pair[0], []).append(pair[1])
            self._read[id(listed)] = listed, members
        return self._read[id(listed)][1]


def listed(value: Json) -> list[Json]:
    """Return the items of an encoded list or tuple; any other value as the only item."""
    if isinstance(value, list):
        return value
    is_tuple = isinstance(value, dict) and value.keys() == {"__tuple__"} and isinstance(value["__tuple__"], list)
    return items_of(value) if is_tuple else [value]


def grid_of(value: Json) -> Mapping[str, Json] | None:
    """Return the values of an encoded grid by name; None for anything else."""
    match value:
        case {"__dict__": list(pairs), **rest} if not rest:
            named = all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs)
            return dict(pairs) if named else None
        case dict() if not any(name.startswith("__") for name in value):
            return value
    return None
