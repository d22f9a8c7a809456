"""Follows a study to its end by reading the database, and waits while that is unreachable."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from producer.publishing.lane_choice import unclaimed_gpu_chunks
from producer.results.missing_trials import LOOK_SECONDS, STILL_SECONDS, look_closely, stands_still
from producer.results.status import Status
from warren.errors import StoreError, StudyError, study_gone
from warren.printable import one_line
from warren.queues import GPU_QUEUE
from warren.retry import PERSONS_WAIT, Outage, patiently
from warren.settings import Settings
from warren.storage.store import Store
from warren.storage.study_document import StudyProgress, StudyStatus

logger = logging.getLogger(__name__)

# Seconds between reads of the study: the shortest for studies of seconds, the longest for those of
# hours.
_SHORTEST_POLL = 0.1
_LONGEST_POLL = 1.0
# Seconds without a new result before the trial documents are counted; counting is expensive, so it
# takes at most a tenth of the time.
_STALL_SECONDS = 5.0
_RECOUNT_SHARE = 10.0
# Seconds that a read and a count may take: otherwise, after a network failure, the driver would
# wait beyond the deadline. A read gets the least time also when the deadline is near.
_LOOK_SECONDS = 5.0
_LEAST_LOOK_SECONDS = 1.0
_RECOUNT_SECONDS = 120.0

# Seconds without a new result after which the broker is asked for chunks that wait for a GPU.
_UNHEARD_SECONDS = 15.0

ENDED = ("COMPLETE", "CANCELLED")
"""States of a study on which no trial follows, unless it is published again."""


def look(store: Store, study_id: str, settings: Settings | None = None) -> Status:
    """Return a study's status with one read, for a study of any size.

    If the study is stalled and `settings` name a broker, also asks that from time to time for the
    remaining trials.

    Raises
    ------
    StudyError
        The study does not exist any more.
    StoreError
        The database is unreachable.
    """
    document = store.study(study_id, StudyStatus)
    if document is None:
        raise study_gone(study_id)
    if settings is not None and stands_still(document) and look_closely(store, settings, study_id):
        return look(store, study_id)
    return Status.of(document)


@contextlib.contextmanager
def resumable(call: str) -> Iterator[None]:
    """Add a note to a KeyboardInterrupt: the study goes on, and which call waits again.

    Parameters
    ----------
    call : str
        The call, such as ``study.wait()``.
    """
    try:
        yield
    except KeyboardInterrupt as exc:
        # Notebooks and terminals show it as the last line of the traceback.
        exc.add_note(f"Only the waiting was stopped; the study goes on. {call} waits again.")
        raise


class Follower:
    """Follows one study to its end.

    Parameters
    ----------
    store : Store
    study_id : str
    deadline : float
        On the clock of `time.monotonic`; infinite to wait without limit.
    show : callable
        Called with each status.
    settings : Settings, default=None
        Name the broker, which is asked about a stalled study and waiting GPU chunks; None does not
        ask.
    """

    def __init__(
        self,
        store: Store,
        study_id: str,
        deadline: float,
        show: Callable[[Status], None],
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._id = study_id
        self._deadline = deadline
        self._show = show
        self._done = -1
        self._changed_at = time.monotonic()
        self._patience = _STALL_SECONDS
        # The warnings given so far: dead and lost trials, versions, and an incomplete submission.
        self._warned_dead = self._warned_lost = 0
        self._warned_versions = False
        self._warned_incomplete = False
        # When a trial was last seen to end, and whether the warning about waiting GPU chunks was
        # given.
        self._moved_at = self._changed_at
        self._warned_gpu = False
        self._look_closely_at = self._changed_at + STILL_SECONDS

    def run(self) -> None:
        """Return when every trial has ended or the study is cancelled.

        Raises
        ------
        TimeoutError
            The deadline has passed.
        StudyError
            The remaining trials are all dead letters or lost, or the study was deleted.
        """
        outage = Outage(logger, "the database")
        read_status = patiently(
            StoreError,
            "can't read the study for now",
            None,
            stop=lambda _: self._left() <= 0,
            wait=self._sleep,
            longest=PERSONS_WAIT,
            on_away=lambda reason: outage.begin(f"can't read study {self._id} for now; the study goes on", reason),
            on_back=outage.end,
        )
        poll = _SHORTEST_POLL
        while True:
            try:
                status = read_status(self._read_status)
            except StoreError as exc:
                raise self._time_over() from exc
            self._show(status)
            self._warn_of_versions(status)
            if status.state in ENDED:
                return
            self._warn_of_missing(status)
            if self._left() <= 0:
                raise self._time_over()
            self._sleep(poll)
            poll = min(_LONGEST_POLL, poll * 1.2)

    def _read_status(self) -> Status:
        """Return the status; recount results and look for lost trials if the study is stalled."""
        status = self._read()
        moment = time.monotonic()
        if self._settings is not None and status.state == "RUNNING" and moment >= self._look_closely_at:
            self._look_closely_at = moment + LOOK_SECONDS
            with self._store.within(max(_LEAST_LOOK_SECONDS, min(_RECOUNT_SECONDS, self._left()))):
                look_closely(self._store, self._settings, self._id)
            status = self._read()
        if status.done != self._done:
            self._done, self._changed_at, self._moved_at = status.done, moment, moment
        elif status.state == "RUNNING" and moment - self._changed_at > self._patience:
            # If a worker died between writing a result and counting it, the count is too low.
            with self._store.within(max(_LEAST_LOOK_SECONDS, min(_RECOUNT_SECONDS, self._left()))):
                self._store.recount(self._id)
            self._changed_at = time.monotonic()
            self._patience = max(_STALL_SECONDS, _RECOUNT_SHARE * (self._changed_at - moment))
            status = self._read()
            self._warn_of_incomplete(status)
            self._warn_of_gpu()
        return status

    def _read(self) -> Status:
        with self._store.within(max(_LEAST_LOOK_SECONDS, min(_LOOK_SECONDS, self._left()))):
            return look(self._store, self._id)

    def _warn_of_missing(self, status: Status) -> None:
        """Warn of dead and lost trials; raise if no other trials are left."""
        gone = [text for text in (status.dead_text, status.lost_text) if text]
        all_gone = status.done + status.dead + status.lost >= status.total
        if gone and all_gone and (status.lost_for_certain or not status.lost):
            raise StudyError(f"study {self._id}: {'. '.join(gone)}")
        others = "" if all_gone else ". The others go on"
        if status.dead > self._warned_dead:
            self._warn(f"{status.dead_text}{others}")
        if status.lost > self._warned_lost:
            self._warn(f"{status.lost_text}{others}")
        self._warned_dead, self._warned_lost = status.dead, status.lost

    def _warn_of_versions(self, status: Status) -> None:
        """Warn once if the notebook and the workers have different versions of the libraries."""
        if status.versions_text and not self._warned_versions:
            self._warned_versions = True
            self._warn(status.versions_text)

    def _warn_of_incomplete(self, status: Status) -> None:
        """Warn once that a stalled study may not be published completely."""
        if status.state == "RUNNING" and status.submitted_at is None and not self._warned_incomplete:
            self._warned_incomplete = True
            self._warn(
                "its submission has not ended. If no process submits it any more, study.resume() or the same submit() "
                "publishes the rest"
            )

    def _warn_of_gpu(self) -> None:
        """Warn once that chunks of a stalled study wait for a worker with a GPU."""
        if self._settings is None or self._warned_gpu or time.monotonic() - self._moved_at < _UNHEARD_SECONDS:
            return
        with self._store.within(_LEAST_LOOK_SECONDS):
            study = self._store.study(self._id, StudyProgress)
        waiting = unclaimed_gpu_chunks(self._settings) if study and study.gpu_trials else 0
        if waiting:
            self._warned_gpu = True
            chunks = "1 chunk waits" if waiting == 1 else f"{waiting:,} chunks wait"
            self._warn(
                f"{chunks} in {GPU_QUEUE}, and no worker with a GPU listens there: none runs, or all are busy. Start "
                "`python -m worker` on a machine with a GPU (WARREN_DEVICE=auto)"
            )

    def _warn(self, text: str) -> None:
        # On one line and printable: without logging handlers, Python prints it unchanged.
        logger.warning("study %s: %s", one_line(self._id), one_line(text))

    def _time_over(self) -> TimeoutError:
        return TimeoutError(
            f"study {one_line(self._id)}: {max(self._done, 0)} trials have ended within the timeout; the study goes on"
        )

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, min(seconds, self._left())))
