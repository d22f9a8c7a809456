"""From a message to a verdict: what a worker does with one chunk, on a thread of its own.

The training process trains; this thread hands it the chunk, takes the results, writes them, and watches
for what can end a chunk early: a crash, a time-out, a pause, a cancel, a newer publication, an eviction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile

from tenacity import RetryCallState
from tenacity.stop import stop_base

from tuning.boosting import shared_fit
from tuning.errors import MessageError, StoreError
from tuning.messages import Chunk, Trial, decode_chunk
from tuning.settings import Settings
from tuning.store import Document, Store, pack
from worker.documents import crash_outcome, started, trial_document
from worker.results import ResultWriter
from worker.trainer import ChildLostError, Trainer, TrialTimeoutError

logger = logging.getLogger(__name__)

# Seconds between looks at the study while a long trial runs: a pause takes effect within one trial.
_CONTROL_SECONDS = 1.0
# Seconds between looks at the stop flag; forty workers on a laptop wake up often enough.
_TICK_SECONDS = 0.25


class Verdict(StrEnum):
    """What becomes of a message."""

    ACKNOWLEDGE = "acknowledge"
    REQUEUE = "requeue"
    DEAD_LETTER = "dead letter"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A verdict, and the reason where it is a dead letter."""

    verdict: Verdict
    reason: str = ""


class _StopAsked(stop_base):
    """Give up on a database that is away once the worker's grace is over."""

    def __init__(self, runner: ChunkRunner) -> None:
        self._runner = runner

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002 - tenacity's signature
        return time.monotonic() >= self._runner.stop_at


@dataclass
class _Progress:
    """How far a chunk has come."""

    chunk: Chunk
    # Numbers that have a result, and the trials that have none, in order.
    done: set[int]
    todo: deque[Trial] = field(init=False)
    attempts: dict[str, int] = field(default_factory=dict)
    # Numbers that share no fit any more: one that they shared took its process down.
    alone: set[int] = field(default_factory=set)
    # When the trial in hand began, on the monotonic clock; None while data and libraries are loaded.
    began: float | None = None
    stop_sent: bool = False

    def __post_init__(self) -> None:
        self.todo = deque(trial for trial in self.chunk.trials if trial.number not in self.done)

    def part(self) -> bool:
        """Let the trials that share the fit in hand be fitted alone; return False where it has but one."""
        if not self.chunk.share_fits or self.todo[0].number in self.alone:
            return False
        keys = [shared_fit(trial.estimator or self.chunk.objective.estimator, trial.params) for trial in self.todo]
        sharing = [
            trial.number
            for trial, _ in takewhile(
                lambda pair: pair[1] and keys[0] and pair[1].key == keys[0].key, zip(self.todo, keys, strict=True)
            )
        ]
        self.alone.update(sharing)
        return len(sharing) > 1

    def end(self, number: int) -> None:
        """Take note that a trial has ended, most often the first to do."""
        self.done.add(number)
        if self.todo[0].number == number:
            self.todo.popleft()
        else:
            self.todo = deque(trial for trial in self.todo if trial.number != number)


