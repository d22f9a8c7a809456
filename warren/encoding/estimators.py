"""Read encoded pipelines: their last step, and everything before it.

A pipeline's last step is the final estimator. Trials that prepare their data in the same way can
share the fit of a booster there, just like the fit of a booster alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from warren.encoding.encoded import is_estimator
from warren.encoding.tags import items_of

Json: TypeAlias = Any  # as in warren.encoding.codec, which imports NumPy; an idle worker does not need it

PIPELINE = "sklearn.pipeline.Pipeline"
"""The class whose steps are read; a subclass may have changed what it does."""

# Its own parameters, which are not allowed as names of steps.
_OWN = frozenset({"steps", "memory", "transform_input", "verbose"})


class Tail(NamedTuple):
    """The final estimator of a trial: its own, or the last step of nested pipelines.

    Attributes
    ----------
    estimator : Json
        The encoded estimator.
    params : mapping of str to Json
        The trial's parameters that are set on it, without `prefix`.
    prefix : str
        The beginning of those parameters' names in the trial: ``"clf__"``, or nothing.
    before : Json
        Everything else: the other steps, and all parameters that are not for the last step; None
        without a pipeline. Trials with an equal value prepare their data in the same way.
    """

    estimator: Json
    params: Mapping[str, Json]
    prefix: str = ""
    before: Json = None


def tail_of(estimator: Json, params: Mapping[str, Json]) -> Tail:
    """Return the final estimator of an encoded estimator, after a trial's parameters are set.

    Parameters
    ----------
    estimator : dict
        Encoded estimator.
    params : mapping
        The trial's encoded parameters.

    Returns
    -------
    Tail
        The estimator itself if it is not a pipeline, or a pipeline whose last step is not an
        estimator.
    """
    steps = _steps(estimator, params)
    if not steps:
        return Tail(estimator, params)
    name = steps[-1][0]
    last = params.get(name, steps[-1][1])
    if not is_estimator(last) or not isinstance(last.get("params"), dict):
        return Tail(estimator, params)
    if params.get("transform_input", estimator["params"].get("transform_input")) is not None:
        return Tail(estimator, params)  # steps get more than X and y
    prefix = f"{name}__"
    inside = {key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)}
    rest = {key: value for key, value in params.items() if not key.startswith(prefix) and key not in {name, "steps"}}
    own = {key: value for key, value in estimator["params"].items() if key != "steps"}
    deeper = tail_of(last, inside)
    before = [own | {key: rest.pop(key) for key in _OWN & rest.keys()}, steps[:-1], name, rest, deeper.before]
    return Tail(deeper.estimator, deeper.params, prefix + deeper.prefix, before)


def replaces_tail(estimator: Json, name: str) -> bool:
    """Return whether a parameter replaces or moves the final estimator of an encoded one."""
    steps = _steps(estimator, {})
    if not steps:
        return False
    last, last_step = steps[-1]
    if name in {"steps", last}:
        return True
    return name.startswith(f"{last}__") and replaces_tail(last_step, name.removeprefix(f"{last}__"))


def with_step(estimator: Json, name: str, value: Json) -> Json:
    """Return an encoded pipeline with a parameter set for which `replaces_tail` is true."""
    if name == "steps":
        return estimator | {"params": estimator["params"] | {"steps": value}}
    steps = _steps(estimator, {})
    last, last_step = steps[-1]
    if name != last:
        value = with_step(last_step, name.removeprefix(f"{last}__"), value)
    return with_step(estimator, "steps", [{"__tuple__": pair} for pair in (*steps[:-1], [last, value])])


def with_tail(estimator: Json, params: Mapping[str, Json], tail: Json) -> tuple[Json, dict[str, Json]]:
    """Replace the final estimator of a trial.

    Parameters
    ----------
    estimator : dict
        Encoded estimator.
    params : mapping
        The trial's encoded parameters.
    tail : dict
        Encoded estimator, with all its parameters, that replaces ``tail_of(estimator,
        params).estimator``.

    Returns
    -------
    estimator : dict
        The encoded estimator with the new end.
    params : dict
        The parameters that are still to be set on it.
    """
    found = tail_of(estimator, params)
    if not found.prefix:
        return tail, {}
    left = dict(params)
    while True:
        # In the order of scikit-learn: from the outside in, and all steps before a single one.
        name = next((key for key in sorted(left, key=outermost) if replaces_tail(estimator, key)), None)
        if name is None:
            break
        estimator = with_step(estimator, name, left.pop(name))
    path = found.prefix.removesuffix("__")
    return with_step(estimator, path, tail), {k: v for k, v in left.items() if not k.startswith(found.prefix)}


def outermost(name: str) -> tuple[int, bool]:
    """Return the sort key that puts parameters which replace steps into scikit-learn's order."""
    return name.count("__"), name.rpartition("__")[2] != "steps"


def _steps(estimator: Json, params: Mapping[str, Json]) -> list[list[Json]]:
    """Return the pairs of name and step of an encoded pipeline.

    Nothing for anything else, or for an invalid one.
    """
    if not is_estimator(estimator) or estimator["__estimator__"] != PIPELINE:
        return []
    own = estimator.get("params")
    if not isinstance(own, dict):
        return []
    pairs = [items_of(step) for step in items_of(params.get("steps", own.get("steps")))]
    names = [pair[0] if len(pair) == 2 else None for pair in pairs]
    if not all(isinstance(name, str) and name and "__" not in name for name in names):
        return []
    return pairs if len(set(names)) == len(names) and _OWN.isdisjoint(names) else []
