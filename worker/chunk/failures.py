"""Handle the loss of a training process: blame its trial, or its chunk if no trial had begun."""

from __future__ import annotations

import logging
import time

from warren.messages import Chunk
from warren.retry import Patience
from warren.settings import Settings
from warren.storage.documents import now, pack
from warren.storage.store import Store
from warren.storage.study_document import StudyProgress
from warren.storage.unfinished import Try
from worker.chunk.claim import Claim, chunk_name
from worker.chunk.outcome import Outcome, Verdict, log_fields
from worker.chunk.progress import Progress
from worker.chunk.result_writer import ResultWriter
from worker.monitoring.metrics import Metrics
from worker.process.training_process import TrainingProcess, TrainingProcessLostError
from worker.training.trial_document import crash_outcome, started, trial_document

logger = logging.getLogger(__name__)

# Seconds for which a worker leaves a chunk to others after it lost its training process with it.
_OTHERS_FIRST_SECONDS = 60.0
# How often in a row a training process may be killed from outside with one chunk: more is no
# accident.
_MOST_KILLED = 50


class FailedAttempts:
    """Counts attempts that ended the training process, and fails a trial after too many.

    Parameters
    ----------
    writer : ResultWriter
        Stores the attempts and results.
    settings : Settings
        The limit of attempts, and the worker's name.
    metrics : Metrics
        Counts the lost time.
    """

    def __init__(self, writer: ResultWriter, settings: Settings, metrics: Metrics) -> None:
        self._writer = writer
        self._settings = settings
        self._metrics = metrics

    def count(self, progress: Progress, lost: TrainingProcessLostError) -> None:
        """Count a lost process against its current trial.

        If several trials share the fit, it is unknown which one ended the process: they are fitted
        alone from then on, and none is blamed.
        """
        seconds = time.monotonic() - progress.began if progress.began else 0.0
        self._metrics.wasted(seconds, "timed_out" if lost.timed_out else "crashed")
        reason = str(lost) if lost.timed_out else f"{lost} after {seconds:.1f} s"
        if lost.memory_bytes:
            reason += f", with {lost.memory_bytes / 1e6:,.0f} MB of memory"
        number = progress.todo[0].number
        about = log_fields(progress.chunk) | {"trial": number, "reason": reason}
        if progress.separate():
            logger.warning("lost the training process in a shared fit: its trials are fitted alone", extra=about)
            return
        attempt = Try(
            reason=reason,
            seconds=seconds,
            memory_bytes=lost.memory_bytes,
            worker=self._settings.worker_name,
            at=now(),
            output=lost.output,
        )
        self._writer.add_try(number, attempt)
        tries = progress.tries.setdefault(number, [])
        tries.append(vars(attempt))
        about |= {"try": len(tries), "at_most": self._settings.max_attempts}
        logger.warning("lost the training process", extra=about)
        self.give_up(progress)

    def give_up(self, progress: Progress) -> None:
        """Write the result of trials that ended the training process too often, on any worker."""
        chunk = progress.chunk
        for trial in list(progress.todo):
            tries = progress.tries.get(trial.number, [])
            if len(tries) < self._settings.max_attempts:
                continue
            last = tries[-1]
            document = trial_document(
                chunk,
                trial,
                self._settings,
                crash_outcome(chunk, last["reason"], last["seconds"], last["memory_bytes"], last.get("output", "")),
                started_at=started(last["seconds"]),
                attempts=len(tries),
            )
            self._writer.add(trial.number, pack(document))
            progress.end(trial.number)


class LostProcesses:
    """Decides when a chunk is to blame for training processes that were lost before a trial began.

    If the chunk's data does not fit into memory, or a library is broken, the loss happens on every
    worker. If this machine is at fault, other workers can evaluate the chunk. So the chunk goes to
    other workers, and is dead-lettered after as many losses in a row as a trial has attempts, each
    on another worker; or on the same workers if no other is active. "In a row" means that no trial
    of its study ended in between. Processes that were killed from outside count only when they are
    very many.

    Parameters
    ----------
    store : Store
        The worker's database.
    claim : Claim
        Counts losses in the database.
    settings : Settings
        The limit of attempts.
    retry : Patience
        Calls the store again while it is unreachable.
    """

    def __init__(self, store: Store, claim: Claim, settings: Settings, retry: Patience) -> None:
        self._store = store
        self._claim = claim
        self._settings = settings
        self._retry = retry
        # Names of chunks that are left to other workers, and until when.
        self._left_to_others: dict[str, float] = {}

    def left_to_others(self, chunk: Chunk) -> Outcome | None:
        """Return the outcome of a chunk that other workers should try first.

        None for all others.
        """
        moment = time.monotonic()
        self._left_to_others = {name: until for name, until in self._left_to_others.items() if until > moment}
        if chunk_name(chunk) not in self._left_to_others:
            return None
        return Outcome(verdict=Verdict.HAND_ON, others_first=True)

    def count(self, chunk: Chunk, lost: TrainingProcessLostError) -> Outcome:
        """Count a loss, and return what becomes of the chunk."""
        study = self._retry(self._store.study, chunk.study_id, StudyProgress)
        # A count, not a time: clocks of workers differ.
        ended = study.progress.done if study else 0
        losses = self._claim.add_loss(chunk, ended, blamed=not lost.killed)
        about = log_fields(chunk) | {"reason": str(lost), "times": losses.times, "killed": losses.killed}
        logger.warning("lost the training process before a trial began", extra=about)
        untried = self._claim.other_workers() - losses.workers
        most = self._settings.max_attempts
        if losses.killed < _MOST_KILLED and len(losses.workers) < most and (untried or losses.times < most):
            if untried and not lost.killed:
                self._left_to_others[chunk_name(chunk)] = time.monotonic() + _OTHERS_FIRST_SECONDS
            return Outcome(verdict=Verdict.HAND_ON, others_first=not lost.killed)
        times, workers = losses.times + losses.killed, len(losses.workers)
        where = f" on {workers} workers" if workers > 1 else ""
        reason = f"the training process was lost {times} times before a trial began{where}: {lost}"
        return Outcome(verdict=Verdict.DEAD_LETTER, reason=reason)


def check_limits(process: TrainingProcess, progress: Progress, settings: Settings) -> None:
    """End the training process if its current trial exceeds its limit of time or memory.

    Raises
    ------
    TrainingProcessLostError
        The process was ended.
    """
    if progress.began is None or not progress.todo:
        return
    timeout = progress.chunk.trial_timeout or settings.trial_seconds
    most = settings.trial_memory_bytes
    if time.monotonic() - progress.began > timeout:
        output = process.output()
        reason = f"timed out after {timeout:g} seconds"
        raise TrainingProcessLostError(reason, process.kill(), timed_out=True, output=output)
    if most and (taken := process.memory_bytes() or 0) > most:
        output = process.output()
        process.kill()
        reason = f"took more memory than the {most / 1e6:,.0f} MB that a trial may"
        raise TrainingProcessLostError(reason, taken, output=output)
