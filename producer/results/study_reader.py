"""A study as it is read: its document, its trials, its results as tables, and its best trial."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from producer.publishing.study_signature import check_study
from producer.results.follower import look
from producer.results.own_trials import own_trials
from producer.results.status import Status
from producer.space.space import Space
from warren.errors import InputError, NoResultError, study_gone
from warren.messages import Objective
from warren.safety.signing import Keys
from warren.settings import Settings, load_settings
from warren.storage.documents import Document
from warren.storage.own_trials import OwnTrials
from warren.storage.results_table import schema
from warren.storage.store import Store
from warren.storage.study_document import StudyDefinition, StudyKey, StudySpace

if TYPE_CHECKING:
    import pandas as pd


P = TypeVar("P", bound=StudyKey)


def _unpickled(cls: type[StudyReader], document: Document) -> StudyReader:
    return cls(StudyDefinition.read({"n_trials": 0} | document), load_settings())


class SharedStore:
    """A store that several studies may use: it is closed with the last of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        weakref.finalize(self, store.close)


class StudyReader:
    """The reading side of a study: what the views, the models and the searches take.

    Parameters
    ----------
    study : StudyDefinition
    settings : Settings
        Name the servers.
    shared : SharedStore, default=None
        The connection to use; None opens one at the first read.

    Attributes
    ----------
    id : str
    name : str
    refit : str
        The metric that says which trial is best.
    settings : Settings
    objective : Objective
        What every trial of the study is trained and scored by.
    """

    def __init__(self, study: StudyDefinition, settings: Settings, shared: SharedStore | None = None) -> None:
        self.id = study.id
        self.name = study.name
        self.settings = settings
        self.objective = Objective.model_validate(study.objective)
        self.refit = self.objective.refit
        if shared is not None:
            self._shared = shared

    def __reduce__(self) -> tuple[Any, ...]:
        # Neither sockets nor passwords in a pickle: what comes out is bound to the servers of where it is read.
        document = {"_id": self.id, "name": self.name, "objective": self.objective.model_dump()}
        return _unpickled, (type(self), document)

    @cached_property
    def _shared(self) -> SharedStore:
        return SharedStore(Store(self.settings))

    @property
    def store(self) -> Store:
        """The database that the study is read from."""
        return self._shared.store

    def read(self, part: type[P]) -> P:
        """Read a part of the study's document.

        Raises
        ------
        StudyError
            The study was deleted.
        StoreError
            The database is unreachable.
        """
        found = self.store.study(self.id, part)
        if found is None:
            raise study_gone(self.id)
        return found

    @cached_property
    def _definition(self) -> StudySpace:
        """What the study is, read once: whoever has a key believes what is signed."""
        study = self.read(StudySpace)
        check_study(Keys(self.settings.key), study)
        return study

    @cached_property
    def space(self) -> Space:
        """The parameters of every trial, by number."""
        return Space.decode(self._definition.space, self.settings.allow)

    @cached_property
    def trials(self) -> OwnTrials:
        """The documents of the study's trials, without those that others wrote under its id."""
        return own_trials(self.store, self._definition)

    @cached_property
    def estimator_in_grid(self) -> bool:
        """Whether ``"estimator"`` in the grid is each trial's own estimator, and no parameter of the study's."""
        return self._definition.estimator_in_grid

    def own_params(self, trial: Document) -> dict[str, Any]:
        """Return the parameters of a trial document without the trial's own estimator, which the document names."""
        hidden = {"estimator"} if "estimator" in trial["params"] and self.estimator_in_grid else set[str]()
        return {name: value for name, value in trial["params"].items() if name not in hidden}

    def status(self) -> Status:
        """Return how far the study is: one read, whatever its size.

        Of a study that stands still the broker is asked now and then whether its trials are still there.
        """
        return look(self.store, self.id, self.settings)

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

        table = self.store.results(self.trials, schema(self.objective.parts))
        if not table.num_rows:
            self.read(StudyKey)  # deleted, perhaps
        return results_frame(table, self.space, self.objective)

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

        if number not in range(self.space.size):
            raise InputError(f"epochs({number!r}): the trials of this study are 0 to {self.space.size - 1}")
        found = epochs_frame(self.store, self.trials, number)
        if found.empty:
            self.read(StudyKey)  # deleted, perhaps
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
        return self.trials.best(n, {"estimator": estimator} if estimator else None)

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

        return read_cv_results(self.store, self.trials, self.space, self.objective)

    def best_trial(self) -> Document:
        """Return the document of the best trial so far.

        Raises
        ------
        NoResultError
            No trial has a score yet.
        """
        best = self.best_trials(1)
        if not best:
            self.read(StudyKey)  # deleted, perhaps
            raise NoResultError(
                f"study {self.id} has no trial with a score yet: wait() for one, or see results() for errors"
            )
        return best[0]

    @property
    def best_index_(self) -> int:
        """Number of the best trial so far, an index into ``cv_results_``."""
        return cast("int", self.best_trial()["number"])

    @property
    def best_params_(self) -> dict[str, Any]:
        """Parameters of the best trial so far."""
        return self.space[self.best_index_]

    @property
    def best_score_(self) -> float:
        """Mean test score of the best trial so far."""
        return cast("float", self.best_trial()["mean_test_score"])

    def ended_trial(self, number: int) -> Document:
        """Return the document of a trial that has ended.

        Raises
        ------
        NoResultError
            It has not.
        """
        found = self.trials.one(number)
        if found is None:
            raise NoResultError(f"study {self.id} has no result of trial {number} yet: wait() for it, or see results()")
        return found
