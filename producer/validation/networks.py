"""Checks a study's networks: builders must exist, and optimizers accept their parameters."""

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
    """Refuse an unknown builder anywhere in a parameter's value.

    Parameters
    ----------
    value : Json
        Encoded, and checked by `warren.safety.parameter_checks`.
    where : str
        The place of the value, for the error.
    builder : bool, default=False
        Whether the value itself is a network's ``builder``.

    Raises
    ------
    InputError
        A builder is unknown; the message lists the known ones.
    """
    if builder:
        check_builder(value, where)
    elif isinstance(value, (dict, list)):
        _check_inside(value, where)


def check_optimizers(base: Any, grid: Mapping[str, Sequence[Any]], where: Callable[[str, int], str]) -> None:
    """Refuse a grid of networks that combines an optimizer with parameters that it does not accept.

    Parameters
    ----------
    base : estimator instance
        The estimator that the grid's trials start from. Networks elsewhere than at its end are not
        checked: their trials fail.
    grid : mapping of str to sequence
        Values by parameter name.
    where : callable
        Returns the place of a value by parameter name and position, for the error.

    Raises
    ------
    InputError
        An optimizer does not accept a parameter; the message lists what it accepts.
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
                several = "; use a list of grids, one for each optimizer" if len(columns[0]) > 1 else ""
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
