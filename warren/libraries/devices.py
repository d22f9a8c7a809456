"""Which parameters ask for a GPU (`Library.devices`): to route trials and to set their device.

No two libraries use a name with different meanings. So name and value are enough for any estimator,
also for those of ``WARREN_ALLOW``. No library is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from warren.encoding.encoded import LEFT_OUT, is_estimator, package_of
from warren.encoding.estimators import outermost
from warren.encoding.tags import items_of
from warren.libraries.library import DeviceParameter
from warren.libraries.registry import LIBRARIES

Json: TypeAlias = Any  # as in warren.encoding.codec, which brings NumPy: an idle worker does without

Device: TypeAlias = Literal["cpu", "gpu"]
"""Where fits run."""


_PARAMETERS: Mapping[str, DeviceParameter] = {
    name: parameter for library in LIBRARIES.values() for name, parameter in library.devices.items()
}
# Parameters that only choose GPUs or their number, with their value for a single GPU.
_ONLY_GPU: Mapping[str, int | str] = {
    name: value for library in LIBRARIES.values() for name, value in library.only_gpu.items()
}
# Most parameters of a trial that are set one after the other, so that no message takes minutes.
_MOST_SET = 200
*_FIRST, _LAST = (library.title for library in LIBRARIES.values())
CAN_USE_A_GPU = f"{', '.join(_FIRST)} and {_LAST}"


def asks_for_gpu(name: str, value: Json) -> bool:
    """Return whether a parameter's value asks for a GPU; of ``a__b``, the last part counts."""
    parameter = _PARAMETERS.get(name.rpartition("__")[2])
    return parameter is not None and isinstance(value, str) and parameter.gpu.fullmatch(value) is not None


def names_device(name: str, value: Any) -> bool:
    """Return whether a parameter with this value, encoded or not, chooses a device or the CPU."""
    parameter = _PARAMETERS.get(name.rpartition("__")[2])
    if parameter is None or (not parameter.only and not asks_for_gpu(name, value)):
        return False
    # A step or member may have this name.
    member = is_estimator(value) or hasattr(value, "get_params") or (isinstance(value, str) and value in LEFT_OUT)
    return not member


def mentions_gpu(value: Json) -> bool:
    """Return whether an encoded estimator, value or set of parameters asks for a GPU anywhere.

    This includes lists of values, such as the grid of a search inside the search.
    """
    if isinstance(value, list):
        return any(map(mentions_gpu, value))
    if not isinstance(value, dict):
        return False
    if is_estimator(value):
        params = value.get("params")
        if not isinstance(params, dict):
            return False
        library = LIBRARIES.get(package_of(value))
        devices = library.devices if library else {}
        ignored = {name for name, one in devices.items() if one.unless and params.get(one.unless) is not None}
        return any(
            asks_for_gpu(name, item) or (library is None and _asks_inside(name, item))
            for name, item in params.items()
            if name not in ignored
        )
    pairs = value.get("__dict__")
    if isinstance(pairs, list):
        return any(len(pair) == 2 and _asks_inside(pair[0], pair[1]) for pair in map(items_of, pairs))
    return any(_asks_inside(name, item) for name, item in value.items())


def _asks_inside(name: Json, value: Json) -> bool:
    if isinstance(name, str) and any(asks_for_gpu(name, item) for item in items_of(value) or [value]):
        return True
    return mentions_gpu(value)


def wants_gpu(estimator: Json, params: Mapping[str, Json]) -> bool:
    """Return whether a trial asks for a GPU, in any of its estimators.

    Parameters
    ----------
    estimator : Json
        The encoded estimator that it starts from.
    params : mapping of str to Json
        The trial's encoded parameters, which replace the estimator's.
    """
    if not (mentions_gpu(estimator) or mentions_gpu(dict(params))):
        return False
    if len(params) > _MOST_SET:
        return True
    # Outer parameters first, and all steps before a single one, as scikit-learn sets them.
    for name in sorted(params, key=outermost):
        estimator = _with(estimator, name, params[name])
    return mentions_gpu(estimator)


