"""Reads the local scikit-learn configuration for the workers."""

from __future__ import annotations

import sklearn
from pydantic import ValidationError
from sklearn import _config

from producer.formatting import listing
from warren.errors import InputError
from warren.sklearn_config import NO_RESULT, Configuration


def configuration_here() -> Configuration:
    """Return the settings of scikit-learn's configuration that change results.

    Raises
    ------
    InputError
        A setting has an invalid value, or is a later version's setting with another value than the
        default.
    """
    found = sklearn.get_config()
    given = {name: value for name, value in found.items() if name in Configuration.model_fields}
    defaults = getattr(_config, "_global_config", {})
    if later := sorted(
        name
        for name, value in found.items()
        if name not in given and name not in NO_RESULT and value != defaults.get(name, value)
    ):
        raise InputError(
            f"sklearn.set_config({listing(f'{name}={found[name]!r}' for name in later)}): this setting can't be sent "
            "to workers; reset it around the call with sklearn.config_context"
        )
    try:
        return Configuration(**given)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        name = first["loc"][0]
        raise InputError(
            f"sklearn.set_config({name}={given[str(name)]!r}): this value can't be sent to workers ({first['msg']})"
        ) from None
