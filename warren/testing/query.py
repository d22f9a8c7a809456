"""MongoDB's queries, projections, updates and groups, as far as Warren uses them.

They follow MongoDB's manual for each operator
(https://www.mongodb.com/docs/manual/reference/operator/). An operator that is missing here raises
the same error as one that MongoDB does not know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pymongo.errors import OperationFailure

_T = TypeVar("_T")
_MISSING = object()
# MongoDB's order of types:
# https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
_NOTHING, _NUMBER, _TEXT, _DOCUMENT, _ARRAY, _BYTES, _ID, _TRUTH, _MOMENT = range(9)


def order(value: Any) -> tuple[Any, ...]:
    """Return a key that sorts values as MongoDB does."""
    match value:
        case None:
            return (_NOTHING,)
        case bool():
            return _TRUTH, value
        case int() | float():
            return _NUMBER, (-math.inf, 0) if math.isnan(value) else (value, 1)
        case str():
            return _TEXT, value.encode()
        case Mapping():
            return _DOCUMENT, tuple((order(part)[0], name.encode(), order(part)) for name, part in value.items())
        case list() | tuple():
            return _ARRAY, tuple(map(order, value))
        case bytes():
            return _BYTES, len(value), value
        case datetime():
            return _MOMENT, value
    return _ID, str(value)


def values_at(document: Any, path: str) -> list[Any]:
    """Return the values at a dotted path; for an array, those of each of its documents."""
    name, _, rest = path.partition(".")
    if isinstance(document, list):
        found = [value for member in document if isinstance(member, Mapping) for value in values_at(member, path)]
        if name.isdecimal() and int(name) < len(document):
            member = document[int(name)]
            found += values_at(member, rest) if rest else [member]
        return found
    if not isinstance(document, Mapping) or name not in document:
        return []
    return values_at(document[name], rest) if rest else [document[name]]


def matches(document: Mapping[str, Any], query: Mapping[str, Any]) -> bool:
    """Return whether a document matches a query."""
    for path, wanted in query.items():
        if path == "$or":
            if not any(matches(document, condition) for condition in wanted):
                return False
        elif path.startswith("$"):
            raise _unknown(path)
        elif not _holds(values_at(document, path), wanted):
            return False
    return True


def _known(operators: Mapping[str, _T], name: str) -> _T:
    if name not in operators:
        raise _unknown(name)
    return operators[name]


def _unknown(name: str) -> OperationFailure:
    return OperationFailure(f"the database in memory has no {name}: it knows only what Warren uses")


def _holds(values: list[Any], wanted: Any) -> bool:
    if isinstance(wanted, Mapping) and wanted and all(name.startswith("$") for name in wanted):
        return all(_known(_CONDITIONS, name)(values, operand) for name, operand in wanted.items())
    return _equals(values, wanted)


def _members(values: list[Any]) -> list[Any]:
    """Return values, and the members of those that are arrays: MongoDB compares both."""
    return values + [member for value in values if isinstance(value, list) for member in value]


def _equals(values: list[Any], wanted: Any) -> bool:
    if wanted is None and not values:
        return True
    return any(order(value) == order(wanted) for value in _members(values))


def _compares(holds: Callable[[Any, Any], bool]) -> Callable[[list[Any], Any], bool]:
    def compare(values: list[Any], wanted: Any) -> bool:
        key = order(wanted)
        # Only values of the same type are compared, and NaN with nothing.
        return any(
            order(value)[0] == key[0] and value == value and holds(order(value), key) for value in _members(values)
        )

    return compare


def _is_type(value: Any, kind: str) -> bool:
    wanted = str if kind == "string" else (int, float)
    return isinstance(value, wanted) and not isinstance(value, bool)


_CONDITIONS: dict[str, Callable[[list[Any], Any], bool]] = {
    "$in": lambda values, wanted: any(_equals(values, value) for value in wanted),
    "$ne": lambda values, wanted: not _equals(values, wanted),
    "$gt": _compares(lambda value, wanted: value > wanted),
    "$gte": _compares(lambda value, wanted: value >= wanted),
    "$lt": _compares(lambda value, wanted: value < wanted),
    "$lte": _compares(lambda value, wanted: value <= wanted),
    "$exists": lambda values, wanted: bool(values) == bool(wanted),
    "$type": lambda values, wanted: any(_is_type(value, wanted) for value in _members(values)),
    "$regex": lambda values, wanted: any(
        isinstance(value, str) and re.search(wanted, value) for value in _members(values)
    ),
}


def project(document: Mapping[str, Any], fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return some fields of a document, or all except some."""
    if not fields:
        return dict(document)
    if any(shown for name, shown in fields.items() if name != "_id"):
        kept = {"_id": 1, **fields}
        return {
            name: part
            for name, value in document.items()
            if (part := _part(value, name, [path for path, shown in kept.items() if shown])) is not _MISSING
        }
    if all(fields.values()):  # only the id
        return {"_id": document["_id"]}
    return {name: value for name, value in document.items() if fields.get(name, 1)}


