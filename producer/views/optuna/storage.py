"""Optuna's storage of the database's studies: read-only and always current."""

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
from producer.views.optuna.convert import Translator
from producer.views.optuna.read_only import ReadOnlyStorage, select
from producer.views.optuna.trial_cache import PLACE_BITS, Listed, Seen, View
from warren.errors import InputError, StoreError, StudyError, short
from warren.storage.documents import now
from warren.storage.own_trials import OwnTrials
from warren.storage.store import Store
from warren.storage.study_document import StudySpace

P = ParamSpec("P")
T = TypeVar("T")

# Seconds for which a read of the database is reused: a page sends several requests at once.
_FRESH_SECONDS = 1.0
# Seconds that a read of the list of studies may take, so that a lost database shows soon.
_LIST_SECONDS = 5.0
# Seconds by which results may be late: workers write up to a second late, and clocks differ.
_LATE_SECONDS = 15.0
# Most results that one read finds by their time; a comparison of numbers finds any others.
_MOST_NEW = 20_000
# A comparison of all numbers is expensive: it takes at most this share of the time.
_COMPARE_SHARE = 0.1
# Most trials in memory, of about 4 kB each; above, the least recently read studies are dropped.
_MOST_TRIALS = 300_000
# A study's id for Optuna is the second of its creation since then, or higher if that is taken: it
# is the same after a restart.
_FIRST_SECOND = datetime(2025, 1, 1, tzinfo=UTC)

_NOTE = (
    "Trials are numbered in the order in which they ended. The attribute `number` is the trial's number in the study: "
    "a row of `study.results()`.\n\nThis page is read only. Pause, resume or cancel the study with `warren` or from a "
    "notebook."
)


