"""Write finished trials to the store in batches, and keep them until they are durable."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import datetime

from tenacity import stop_never
from tenacity.stop import stop_base

from warren.errors import StoreError, StudyError
from warren.retry import patiently
from warren.settings import Settings
from warren.storage.documents import Document, now, unpack
from warren.storage.store import Store
from warren.storage.study_document import StudyState
from warren.storage.unfinished import DoneFold, SeenEpochs, Try
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics

logger = logging.getLogger(__name__)

# Least seconds between two counts: less than between two reads of the study, which a count
# replaces.
_COUNT_SECONDS = 0.9
# A database with many workers is slow to answer. Counting may take only this part of the time,
# because nothing depends on it; but it is never delayed longer than a person waits.
_COUNT_SHARE = 1 / 30
_COUNT_SECONDS_AT_MOST = 5.0
# Documents in one write: a second of no-op trials, far below MongoDB's limit of 48 MB a message.
_BATCH = 1000


class ResultWriter:
    """Writes results, and counts them in their study.

    Parameters
    ----------
    store : Store
        The worker's database.
    settings : Settings
        How long a result may wait for others.
    metrics : Metrics
        Counts results and reconnects.
    pulse : Pulse
        Records whether the database can be reached.
    stop : tenacity stop, default=never
        When to give up on an unreachable database; results not written are lost, and evaluated
        again.
    """

    def __init__(
        self, store: Store, settings: Settings, metrics: Metrics, pulse: Pulse, stop: stop_base = stop_never
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._flush_seconds = settings.flush_seconds
        self._waiting: list[bytes] = []
        # Folds that wait, by trial; a result replaces them.
        self._folds: dict[int, list[DoneFold]] = {}
        # The newest epochs that wait, by trial and fold.
        self._epochs: dict[tuple[int, int], SeenEpochs] = {}
        # Trials that were abandoned, by which worker, and when.
        self._abandoned: tuple[list[int], str, datetime] | None = None
        self._oldest = self._oldest_epochs = 0.0
        # The study of the current chunk, its trials with a note of unfinished work, and those of
        # them that ended since.
        self._study_id = ""
        self._noted: set[int] = set()
        self._ended: set[int] = set()
        # Results that are written but not counted; and the time of the last count.
        self._uncounted: list[Document] = []
        self._counted_at = float("-inf")
        self._count_pause = _COUNT_SECONDS

        def back() -> None:
            pulse.ready("database")
            metrics.reconnected("database")

        self.retry = patiently(
            StoreError,
            "finished trials wait for the database",
            logger,
            server="the database",
            stop=stop,
            on_away=lambda reason: pulse.unready("database", reason),
            on_back=back,
        )

    def begin(self, study_id: str, noted: Iterable[int]) -> None:
        """Begin a chunk of a study.

        The database has a note of unfinished work for the trials in `noted`.
        """
        self._study_id = study_id
        self._noted = set(noted)

    def add(self, number: int, packed: bytes) -> None:
        """Add a trial's document, packed."""
        if not self._waiting:
            self._oldest = time.monotonic()
        self._waiting.append(packed)
        self._metrics.results_waiting(len(self._waiting))
        self._folds.pop(number, None)
        for key in [key for key in self._epochs if key[0] == number]:
            del self._epochs[key]
        if number in self._noted:
            self._ended.add(number)

    def add_fold(self, fold: DoneFold) -> None:
        """Add a fold of a trial that has not ended."""
        self._folds.setdefault(fold.number, []).append(fold)

    def add_epochs(self, seen: SeenEpochs) -> None:
        """Add epochs of a network that is being trained; they replace those that wait."""
        if not self._epochs:
            self._oldest_epochs = time.monotonic()
        self._epochs[seen.number, seen.fold] = seen

    def abandon(self, numbers: Iterable[int], worker: str) -> None:
        """Note that this worker abandons trials."""
        self._abandoned = ([*numbers], worker, now())

    def add_try(self, number: int, attempt: Try) -> None:
        """Write at once that a trial ended the training process: it may end the worker next."""
        self.retry(self._store.unfinished.add_try, self._study_id, number, attempt)
        self._noted.add(number)

    def seconds_left(self) -> float:
        """Return the seconds until something must be written; infinite if nothing waits."""
        if self._folds or len(self._waiting) >= _BATCH:
            return 0.0  # folds are sent only when they hold enough work, so they don't wait
        since = [self._oldest] if self._waiting else []
        if self._epochs:
            since.append(self._oldest_epochs)
        return max(0.0, min(since) + self._flush_seconds - time.monotonic()) if since else float("inf")

    def write(self) -> None:
        """Write everything that waits; afterwards it is durable, but not counted yet.

        Raises
        ------
        StoreError
            The database was unreachable until `stop` gave up.
        """
        if self._waiting or self._folds or self._epochs or self._ended or self._abandoned:
            self.retry(self._write)

    def _write(self) -> None:
        new = self._store.trials.insert(self._waiting)
        documents = [unpack(self._waiting[position]) for position in new]
        self._metrics.trials_ended(documents)
        self._uncounted += documents
        self._waiting.clear()
        self._metrics.results_waiting(0)
        if self._folds:
            self._store.unfinished.keep_folds([fold for folds in self._folds.values() for fold in folds])
            self._noted.update(self._folds)
            self._folds.clear()
        if self._epochs:
            self._store.unfinished.see_epochs([*self._epochs.values()])
            self._noted.update(number for number, _ in self._epochs)
            self._epochs.clear()
        if self._abandoned:
            numbers, worker, at = self._abandoned
            self._store.unfinished.abandon(self._study_id, numbers, worker, at)
            self._noted.update(numbers)
            self._abandoned = None
        if self._ended:
            # After the results: a crash in between leaves a useless note, but loses no fold.
            self._store.unfinished.drop(self._study_id, self._ended)
            self._ended.clear()

    def forget(self) -> None:
        """Discard what waits: its chunk is requeued."""
        self._waiting.clear()
        self._folds.clear()
        self._epochs.clear()
        self._ended.clear()
        self._abandoned = None

    @property
    def uncounted(self) -> bool:
        """Whether written results wait to be counted."""
        return bool(self._uncounted)

    def count_due(self) -> bool:
        """Return whether written results wait and the last count is long enough ago."""
        return self.uncounted and time.monotonic() - self._counted_at >= self._count_pause

    def count(self) -> list[StudyState | None]:
        """Count written results; return the studies afterwards, None for a deleted one."""
        return self.retry(self._count) if self._uncounted else []

    def _count(self) -> list[StudyState | None]:
        studies: list[StudyState | None] = []
        began = time.monotonic()
        while self._uncounted:
            study_id = self._uncounted[0]["study_id"]
            mine = [document for document in self._uncounted if document["study_id"] == study_id]
            try:
                study = self._store.add_progress(study_id, mine)
            except StudyError as exc:  # its document was changed by hand
                logger.warning("counted results of a study that can't be read", extra={"reason": str(exc)})
            else:
                if study is None:  # deleted in the meantime: delete later results, too
                    self._store.delete_results(study_id)
                studies.append(study)
            self._uncounted = [document for document in self._uncounted if document["study_id"] != study_id]
        self._counted_at = time.monotonic()
        pause = (self._counted_at - began) / _COUNT_SHARE
        self._count_pause = min(max(pause, _COUNT_SECONDS), _COUNT_SECONDS_AT_MOST)
        return studies
