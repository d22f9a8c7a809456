"""Networks among a study's estimators: builders exist, optimizers take their parameters, or nothing is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from producer.validation.final_steps import ends_of
from warren.encoding.codec import Json
from warren.errors import InputError
from warren.libraries.keras import NETWORK, check_optimizer, check_parameter
from warren.networks import KerasModel
from warren.networks.builders import check_builder


def check_builders(value: Json, where: str, *, builder: bool = False) -> None:
    """Refuse a builder that does not exist here, wherever in a parameter's value it is named.

    Parameters
    ----------
    value : Json
        Encoded, and checked by `warren.safety.parameter_checks`.
    where : str
        What it is, for the error.
    builder : bool, default=False
        The value is a network's ``builder`` itself.

    Raises
    ------
    InputError
        Lists the builders that exist.
    """
    if builder:
        check_builder(value, where)
    elif isinstance(value, (dict, list)):
        _check_inside(value, where)


def check_optimizers(base: Any, grid: Mapping[str, Sequence[Any]], where: Callable[[str, int], str]) -> None:
    """Refuse a grid of networks that brings an optimizer together with parameters which it does not take.

    Parameters
    ----------
    base : estimator instance
        What the grid's trials start from. A network that it neither is nor ends with fails its trial instead.
    grid : mapping of str to sequence
        Values by parameter name.
    where : callable
        Says of a name and a position where the value stands, for the error.

    Raises
    ------
    InputError
        Names the optimizer, and what it takes.
    """
    for end, prefix in ends_of(base, grid):
        if type(end) is not KerasModel:
            continue
        columns = []
        for name in ("optimizer", "optimizer_params"):
            column = enumerate(grid.get(prefix + name, ()))
            found = [(value, where(prefix + name, position)) for position, value in column]
            columns.append(found or [(getattr(end, name), f"KerasModel({name}=...)")])
            for value, place in columns[-1]:
                check_parameter(name, value, place)
        for (optimizer, _), (params, place) in product(*columns):
            try:
                check_optimizer(optimizer, params, place)
            except InputError as exc:
                several = "; in a list of grids each optimizer has its own" if len(columns[0]) > 1 else ""
                raise InputError(f"{exc}{several}") from None


def _check_inside(value: Json, where: str) -> None:
    if isinstance(value, dict):
        if value.get("__estimator__") == NETWORK and "builder" in value["params"]:
            check_builder(value["params"]["builder"], f"{where}: KerasModel(builder=...)")
        for item in value.values():
            _check_inside(item, where)
    elif isinstance(value, list):
        for item in value:
            _check_inside(item, where)
