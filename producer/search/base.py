"""What both searches share: ``fit`` is a study; all else is scikit-learn's."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, Self, TypeAlias

from sklearn.base import _fit_context, clone, is_classifier
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import get_tags, indexable
from sklearn.utils._param_validation import InvalidParameterError, StrOptions
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import _check_method_params

from producer.options import StudyOptions
from producer.results.follower import Follower
from producer.results.frames import read_cv_results
from producer.results.progress_bar import Progress
from producer.results.status import Status
from producer.search.fit_params import weights_of
from producer.space.space import Space
from producer.study import Study
from producer.submission import submit_space
from producer.validation.estimators import takes_estimator
from warren.errors import InputError, NoResultError, StudyError, TrialError, WarrenError
from warren.storage.documents import OUTPUT_LINES, end_of_output

Grids: TypeAlias = list[Mapping[str, Sequence[Any]]]

# The options of a study that scikit-learn's searches have not.
_OWN = tuple(name for name in StudyOptions.model_fields if name not in BaseSearchCV._parameter_constraints)
_CONSTRAINTS = dict.fromkeys(_OWN, "no_validation") | {"refit_on": [StrOptions({"workers", "here"})]}
# What only some fits leave behind.
_OF_A_FIT = ("best_index_", "best_score_", "best_params_", "best_estimator_", "refit_time_", "feature_names_in_")


class SearchOnWorkers(BaseSearchCV):  # type: ignore[misc]  # scikit-learn has no types
    """A search whose ``fit`` is a study: submitted, waited for and read."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {**BaseSearchCV._parameter_constraints, **_CONSTRAINTS}

    refit_on: str

    def _keep(self, given: Mapping[str, Any]) -> None:
        """Keep the arguments of a constructor that are ours, as they are."""
        for name in (*_OWN, "refit_on"):
            setattr(self, name, given[name])

    def _validate_params(self) -> None:
        super()._validate_params()
        for name in _OWN:
            value = getattr(self, name)
            try:
                StudyOptions.of({name: value})
            except InputError:
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be {StudyOptions.needs(name)}. "
                    f"Got {value!r} instead."
                ) from None

    @abstractmethod
    def _search_space(self) -> tuple[Grids, Sequence[Mapping[str, Any]] | None]:
        """Return the grids of the search, a point being a grid too, and the candidates where they are drawn."""

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]  # the estimator is not validated yet
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Let the workers evaluate every candidate, and train the best one.

        The call waits. Interrupted, it leaves the study running: the same call goes on waiting, and so does
        ``Study.attach(search.study_.id).wait()`` from anywhere. Called again for the same search on the same data, it
        reads what is there and evaluates nothing twice; with another grid it is another search.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features) or (n_samples, n_samples)
            The latter for precomputed kernels and distances.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        **params : dict of str to object
            ``sample_weight``, for the last step of a pipeline ``<step>__sample_weight``, and ``groups``.

        Returns
        -------
        GridSearchCV or RandomizedSearchCV
            This one.

        Raises
        ------
        InputError
            Something can't travel, or can't be used; a ``ValueError``. scikit-learn's own checks come first, and raise
            what they raise there.
        TrialError
            Every fit failed, or one did and ``error_score`` is "raise", or training the best one did; a ``ValueError``.
        StudyError
            The study was cancelled or deleted, or no worker can use what is left.
        StoreError, BrokerError
            A server is unreachable.
        """
        if getattr(self, "_skl_callbacks", None):
            raise InputError(
                "callbacks would be called where the fits are, which is on the workers: take them off with "
                "set_callbacks(), and pass verbose=1 for a bar"
            )
        scorers, best_by = self._get_scorers()
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        weights, weigh_scores = weights_of(
            self.estimator, scorers, routed.estimator.fit, routed.scorer.score, routed=_routing_enabled()
        )
        cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        split = routed.splitter.split
        self.n_splits_ = cv.get_n_splits(X, y, **split)
        base_estimator = clone(self.estimator)
        space, candidates = self._checked_space(base_estimator)
        _check_kernel(base_estimator, X)
        folds = self._drawn(cv.split(X, y, **split))
        if self.verbose > 0:
            fits = space.size * len(folds)
            sys.stdout.write(f"Fitting {len(folds)} folds for each of {space.size} candidates, totalling {fits} fits\n")
        best = self.refit if hasattr(scorers, "_scorers") and isinstance(self.refit, str) else None
        options = StudyOptions.of(self.get_params(deep=False) | {"cv": cv, "refit": best})
        self.study_ = submit_space(
            base_estimator,
            space,
            X,
            y,
            options,
            folds=folds,
            groups=split.get("groups") if options.validation_fraction is not None else None,
            sample_weight=weights,
            weigh_scores=weigh_scores,
        )
        self._wait(self.study_)
        self._set_results(
            read_cv_results(self.study_.store, self.study_.trials, space, self.study_.objective, candidates),
            scorers,
            best_by,
        )
        if self.refit:
            began = time.time()
            with _keeping_results(self.study_):
                self.best_estimator_ = self._refitted(base_estimator, X, y, routed.estimator.fit)
            self.refit_time_ = time.time() - began
            if hasattr(self.best_estimator_, "feature_names_in_"):
                self.feature_names_in_ = self.best_estimator_.feature_names_in_
        return self

    def _set_results(self, results: Mapping[str, Any], scorers: Any, best_by: str) -> None:
        """Set what the search has found, and take away what an earlier `fit` found: a refit may yet fail."""
        for name in _OF_A_FIT:
            self.__dict__.pop(name, None)
        several = hasattr(scorers, "_scorers")
        self.multimetric_ = several
        self.scorer_ = scorers._scorers if several else scorers
        self.cv_results_ = results
        if self.refit or not several:
            self.best_index_ = self._select_best_index(self.refit, best_by, results)
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{best_by}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]

    def _checked_space(self, estimator: Any) -> tuple[Space, Sequence[Mapping[str, Any]] | None]:
        grids, candidates = self._search_space()
        if not grids:
            _no_fits()
        if any("estimator" in grid for grid in grids) and not takes_estimator(estimator, grids):
            raise InputError(
                f"Invalid parameter 'estimator' for estimator {self.estimator!r}: to search over estimators make them "
                "values of a pipeline's step, GridSearchCV(Pipeline([('clf', SVC())]), {'clf': [SVC(), Ridge()]}) for "
                "one, or use producer.submit(None, {'estimator': [...]})"
            )
        # An error about a grid calls it what the user does: no member of a list where there is none.
        single = isinstance(getattr(self, "param_grid", None), Mapping) and bool(grids[0])
        return Space(grids[0] if single else grids), candidates

    def _drawn(self, splits: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Draw the folds, once: a generator has them only once, and a splitter may draw others the next time."""
        folds = list(splits)
        if len(folds) != self.n_splits_:
            raise ValueError(
                "cv.split and cv.get_n_splits return inconsistent results. "
                f"Expected {self.n_splits_} splits, got {len(folds)}"
            )
        return folds or _no_fits()

    def _wait(self, study: Study) -> None:
        """Wait for every trial, or, where a failure raises, for the first that fails."""

        def show(status: Status) -> None:
            if bar is not None:
                bar.update(status)
            if self.error_score == "raise" and status.failed:
                raise _FailedError

        bar = None
        try:
            if self.verbose > 0:
                with Progress(study.status().total, study.name) as bar:
                    Follower(study.store, study.id, math.inf, show, study.settings).run()
            else:
                Follower(study.store, study.id, math.inf, show, study.settings).run()
        except KeyboardInterrupt:
            raise _interrupted(study) from None
        except _FailedError:
            _raise_failure(study)
        status = study.status()
        if status.state == "CANCELLED":
            raise NoResultError(
                f"study {study.id} was cancelled when {status.done:,} of {status.total:,} trials had ended: the same "
                "fit(...) goes on with the others"
            )

    def _refitted(self, base_estimator: Any, X: Any, y: Any, fit_params: Mapping[str, Any]) -> Any:
        """Return the best candidate, fitted on all rows."""
        index = int(self.best_index_)
        if self.refit_on == "workers":
            return self.study_.best_model(index)
        trial = self.study_.trials.one(index) or {}
        if trial.get("mean_best_iteration") is None:
            # Cloned, the parameters too, for they may be estimators.
            best = clone(base_estimator).set_params(**clone(self.best_params_, safe=False))
        else:
            best = self.study_.refit_estimator(index)
        return best.fit(X, **fit_params) if y is None else best.fit(X, y, **fit_params)


