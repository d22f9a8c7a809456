"""Estimators whose parameters hold a fit: parameters travel, and a fit would stay behind."""

from __future__ import annotations

from typing import Any

from warren.errors import InputError

_FROZEN = ("sklearn.frozen", "FrozenEstimator")
# Parameters that tell an estimator to take its inner ones as they are fitted, and the values that do.
_TAKES_FITS: dict[str, Any] = {"prefit": True, "cv": "prefit"}


def check_holds_no_fit(estimator: Any, where: str) -> None:
    """Refuse an estimator that is made to keep what was fitted before.

    Parameters
    ----------
    estimator : estimator instance
    where : str
        What it is, for the error.

    Raises
    ------
    InputError
        It is a ``FrozenEstimator``, or takes its inner estimators as they are fitted.
    """
    for base in type(estimator).__mro__:
        if base.__name__ == _FROZEN[1] and base.__module__.startswith(_FROZEN[0]):
            raise InputError(
                f"{where} is a FrozenEstimator: its fit can't travel, for a message has parameters alone, and workers "
                "train every fold anew. Pass the estimator inside it, to be trained in each fold; or transform X with "
                "it here, and pass what it makes"
            )
    params = estimator.get_params(deep=False)
    for name, value in _TAKES_FITS.items():
        if type(params.get(name)) is type(value) and params[name] == value:
            raise InputError(
                f"{where}: {type(estimator).__name__}({name}={value!r}) takes an estimator that is fitted already, and "
                f"a fit can't travel: leave {name!r} out, and it is trained in each fold"
            )