def _part(value: Any, name: str, paths: Sequence[str]) -> Any:
    if name in paths:
        return value
    below = [path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}.")]
    if not below or not isinstance(value, Mapping):
        return _MISSING
    return {key: part for key, inner in value.items() if (part := _part(inner, key, below)) is not _MISSING}


# ------------------------------------------------------------------------- updates


def begun(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with which an upsert begins: the query's conditions of equality."""
    return {path: value for path, value in query.items() if not path.startswith("$") and not _is_condition(value)}


def _is_condition(value: Any) -> bool:
    return isinstance(value, Mapping) and any(name.startswith("$") for name in value)


def update(document: dict[str, Any], change: Mapping[str, Mapping[str, Any]], *, new: bool) -> None:
    """Change a document; `new` tells whether an upsert has created it."""
    for operator, fields in change.items():
        if operator == "$setOnInsert" and not new:
            continue
        for path, operand in fields.items():
            holder, name = _holder(document, path)
            _known(_OPERATORS, operator)(holder, name, operand)


def _holder(document: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *parts, name = path.split(".")
    for part in parts:
        document = document.setdefault(part, {})
    return document, name


def _set(holder: dict[str, Any], name: str, value: Any) -> None:
    holder[name] = value


def _add(holder: dict[str, Any], name: str, value: Any) -> None:
    holder[name] = holder.get(name, 0) + value


def _raise(holder: dict[str, Any], name: str, value: Any) -> None:
    if name not in holder or order(value) > order(holder[name]):
        holder[name] = value


def _each(value: Any) -> Iterable[Any]:
    return value["$each"] if isinstance(value, Mapping) and "$each" in value else [value]


def _add_to_set(holder: dict[str, Any], name: str, value: Any) -> None:
    members = holder.setdefault(name, [])
    for item in _each(value):
        if all(order(item) != order(member) for member in members):
            members.append(item)


def _push(holder: dict[str, Any], name: str, value: Any) -> None:
    members = holder.setdefault(name, [])
    members.extend(_each(value))
    if isinstance(value, Mapping) and "$slice" in value:
        most = value["$slice"]
        holder[name] = members[:most] if most >= 0 else members[most:]


_OPERATORS: dict[str, Callable[[dict[str, Any], str, Any], None]] = {
    "$set": _set,
    "$setOnInsert": _set,
    "$unset": lambda holder, name, _: holder.pop(name, None),
    "$inc": _add,
    "$max": _raise,
    "$addToSet": _add_to_set,
    "$push": _push,
    "$currentDate": lambda holder, name, _: _set(holder, name, datetime.now(UTC)),
}


# -------------------------------------------------------------------------- groups


def aggregate(documents: Iterable[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Run ``$match`` and then ``$group``, the only pipeline that Warren uses."""
    [(_, query)], [(_, group)] = (stage.items() for stage in stages)
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for document in documents:
        if matches(document, query):
            groups.setdefault(order(_evaluated(document, group["_id"])), []).append(document)
    for members in groups.values():
        found = {"_id": _evaluated(members[0], group["_id"])}
        for name, accumulator in group.items():
            if name != "_id":
                [(operator, operand)] = accumulator.items()
                values = [_evaluated(member, operand) for member in members]
                found[name] = _known(_ACCUMULATORS, operator)([value for value in values if value is not _MISSING])
        yield found


def _evaluated(document: Mapping[str, Any], expression: Any) -> Any:
    match expression:
        case str() if expression.startswith("$"):
            return next(iter(values_at(document, expression[1:])), _MISSING)
        case {"$multiply": [left, right]}:
            return _evaluated(document, left) * _evaluated(document, right)
        case Mapping():
            return {name: _evaluated(document, part) for name, part in expression.items()}
    return expression


def _distinct(values: list[Any]) -> list[Any]:
    return list({order(value): value for value in values}.values())


_ACCUMULATORS: dict[str, Callable[[list[Any]], Any]] = {
    "$sum": lambda values: sum(value for value in values if isinstance(value, (int, float))),
    "$addToSet": _distinct,
    "$max": lambda values: max(values, key=order, default=None),
}
