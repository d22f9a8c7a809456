"""Our searches next to scikit-learn's: fitted on the same data, and compared attribute
by attribute."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from searches import assert_same_results, plain
from sklearn import model_selection
from threadpoolctl import threadpool_limits

import producer

OWN = {
    *("name", "n_chunks", "share_fits", "trial_timeout", "validation_fraction", "priority", "device", "refit_on"),
    "study_",
}
_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples")


@dataclass(frozen=True)
class Pair:
    """A search of ours and one of scikit-learn's, fitted."""

    ours: Any
    theirs: Any
    # Category and text of what each side warned of.
    our_warnings: list[str] = field(default_factory=list)
    their_warnings: list[str] = field(default_factory=list)


def both(
    estimator: Any,
    candidates: Any,
    X: Any,
    y: Any = None,
    *,
    kind: Literal["GridSearchCV", "RandomizedSearchCV"] = "GridSearchCV",
    fit: Mapping[str, Any] | None = None,
    ours: Mapping[str, Any] | None = None,
    **options: Any,
) -> Pair:
    """Fit a search on each side; `fit` is what both take besides X and y, `ours` what only
    ours is told."""
    given = {"cv": 3} | options
    mine = getattr(producer, kind)(estimator, candidates, **given, **{"name": uuid4().hex} | dict(ours or {}))
    other = getattr(model_selection, kind)(estimator, candidates, **given)
    told = [_fit(search, X, y, fit or {}) for search in (mine, other)]
    return Pair(mine, other, *told)


def _fit(search: Any, X: Any, y: Any, params: Mapping[str, Any]) -> list[str]:
    # The workers have one thread each, and sums of several threads differ in the last bit.
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(1):
        warnings.simplefilter("always")
        assert search.fit(X, y, **params) is search
    return [f"{one.category.__name__}: {re.sub(r'  File .*', '', str(one.message))}" for one in caught]


def assert_same(pair: Pair, X: Any, y: Any = None) -> None:
    """Compare every attribute, every method and every score on X, bit for bit."""
    ours, theirs = pair.ours, pair.theirs
    mine, other = ({name for name in vars(one) if not name.startswith("_")} for one in (ours, theirs))
    assert mine - OWN == other
    assert_same_results(ours.cv_results_, theirs.cv_results_)
    for name in ("best_index_", "best_score_", "n_splits_", "multimetric_", "n_features_in_"):
        mine, other = getattr(ours, name, None), getattr(theirs, name, None)
        assert (type(mine), mine) == (type(other), other), name
    for name in ("classes_", "feature_names_in_"):
        assert hasattr(ours, name) == hasattr(theirs, name), name
        assert np.array_equal(getattr(ours, name, 0), getattr(theirs, name, 0)), name
    assert repr(ours.scorer_) == repr(theirs.scorer_)
    if hasattr(theirs, "best_params_"):
        assert plain(ours.best_params_) == plain(theirs.best_params_)
        assert ours.best_params_ is ours.cv_results_["params"][ours.best_index_]
    if theirs.refit:
        assert type(ours.best_estimator_) is type(theirs.best_estimator_)
        assert plain(ours.best_estimator_) == plain(theirs.best_estimator_)
        assert isinstance(ours.refit_time_, float)
        for name in _METHODS:
            assert hasattr(ours, name) == hasattr(theirs, name), name
            if hasattr(theirs, name):
                with np.errstate(divide="ignore"):  # the logarithm of a probability of 0
                    assert _equal(getattr(ours, name)(X), getattr(theirs, name)(X)), name
        if not callable(theirs.refit):
            assert ours.score(X, y) == theirs.score(X, y)


def _equal(ours: Any, theirs: Any) -> bool:
    if hasattr(theirs, "toarray"):
        return bool(np.array_equal(ours.toarray(), theirs.toarray()))
    return bool(np.array_equal(ours, theirs))
