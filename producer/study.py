"""A study in the notebook: follow, read and steer it. All its state is in MongoDB."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from producer.models.study_models import StudyModels
from producer.publishing.publication import publish_missing
from producer.publishing.study_signature import check_study, study_problem
from producer.results.follower import Follower, resumable
from producer.results.progress_bar import Progress, in_notebook
from producer.results.study_reader import SharedStore
from warren import broker
from warren.errors import StoreError, StudyError, short
from warren.printable import one_line
from warren.safety.signing import Keys
from warren.settings import load_settings
from warren.storage.readable_studies import skip
from warren.storage.store import Store
from warren.storage.study_document import StudyDefinition, StudyKey

if TYPE_CHECKING:
    import optuna

    from producer.views.card.live import Live
    from producer.views.plots.plots import Plots

# Seconds that the display of a study may take: a cell must not hang if a server is unreachable.
_LOOK_SECONDS = 5.0


class Study(StudyModels):
    """One search. `submit` creates it; `attach` and `list` find it again.

    Attributes
    ----------
    id : str
        The same estimator, grid, data, splits and scoring under the same name give the same id.
    name : str
        The study's name.
    refit : str
        The metric that determines the best trial; ``"score"`` if there is only one.

    Notes
    -----
    A study keeps the servers that the environment named when it was submitted or attached.
    """

    # ------------------------------------------------------------------- finding

    @classmethod
    def attach(cls, study_id: str) -> Study:
        """Return a study by its id, on any machine that reaches the servers.

        To read the parameters of a grid over estimators, this machine needs their libraries, and
        ``WARREN_ALLOW`` if the submission needed it.

        Parameters
        ----------
        study_id : str
            The study's id.

        Returns
        -------
        Study
            The study.

        Raises
        ------
        StudyError
            The study does not exist, or ``WARREN_KEY`` is set and did not sign it.
        StoreError
            MongoDB is unreachable.
        """
        settings = load_settings()
        store = Store(settings)
        try:
            found = store.study(study_id, StudyDefinition)
            if found is None:
                raise StudyError(
                    f"no study {study_id!r} in database {store.database!r} at {store.url}: {_newest(store)}"
                )
            check_study(Keys(settings.key), found)
            try:
                return cls(found, settings, SharedStore(store))
            except (ValueError, LookupError) as exc:
                raise StudyError(
                    f"document {study_id!r} of the collection studies is invalid ({short(str(exc))})"
                ) from exc
        except BaseException:  # Ctrl-C too: no other code closes the store
            store.close()
            raise

    @classmethod
    def list(cls) -> Sequence[Study]:
        """Return every study of the database, newest first; with ``WARREN_KEY``, signed ones."""
        settings = load_settings()
        store = Store(settings)
        try:
            studies = store.studies(StudyDefinition)
        except BaseException:  # an interrupt too: no other code closes the connection
            store.close()
            raise
        # One connection for all: displaying a list reads the status of each.
        shared, keys, found = SharedStore(store), Keys(settings.key), []
        for study in studies:
            if problem := study_problem(keys, study):
                skip(study.id, f"it {problem}, and WARREN_KEY is set")
                continue
            try:
                found.append(cls(study, settings, shared))
            except (ValueError, LookupError) as exc:
                skip(study.id, f"its document is invalid ({short(str(exc))})")
        return found

    def __repr__(self) -> str:
        try:
            with self.store.within(_LOOK_SECONDS):
                status = self.status()
        except StoreError:
            return one_line(f"<Study {self.id}: its database is out of reach>")
        except StudyError:
            return one_line(f"<Study {self.id}: deleted>")
        best = "" if status.best_score is None else f", best {status.best_score:.4f}"
        failed = f", {status.failed:,} failed" if status.failed else ""
        dead = "".join(f"; {text}" for text in (status.dead_text, status.lost_text) if text)
        shown = f"<Study {self.id}: {status.state}, {status.done:,}/{status.total:,} trials{failed}{best}{dead}>"
        return one_line(shown)

    # ----------------------------------------------------------------- following

    def wait(self, timeout: float | None = None, progress: bool = True) -> Study:
        """Follow the study until every trial has ended or the study is cancelled.

        If the database becomes unreachable in the meantime, the call waits for it.

        Parameters
        ----------
        timeout : float, default=None
            Seconds to wait; None waits without limit. An interrupt ends the waiting, not the study.
        progress : bool, default=True
            Whether to show a bar with ended trials, trials per second, remaining time and best
            score.

        Returns
        -------
        Study
            This study.

        Raises
        ------
        TimeoutError
            The time is over; the study continues.
        KeyboardInterrupt
            The waiting was interrupted; a note says how to continue.
        StudyError
            No worker can use the remaining messages, or the broker removed them: the text says
            which, why, and what to do. Or the study was deleted.
        """
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        with resumable(f"Study.attach({self.id!r}).wait()"):
            status = self.status()
            if not progress:
                Follower(self.store, self.id, deadline, lambda _: None, self.settings).run()
                return self
            with Progress(status.total, self.name) as shown:
                Follower(self.store, self.id, deadline, shown.update, self.settings).run()
        return self

    def live(self, seconds: float = 1.0) -> Live:
        """Show the card and the best score in a notebook's cell, updated while other cells run.

        Parameters
        ----------
        seconds : float, default=1.0
            Seconds between two reads of the database.

        Returns
        -------
        Live
            ``stop()`` ends the updates, not the study; they also end with the study.
        """
        from producer.views.card.live import Live

        return Live(self, seconds)

    def _repr_html_(self) -> str:
        from producer.views.card import card_html

        return card_html(self)

    def __str__(self) -> str:
        from producer.views.card import card_text

        return card_text(self)

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        # In a terminal, IPython shows the card for the study itself; a line in lists and next to
        # HTML.
        alone = len(getattr(printer, "stack", ())) < 2
        printer.text(str(self) if alone and not in_notebook() else repr(self))

    @property
    def plot(self) -> Plots:
        """Plots: ``history()``, ``parallel()``, ``importance()``, ``slice()``, ``timeline()``..."""
        from producer.views.plots.plots import Plots

        return Plots(self)

    def to_optuna(self) -> optuna.Study:
        """Return an Optuna study in memory: trials, parameters, distributions, scores, states.

        Returns
        -------
        optuna.study.Study
            The trials that have ended so far, to read, plot and copy; it is read-only.

        Raises
        ------
        InputError
            Optuna is not installed.
        """
        from producer.views.optuna.to_optuna import to_optuna

        return to_optuna(self)

    # ------------------------------------------------------------------ steering

    def _set_state(self, state: str, only_from: tuple[str, ...], past: str) -> None:
        if self.store.update_study(self.id, {"$set": {"state": state}}, {"state": {"$in": [*only_from]}}) is None:
            found = self.status().state
            if found != state:
                raise StudyError(
                    f"study {self.id} is {found} and can't be {past}: only one that is {' or '.join(only_from)} can"
                )

    def pause(self) -> None:
        """Let workers stop after the current fit; `resume` continues with the missing trials.

        Raises
        ------
        StudyError
            The study does not run.
        """
        self._set_state("PAUSED", ("RUNNING",), "paused")

    def cancel(self) -> None:
        """Let workers stop after the current fit and drop the rest; `resume` can continue.

        Raises
        ------
        StudyError
            The study has ended.
        """
        self._set_state("CANCELLED", ("RUNNING", "PAUSED"), "cancelled")

    def resume(self) -> int:
        """Publish the trials without a result, and continue.

        Returns
        -------
        int
            Number of published trials.

        Raises
        ------
        BrokerError, StoreError
            A server is unreachable, and nothing has changed; or it became unreachable later and
            stayed so, and the text says how much is in the queue.
        """
        self._check_servers()
        return self._publish()

    def retry_failed(self) -> int:
        """Reset failed trials, and publish every trial without a result.

        This includes trials in messages that no worker could use, and trials whose documents were
        written by others.

        Returns
        -------
        int
            Number of published trials.

        Raises
        ------
        BrokerError, StoreError
            As for `resume`.
        """
        self._check_servers()
        # First set RUNNING: if this is interrupted, the next submission or resume publishes reset
        # trials.
        self.store.update_study(self.id, {"$set": {"state": "RUNNING", "finished_at": None}})
        self.store.delete_failed(self.id)
        # Documents of others take the place of the study's own trials.
        self.store.trials.delete(self.trials.others())
        return self._publish()

    def delete(self) -> None:
        """Delete the study with its results and models, and data that no other study uses.

        This can't be undone. Workers drop its chunks. If a call was interrupted, another call
        deletes the rest.

        Raises
        ------
        StoreError
            The database is unreachable.
        """
        # The models first: after an interrupt, the next call can still find them by the study.
        self._delete_models()
        self.store.delete_study(self.id)
        self._delete_models()  # one that was requested in the meantime
        one = self.objective
        for digest in (one.dataset, one.splits, one.validation):
            if digest is not None:
                self.store.datasets.delete(digest, partial(self.store.referenced, digest))

    def _delete_models(self) -> None:
        for model in self.store.models_of(self.id):
            self.store.delete_study(model)

    def _publish(self) -> int:
        return publish_missing(self.store, self.settings, self.id, self.objective, self.space)

    def _check_servers(self) -> None:
        """Raise before anything changes if a server is unreachable from the start."""
        self.store.ping()
        broker.check(self.settings)


def _newest(store: Store) -> str:
    newest = [study.id for study in store.studies(StudyKey, limit=5)]
    return f"the newest are {', '.join(newest)}" if newest else "it holds no study yet"
