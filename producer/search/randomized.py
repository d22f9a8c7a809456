"""`RandomizedSearchCV`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from sklearn import model_selection
from sklearn.model_selection import ParameterSampler

from producer.search.base import Grids, SearchOnWorkers


class RandomizedSearchCV(SearchOnWorkers, model_selection.RandomizedSearchCV):  # type: ignore[misc]  # no types
    """scikit-learn's ``RandomizedSearchCV``, evaluated by workers.

    For the same `random_state` it draws the same candidates in the same order. Everything else is
    as for `producer.GridSearchCV`.

    Parameters
    ----------
    estimator, param_distributions, n_iter, random_state
        As for `sklearn.model_selection.RandomizedSearchCV`: distributions of ``scipy.stats``, or
        lists.
    scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score
        As for `producer.GridSearchCV`.
    name, n_chunks, share_fits, trial_timeout, validation_fraction, priority, device, refit_on
        As for `producer.GridSearchCV`.

    Attributes
    ----------
    study_ : Study
        The search as a study.
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_,
    refit_time_, multimetric_
        As scikit-learn's; and ``classes_``, ``n_features_in_`` and ``feature_names_in_``.

    Examples
    --------
    >>> search = RandomizedSearchCV(  # doctest: +SKIP
    ...     LGBMClassifier(),
    ...     {"learning_rate": loguniform(0.01, 0.3), "num_leaves": randint(7, 127)},
    ...     n_iter=60,
    ... )
    >>> search.fit(X, y).best_score_  # doctest: +SKIP
    0.9725
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SearchOnWorkers._parameter_constraints,
        **model_selection.RandomizedSearchCV._parameter_constraints,
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Any,
        *,
        n_iter: int = 10,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = math.nan,
        return_train_score: bool = False,
        name: str | None = None,
        n_chunks: int | None = None,
        share_fits: bool = True,
        trial_timeout: float | None = None,
        validation_fraction: float | None = None,
        priority: int = 1,
        device: str | None = None,
        refit_on: str = "workers",
    ) -> None:
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            random_state=random_state,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self._keep(locals())

    def _search_space(self) -> tuple[Grids, list[Mapping[str, Any]]]:
        drawn = list(ParameterSampler(self.param_distributions, self.n_iter, random_state=self.random_state))
        return [{name: [value] for name, value in point.items()} for point in drawn], drawn
