"""``submit(device=...)``: sets the device parameters of all libraries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from producer.space.space import Space
from warren.encoding.codec import Json, decode, encode
from warren.encoding.encoded import package_of
from warren.errors import InputError
from warren.libraries.devices import CAN_USE_A_GPU, names_device, with_device
from warren.libraries.registry import BOOSTING
from warren.safety.allowlist import package_of_type, resolve


def choose_device(
    device: Literal["cpu", "gpu"] | None, estimator: Any, space: Space, allow: Iterable[str] = ()
) -> tuple[Any, Space]:
    """Return a study's estimator and space with their fits on a device.

    Parameters
    ----------
    device : {"cpu", "gpu"} or None
        None changes nothing.
    estimator : estimator instance or None
        Not changed: the result is a copy if needed.
    space : Space
        May have estimators as values.
    allow : iterable of str, default=()
        Further allowed estimator names.

    Returns
    -------
    estimator : estimator instance or None
    space : Space

    Raises
    ------
    InputError
        The grid says by a parameter of its own where fits run; or nothing here can use a GPU.
    """
    if device is None:
        return estimator, space
    for number, grid in enumerate(space.grids):
        for name, column in grid.items():
            if any(names_device(name, value) for value in ([None] if isinstance(column, range) else column)):
                raise InputError(
                    f"device={device!r}: {space.where(number, name)} also sets the device; leave one of them out"
                )
    allowed = tuple(allow)
    able = 0
    changed: dict[int, tuple[Any, Any]] = {}

    def package(encoded: Json) -> str:
        found = package_of(encoded)
        if found or encoded["__estimator__"] not in allowed:
            return found
        # A user's own class may inherit from a library's.
        bases = resolve(encoded["__estimator__"], allowed).__mro__
        return next((name for base in bases if (name := package_of_type(base)) in BOOSTING), "")

    def change(where: str, value: Any) -> Any:
        nonlocal able
        if isinstance(value, type) or not (isinstance(value, (list, tuple)) or hasattr(value, "get_params")):
            return value
        if id(value) not in changed:
            encoded = encode(value, where, allowed)
            made, count = with_device(encoded, device, package)
            able += count
            # Keep the value itself: after its deletion, another object could get its id.
            changed[id(value)] = value, value if made == encoded else decode(made, allowed)
        return changed[id(value)][1]

    made_estimator, made_space = change("estimator", estimator), space.replaced(change)
    if device == "gpu" and not able:
        names = ", ".join(
            sorted({type(value).__name__ for value, _ in changed.values() if hasattr(value, "get_params")})
        )
        raise InputError(
            f"device='gpu': no estimator of this study can use a GPU ({names or 'no estimator'}); {CAN_USE_A_GPU} can. "
            "Leave device out"
        )
    return made_estimator, made_space
