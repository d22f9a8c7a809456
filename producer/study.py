"""A study seen from the notebook: follow it, read it, steer it. All from MongoDB; nothing depends on this living."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

from producer.following import Follower, gone, look
from producer.publication import publish_missing
from producer.space import Space
from producer.status import Status
from tuning import broker
from tuning.errors import NoResultError, StoreError, StudyError
from tuning.messages import Objective
from tuning.settings import Settings, load_settings
from tuning.store import Document, Store

if TYPE_CHECKING:
    import pandas as pd

_OWN_FIELDS = ("name", "objective")


class Study:
    """One search. Made by `submit`, or found again by `attach` and `list`.

    Attributes
    ----------
    id : str
        Stable: the same estimator, grid, data, splits and scoring under the same name give the same id.
    name : str
    refit : str
        The metric that says which trial is best; ``"score"`` where there is only one.

    Notes
    -----
    A study is bound to the servers that the environment named when it was made or attached.
    """

    def __init__(self, document: Document, settings: Settings, store: Store | None = None) -> None:
        self.id: str = document["_id"]
        self.name: str = document["name"]
        self._settings = settings
        self._objective = Objective.model_validate(document["objective"])
        self.refit = self._objective.refit
        if store is not None:
            self._store = store
            weakref.finalize(self, store.close)

    @cached_property
    def _store(self) -> Store:
        store = Store(self._settings)
        weakref.finalize(self, store.close)
        return store

    @cached_property
    def _space(self) -> Space:
        document = self._store.study(self.id, ("space",))
        if document is None:
            raise gone(self.id)
        return Space.decode(document["space"], self._settings.allow)

    # ------------------------------------------------------------------- finding

    @classmethod
    def attach(cls, study_id: str) -> Study:
        """Return a study by its id, from any machine that reaches the servers.

        Reading the parameters of a grid over estimators needs their libraries there too, and ``WARREN_ALLOW`` where
        it was needed to submit.

        Parameters
        ----------
        study_id : str

        Returns
        -------
        Study

        Raises
        ------
        StudyError
            There is no such study.
        StoreError
            MongoDB is unreachable.
        """
        settings = load_settings()
        store = Store(settings)
        try:
            document = store.study(study_id, _OWN_FIELDS)
            if document is None:
                raise StudyError(
                    f"no study {study_id!r} in database {store.database!r} at {store.url}: {_newest(store)}"
                )
        except BaseException:
            store.close()
            raise
        return cls(document, settings, store)

    @classmethod
    def list(cls) -> Sequence[Study]:
        """Return every study of the database, newest first."""
        settings = load_settings()
        store = Store(settings)
        try:
            documents = store.studies(fields=_OWN_FIELDS)
        finally:
            store.close()
        return [cls(document, settings) for document in documents]

    def __repr__(self) -> str:
        try:
            status = self.status()
        except StoreError:
            return f"<Study {self.id}: its database is out of reach>"
        except StudyError:
            return f"<Study {self.id}: deleted>"
        best = "" if status.best_score is None else f", best {status.best_score:.4f}"
        failed = f", {status.failed:,} failed" if status.failed else ""
        dead = f"; {status.dead_text}" if status.dead else ""
        return f"<Study {self.id}: {status.state}, {status.done:,}/{status.total:,} trials{failed}{best}{dead}>"

    # ----------------------------------------------------------------- following

    def status(self) -> Status:
        """Return how far the study is: one read, whatever its size."""
        return look(self._store, self.id)

    def wait(self, timeout: float | None = None, progress: bool = True) -> Study:
        """Follow the study until every trial has ended or it is cancelled.

        A database that goes away meanwhile is waited for.

        Parameters
        ----------
        timeout : float, default=None
            Seconds to wait; None is as long as it takes. Interrupting ends the waiting, never the study.
        progress : bool, default=True
            Show a bar: done, trials a second, time left, best so far.

        Returns
        -------
        Study
            This one.

        Raises
        ------
        TimeoutError
            The time is over; the study goes on.
        StudyError
            What is left lies in messages that no worker can use; the text names the trials, and says why and what to
            do. Or the study was deleted.
        """
        from producer.progress import Progress

        status = self.status()
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        if not progress:
            Follower(self._store, self.id, deadline, lambda _: None).run()
            return self
        with Progress(status.total, self.name) as shown:
            Follower(self._store, self.id, deadline, shown.update).run()
        return self

    # ------------------------------------------------------------------- results

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
            ``error``, ``worker``, ``attempts``, ``started_at`` and ``finished_at`` (UTC).
        """
        from producer.results import fields_for_results, results_frame

        documents = self._store.trials(self.id, fields_for_results(self._objective))
        return results_frame(documents, self._space, self._objective)

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
            As they lie in the collection ``trials``.
        """
        return self._store.best_trials(self.id, n, {"estimator": estimator} if estimator else None)

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
        from producer.results import cv_results, fields_for_cv_results

        documents = [*self._store.trials(self.id, fields_for_cv_results(self._objective))]
        if len(documents) < self._space.size:
            raise NoResultError(
                f"study {self.id}: {len(documents):,} of {self._space.size:,} trials have ended, and cv_results_ needs "
                "all: wait() for them, or see results()"
            )
        return cv_results(documents, self._space, self._objective)

    def _best(self) -> Document:
        best = self.best_trials(1)
        if not best:
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

    def refit_estimator(self) -> Any:
        """Return an unfitted estimator with the parameters of the best trial so far, to train on all data.

        Where the trial stopped early, its number of rounds is the mean over the folds of those that were kept, and it
        stops early no more: ``study.refit_estimator().fit(X, y)`` needs no evaluation set.

        Returns
        -------
        estimator instance

        Raises
        ------
        NoResultError
            No trial has a score yet.
        """
        from producer.refit import refit_estimator

        best = self._best()
        document = self._store.study(self.id, ("estimator_in_grid",))
        if document is None:
            raise gone(self.id)
        [(_, params)] = self._space.encoded_points([best["number"]], self._settings.allow)
        own = params.pop("estimator") if document["estimator_in_grid"] and "estimator" in params else None
        return refit_estimator(
            own or self._objective.estimator,
            params,
            best.get("mean_best_iteration"),
            best.get("chosen_params"),
            self._settings.allow,
        )

    # ------------------------------------------------------------------ steering

    def _set_state(self, state: str, only_from: tuple[str, ...], past: str) -> None:
        if self._store.update_study(self.id, {"$set": {"state": state}}, {"state": {"$in": [*only_from]}}) is None:
            found = self.status().state
            if found != state:
                raise StudyError(
                    f"study {self.id} is {found} and can't be {past}: only one that is {' or '.join(only_from)} can"
                )

    def pause(self) -> None:
        """Let workers stop after the fit in hand; `resume` goes on with what is missing.

        Raises
        ------
        StudyError
            It does not run.
        """
        self._set_state("PAUSED", ("RUNNING",), "paused")

    def cancel(self) -> None:
        """Let workers stop after the fit in hand and drop the rest; results stay, `resume` can still go on.

        Raises
        ------
        StudyError
            It has ended.
        """
        self._set_state("CANCELLED", ("RUNNING", "PAUSED"), "cancelled")

    def resume(self) -> int:
        """Publish what has no result, and go on.

        Returns
        -------
        int
            Trials published.

        Raises
        ------
        BrokerError, StoreError
            A server is unreachable, and nothing has changed; or it went away in the middle and stayed away, and the
            text says how much is in the queue.
        """
        self._check_servers()
        return self._publish()

    def retry_failed(self) -> int:
        """Take failed trials back, and publish everything that has no result.

        So trials in messages that no worker could use are published again too.

        Returns
        -------
        int
            Trials published.

        Raises
        ------
        BrokerError, StoreError
            As `resume` does.
        """
        self._check_servers()
        # Running first: cut short in between, the next submission or resume publishes what was taken back.
        self._store.update_study(self.id, {"$set": {"state": "RUNNING", "finished_at": None}})
        self._store.delete_failed(self.id)
        return self._publish()

    def delete(self) -> None:
        """Delete the study with all its results, and its data if no other study has the same. There is no way back.

        Workers drop its chunks. Called again, it deletes what a call that was cut short has left.

        Raises
        ------
        StoreError
            The database is unreachable.
        """
        self._store.delete_study(self.id)
        one = self._objective
        for digest in (one.dataset, one.splits, one.validation):
            if digest is not None:
                self._store.datasets.delete(digest, partial(self._store.referenced, digest))

    def _publish(self) -> int:
        return publish_missing(self._store, self._settings, self.id, self._objective, self._space)

    def _check_servers(self) -> None:
        """Raise before anything changes where a server is away from the beginning."""
        self._store.ping()
        broker.check(self._settings)


def _newest(store: Store) -> str:
    newest = [document["_id"] for document in store.studies(limit=5, fields=("_id",))]
    return f"the newest are {', '.join(newest)}" if newest else "it holds no study yet"
