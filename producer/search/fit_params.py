"""What a caller hands to ``fit`` beside X and y: weights travel, groups make the splits, anything else is refused."""

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
    """Return the sample weights of a search, and whether its scorers get them too.

    Parameters
    ----------
    estimator : estimator instance
    scorers : callable
        What `sklearn.model_selection.GridSearchCV` scores with.
    for_fit, for_score : mapping of str to object
        What scikit-learn would hand to the estimator's ``fit`` and to the scorers.
    routed : bool
        Whether metadata routing is enabled, which lets each say what it wants.

    Returns
    -------
    sample_weight : array-like of shape (n_samples,) or None
    weigh_scores : bool

    Raises
    ------
    InputError
        Something else than weights, or weights that differ from fit to scores.
    """
    given = {name: value for name, value in for_fit.items() if value is not None}
    path = "" if routed else _last_step(estimator)
    if path and _WEIGHT in given:
        raise InputError(
            f"sample_weight: a pipeline hands a fit parameter to the step that its name says; pass "
            f"fit(X, y, {path}{_WEIGHT}=...)"
        )
    weights = given.pop(f"{path}{_WEIGHT}", None)
    if given:
        raise InputError(
            f"fit got {listing(given)}: only {path}{_WEIGHT} and groups travel to the workers. What the estimator also "
            "takes as a parameter can be set there; an evaluation set is each fold's own, the held-out part or a share "
            "of the training part (validation_fraction)"
        )
    if not routed:
        return weights, weights is None or not path
    return weights, _scorers_weigh(scorers, weights, for_score)


def _last_step(estimator: Any) -> str:
    """Return what stands in front of a fit parameter of a pipeline's last step: ``clf__``; "" for no pipeline."""
    path = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        path += f"{name}__"
    return path


def _scorers_weigh(scorers: Any, weights: Any, for_score: Mapping[str, Any]) -> bool:
    """Say whether the scorers asked for the weights of the fit: all that take some, or none."""
    if hasattr(scorers, "_scorers"):
        parts = process_routing(scorers, "score", **for_score) if for_score else {}
        asked = [(one, parts[name].score if name in parts else {}) for name, one in scorers._scorers.items()]
    else:
        asked = [(scorers, for_score)]
    got = []
    for scorer, params in asked:
        wanted = {name: value for name, value in params.items() if value is not None}
        other = wanted.keys() - {_WEIGHT}
        if other or (wanted and (weights is None or not np.array_equal(wanted[_WEIGHT], weights))):
            raise InputError(
                f"scoring={short(scorer)} asks for {listing(sorted(wanted))}: only the fit's sample_weight travels to "
                "the workers; request that or none"
            )
        if wanted and not hasattr(scorer, "_accept_sample_weight"):
            raise InputError("scores are weighed by scikit-learn 1.7 and later: update it here and where workers run")
        if weights is not None and (wanted or getattr(scorer, "_accept_sample_weight", bool)()):
            got.append(bool(wanted))
    if len(set(got)) > 1:
        raise InputError("some scorers request sample_weight and some that take it don't: request it for all or none")
    return not got or got[0]
