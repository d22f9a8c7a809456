"""Reads a study: its document, its trials, its results as tables, and its best trial."""

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
    """A store that several studies may use; it closes with the last of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        weakref.finalize(self, store.close)


class StudyReader:
    """The reading side of a study, for the views, the models and the searches.

    Parameters
    ----------
    study : StudyDefinition
        The study.
    settings : Settings
        Name the servers.
    shared : SharedStore, default=None
        The connection to use; None opens one at the first read.

    Attributes
    ----------
    id : str
        The study's id.
    name : str
        The study's name.
    refit : str
        The metric that determines the best trial.
    settings : Settings
        The servers.
    objective : Objective
        How every trial of the study is trained and scored.
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
        # A pickle has no sockets and no passwords: an unpickled study uses the servers of its new
        # process.
        document = {"_id": self.id, "name": self.name, "objective": self.objective.model_dump()}
        return _unpickled, (type(self), document)

    @cached_property
    def _shared(self) -> SharedStore:
        return SharedStore(Store(self.settings))

    @property
    def store(self) -> Store:
        """The database with the study."""
        return self._shared.store

    def read(self, part: type[P]) -> P:
        """Read a part of the study's document.

        Parameters
        ----------
        part : type
            The fields to read: a class of `warren.storage.study_document`.

        Returns
        -------
        StudyKey
            An instance of `part`.

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
        """The study's definition, read once; with a key, its signature is verified."""
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
        """Whether ``"estimator"`` in the grid is each trial's own estimator, not a parameter."""
        return self._definition.estimator_in_grid

    def own_params(self, trial: Document) -> dict[str, Any]:
        """Return a trial document's parameters without its own estimator."""
        hidden = {"estimator"} if "estimator" in trial["params"] and self.estimator_in_grid else set[str]()
        return {name: value for name, value in trial["params"].items() if name not in hidden}

    def status(self) -> Status:
        """Return the progress of the study with one read, for a study of any size.

        If the study is stalled, this also asks the broker from time to time for the remaining
        trials.
        """
        return look(self.store, self.id, self.settings)

    def results(self) -> pd.DataFrame:
        """Return one row for each ended trial, also while the study runs.

        Returns
        -------
        pandas.DataFrame
            Indexed by trial number. Columns: ``number``, ``state`` (``COMPLETE`` or ``FAILED``),
            ``estimator``, ``params`` (dict) and one ``param_<name>`` each,
            ``split<i>_test_<metric>``, ``mean_``, ``std_`` and ``rank_test_<metric>`` (``score``
            for a single metric; train scores if requested), ``fit_seconds`` (its share if
            ``shared_by`` trials had one fit per fold), ``score_seconds`` and ``saved_seconds`` over
            all folds, ``mean_best_iteration`` if early stopping chose the rounds, ``error``,
            ``output`` (the end of what a failed trial printed), ``worker``, ``device`` (``cpu`` or
            ``gpu``), ``attempts``, ``started_at`` and ``finished_at`` (UTC).
        """
        from producer.results.frames import results_frame

        table = self.store.results(self.trials, schema(self.objective.parts))
        if not table.num_rows:
            self.read(StudyKey)  # deleted, perhaps
        return results_frame(table, self.space, self.objective)

    def epochs(self, number: int) -> pd.DataFrame:
        """Return a trial's loss and metrics by epoch, also during the training: a second late.

        Parameters
        ----------
        number : int
            The trial.

        Returns
        -------
        pandas.DataFrame
            Columns ``fold``, ``epoch`` (counted from 1), ``loss`` and the metrics of the estimator,
            ``val_loss`` and so on if rows are held out. If there are more than 1,000 epochs, every
            second, fourth, ... and the last. If one estimator has several networks, the last. Empty
            for a trial that has not begun, and for one without a network.

        Raises
        ------
        InputError
            The study has no such trial.
        StudyError
            The study was deleted.
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
            Most documents to return.
        estimator : str, default=None
            Only trials of this class, such as ``"XGBClassifier"``.

        Returns
        -------
        list of dict
            As stored in the collection ``trials``, without the curves of networks: see `epochs`.
        """
        return self.trials.best(n, {"estimator": estimator} if estimator else None)

    @property
    def cv_results_(self) -> dict[str, Any]:
        """The results as in ``GridSearchCV.cv_results_``, with the same numbers on the same data.

        Names, shapes and dtypes are the same, too.

        Raises
        ------
        NoResultError
            Some trials have not ended.
        TrialError
            Every fit failed, or one failed and ``error_score`` is "raise".
        """
        from producer.results.frames import read_cv_results

        return read_cv_results(self.store, self.trials, self.space, self.objective)

    def best_trial(self) -> Document:
        """Return the document of the best trial so far.

        Returns
        -------
        dict
            As stored in the collection ``trials``.

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
        """Return the document of an ended trial.

        Parameters
        ----------
        number : int
            The trial.

        Returns
        -------
        dict
            As stored in the collection ``trials``.

        Raises
        ------
        NoResultError
            The trial has not ended.
        """
        found = self.trials.one(number)
        if found is None:
            raise NoResultError(f"study {self.id} has no result of trial {number} yet: wait() for it, or see results()")
        return found