class ChunkRunner:
    """Runs chunks one after the other.

    Parameters
    ----------
    store : Store
    settings : Settings
    trainer : Trainer
        The training process, kept warm between chunks.
    """

    def __init__(self, store: Store, settings: Settings, trainer: Trainer) -> None:
        self._store = store
        self._settings = settings
        self._trainer = trainer
        self._stopping = threading.Event()
        self.stop_at = float("inf")
        self._writer = ResultWriter(store, settings, _StopAsked(self))
        # The study as last seen, and when: a look a second is enough.
        self._seen: tuple[float, Document | None] = (0.0, None)

    def stop(self, grace_seconds: float) -> None:
        """Stop after the trial in hand, which gets `grace_seconds` more. Called from another thread."""
        self.stop_at = min(self.stop_at, time.monotonic() + grace_seconds)
        self._stopping.set()

    def ready_again(self) -> None:
        """Forget a stop that was for one connection only."""
        self._stopping.clear()
        self.stop_at = float("inf")

    def run(self, body: bytes) -> Outcome:
        """Evaluate a chunk and write its results.

        Parameters
        ----------
        body : bytes
            The message.

        Returns
        -------
        Outcome
            ``ACKNOWLEDGE`` only when every result that is due is durable.
        """
        try:
            chunk = decode_chunk(body)
        except MessageError as exc:
            return Outcome(verdict=Verdict.DEAD_LETTER, reason=str(exc))
        try:
            if not _wanted(self._look(chunk, new=True), chunk):
                logger.info(
                    "dropped a chunk that is not wanted any more: study=%s chunk=%d", chunk.study_id, chunk.index
                )
                return Outcome(verdict=Verdict.ACKNOWLEDGE)
            numbers = [trial.number for trial in chunk.trials]
            progress = _Progress(chunk, self._writer.retry(self._store.finished_numbers, chunk.study_id, numbers))
            return self._train(body, progress)
        except StoreError as exc:  # only after the grace is over
            logger.warning("gave a chunk back with results unwritten: study=%s reason=%s", chunk.study_id, exc)
            self._trainer.kill()
            self._writer.forget()
            return Outcome(verdict=Verdict.REQUEUE)

    def settle(self, *, idle: bool = False) -> None:
        """Count written results now and then, and when the worker is `idle`: no acknowledgement waits for it."""
        if idle or self._writer.count_due():
            try:
                self._see(self._writer.count())
            except StoreError as exc:  # the grace is over; whoever follows the study counts the documents
                logger.warning("left results uncounted: reason=%s", exc)

    def _see(self, studies: list[Document | None]) -> None:
        if studies:
            self._seen = (time.monotonic(), studies[-1])

    def _look(self, chunk: Chunk, *, new: bool = False) -> Document | None:
        """Return the study's state and generation, at most a moment old."""
        seen_at, study = self._seen
        old = time.monotonic() - seen_at > _CONTROL_SECONDS
        # A new chunk of a later publication is news of the study: what was seen before it may say "paused" still.
        news = new and study is not None and study["generation"] < chunk.generation
        if old or news or study is None or study["_id"] != chunk.study_id:
            study = self._writer.retry(self._store.study, chunk.study_id, ("state", "generation"))
            self._seen = (time.monotonic(), study)
        return study

    def _train(self, body: bytes, progress: _Progress) -> Outcome:
        chunk, began = progress.chunk, time.monotonic()
        while progress.todo and not self._stopping.is_set():
            progress.began, progress.stop_sent = None, False
            try:
                self._trainer.begin(body, progress.done, progress.attempts, progress.alone)
                outcome = self._collect(progress)
            except TrialTimeoutError as exc:
                # Not tried again: the limit is the user's word, and a second try would take as long.
                self._blame(progress, str(exc), most=1)
                continue
            except ChildLostError as exc:
                self._blame(progress, str(exc), most=self._settings.max_attempts)
                continue
            if outcome is not None:
                return outcome
            break
        self._writer.write()
        left = len(progress.todo)
        logger.info(
            "chunk ended: study=%s chunk=%d trials=%d left=%d seconds=%.1f",
            chunk.study_id,
            chunk.index,
            len(chunk.trials),
            left,
            time.monotonic() - began,
        )
        given_back = left and _wanted(self._look(chunk), chunk)
        return Outcome(verdict=Verdict.REQUEUE if given_back else Verdict.ACKNOWLEDGE)

    def _collect(self, progress: _Progress) -> Outcome | None:
        """Take results until the child is done; return an outcome only if the chunk can't be evaluated at all."""
        chunk = progress.chunk
        while True:
            message = self._trainer.receive(min(_TICK_SECONDS, self._writer.seconds_left()))
            match message:
                case ("r", _):
                    progress.began = time.monotonic()
                case ("t", ended):
                    progress.end(int.from_bytes(ended[:8], "little"))
                    progress.began = time.monotonic()
                    self._writer.add(ended[8:])
                case ("d", _):
                    return None
                case ("e", reason):
                    return self._dead_letter(progress, reason.decode())
            moment = time.monotonic()
            if self._stopping.is_set():
                self._stop_child(progress)
                if moment >= self.stop_at:
                    logger.info("abandoned the trial in hand: study=%s chunk=%d", chunk.study_id, chunk.index)
                    self._trainer.kill()
                    return None
            if progress.began and chunk.trial_timeout and moment - progress.began > chunk.trial_timeout:
                self._trainer.kill()
                raise TrialTimeoutError(f"timed out after {chunk.trial_timeout:g} seconds")
            if self._writer.seconds_left() <= 0:
                self._writer.write()
                self.settle()
            if not _wanted(self._look(chunk), chunk):
                self._stop_child(progress)

    def _dead_letter(self, progress: _Progress, reason: str) -> Outcome:
        """Tell the study which trials no worker can evaluate, so that nobody waits for them."""
        numbers = [trial.number for trial in progress.todo]
        which = {"generation": progress.chunk.generation, "index": progress.chunk.index}
        letter = {**which, "numbers": numbers, "reason": reason}
        update = {"$push": {"dead_letters": letter}, "$inc": {"progress.dead": len(numbers)}}
        # Once: the message may come again, if this worker dies before it has set it aside.
        unknown = {"dead_letters": {"$not": {"$elemMatch": which}}}
        self._writer.write()
        self._writer.retry(self._store.update_study, progress.chunk.study_id, update, unknown)
        return Outcome(verdict=Verdict.DEAD_LETTER, reason=reason)

    def _stop_child(self, progress: _Progress) -> None:
        if not progress.stop_sent:
            self._trainer.stop_soon()
            progress.stop_sent = True

    def _blame(self, progress: _Progress, reason: str, most: int) -> None:
        """Count a lost process against the trial that it was at; too often is that trial's result.

        Of trials that share a fit nobody knows which it was: they are fitted alone from then on, and none is blamed.
        """
        trial = progress.todo[0]
        if progress.part():
            logger.warning("%s in a shared fit: study=%s trial=%d", reason, progress.chunk.study_id, trial.number)
            return
        key = str(trial.number)
        attempts = progress.attempts.get(key, 1)
        seconds = time.monotonic() - progress.began if progress.began else 0.0
        logger.warning(
            "%s: study=%s trial=%d try=%d of %d",
            reason,
            progress.chunk.study_id,
            trial.number,
            attempts,
            most,
        )
        if attempts < most:
            progress.attempts[key] = attempts + 1
            return
        outcome = crash_outcome(progress.chunk, reason, seconds)
        document = trial_document(
            progress.chunk, trial, self._settings, outcome, started_at=started(seconds), attempts=attempts
        )
        self._writer.add(pack(document))
        progress.end(trial.number)


def _wanted(study: Document | None, chunk: Chunk) -> bool:
    """Say whether a chunk still has to be evaluated: its study runs, and this is its latest publication."""
    return study is not None and study["state"] == "RUNNING" and study["generation"] <= chunk.generation
