"""From the best trial to the estimator that is trained on all data."""

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
        Encoded estimator that the trial started from.
    params : mapping
        The trial's encoded parameters.
    best_iteration : float or None
        Mean over the folds of the rounds that early stopping has kept; None where it did not watch. Rounded, it
        becomes the number of rounds, and nothing is left that would need an evaluation set.
    chosen : mapping, default={}
        What the library chose by the number of rounds that it was given, CatBoost's learning rate for one; with fewer
        it would choose otherwise.
    allow : iterable of str, default=()
        Further estimator names.

    Returns
    -------
    estimator instance

    Raises
    ------
    InputError
        What is stored holds a parameter that no submission takes: here too it must not reach a file or code.
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
    """Give a trial that stopped early its rounds, and return its estimator and what is still to be set on that."""
    trial = resolve(estimator, params)
    if trial.library is None:
        return estimator, params
    rounds, asks = trial.library.rounds, trial.library.early_stopping
    named = next((name for name in rounds if name in trial.params), "n_estimators")
    kept = {name: value for name, value in trial.params.items() if name not in rounds and name not in asks}
    final = {**chosen, **kept, named: max(1, round(best_iteration))}
    return with_tail(estimator, params, trial.final | {"params": final})
