"""A study seen from the notebook: follow it, read it, steer it. All from MongoDB; nothing depends on this living."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from producer.publication import publish_missing
from producer.space import Space
from producer.status import STATUS_FIELDS, Status
from tuning.errors import NoResultError, StoreError, StudyError
from tuning.messages import Objective
from tuning.settings import Settings, load_settings
from tuning.store import Document, Store

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

# Seconds between two looks at a study that is followed: the first for studies of seconds, the last for nights.
_SHORTEST_POLL = 0.1
_LONGEST_POLL = 1.0
# Seconds without a new result before the documents themselves are counted; counting is dear, so it is
# also never more than a tenth of the time.
_STALL_SECONDS = 5.0
_RECOUNT_SHARE = 10.0

_ENDED = ("COMPLETE", "CANCELLED")
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
            raise self._gone()
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
        best = "" if status.best_score is None else f", best {status.best_score:.4f}"
        failed = f", {status.failed:,} failed" if status.failed else ""
        return f"<Study {self.id}: {status.state}, {status.done:,}/{status.total:,} trials{failed}{best}>"

    # ----------------------------------------------------------------- following

    def _document(self) -> Document:
        document = self._store.study(self.id, STATUS_FIELDS)
        if document is None:
            raise self._gone()
        return document

    def _gone(self) -> StudyError:
        return StudyError(f"study {self.id!r} is not in the database any more")

    def status(self) -> Status:
        """Return how far the study is: one read, whatever its size."""
        return Status.of(self._document())

    def wait(self, timeout: float | None = None, progress: bool = True) -> Study:
        """Follow the study until every trial has ended or it is cancelled.

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
            What is left lies in messages that no worker can use; the text says why and what to do.
        """
        from producer.progress import Progress

        status = self.status()
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        if not progress:
            self._follow(deadline, lambda _: None)
            return self
        with Progress(status.total, self.name) as shown:
            self._follow(deadline, shown.update)
        return self

    def _follow(self, deadline: float, show: Callable[[Status], None]) -> None:
        poll, changed_at, done = _SHORTEST_POLL, time.monotonic(), -1
        patience = _STALL_SECONDS
        while True:
            try:
                status = self.status()
                moment = time.monotonic()
                if status.done != done:
                    done, changed_at = status.done, moment
                elif status.state == "RUNNING" and moment - changed_at > patience:
                    # A worker that died between a result and its count leaves the count too low.
                    self._store.recount(self.id)
                    changed_at = time.monotonic()
                    patience = max(_STALL_SECONDS, _RECOUNT_SHARE * (changed_at - moment))
                    status = self.status()
            except StoreError as exc:
                logger.warning("can't see the study for now, it goes on: %s", exc)
                moment = time.monotonic()
            else:
                show(status)
                if status.state in _ENDED:
                    return
                if status.dead and status.done + status.dead >= status.total:
                    raise StudyError(self._say_dead())
            if moment >= deadline:
                raise TimeoutError(f"study {self.id}: {done} trials had ended when the time was over; it goes on")
            time.sleep(min(poll, max(0.0, deadline - moment)))
            poll = min(_LONGEST_POLL, poll * 1.2)

    def _say_dead(self) -> str:
        letters = self._document()["dead_letters"]
        trials = sum(len(letter["numbers"]) for letter in letters)
        return (
            f"study {self.id}: {trials} trials lie in {len(letters)} messages that no worker can use; the first says: "
            f"{letters[0]['reason']}. Mend that and call retry_failed()"
        )

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
            raise self._gone()
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

    def _set_state(self, state: str, only_from: tuple[str, ...]) -> None:
        if self._store.update_study(self.id, {"$set": {"state": state}}, {"state": {"$in": [*only_from]}}) is None:
            found = self._document()["state"]
            if found != state:
                raise StudyError(f"study {self.id} is {found}, which can't become {state}")

    def pause(self) -> None:
        """Let workers stop after the fit in hand; `resume` goes on with what is missing."""
        self._set_state("PAUSED", ("RUNNING",))

    def cancel(self) -> None:
        """Let workers stop after the fit in hand and drop the rest; results stay, `resume` can still go on."""
        self._set_state("CANCELLED", ("RUNNING", "PAUSED"))

    def resume(self) -> int:
        """Publish what has no result, and go on.

        Returns
        -------
        int
            Trials published.
        """
        return publish_missing(self._store, self._settings, self.id, self._objective, self._space)

    def retry_failed(self) -> int:
        """Take failed trials back and publish everything that has no result.

        Returns
        -------
        int
            Trials published.
        """
        # Running first: cut short in between, the next submission or resume publishes what was taken back.
        self._store.update_study(self.id, {"$set": {"state": "RUNNING", "finished_at": None}})
        self._store.delete_failed(self.id)
        return self.resume()


def _newest(store: Store) -> str:
    newest = [document["_id"] for document in store.studies(limit=5, fields=("_id",))]
    return f"the newest are {', '.join(newest)}" if newest else "it holds no study yet"
