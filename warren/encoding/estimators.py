"""Encoded pipelines taken apart: what one ends with, and everything that comes before it.

A pipeline's last step is what is trained in the end; a booster there can be shared as one that stands alone, by trials
that prepare their data alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from warren.encoding.encoded import is_estimator
from warren.encoding.tags import items_of

Json: TypeAlias = Any  # as in warren.encoding.codec, which brings NumPy: an idle worker does without

PIPELINE = "sklearn.pipeline.Pipeline"
"""The class that is seen through; one that inherits from it may have changed what it does."""

# Its own parameters; no step may be called so.
_OWN = frozenset({"steps", "memory", "transform_input", "verbose"})


class Tail(NamedTuple):
    """What a trial trains in the end: its estimator, or the last step of its pipeline, of pipelines in pipelines too.

    Attributes
    ----------
    estimator : Json
        Encoded.
    params : mapping of str to Json
        The trial's parameters that are set on it, without `prefix`.
    prefix : str
        What stands before the names of these in the trial: ``"clf__"``, or nothing.
    before : Json
        Everything else, the other steps and all parameters that don't go to the last; None where there is no pipeline.
        Trials in which it is equal prepare their data in the same way.
    """

    estimator: Json
    params: Mapping[str, Json]
    prefix: str = ""
    before: Json = None


def tail_of(estimator: Json, params: Mapping[str, Json]) -> Tail:
    """Return what an encoded estimator ends with, once a trial's parameters are set.

    Parameters
    ----------
    estimator : dict
        Encoded estimator.
    params : mapping
        The trial's encoded parameters.

    Returns
    -------
    Tail
        The estimator itself where it is no pipeline, or one that ends with no estimator.
    """
    steps = _steps(estimator, params)
    if not steps:
        return Tail(estimator, params)
    name = steps[-1][0]
    last = params.get(name, steps[-1][1])
    if not is_estimator(last) or not isinstance(last.get("params"), dict):
        return Tail(estimator, params)
    if params.get("transform_input", estimator["params"].get("transform_input")) is not None:
        return Tail(estimator, params)  # what a step gets is more than X and y
    prefix = f"{name}__"
    inside = {key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)}
    rest = {key: value for key, value in params.items() if not key.startswith(prefix) and key not in {name, "steps"}}
    own = {key: value for key, value in estimator["params"].items() if key != "steps"}
    deeper = tail_of(last, inside)
    before = [own | {key: rest.pop(key) for key in _OWN & rest.keys()}, steps[:-1], name, rest, deeper.before]
    return Tail(deeper.estimator, deeper.params, prefix + deeper.prefix, before)


def replaces_tail(estimator: Json, name: str) -> bool:
    """Say whether a parameter puts another estimator where an encoded one ends, or changes where that is."""
    steps = _steps(estimator, {})
    if not steps:
        return False
    last, last_step = steps[-1]
    if name in {"steps", last}:
        return True
    return name.startswith(f"{last}__") and replaces_tail(last_step, name.removeprefix(f"{last}__"))


def with_step(estimator: Json, name: str, value: Json) -> Json:
    """Return an encoded pipeline with a parameter set that `replaces_tail`."""
    if name == "steps":
        return estimator | {"params": estimator["params"] | {"steps": value}}
    steps = _steps(estimator, {})
    last, last_step = steps[-1]
    if name != last:
        value = with_step(last_step, name.removeprefix(f"{last}__"), value)
    return with_step(estimator, "steps", [{"__tuple__": pair} for pair in (*steps[:-1], [last, value])])


def with_tail(estimator: Json, params: Mapping[str, Json], tail: Json) -> tuple[Json, dict[str, Json]]:
    """Put an encoded estimator where a trial's ends.

    Parameters
    ----------
    estimator : dict
        Encoded estimator.
    params : mapping
        The trial's encoded parameters.
    tail : dict
        Encoded estimator that takes the place of ``tail_of(estimator, params).estimator``, with all its parameters.

    Returns
    -------
    estimator : dict
    params : dict
        What is still to be set on it.
    """
    found = tail_of(estimator, params)
    if not found.prefix:
        return tail, {}
    left = dict(params)
    while True:
        # From the outside in, and all steps before a single one, as scikit-learn sets them.
        name = next((key for key in sorted(left, key=outermost) if replaces_tail(estimator, key)), None)
        if name is None:
            break
        estimator = with_step(estimator, name, left.pop(name))
    path = found.prefix.removesuffix("__")
    return with_step(estimator, path, tail), {k: v for k, v in left.items() if not k.startswith(found.prefix)}


def outermost(name: str) -> tuple[int, bool]:
    """Return what parameters that replace steps are sorted by, so that they are set as scikit-learn sets them."""
    return name.count("__"), name.rpartition("__")[2] != "steps"


def _steps(estimator: Json, params: Mapping[str, Json]) -> list[list[Json]]:
    """Return the pairs of name and step of an encoded pipeline; nothing of anything else, or of one that can't be."""
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
