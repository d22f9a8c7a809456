"""Makes the estimator with a trial's parameters that is trained on all data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from warren.encoding.codec import Json, decode
from warren.encoding.estimators import with_tail
from warren.libraries.resolve import resolve
from warren.safety.built_estimators import check_built
from warren.safety.parameter_checks import TrialCheck, check_estimator


def refit_estimator(
    estimator: Json,
    params: Mapping[str, Json],
    best_iteration: float | None,
    chosen: Mapping[str, Json] | None = None,
    allow: Iterable[str] = (),
) -> Any:
    """Return an unfitted estimator with a trial's parameters.

    Parameters
    ----------
    estimator : dict
        The study's encoded estimator.
    params : mapping
        The trial's encoded parameters.
    best_iteration : float or None
        Mean over the folds of the rounds that early stopping kept; None without early stopping.
        Rounded, it becomes the number of rounds, and the early-stopping parameters, which need an
        evaluation set, are removed.
    chosen : mapping, default={}
        Parameters that the library derived from the original number of rounds, such as CatBoost's
        learning rate; with fewer rounds it would choose others.
    allow : iterable of str, default=()
        Further allowed estimator names.

    Returns
    -------
    estimator instance

    Raises
    ------
    InputError
        The stored estimator has a parameter that a submission would refuse because it could access
        files or code.
    """
    if best_iteration is not None:
        estimator, params = _without_early_stopping(estimator, params, best_iteration, chosen or {})
    check_estimator(estimator, "estimator")
    TrialCheck(estimator)(params, "params")

    allowed = tuple(allow)

    def make() -> Any:
        values = {name: decode(value, allowed) for name, value in params.items()}
        return decode(estimator, allowed).set_params(**values)

    check_built(make(), allowed)
    return make()


def _without_early_stopping(
    estimator: Json, params: Mapping[str, Json], best_iteration: float, chosen: Mapping[str, Json]
) -> tuple[Json, Mapping[str, Json]]:
    """Set the rounds of a trial that stopped early; return its estimator and other parameters."""
    trial = resolve(estimator, params)
    if trial.library is None:
        return estimator, params
    rounds, asks = trial.library.rounds, trial.library.early_stopping
    named = next((name for name in rounds if name in trial.params), "n_estimators")
    kept = {name: value for name, value in trial.params.items() if name not in rounds and name not in asks}
    final = {**chosen, **kept, named: max(1, round(best_iteration))}
    return with_tail(estimator, params, trial.final | {"params": final})
