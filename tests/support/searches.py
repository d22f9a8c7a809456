"""Searches that run here, as scikit-learn's ``GridSearchCV``, and on workers, and what they must
have in common."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV

from producer import Study, submit


@dataclass(frozen=True)
class Search:
    """A search that both sides run; scikit-learn's ``fit`` takes `fit_with`, and ours too."""

    estimator: Any
    grid: Any
    X: Any
    y: Any
    fit_with: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=lambda: {"cv": 3})

    def there(self) -> Study:
        """Submit it; results live as long as the servers, so each run has a name of its own."""
        return submit(self.estimator, self.grid, self.X, self.y, **self.fit_with, **self.options, name=uuid4().hex)

    def here(self) -> GridSearchCV:
        """Run it in this process; scikit-learn would refit only to predict."""
        several = not isinstance(self.options.get("scoring"), str | None)
        refit = next(iter(self.options["scoring"])) if several else False
        search = GridSearchCV(self.estimator, self.grid, n_jobs=1, **({"refit": refit} | self.options))
        with warnings.catch_warnings():
            # Failed fits, scorers without weights, means that are not finite: the
            # numbers say it all.
            warnings.simplefilter("ignore")
            return search.fit(self.X, self.y, **self.fit_with)


def assert_same_numbers(*searches: Search, warns: bool = False) -> list[Study]:
    """Run searches on both sides and compare all that both report, times apart; return
    our studies."""
    # All are submitted first: the workers are at it while this process computes what to expect.
    studies = [search.there() for search in searches]
    expected = [search.here() for search in searches]
    for search, study, theirs in zip(searches, studies, expected, strict=True):
        try:
            study.wait(timeout=60, progress=False)
            with warned_of_failures() if warns else contextlib.nullcontext():
                ours = study.cv_results_
            assert_same_results(ours, theirs.cv_results_)
            if set(study.results()["state"]) != {"FAILED"}:
                assert_same_best(study, theirs)
        except AssertionError as exc:
            exc.add_note(f"{search.estimator!r} with {search.fit_with} and {search.options}")
            raise
    return studies


@contextlib.contextmanager
def warned_of_failures() -> Iterator[None]:
    """Expect what scikit-learn warns of where fits or scores failed, and let the rest pass that
    follows from it."""
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        yield
    assert any(issubclass(one.category, FitFailedWarning) or "Scoring failed" in str(one.message) for one in noted)


def assert_same_best(study: Study, search: GridSearchCV) -> None:
    assert study.best_index_ == search.best_index_
    assert study.best_score_ == search.best_score_
    assert plain(study.best_params_) == plain(search.best_params_)


def assert_same_results(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    assert list(ours) == list(theirs)
    assert [plain(params) for params in ours["params"]] == [plain(params) for params in theirs["params"]]
    for name in set(theirs) - {"params"}:
        mine, other = ours[name], theirs[name]
        assert type(mine) is type(other), name
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape), name
        if name.startswith("param_"):
            assert np.array_equal(np.ma.getmaskarray(mine), np.ma.getmaskarray(other)), name
            assert [plain(value) for value in mine.compressed()] == [plain(value) for value in other.compressed()], name
        elif not name.endswith("_time"):
            assert np.array_equal(mine, other, equal_nan=True), f"{name}: {mine - other}"
    assert all((ours[name] >= 0).all() for name in ("mean_fit_time", "mean_score_time", "std_fit_time"))


def plain(value: Any) -> Any:
    """Return a parameter value as what can be compared: estimators that are equal are no
    equals to Python."""
    if isinstance(value, BaseEstimator) or hasattr(value, "get_params"):
        return type(value).__name__, {name: plain(one) for name, one in value.get_params(deep=False).items()}
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(one) for one in value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.random.RandomState):
        return plain(value.get_state(legacy=True))
    if hasattr(value, "get_n_splits"):
        return type(value).__name__, plain(vars(value))
    return repr(value) if value != value else value
