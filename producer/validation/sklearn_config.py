"""scikit-learn's configuration as it is here, for the workers."""

from __future__ import annotations

import sklearn
from pydantic import ValidationError
from sklearn import _config

from producer.formatting import listing
from warren.errors import InputError
from warren.sklearn_config import NO_RESULT, Configuration


def configuration_here() -> Configuration:
    """Return what of scikit-learn's configuration changes results.

    Raises
    ------
    InputError
        A setting has a value that scikit-learn does not know, or is of a version that came later and is not the
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
            f"sklearn.set_config({listing(f'{name}={found[name]!r}' for name in later)}): the workers can't be told of "
            "this setting; take it back around the call, with sklearn.config_context"
        )
    try:
        return Configuration(**given)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        name = first["loc"][0]
        raise InputError(
            f"sklearn.set_config({name}={given[str(name)]!r}): no setting that travels ({first['msg']})"
        ) from None
