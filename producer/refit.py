"""From the best trial to the estimator that is trained on all data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tuning.boosting import library_of, merged
from tuning.codec import Json, decode


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
    """
    library = library_of(estimator)
    if library is None or best_iteration is None:
        found = decode(estimator, allow)
        return found.set_params(**{name: decode(value, allow) for name, value in params.items()})
    together = merged(estimator, params)
    named = next((name for name in library.rounds if name in together), "n_estimators")
    kept = {
        name: value
        for name, value in together.items()
        if name not in library.rounds and name not in library.early_stopping
    }
    final = {**(chosen or {}), **kept, named: max(1, round(best_iteration))}
    return decode(estimator | {"params": final}, allow)