def _with(estimator: Json, name: str, value: Json) -> Json:
    """Return an encoded estimator with a parameter set, as by ``set_params``."""
    own = estimator.get("params") if is_estimator(estimator) else None
    if not isinstance(own, dict):
        return estimator
    called, _, rest = name.partition("__")
    if not rest and called in own:
        return estimator | {"params": own | {called: value}}
    if rest and is_estimator(own.get(called)):
        return estimator | {"params": own | {called: _with(own[called], rest, value)}}
    for parameter, members in own.items():
        for position, member in enumerate(items_of(members)):
            pair = items_of(member)
            if len(pair) < 2 or pair[0] != called:
                continue
            changed = [pair[0], _with(pair[1], rest, value) if rest else value, *pair[2:]]
            others = list(items_of(members))
            others[position] = {"__tuple__": changed}
            return estimator | {"params": own | {parameter: others}}
    # Of an estimator that is not in the message, because it is a class's default.
    return estimator | {"params": own | {name: value}}


def on_cpu(value: Json) -> Json:
    """Return an encoded value, or a trial's parameters, with nothing that asks for a GPU."""
    return _rewritten(value, lambda name, _: _PARAMETERS[name].cpu)


def on_one_gpu(value: Json) -> Json:
    """Return an encoded value without GPU numbers.

    A worker's process sees only one GPU, which has the first number.
    """
    return _rewritten(_unnumbered(value), lambda _, asked: asked.partition(":")[0])


def _unnumbered(value: Json) -> Json:
    """Return an encoded value whose parameters for a choice of GPUs name the only one."""
    if isinstance(value, list):
        return [_unnumbered(item) for item in value]
    if not isinstance(value, dict):
        return value
    last = {name: name.rpartition("__")[2] for name in value}
    # A step called `devices` is no such parameter, and neither is text in its place.
    return {
        name: _ONLY_GPU[last[name]]
        if last[name] in _ONLY_GPU and isinstance(item, (int, str)) and item not in LEFT_OUT
        else _unnumbered(item)
        for name, item in value.items()
    }


def _rewritten(value: Json, change: Callable[[str, str], str]) -> Json:
    """Return an encoded value with changed device parameters."""

    def item_of(name: Json, item: Json) -> Json:
        if not isinstance(name, str):
            return _rewritten(item, change)
        if asks_for_gpu(name, item):
            return change(name.rpartition("__")[2], item)
        if isinstance(item, list):
            return [item_of(name, one) for one in item]
        if isinstance(item, dict) and isinstance(item.get("__tuple__"), list):
            return {"__tuple__": item_of(name, item["__tuple__"])}
        return _rewritten(item, change)

    if not mentions_gpu(value):
        return value
    if isinstance(value, list):
        return [_rewritten(item, change) for item in value]
    if package_of(value) in LIBRARIES:  # not inside the arguments of a network's builder
        own = value["params"].items()
        return value | {
            "params": {name: item_of(name, item) if asks_for_gpu(name, item) else item for name, item in own}
        }
    pairs = value.get("__dict__")
    if isinstance(pairs, list):
        return {"__dict__": [[pair[0], item_of(*pair)] if len(pair) == 2 else pair for pair in map(items_of, pairs)]}
    return {name: item_of(name, item) for name, item in value.items()}


def with_device(value: Json, device: Device, package: Callable[[Json], str] = package_of) -> tuple[Json, int]:
    """Return an encoded value with a device set on every estimator in it that can use a GPU.

    Parameters
    ----------
    value : Json
        An estimator, or a value that contains some.
    device : {"cpu", "gpu"}
        Parameters that already ask for it stay unchanged; for the CPU, so do estimators without
        any.
    package : callable, default=warren.encoding.encoded.package_of
        Returns the package of an encoded estimator's class or of its base class.

    Returns
    -------
    value : Json
    int
        Number of estimators in it that can use a GPU.
    """
    if isinstance(value, list):
        made = [with_device(item, device, package) for item in value]
        return [item for item, _ in made], sum(count for _, count in made)
    if not isinstance(value, dict):
        return value, 0
    if is_estimator(value) and (library := LIBRARIES.get(package(value))):
        if device == "cpu":
            return on_cpu(value), 1
        if mentions_gpu(value):
            return value, 1
        name, gpu = library.on_gpu
        own = {key: item for key, item in value["params"].items() if not names_device(key, item)}
        return value | {"params": own | {name: gpu}}, 1
    parts = {name: with_device(item, device, package) for name, item in value.items()}
    return {name: item for name, (item, _) in parts.items()}, sum(count for _, count in parts.values())
