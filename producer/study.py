"""A study seen from the notebook: follow it, read it, steer it. All from MongoDB; nothing depends on this living."""

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

# Seconds that showing a study may take: a cell must not hang on a server that is away.
_LOOK_SECONDS = 5.0


class Study(StudyModels):
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
            There is no such study; or ``WARREN_KEY`` is set, and it is not signed with it.
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
        except BaseException:  # Ctrl-C too: nobody else closes the store
            store.close()
            raise

    @classmethod
    def list(cls) -> Sequence[Study]:
        """Return every study of the database, newest first; with ``WARREN_KEY`` those that are signed with it."""
        settings = load_settings()
        store = Store(settings)
        try:
            studies = store.studies(StudyDefinition)
        except BaseException:  # an interrupt too: nobody else closes the connection
            store.close()
            raise
        # One connection for all: a list that is shown asks for the status of each.
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
        KeyboardInterrupt
            The waiting was interrupted; a note to it says how to come back.
        StudyError
            What is left lies in messages that no worker can use, or was removed by the broker; the text says which and
            why, and what to do. Or the study was deleted.
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
        """Show the card and the best score so far in a notebook's cell, and keep them fresh while other cells run.

        Parameters
        ----------
        seconds : float, default=1.0
            Seconds between two looks at the database.

        Returns
        -------
        Live
            Its ``stop()`` ends the refreshing, never the study; it ends by itself with the study.
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
        # The card where IPython shows the study itself in a terminal; a line in a list, and beside a notebook's HTML.
        alone = len(getattr(printer, "stack", ())) < 2
        printer.text(str(self) if alone and not in_notebook() else repr(self))

    @property
    def plot(self) -> Plots:
        """Pictures: ``history()``, ``parallel()``, ``importance()``, ``slice()``, ``contour()``, ``timeline()``..."""
        from producer.views.plots.plots import Plots

        return Plots(self)

    def to_optuna(self) -> optuna.Study:
        """Return the study as Optuna's, in memory: its trials, their parameters, distributions, scores and states.

        Returns
        -------
        optuna.study.Study
            Of what has ended by now, to be read, plotted and copied; not written to.

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

        So trials in messages that no worker could use are published again too, and those in whose place lie documents
        that are not this study's.

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
        self.store.update_study(self.id, {"$set": {"state": "RUNNING", "finished_at": None}})
        self.store.delete_failed(self.id)
        # What is not the study's own stands in the place of a trial of its.
        self.store.trials.delete(self.trials.others())
        return self._publish()

    def delete(self) -> None:
        """Delete the study with its results and models, and its data if no other study has the same.

        There is no way back. Workers drop its chunks. Called again, it deletes what a call that was cut short has left.

        Raises
        ------
        StoreError
            The database is unreachable.
        """
        # The models first: cut short, the next call still knows whose they are.
        self._delete_models()
        self.store.delete_study(self.id)
        self._delete_models()  # one that somebody asked for meanwhile
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
        """Raise before anything changes where a server is away from the beginning."""
        self.store.ping()
        broker.check(self.settings)


def _newest(store: Store) -> str:
    newest = [study.id for study in store.studies(StudyKey, limit=5)]
    return f"the newest are {', '.join(newest)}" if newest else "it holds no study yet"