class LiveStorage(ReadOnlyStorage):
    """Every study of a database for Optuna. It is safe for threads.

    Trials are numbered in the order in which they ended (Optuna numbers them in the order in which
    they began): a page with the first n of them then asks only for later ones.

    Parameters
    ----------
    store : Store
    most_trials : int, default=300000
        Most trials in memory, over all studies.

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
        # When a read of the list last failed, and the error.
        self._away: tuple[float, str] = float("-inf"), ""
        # By name and creation: a study that was submitted again after a deletion is another one,
        # because pages have trials of the first.
        self._ids: dict[tuple[str, datetime], int] = {}
        # By Optuna's id, oldest study first.
        self._seen: dict[int, Seen] = {}

    # ------------------------------------------------------------------- studies

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return every study, the oldest first."""
        return [self._frozen(seen) for seen in self._list()]

    def study_of(self, study_id: int) -> FrozenStudy:
        """Return the study with an id; raise `KeyError` without one."""
        return self._frozen(self._find(study_id))

    def _list(self) -> list[Seen]:
        asked_at = time.monotonic()
        with self._lock:
            if time.monotonic() - self._listed_at > _FRESH_SECONDS:
                studies = self._ask(self._read_list, asked_at)
                self._listed_at = time.monotonic()
                before, self._seen = self._seen, {}
                for study in reversed(studies):
                    study_id = self._id_of(study)
                    seen = before.get(study_id) or Seen(study, study_id, slot=len(self._ids) - 1)
                    seen.study = study
                    self._seen[study_id] = seen
            return list(self._seen.values())

    def _id_of(self, study: Listed) -> int:
        key = (study.id, study.created_at)
        if key not in self._ids:
            study_id = max(1, int((study.created_at - _FIRST_SECOND).total_seconds()))
            while study_id in self._ids.values():
                study_id += 1
            self._ids[key] = study_id
        return self._ids[key]

    def _read_list(self, asked_at: float) -> list[Listed]:
        failed_at, why = self._away
        if failed_at > asked_at:  # while this thread waited for the lock; it must not wait for the same failure again
            raise StoreError(why)
        try:
            with self._store.within(_LIST_SECONDS):
                return self._store.studies(Listed)
        except StoreError as exc:
            self._away = time.monotonic(), str(exc)
            raise

    def _ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a query; every query of the database is made here."""
        return question(*args, **kwargs)

    def _find(self, study_id: int) -> Seen:
        for seen in self._list():
            if seen.study_id == study_id:
                return seen
        raise KeyError(f"no study with the id {study_id}")

    def _frozen(self, seen: Seen) -> FrozenStudy:
        study = seen.study
        noted = {
            "name": study.name,
            "state": study.state,
            "trials": study.n_trials,
            "complete": study.progress.complete,
            "failed": study.progress.failed,
            "created": study.created_at.astimezone().isoformat(" ", "seconds"),
        }
        system = {
            "study:metric_names": [study.objective.refit],
            "dashboard:note_ver": 1,
            "dashboard:note_str:0": _NOTE,
        }
        return FrozenStudy(study.id, StudyDirection.MAXIMIZE, noted, system, seen.study_id)

    # -------------------------------------------------------------------- trials

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return a study's ended trials, sorted by their end; a trial's number is its index."""
        return select(self._look(study_id).trials, deepcopy=deepcopy, states=states)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial by its id; raise `KeyError` without one."""
        for seen in self._list():
            for trial in seen.trials[trial_id % (1 << PLACE_BITS) :][:1]:
                if trial._trial_id == trial_id:
                    return trial
        raise KeyError(f"no trial with the id {trial_id}")

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Return the trial with the best score; raise `ValueError` if none has a score."""
        best = self._look(study_id).best
        if best is None:
            raise ValueError("no trial has a score yet")
        return best

    def view(self, study_id: int) -> View:
        """Return everything that a page shows of a study; raise `KeyError` without such a study."""
        seen = self._look(study_id)
        with seen.lock:
            return seen.view(self._frozen(seen))

    def _look(self, study_id: int) -> Seen:
        """Return a study with its current trials, at most a second old."""
        seen = self._find(study_id)
        with seen.lock:
            seen.asked_at = time.monotonic()
            self._read_new(seen)
        self._make_room(seen)
        return seen

    def _read_new(self, seen: Seen) -> None:
        counted, publications = seen.study.progress.done, seen.study.publications
        looked = (publications, counted)
        if seen.looked == looked and seen.current >= counted:
            return
        moment = now()
        translator, own = seen.translator, seen.own
        if translator is None or own is None or seen.looked is None or seen.looked_at is None:
            seen.translator, seen.own = translator, own = self._definition(seen.study.id)
            seen.add(translator, self._ask(list, own.of(translator.fields)))
        else:
            if seen.looked[0] != publications:
                self._find_retried(seen, translator, own)
            since = seen.looked_at - timedelta(seconds=_LATE_SECONDS)
            seen.add(translator, self._ask(own.ended_since, since, _MOST_NEW, translator.fields))
            if seen.current < counted and time.monotonic() > seen.may_compare_at:
                self._compare(seen, translator, own)
        seen.looked, seen.looked_at = looked, moment

    def _definition(self, study_id: str) -> tuple[Translator, OwnTrials]:
        """Read a study's definition; raise `KeyError` if it was deleted or is invalid."""
        try:
            found = self._ask(self._store.study, study_id, StudySpace)
            made = (Translator(found, brief=True), own_trials(self._store, found)) if found else None
        except (InputError, StudyError, ValueError, LookupError, TypeError, AttributeError) as exc:
            raise KeyError(f"study {study_id!r} has an invalid document: {short(str(exc))}") from exc
        if made is None:
            raise KeyError(f"study {study_id!r} was deleted")
        return made

    def _find_retried(self, seen: Seen, translator: Translator, own: OwnTrials) -> None:
        """Find failed trials that were reset by a later publication."""
        failed = seen.failed()
        found = self._ask(list, own.at(failed, translator.fields))
        seen.retry(set(failed) - {document["number"] for document in found})
        seen.add(translator, found)

    def _compare(self, seen: Seen, translator: Translator, own: OwnTrials) -> None:
        """Find late results: from a worker whose clock is behind, or after a lost database."""
        began = time.monotonic()
        missing = seen.unknown(self._ask(own.finished_numbers))
        seen.add(translator, self._ask(list, own.at(missing, translator.fields)))
        ended = time.monotonic()
        seen.may_compare_at = ended + (ended - began) / _COMPARE_SHARE

    def _make_room(self, latest: Seen) -> None:
        """Drop the trials of the least recently read studies while there are too many in memory."""
        with self._lock:
            others = sorted((one for one in self._seen.values() if one is not latest), key=lambda one: one.asked_at)
        kept = len(latest.trials) + sum(len(other.trials) for other in others)
        for other in others:
            if kept <= self._most_trials:
                return
            with other.lock:
                kept -= len(other.trials)
                other.forget()
