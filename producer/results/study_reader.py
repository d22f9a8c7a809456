"""What came of a study: its results as tables, its best trial, and the model that the best one makes."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from producer.publishing.study_signature import SIGNED_FIELDS, check_study
from producer.results.follower import gone
from producer.results.own_trials import own_trials
from producer.space.space import Space
from warren.errors import InputError, NoResultError
from warren.messages import Objective
from warren.safety.signing import Keys
from warren.settings import Settings, load_settings
from warren.storage.documents import Document
from warren.storage.own_trials import OwnTrials
from warren.storage.results_table import schema
from warren.storage.store import Store

if TYPE_CHECKING:
    import pandas as pd


def _found_again(cls: type[Outcome], document: Document) -> Outcome:
    return cls(document, load_settings())


class Lent:
    """A store that several studies may use: it is closed with the last of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        weakref.finalize(self, store.close)


class Outcome:
    """The reading side of `producer.Study`, which says whose outcome it is."""

    def __init__(self, document: Document, settings: Settings, lent: Lent | None = None) -> None:
        self.id: str = document["_id"]
        self.name: str = document["name"]
        self._settings = settings
        self._objective = Objective.model_validate(document["objective"])
        self.refit = self._objective.refit
        if lent is not None:
            self._lent = lent

    def __reduce__(self) -> tuple[Any, ...]:
        # Neither sockets nor passwords in a pickle: what comes out is bound to the servers of where it is read.
        document = {"_id": self.id, "name": self.name, "objective": self._objective.model_dump()}
        return _found_again, (type(self), document)

    @cached_property
    def _lent(self) -> Lent:
        return Lent(Store(self._settings))

    @property
    def _store(self) -> Store:
        return self._lent.store

    @cached_property
    def _definition(self) -> Document:
        """What the study is, read once: whoever has a key believes what is signed."""
        document = self._store.study(self.id, (*SIGNED_FIELDS, "space"))
        if document is None:
            raise gone(self.id)
        check_study(Keys(self._settings.key), document)
        return document

    @cached_property
    def _space(self) -> Space:
        return Space.decode(self._definition["space"], self._settings.allow)

    @cached_property
    def _trials(self) -> OwnTrials:
        return own_trials(self._store, self._definition)

    @cached_property
    def _estimator_in_grid(self) -> bool:
        """Whether ``"estimator"`` in the grid is each trial's own estimator, and no parameter of the study's."""
        return bool(self._definition["estimator_in_grid"])

    def _own_params(self, trial: Document) -> dict[str, Any]:
        """Return the parameters of a trial document without the trial's own estimator, which the document names."""
        hidden = {"estimator"} if "estimator" in trial["params"] and self._estimator_in_grid else set[str]()
        return {name: value for name, value in trial["params"].items() if name not in hidden}

    def results(self) -> pd.DataFrame:
        """Return one row a trial that has ended, also while the study runs.

        Returns
        -------
        pandas.DataFrame
            Indexed by trial number. Columns: ``number``, ``state`` (``COMPLETE`` or ``FAILED``), ``estimator``,
            ``params`` (dict) and a ``param_<name>`` each, ``split<i>_test_<metric>``, ``mean_``, ``std_`` and
            ``rank_test_<metric>`` (``score`` for a single metric; train scores if asked for), ``fit_seconds``
            (its share of them, where ``shared_by`` trials had one fit a fold), ``score_seconds`` and
            ``saved_seconds`` over all folds, ``mean_best_iteration`` where early stopping chose the rounds,
            ``error``, ``output`` (the end of what a failed trial printed), ``worker``, ``device`` (``cpu`` or ``gpu``),
            ``attempts``, ``started_at`` and ``finished_at`` (UTC).
        """
        from producer.results.frames import results_frame

        table = self._store.results(self._trials, schema(self._objective.parts))
        if not table.num_rows:
            self._check_there()
        return results_frame(table, self._space, self._objective)

    def epochs(self, number: int) -> pd.DataFrame:
        """Return loss and metrics of a trial's networks after each epoch, also while they are trained: a second late.

        Parameters
        ----------
        number : int
            The trial.

        Returns
        -------
        pandas.DataFrame
            Columns ``fold``, ``epoch`` (counted from 1), ``loss`` and the metrics of the estimator, ``val_loss`` and so
            on where rows are held out. Of more than 1,000 epochs every second, fourth, ... and the last. Of several
            networks in one estimator, the last. Empty for a trial that has not begun, and for one without a network.

        Raises
        ------
        InputError
            The study has no such trial.
        StudyError
            It was deleted.
        """
        from producer.results.epochs import epochs_frame

        if number not in range(self._space.size):
            raise InputError(f"epochs({number!r}): the trials of this study are 0 to {self._space.size - 1}")
        found = epochs_frame(self._store, self._trials, number)
        if found.empty:
            self._check_there()
        return found

    def best_trials(self, n: int = 10, estimator: str | None = None) -> Sequence[Document]:
        """Return the documents of the trials with the best scores, best first.

        Parameters
        ----------
        n : int, default=10
            How many at most.
        estimator : str, default=None
            Only those of this class, ``"XGBClassifier"``.

        Returns
        -------
        list of dict
            As they lie in the collection ``trials``, without the curves of networks: see `epochs`.
        """
        return self._trials.best(n, {"estimator": estimator} if estimator else None)

    @property
    def cv_results_(self) -> dict[str, Any]:
        """What ``GridSearchCV.cv_results_`` holds: the same names, shapes, dtypes and, on the same data, numbers.

        Raises
        ------
        NoResultError
            Trials are still missing.
        TrialError
            Every fit failed, or a trial did and ``error_score`` is "raise".
        """
        from producer.results.frames import read_cv_results

        return read_cv_results(self._store, self._trials, self._space, self._objective)

    def _best(self) -> Document:
        best = self.best_trials(1)
        if not best:
            self._check_there()
            raise NoResultError(
                f"study {self.id} has no trial with a score yet: wait() for one, or see results() for errors"
            )
        return best[0]

    @property
    def best_index_(self) -> int:
        """Number of the best trial so far, an index into ``cv_results_``."""
        return cast("int", self._best()["number"])

    @property
    def best_params_(self) -> dict[str, Any]:
        """Parameters of the best trial so far."""
        return self._space[self.best_index_]

    @property
    def best_score_(self) -> float:
        """Mean test score of the best trial so far."""
        return cast("float", self._best()["mean_test_score"])

    def refit_estimator(self, index: int | None = None) -> Any:
        """Return an unfitted estimator with the parameters of a trial, to train on all data.

        Where the trial stopped early, its number of rounds is the mean over the folds of those that were kept, and it
        stops early no more: ``study.refit_estimator().fit(X, y)`` needs no evaluation set.

        Parameters
        ----------
        index : int, default=None
            Number of the trial; None is the best one so far.

        Returns
        -------
        estimator instance

        Raises
        ------
        NoResultError
            No trial has a score yet, or the one asked for has not ended.
        """
        from producer.models.refit import refit_estimator

        best = self._best() if index is None else self._ended(index)
        [(_, params)] = self._space.encoded_points([best["number"]], self._settings.allow)
        own = params.pop("estimator") if "estimator" in params and self._estimator_in_grid else None
        return refit_estimator(
            own or self._objective.estimator,
            params,
            best.get("mean_best_iteration"),
            best.get("chosen_params"),
            self._settings.allow,
        )

    def best_model(self, index: int | None = None, *, timeout: float | None = None) -> Any:
        """Return the best trial's estimator, trained on all data by a worker, as ``best_estimator_`` is.

        It is trained once and kept in the bucket ``models``, in the library's own format (scikit-learn's estimators and
        pipelines by skops): nothing is pickled. The study's weights count; what early stopping found becomes the
        number of rounds.

        Parameters
        ----------
        index : int, default=None
            Number of the trial; None is the best one so far.
        timeout : float, default=None
            Seconds to wait; None is as long as it takes. Interrupting ends the waiting, not the training.

        Returns
        -------
        estimator instance
            Fitted, with the parameters that the user wrote.

        Raises
        ------
        NoResultError
            No trial has a score yet, or the one asked for has not ended.
        TrialError
            The fit failed.
        TimeoutError
            The time is over; the same call goes on waiting.
        """
        from producer.models import fitted_model

        number = self.best_index_ if index is None else index
        return fitted_model(self._store, self._settings, self.id, number, self.refit_estimator(number), timeout)

    def export(
        self,
        path: str | PathLike[str],
        index: int | None = None,
        *,
        format: str | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
    ) -> Path:
        """Write the best trial's model, trained on all data by a worker, into a folder that others can serve.

        The model is in its library's own format and needs no Warren: XGBoost's UBJ, LightGBM's text, CatBoost's cbm;
        everything else, pipelines too, by skops. A `KerasModel` becomes a SavedModel, whose signature takes X as
        ``fit`` does. Beside it lies ``manifest.json``: study, trial, parameters, scores, versions, signature, and the
        SHA-256 of every file, which `producer.models.export.verify` verifies.

        Parameters
        ----------
        path : str or PathLike
            The folder to make. Of a `KerasModel`, the one above: the model goes to ``path/<name>/<version>``, where
            TensorFlow Serving looks for it, under the study's name and the next free number.
        index : int, default=None
            Number of the trial; None is the best one so far.
        format : {"json"}, default=None
            XGBoost's other format, as text; None is the library's own.
        overwrite : bool, default=False
            Replace an export that is there; of a `KerasModel`, its newest version. Nothing else is ever replaced.
        timeout : float, default=None
            Seconds to wait for the training, as for `best_model`.

        Returns
        -------
        pathlib.Path
            The folder with ``manifest.json``; it is there whole or not at all.

        Raises
        ------
        NoResultError
            No trial has a score yet, or the one asked for has not ended.
        InputError
            There is an export already, the folder can't be written, or TensorFlow is missing for a `KerasModel`.
        TrialError, TimeoutError
            As `best_model` raises them.
        """
        from producer.models.export import export_model

        trial = self._best() if index is None else self._ended(index)
        return export_model(
            self._store,
            self._settings,
            trial,
            self.refit_estimator(trial["number"]),
            path,
            format=format,
            overwrite=overwrite,
            timeout=timeout,
        )

    def _check_there(self) -> None:
        if self._store.study(self.id, ("_id",)) is None:
            raise gone(self.id)

    def _ended(self, number: int) -> Document:
        found = self._trials.one(number)
        if found is None:
            raise NoResultError(f"study {self.id} has no result of trial {number} yet: wait() for it, or see results()")
        return found
