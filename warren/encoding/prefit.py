"""Refuse estimators whose parameters contain a fit, because only parameters are sent."""

from __future__ import annotations

from typing import Any

from warren.errors import InputError

_FROZEN = ("sklearn.frozen", "FrozenEstimator")
# Parameters, with their values, that make an estimator use inner ones as they are already fitted.
_TAKES_FITS: dict[str, Any] = {"prefit": True, "cv": "prefit"}


def check_holds_no_fit(estimator: Any, where: str) -> None:
    """Refuse an estimator that keeps an earlier fit.

    Parameters
    ----------
    estimator : estimator instance
        Encoded next.
    where : str
        Names it in the error.

    Raises
    ------
    InputError
        It is a ``FrozenEstimator``, or uses inner estimators that are already fitted.
    """
    for base in type(estimator).__mro__:
        if base.__name__ == _FROZEN[1] and base.__module__.startswith(_FROZEN[0]):
            raise InputError(
                f"{where} is a FrozenEstimator: its fit can't be sent, because a message has only parameters, and "
                "workers train every fold from scratch. Pass the estimator inside it, to be trained in each fold; or "
                "transform X with it here, and pass the result"
            )
    params = estimator.get_params(deep=False)
    for name, value in _TAKES_FITS.items():
        if type(params.get(name)) is type(value) and params[name] == value:
            raise InputError(
                f"{where}: {type(estimator).__name__}({name}={value!r}) uses an estimator that is already fitted, and "
                f"a fit can't be sent: leave {name!r} out, and it is trained in each fold"
            )
