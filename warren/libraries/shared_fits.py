"""Decides which trials share a fit, by the facts in each library's file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from warren.encoding.tags import KEYS
from warren.libraries.library import Library

Json: TypeAlias = Any  # as in warren.encoding.codec, which brings NumPy: an idle worker does without


def shared_key(library: Library, name: str, params: Mapping[str, Json], before: Json) -> str | None:
    """Return the key of the fit that a trial may share: trials with one key differ only in rounds.

    Parameters
    ----------
    library : Library
    name : str
        Dotted name of the final estimator's class.
    params : mapping
        All encoded parameters of the final estimator.
    before : Json
        The rest of its pipeline, or None.

    Returns
    -------
    str or None
        None if the trial must be fitted separately, because with some parameter the first rounds of
        a longer fit are not known to equal a shorter fit.
    """
    if library.required and all(params.get(required) is None for required in library.required):
        return None
    rest = {}
    for parameter, value in params.items():
        if isinstance(value, dict) and not KEYS.isdisjoint(value):
            return None  # such as a function as objective: not compared
        if parameter in library.free or parameter in library.binning:
            rest[parameter] = value
        elif parameter in library.only or parameter in library.early_stopping:
            if value not in library.only.get(parameter, ()) and value not in library.early_stopping.get(parameter, ()):
                return None
            rest[parameter] = value
        elif parameter not in library.rounds and parameter not in library.threads:
            return None
    named = [parameter for parameter in library.rounds if parameter in params]
    # The library decides which of two names counts, and what None means.
    if len(named) > 1 or any(not _is_rounds(params[parameter]) for parameter in named):
        return None
    return json.dumps([name, rest] if before is None else [name, rest, before], sort_keys=True)


def _is_rounds(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def decides_sharing(library: Library, parameter: str, values: Sequence[Json]) -> bool:
    """Return whether some values of a grid's parameter allow a shared fit, and others do not.

    Parameters
    ----------
    library : Library
    parameter : str
        Of the final estimator.
    values : sequence
        Encoded; a range has plain numbers.
    """
    if len(values) == 1 or parameter in library.rounds or parameter in library.threads:
        return False
    if parameter in library.required:
        return not isinstance(values, range) and None in values
    if not isinstance(values, range) and any(isinstance(value, dict) for value in values):
        return True
    return parameter not in library.free and parameter not in library.binning
