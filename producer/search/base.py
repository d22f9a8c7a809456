"""The base of both searches: ``fit`` runs a study; everything else is scikit-learn's."""

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

# The options of a study that scikit-learn's searches do not have.
_OWN = tuple(name for name in StudyOptions.model_fields if name not in BaseSearchCV._parameter_constraints)
_CONSTRAINTS = dict.fromkeys(_OWN, "no_validation") | {"refit_on": [StrOptions({"workers", "here"})]}
# Attributes that only some fits set.
_OF_A_FIT = ("best_index_", "best_score_", "best_params_", "best_estimator_", "refit_time_", "feature_names_in_")


class SearchOnWorkers(BaseSearchCV):  # type: ignore[misc]  # scikit-learn has no types
    """A search whose ``fit`` submits a study, waits for it and reads it."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {**BaseSearchCV._parameter_constraints, **_CONSTRAINTS}

    refit_on: str

    def _keep(self, given: Mapping[str, Any]) -> None:
        """Keep Warren's constructor arguments unchanged."""
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
        """Return the grids of the search, and the candidates if drawn; a point is a grid, too."""

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]  # the estimator is not validated yet
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Let the workers evaluate every candidate and train the best one.

        The call waits. After an interrupt, the study continues: the same call waits again, and so
        does ``Study.attach(search.study_.id).wait()`` on any machine. Another call with the same
        search and data reads the existing results and evaluates nothing twice; another grid is
        another search.

        Parameters
        ----------
        X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
            The samples; for precomputed kernels and distances, of shape (n_samples, n_samples).
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Numbers or labels.
        **params : dict of str to object
            ``sample_weight``, for the last step of a pipeline ``<step>__sample_weight``, and
            ``groups``.

        Returns
        -------
        GridSearchCV or RandomizedSearchCV
            This search.

        Raises
        ------
        InputError
            A value can't be sent or is invalid; a ``ValueError``. scikit-learn's own checks come
            first, and raise the same errors as there.
        TrialError
            Every fit failed, or one failed and ``error_score`` is "raise", or the training of the
            best one failed; a ``ValueError``.
        StudyError
            The study was cancelled or deleted, or no worker can use the remaining messages.
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
        """Set the results, and remove those of an earlier `fit`: the refit may still fail."""
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
        # Error messages name the grid as the user knows it: a single grid is not a member of a
        # list.
        single = isinstance(getattr(self, "param_grid", None), Mapping) and bool(grids[0])
        return Space(grids[0] if single else grids), candidates

    def _drawn(self, splits: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
        """Draw the folds once: generators give them once, and splitters may draw others."""
        folds = list(splits)
        if len(folds) != self.n_splits_:
            raise ValueError(
                "cv.split and cv.get_n_splits return inconsistent results. "
                f"Expected {self.n_splits_} splits, got {len(folds)}"
            )
        return folds or _no_fits()

    def _wait(self, study: Study) -> None:
        """Wait for every trial, or for the first failure if failures raise."""

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
            # Clone the parameters too, because they may be estimators.
            best = clone(base_estimator).set_params(**clone(self.best_params_, safe=False))
        else:
            best = self.study_.refit_estimator(index)
        return best.fit(X, **fit_params) if y is None else best.fit(X, y, **fit_params)


class _FailedError(Exception):
    """A trial failed, and ``error_score`` is "raise"."""


def _raise_failure(study: Study) -> NoReturn:
    """Cancel a study that can't have a result any more, and report what failed first."""
    with contextlib.suppress(StudyError):  # it has ended in the meantime
        study.cancel()
    found = study.trials.failed(study.space.size, 1, ("number", "error", "output"))
    if not found:  # reset in the meantime, to be tried again
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
    """Add a note to any error of a refit: the results of the search are available."""
    there = f"cv_results_ and best_params_ are set, and study {study.id!r} keeps them"
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{there}; a model that a worker trains goes on without this cell: fit(...) with the same data goes on "
            f"waiting, and so does Study.attach({study.id!r}).best_model()"
        ) from None
    except WarrenError as exc:
        # On a new line: after output of a fit, the note would look like a part of it.
        said, end = str(exc), "\n" if "\n" in str(exc) else ". "
        raise type(exc)(f"{said.rstrip('.')}{end}The search itself is done: {there}") from exc
    except Exception as exc:  # the estimator's own, with refit_on="here"
        exc.add_note(f"The search itself is done: {there}")
        raise


def _no_fits() -> NoReturn:
    raise ValueError("No fits were performed. Was the CV iterator empty? Were there no candidates?")


def _check_kernel(estimator: Any, X: Any) -> None:
    """Refuse a kernel that scikit-learn's searches can't split in both dimensions."""
    if not get_tags(estimator).input_tags.pairwise:
        return
    if not hasattr(X, "shape"):
        raise ValueError("Precomputed kernels or affinity matrices have to be passed as arrays or sparse matrices.")
    if X.shape[0] != X.shape[1]:
        raise ValueError("X should be a square kernel matrix")
