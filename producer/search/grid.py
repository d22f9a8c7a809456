"""`GridSearchCV`."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from sklearn import model_selection
from sklearn.model_selection import ParameterGrid

from producer.search.base import Grids, SearchOnWorkers


class GridSearchCV(SearchOnWorkers, model_selection.GridSearchCV):  # type: ignore[misc]  # no types
    """scikit-learn's ``GridSearchCV``, evaluated by workers.

    It is a subclass and works wherever scikit-learn's does, with exactly the same candidates,
    folds, scores and attributes. ``fit`` submits a study to the servers at ``AMQP_URL`` and
    ``MONGO_URL``, and waits for it. `producer.submit` documents the study's options in full.

    Parameters
    ----------
    estimator : estimator instance
        The estimator; the workers' setting replaces its ``n_jobs`` and the like.
    param_grid : dict of str to sequence, or list of such dicts
        The candidates, as for `sklearn.model_selection.GridSearchCV`.
    scoring : str, scorer, list, tuple or dict, default=None
        Names of scikit-learn's scorers, or ``make_scorer(...)`` of its metric functions; other
        callables can't be sent. None is the estimator's own ``score``.
    n_jobs : int, default=None
        Accepted but not used: all workers take part.
    refit : bool, str or callable, default=True
        Whether to train the best candidate on all rows; with several metrics, the metric that
        determines it. A callable returns its index from ``cv_results_``.
    cv : int, splitter or iterable of (train, test) indices, default=None
        The folds; None is five. An int is stratified for classifiers.
    verbose : int, default=0
        Above 0, print the number of fits and a progress bar.
    pre_dispatch : int or str, default="2*n_jobs"
        Accepted but not used: all workers take part.
    error_score : float or "raise", default=nan
        Score of a fold that fails; "raise" raises `TrialError` at the first failure.
    return_train_score : bool, default=False
        Whether to score the training parts, too.
    name : str, default=None
        The study's name, which is part of its identity. None is the estimator's class.
    n_chunks : int, default=None
        Number of messages that the trials are cut into; None sizes messages by expected time.
    share_fits : bool, default=True
        Whether trials that differ only in boosting rounds or epochs share one fit.
    trial_timeout : float, default=None
        Seconds for one trial on all its folds; None is each worker's ``WARREN_TRIAL_SECONDS``.
    validation_fraction : float, default=None
        Share of each fold's training part that early stopping watches; None watches the held-out
        part.
    priority : int, default=1
        From 1 to 9: the search's share of the workers while other studies run.
    device : {"cpu", "gpu"}, default=None
        Where fits run; None uses what the estimators and the grid say. With ``refit_on="here"``,
        the best candidate uses its own device parameters.
    refit_on : {"workers", "here"}, default="workers"
        Where the best candidate is trained on all rows: by a worker, which stores the model in its
        library's own format, or in this process.

    Attributes
    ----------
    study_ : Study
        The search as a study: attach to it, pause it, see its trials and plots. Set at the
        submission.
    cv_results_ : dict of str to ndarray
        Parameters, scores and times of every candidate, as in scikit-learn.
    best_estimator_ : estimator instance
        The best candidate, trained on all rows; only with `refit`.
    best_score_ : float
        Its mean test score.
    best_params_ : dict
        Its parameters.
    best_index_ : int
        Its index in ``cv_results_``.
    scorer_ : callable or dict of str to callable
        The scorer, or one for each metric.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds to train the best candidate; only with `refit`.
    multimetric_ : bool
        Whether there are several metrics.
    classes_, n_features_in_, feature_names_in_
        Attributes of the best candidate, as in scikit-learn.

    Examples
    --------
    >>> grid = {"max_depth": [3, 5], "n_estimators": [50, 100]}  # doctest: +SKIP
    >>> search = GridSearchCV(XGBClassifier(), grid)  # doctest: +SKIP
    >>> search.fit(X, y).best_params_  # doctest: +SKIP
    {'max_depth': 3, 'n_estimators': 100}
    >>> search.predict(X_new)  # doctest: +SKIP
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SearchOnWorkers._parameter_constraints,
        **model_selection.GridSearchCV._parameter_constraints,
    }

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        *,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
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
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self._keep(locals())

    def _search_space(self) -> tuple[Grids, None]:
        # Grids are not expanded to points; scikit-learn raises errors about them.
        return list(ParameterGrid(self.param_grid).param_grid), None