class _FailedError(Exception):
    """A trial failed, and that was to be raised."""


def _raise_failure(study: Study) -> NoReturn:
    """Cancel a study that can have no result any more, and say what failed first."""
    with contextlib.suppress(StudyError):  # it has ended meanwhile
        study.cancel()
    found = study.trials.failed(study.space.size, 1, ("number", "error", "output"))
    if not found:  # taken back meanwhile, to be tried again
        raise NoResultError(f"study {study.id} was changed while it was waited for: fit again goes on with it")
    number, why = found[0]["number"], str(found[0]["error"]).rstrip(".")
    raise TrialError(
        f"trial {number} with {study.space[number]} failed: {why}. "
        f'error_score="raise" ends the search with the first failure, and study {study.id} is cancelled'
        + "".join(f"\n  it printed: {line}" for line in end_of_output(found[0], OUTPUT_LINES))
    )


def _interrupted(study: Study) -> KeyboardInterrupt:
    return KeyboardInterrupt(
        f"study {study.id!r} goes on without this cell: fit(...) with the same data goes on waiting, and "
        f"Study.attach({study.id!r}) follows, steers and reads it from anywhere; its cancel() ends it"
    )


@contextlib.contextmanager
def _keeping_results(study: Study) -> Iterator[None]:
    """Say, whatever ends a refit, that the results of the search are there."""
    there = f"cv_results_ and best_params_ are set, and study {study.id!r} keeps them"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{there}; a model that a worker trains goes on without this cell: fit(...) with the same data goes on "
            f"waiting, and so does Study.attach({study.id!r}).best_model()"
        ) from None
    except WarrenError as exc:
        # Behind the last line of what a fit printed, it would be taken for a part of that.
        said, end = str(exc), "\n" if "\n" in str(exc) else ". "
        raise type(exc)(f"{said.rstrip('.')}{end}The search itself is done: {there}") from exc
    except Exception as exc:  # the estimator's own, with refit_on="here"
        exc.add_note(f"The search itself is done: {there}")
        raise


def _no_fits() -> NoReturn:
    raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")


def _check_kernel(estimator: Any, X: Any) -> None:
    """Refuse a kernel that scikit-learn's searches can't cut on both sides."""
    if not get_tags(estimator).input_tags.pairwise:
        return
    if not hasattr(X, "shape"):
        raise ValueError("Precomputed kernels or affinity matrices have to be passed as arrays or sparse matrices.")
    if X.shape[0] != X.shape[1]:
        raise ValueError("X should be a square kernel matrix")
