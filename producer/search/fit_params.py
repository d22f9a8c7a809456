"""Checks the parameters of ``fit``: only sample weights and groups are allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

from producer.formatting import listing, short
from warren.errors import InputError

_WEIGHT = "sample_weight"


def weights_of(
    estimator: Any, scorers: Any, for_fit: Mapping[str, Any], for_score: Mapping[str, Any], *, routed: bool
) -> tuple[Any, bool]:
    """Return the sample weights of a search, and whether its scorers use them, too.

    Parameters
    ----------
    estimator : estimator instance
        The search's estimator.
    scorers : callable
        The scorers of `sklearn.model_selection.GridSearchCV`.
    for_fit : mapping of str to object
        The parameters that scikit-learn would pass to the estimator's ``fit``.
    for_score : mapping of str to object
        The parameters that scikit-learn would pass to the scorers.
    routed : bool
        Whether metadata routing is enabled, by which each requests its parameters.

    Returns
    -------
    sample_weight : array-like of shape (n_samples,) or None
        The weights for ``fit``.
    weigh_scores : bool
        Whether the scorers use them, too.

    Raises
    ------
    InputError
        There are other parameters, or the weights of fit and scores differ.
    """
    given = {name: value for name, value in for_fit.items() if value is not None}
    path = "" if routed else _last_step(estimator)
    if path and _WEIGHT in given:
        raise InputError(
            f"sample_weight: a pipeline passes a fit parameter to the step in its name; pass "
            f"fit(X, y, {path}{_WEIGHT}=...)"
        )
    weights = given.pop(f"{path}{_WEIGHT}", None)
    if given:
        raise InputError(
            f"fit got {listing(given)}: only {path}{_WEIGHT} and groups can be sent to workers. Set others as "
            "parameters of the estimator if it has them; for early stopping, each fold uses its own test part, or a "
            "share of the training part (validation_fraction)"
        )
    if not routed:
        return weights, weights is None or not path
    return weights, _scorers_weigh(scorers, weights, for_score)


def _last_step(estimator: Any) -> str:
    """Return the prefix of fit parameters of a pipeline's last step: ``clf__``; "" for others."""
    path = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        path += f"{name}__"
    return path


def _scorers_weigh(scorers: Any, weights: Any, for_score: Mapping[str, Any]) -> bool:
    """Return whether the scorers request the fit's weights: all that accept them, or none."""
    if hasattr(scorers, "_scorers"):
        parts = process_routing(scorers, "score", **for_score) if for_score else {}
        asked = [(scorer, parts[name].score if name in parts else {}) for name, scorer in scorers._scorers.items()]
    else:
        asked = [(scorers, for_score)]
    got = []
    for scorer, params in asked:
        wanted = {name: value for name, value in params.items() if value is not None}
        other = wanted.keys() - {_WEIGHT}
        if other or (wanted and (weights is None or not np.array_equal(wanted[_WEIGHT], weights))):
            raise InputError(
                f"scoring={short(scorer)} requests {listing(sorted(wanted))}: only the fit's sample_weight can be sent "
                "to workers; request that or none"
            )
        if wanted and not hasattr(scorer, "_accept_sample_weight"):
            raise InputError("weighted scores need scikit-learn 1.7 or later: update it here and on the workers")
        if weights is not None and (wanted or getattr(scorer, "_accept_sample_weight", bool)()):
            got.append(bool(wanted))
    if len(set(got)) > 1:
        raise InputError("only some of the scorers that accept sample_weight request it: request it for all or none")
    return not got or got[0]
