"""Encoded estimators taken apart: of which class one is, and which are inside it under what name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from warren.encoding.tags import items_of
from warren.libraries.registry import ALLOWED_PACKAGES

Json: TypeAlias = Any  # as in warren.encoding.codec, which brings NumPy: an idle worker does without

Assignments: TypeAlias = Mapping[str, Sequence[Json]]
"""Encoded values by the name of a parameter, of which each is set: one in a trial, a column in a grid."""

UNKNOWN: Json = ...
"""An estimator that no message shows: a default of a class."""


class Composition(NamedTuple):
    """A class whose members have names that users give.

    Attributes
    ----------
    members : str
        Its parameter that lists them: tuples of a name, a member, and perhaps columns.
    own : frozenset of str
        Its own parameters. Whatever else is set on it is a member.
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
"""Those of scikit-learn; `tests/unit/test_refused.py` compares them with the version that is installed."""

SEARCHES: Mapping[str, str] = {
    "sklearn.model_selection.GridSearchCV": "param_grid",
    "sklearn.model_selection.HalvingGridSearchCV": "param_grid",
    "sklearn.model_selection.RandomizedSearchCV": "param_distributions",
    "sklearn.model_selection.HalvingRandomSearchCV": "param_distributions",
}
"""Classes that set parameters on their ``estimator``, and which of their own says what."""


LEFT_OUT = frozenset({"passthrough", "drop"})
"""What stands for a step or member that does nothing."""


def is_estimator(value: Json) -> bool:
    """Say whether a value is an encoded estimator."""
    return isinstance(value, dict) and "__estimator__" in value


def holds_estimator(value: Json) -> bool:
    """Say whether a value is an encoded estimator, or has one anywhere in it."""
    if isinstance(value, dict):
        return "__estimator__" in value or any(map(holds_estimator, value.values()))
    return isinstance(value, list) and any(map(holds_estimator, value))


def class_of(estimator: Json) -> str:
    """Return the dotted name of an encoded estimator's class; "" for one that the operator named."""
    name = str(estimator["__estimator__"]) if is_estimator(estimator) else ""
    return name if package_of_class(name) else ""


def package_of_class(name: str) -> str:
    """Return the package of a class that `class_of` named, or of which nothing else is known; "" for the operator's."""
    package = name.partition(".")[0]
    return package if package in ALLOWED_PACKAGES else ""


def package_of(estimator: Json) -> str:
    """Return the package of an encoded estimator's class; "" for one that the operator named."""
    return package_of_class(class_of(estimator))


class Finder:
    """Finds estimators in others, where scikit-learn's ``set_params`` would.

    What it has read of a list of members it keeps: a name in a long one is found at once, however often it is asked.
    """

    def __init__(self) -> None:
        # By identity: the list, which so stays alive, and its members by name.
        self._read: dict[int, tuple[Json, dict[str, list[Json]]]] = {}

    def at(self, estimators: Iterable[Json], path: Sequence[str], assigned: Assignments) -> list[Json]:
        """Return the encoded estimators that lie at a path.

        Parameters
        ----------
        estimators : iterable of Json
            Encoded estimators that a trial starts from.
        path : sequence of str
            ``["a", "b"]`` for what ``a__b__c`` is set on.
        assigned : Assignments
            What is set on them. An estimator among it takes the place of the one that was there.

        Returns
        -------
        list of Json
            `UNKNOWN` for what no message shows; nothing where something else than an estimator is.
        """
        found = list(estimators)
        place = ""
        for part in path:
            column = assigned.get(place + part)
            if column is None:
                found = [inner for one in found for inner in self._called(one, part, place, assigned)]
            else:
                found = [] if isinstance(column, range) else list(column)
            place += f"{part}__"
        return [one for one in found if one is UNKNOWN or is_estimator(one)]

    def classes(self, estimators: Iterable[Json], name: str, assigned: Assignments) -> frozenset[str]:
        """Return the classes of the estimators that a parameter may be set on, as `class_of` names them.

        Where nothing is known of one, the names of all packages stand for any class of theirs.
        """
        found = self.at(estimators, name.split("__")[:-1], assigned)
        known = frozenset(class_of(one) for one in found if one is not UNKNOWN)
        return known if known and UNKNOWN not in found else known.union(ALLOWED_PACKAGES)

    def _called(self, estimator: Json, name: str, place: str, assigned: Assignments) -> list[Json]:
        """Return what has a name in an estimator at a place: a member, or the value of a parameter."""
        if not is_estimator(estimator):
            return [UNKNOWN] if estimator is UNKNOWN else []
        params = estimator.get("params")
        if not isinstance(params, dict):
            return [UNKNOWN]
        kind = class_of(estimator)
        if composition := COMPOSITIONS.get(kind):
            lists = assigned.get(place + composition.members, (params.get(composition.members),))
        else:  # a class that the operator named keeps its members wherever it likes
            lists = () if kind else [*params.values()]
        found = [member for one in lists for member in self._members(one).get(name, ())]
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
    """Return the items of an encoded list or tuple; a list of anything else."""
    if isinstance(value, list):
        return value
    is_tuple = isinstance(value, dict) and value.keys() == {"__tuple__"} and isinstance(value["__tuple__"], list)
    return items_of(value) if is_tuple else [value]


def grid_of(value: Json) -> Mapping[str, Json] | None:
    """Return the values of an encoded grid by name; None of anything else."""
    match value:
        case {"__dict__": list(pairs), **rest} if not rest:
            named = all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs)
            return dict(pairs) if named else None
        case dict() if not any(name.startswith("__") for name in value):
            return value
    return None
