"""A read-only storage for Optuna that shows the current studies of the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from producer.results.own_trials import own_trials
from producer.views.optuna.convert import STUDY_FIELDS, Translator
from producer.views.optuna.read_only import ReadOnlyStorage, select
from producer.views.optuna.trial_cache import PLACE_BITS, CachedStudy, View
from warren.errors import InputError, StoreError, short
from warren.storage.documents import Document, now
from warren.storage.own_trials import OwnTrials
from warren.storage.store import Store

P = ParamSpec("P")
T = TypeVar("T")

# Seconds that the list of studies is reused: a page sends several requests at once.
_FRESH_SECONDS = 1.0
# Seconds that reading the list of studies may take, to report an unreachable database soon.
_LIST_SECONDS = 5.0
# Seconds by which results may be late: workers write them up to a second after the trial's end, and
# clocks differ.
_LATE_SECONDS = 15.0
# Most results that one read gets by end time; comparing numbers finds the rest.
_MOST_NEW = 20_000
# Comparing all numbers is expensive: it takes at most this share of the time.
_COMPARE_SHARE = 0.1
# Most trials kept in memory, about 4 kB each; the least recently shown studies are dropped first.
_MOST_TRIALS = 300_000
# A study's id in Optuna is the second of its creation since this date: stable across restarts, and
# ascending.
_FIRST_SECOND = datetime(2025, 1, 1, tzinfo=UTC)

_LIST_FIELDS = ("name", "state", "n_trials", "created_at", "publications", "progress", "objective.refit")
_NOTE = (
    "Trials are numbered in the order in which they ended. The attribute `number` is the trial's number in the study: "
    "a row of `study.results()`.\n\nThis page is read only. Pause, resume or cancel the study with `warren` or from a "
    "notebook."
)


class LiveStorage(ReadOnlyStorage):
    """Every study of a database for Optuna. Thread-safe.

    Trials are numbered in the order in which they ended, so that a page with the first n trials can
    ask for the later ones.

    Parameters
    ----------
    store : Store
    most_trials : int, default=300000
        Most trials to keep in memory, of all studies together.

    Raises
    ------
    StoreError
        From every method: the database is unreachable.
    """

    way_out = "control the study with the warren command or a notebook"

    def __init__(self, store: Store, most_trials: int = _MOST_TRIALS) -> None:
        self._store = store
        self._most_trials = most_trials
        self._lock = threading.Lock()
        self._listed_at = float("-inf")
        # When reading the list last failed, and why.
        self._away: tuple[float, str] = float("-inf"), ""
        # By id and creation time: a study deleted and submitted again gets a new id, as pages still
        # have the old trials.
        self._ids: dict[tuple[str, datetime], int] = {}
        # By id in Optuna, oldest study first.
        self._cached: dict[int, CachedStudy] = {}

    # ------------------------------------------------------------------- studies

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return every study, the oldest first."""
        return [self._frozen(cached) for cached in self._list()]

    def study_of(self, study_id: int) -> FrozenStudy:
        """Return the study with an id; raise `KeyError` without one."""
        return self._frozen(self._find(study_id))

    def _list(self) -> list[CachedStudy]:
        asked_at = time.monotonic()
        with self._lock:
            if time.monotonic() - self._listed_at > _FRESH_SECONDS:
                documents = self._ask(self._read_list, asked_at)
                self._listed_at = time.monotonic()
                before, self._cached = self._cached, {}
                for document in reversed(documents):
                    study_id = self._id_of(document)
                    cached = before.get(study_id) or CachedStudy(document, study_id, slot=len(self._ids) - 1)
                    cached.document = document
                    self._cached[study_id] = cached
            return list(self._cached.values())

    def _id_of(self, document: Document) -> int:
        key = (document["_id"], document["created_at"])
        if key not in self._ids:
            study_id = max(1, int((document["created_at"] - _FIRST_SECOND).total_seconds()))
            while study_id in self._ids.values():
                study_id += 1
            self._ids[key] = study_id
        return self._ids[key]

    def _read_list(self, asked_at: float) -> list[Document]:
        failed_at, why = self._away
        if failed_at > asked_at:  # while this thread waited for the lock: don't wait for another timeout
            raise StoreError(why)
        try:
            with self._store.within(_LIST_SECONDS):
                return self._store.studies(fields=_LIST_FIELDS)
        except StoreError as exc:
            self._away = time.monotonic(), str(exc)
            raise

    def _ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Query the database; every query goes through here."""
        return question(*args, **kwargs)

    def _find(self, study_id: int) -> CachedStudy:
        for cached in self._list():
            if cached.study_id == study_id:
                return cached
        raise KeyError(f"no study with the id {study_id}")

    def _frozen(self, cached: CachedStudy) -> FrozenStudy:
        document, progress = cached.document, cached.document["progress"]
        attributes = {
            "name": document["name"],
            "state": document["state"],
            "trials": document["n_trials"],
            "complete": progress["complete"],
            "failed": progress["failed"],
            "created": document["created_at"].astimezone().isoformat(" ", "seconds"),
        }
        system = {
            "study:metric_names": [document["objective"]["refit"]],
            "dashboard:note_ver": 1,
            "dashboard:note_str:0": _NOTE,
        }
        return FrozenStudy(document["_id"], StudyDirection.MAXIMIZE, attributes, system, cached.study_id)

    # -------------------------------------------------------------------- trials

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the ended trials of a study, in the order in which they ended and numbered so."""
        return select(self._look(study_id).trials, deepcopy=deepcopy, states=states)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial by its id; raise `KeyError` without one."""
        for cached in self._list():
            for trial in cached.trials[trial_id % (1 << PLACE_BITS) :][:1]:
                if trial._trial_id == trial_id:
                    return trial
        raise KeyError(f"no trial with the id {trial_id}")

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Return the trial with the best score; raise `ValueError` if no trial has a score."""
        best = self._look(study_id).best
        if best is None:
            raise ValueError("no trial has a score yet")
        return best

    def view(self, study_id: int) -> View:
        """Return everything that a page shows of a study; raise `KeyError` without such a study."""
        cached = self._look(study_id)
        with cached.lock:
            return cached.view(self._frozen(cached))

    def _look(self, study_id: int) -> CachedStudy:
        """Return a study with its current trials, at most a second old."""
        cached = self._find(study_id)
        with cached.lock:
            cached.asked_at = time.monotonic()
            self._read_new(cached)
        self._make_room(cached)
        return cached

    def _read_new(self, cached: CachedStudy) -> None:
        document = cached.document
        key, progress = document["_id"], document["progress"]
        counted = progress["complete"] + progress["failed"]
        publications = document.get("publications")
        counts_read = (publications, counted)
        if cached.counts_read == counts_read and cached.current >= counted:
            return
        moment = now()
        translator, own = cached.translator, cached.own
        if translator is None or own is None or cached.counts_read is None or cached.read_at is None:
            found = self._ask(self._store.study, key, STUDY_FIELDS)
            if found is None:
                raise KeyError(f"study {key!r} was deleted")
            try:
                cached.translator = translator = Translator(found, brief=True)
                cached.own = own = own_trials(self._store, found | {"n_trials": document["n_trials"]})
            except (InputError, ValueError, LookupError, TypeError, AttributeError) as exc:
                raise KeyError(f"study {key!r} has an invalid document: {short(str(exc))}") from exc
            cached.add(translator, self._ask(list, own.of(translator.fields)))
        else:
            if cached.counts_read[0] != publications:
                self._find_retried(cached, translator, own)
            since = cached.read_at - timedelta(seconds=_LATE_SECONDS)
            cached.add(translator, self._ask(own.ended_since, since, _MOST_NEW, translator.fields))
            if cached.current < counted and time.monotonic() > cached.may_compare_at:
                self._compare(cached, translator, own)
        cached.counts_read, cached.read_at = counts_read, moment

    def _find_retried(self, cached: CachedStudy, translator: Translator, own: OwnTrials) -> None:
        """Find the failed trials that were reset when the study was published again."""
        failed = cached.failed()
        found = self._ask(list, own.at(failed, translator.fields))
        cached.retry(set(failed) - {document["number"] for document in found})
        cached.add(translator, found)

    def _compare(self, cached: CachedStudy, translator: Translator, own: OwnTrials) -> None:
        """Find late results, such as those of a worker with a slow clock."""
        began = time.monotonic()
        missing = cached.unknown(self._ask(own.finished_numbers))
        cached.add(translator, self._ask(list, own.at(missing, translator.fields)))
        ended = time.monotonic()
        cached.may_compare_at = ended + (ended - began) / _COMPARE_SHARE

    def _make_room(self, latest: CachedStudy) -> None:
        """Drop the trials of the least recently shown studies while there are too many."""
        with self._lock:
            others = sorted(
                (study for study in self._cached.values() if study is not latest), key=lambda study: study.asked_at
            )
        kept = len(latest.trials) + sum(len(other.trials) for other in others)
        for other in others:
            if kept <= self._most_trials:
                return
            with other.lock:
                kept -= len(other.trials)
                other.forget()
