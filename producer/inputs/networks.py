"""Networks among the estimators of a study: their builders exist, or nothing is published."""

from __future__ import annotations

from collections.abc import Iterable

from networks.builders import check_builder
from tuning.codec import Json
from tuning.networks import NETWORK, PACKAGE


def check_builders(packages: Iterable[str], name: str, value: Json, where: str) -> None:
    """Refuse a builder that does not exist here, wherever in a parameter's value it is named.

    Parameters
    ----------
    packages : iterable of str
        Of the estimators that the parameter is set on.
    name : str
        The parameter.
    value : Json
        Encoded, and checked by `tuning.parameters`.
    where : str
        What it is, for the error.

    Raises
    ------
    InputError
        Lists the builders that exist.
    """
    if name.rpartition("__")[2] == "builder" and {*packages} == {PACKAGE}:
        check_builder(value, where)
    _check_inside(value, where)


def _check_inside(value: Json, where: str) -> None:
    if isinstance(value, dict):
        if value.get("__estimator__") == NETWORK and "builder" in value["params"]:
            check_builder(value["params"]["builder"], f"{where}: KerasModel(builder=...)")
        for item in value.values():
            _check_inside(item, where)
    elif isinstance(value, list):
        for item in value:
            _check_inside(item, where)
