"""Following a study from the database alone, also while that comes and goes."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from producer.publishing.lane_choice import unheard_gpu_chunks
from producer.results.missing_trials import LOOK_SECONDS, STILL_SECONDS, look_closely, stands_still
from producer.results.status import Status
from warren.errors import StoreError, StudyError
from warren.queues import GPU_QUEUE
from warren.retry import PERSONS_WAIT, Outage, patiently
from warren.safety.printable import one_line
from warren.settings import Settings
from warren.storage.store import Store
from warren.storage.study_document import StudyProgress, StudyStatus

logger = logging.getLogger(__name__)

# Seconds between two looks at a study that is followed: the first for studies of seconds, the last for nights.
_SHORTEST_POLL = 0.1
_LONGEST_POLL = 1.0
# Seconds without a new result before the documents themselves are counted; counting is dear, so it is
# also never more than a tenth of the time.
_STALL_SECONDS = 5.0
_RECOUNT_SHARE = 10.0
# Seconds that a look may take, and a count; without an end to them, a cut in the network would be waited for in the
# driver, and the time could not be over meanwhile. A look gets its least also when the time is almost over.
_LOOK_SECONDS = 5.0
_LEAST_LOOK_SECONDS = 1.0
_RECOUNT_SECONDS = 120.0

# Seconds without a new result after which the broker is asked who waits for a GPU.
_UNHEARD_SECONDS = 15.0

_ENDED = ("COMPLETE", "CANCELLED")


def look(store: Store, study_id: str, settings: Settings | None = None) -> Status:
    """Return how far a study is: one read, whatever its size.

    Of a study that stands still the broker is asked now and then what is left of it, where `settings` name one.

    Raises
    ------
    StudyError
        It is not there any more.
    StoreError
        The database is unreachable.
    """
    document = store.study(study_id, StudyStatus)
    if document is None:
        raise gone(study_id)
    if settings is not None and stands_still(document) and look_closely(store, settings, study_id):
        return look(store, study_id)
    return Status.of(document)


def gone(study_id: str) -> StudyError:
    """Return the error for a study that has been deleted."""
    return StudyError(f"study {study_id!r} is not in the database any more")


@contextlib.contextmanager
def resumable(call: str) -> Iterator[None]:
    """Add to an interrupt, whenever it comes, that the study goes on and which call waits again.

    Parameters
    ----------
    call : str
        What to call.
    """
    try:
        yield
    except KeyboardInterrupt as exc:
        # The last line of the traceback, in a notebook and a terminal.
        exc.add_note(f"Only the waiting was stopped; the study goes on. {call} waits again.")
        raise


class Follower:
    """Follows one study to its end.

    Parameters
    ----------
    store : Store
    study_id : str
    deadline : float
        Of `time.monotonic`; infinite for as long as it takes.
    show : callable
        Gets each status.
    settings : Settings, default=None
        Names the broker, which is asked about a study that stands still and wants GPUs; None does not ask.
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
        # What was told of trials in messages that no worker can use, and of a submission that was cut short.
        self._told_dead = self._told_lost = 0
        self._told_versions = False
        self._told_cut = False
        # When the last trial ended, as far as it was seen, and whether it was told that nobody takes what wants a GPU.
        self._moved_at = self._changed_at
        self._told_unheard = False
        self._look_closely_at = self._changed_at + STILL_SECONDS

    def run(self) -> None:
        """Return when every trial has ended or the study is cancelled.

        Raises
        ------
        TimeoutError
            The time is over.
        StudyError
            No worker can use what is left, the broker has removed it, or the study was deleted.
        """
        outage = Outage(logger, "the database")
        see = patiently(
            StoreError,
            "can't see the study for now",
            None,
            stop=lambda _: self._left() <= 0,
            wait=self._sleep,
            longest=PERSONS_WAIT,
            on_away=lambda reason: outage.begin(f"can't see study {self._id} for now, it goes on", reason),
            on_back=outage.end,
        )
        poll = _SHORTEST_POLL
        while True:
            try:
                status = see(self._see)
            except StoreError as exc:
                raise self._time_over() from exc
            self._show(status)
            self._tell_versions(status)
            if status.state in _ENDED:
                return
            self._tell(status)
            if self._left() <= 0:
                raise self._time_over()
            self._sleep(poll)
            poll = min(_LONGEST_POLL, poll * 1.2)

    def _see(self) -> Status:
        """Return the status; counted anew where a count may have been missed, and what is left of it looked for."""
        status = self._look()
        moment = time.monotonic()
        if self._settings is not None and status.state == "RUNNING" and moment >= self._look_closely_at:
            self._look_closely_at = moment + LOOK_SECONDS
            with self._store.within(max(_LEAST_LOOK_SECONDS, min(_RECOUNT_SECONDS, self._left()))):
                look_closely(self._store, self._settings, self._id)
            status = self._look()
        if status.done != self._done:
            self._done, self._changed_at, self._moved_at = status.done, moment, moment
        elif status.state == "RUNNING" and moment - self._changed_at > self._patience:
            # A worker that died between a result and its count leaves the count too low.
            with self._store.within(max(_LEAST_LOOK_SECONDS, min(_RECOUNT_SECONDS, self._left()))):
                self._store.recount(self._id)
            self._changed_at = time.monotonic()
            self._patience = max(_STALL_SECONDS, _RECOUNT_SHARE * (self._changed_at - moment))
            status = self._look()
            self._tell_cut(status)
            self._tell_unheard()
        return status

    def _look(self) -> Status:
        with self._store.within(max(_LEAST_LOOK_SECONDS, min(_LOOK_SECONDS, self._left()))):
            return look(self._store, self._id)

    def _tell(self, status: Status) -> None:
        """Say which trials no worker can use; raise where no others are left, or nothing is left of them."""
        gone = [text for text in (status.dead_text, status.lost_text) if text]
        all_gone = status.done + status.dead + status.lost >= status.total
        if gone and all_gone and (status.lost_for_certain or not status.lost):
            raise StudyError(f"study {self._id}: {'. '.join(gone)}")
        others = "" if all_gone else ". The others go on"
        if status.dead > self._told_dead:
            self._warn(f"{status.dead_text}{others}")
        if status.lost > self._told_lost:
            self._warn(f"{status.lost_text}{others}")
        self._told_dead, self._told_lost = status.dead, status.lost

    def _tell_versions(self, status: Status) -> None:
        """Say once that notebook and workers differ in what makes numbers and reads models."""
        if status.versions_text and not self._told_versions:
            self._told_versions = True
            self._warn(status.versions_text)

    def _tell_cut(self, status: Status) -> None:
        """Say that a part may never have been published, when nothing moves."""
        if status.state == "RUNNING" and status.submitted_at is None and not self._told_cut:
            self._told_cut = True
            self._warn(
                "its submission has not ended. If nobody is at it any more, study.resume() or the same submit() "
                "publishes the rest"
            )

    def _tell_unheard(self) -> None:
        """Say that no worker with a GPU is there, or none is free, when nothing has moved for a while."""
        if self._settings is None or self._told_unheard or time.monotonic() - self._moved_at < _UNHEARD_SECONDS:
            return
        with self._store.within(_LEAST_LOOK_SECONDS):
            study = self._store.study(self._id, StudyProgress)
        waiting = unheard_gpu_chunks(self._settings) if study and study.gpu_trials else 0
        if waiting:
            self._told_unheard = True
            chunks = "1 chunk waits" if waiting == 1 else f"{waiting:,} chunks wait"
            self._warn(
                f"{chunks} in {GPU_QUEUE}, and no worker with a GPU listens there: none is up, or all have a chunk in "
                "hand. `python -m worker` on a machine with a GPU takes them (WARREN_DEVICE=auto)"
            )

    def _warn(self, text: str) -> None:
        # On one line and printable: where nobody has set logging up, Python shows it as it is.
        logger.warning("study %s: %s", one_line(self._id), one_line(text))

    def _time_over(self) -> TimeoutError:
        return TimeoutError(
            f"study {one_line(self._id)}: {max(self._done, 0)} trials had ended when the time was over; it goes on"
        )

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, min(seconds, self._left())))
