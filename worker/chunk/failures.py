"""Whom a lost training process is counted against: the trial that it was at, if that was alone; and the end of it."""

from __future__ import annotations

import logging
import time

from warren.messages import Chunk
from warren.settings import Settings
from warren.storage.documents import now, pack
from warren.storage.unfinished import Try
from worker.chunk.progress import Progress
from worker.chunk.result_writer import ResultWriter
from worker.monitoring.metrics import Metrics
from worker.process.training_process import ChildLostError
from worker.training.trial_document import crash_outcome, started, trial_document

logger = logging.getLogger(__name__)


def which(chunk: Chunk) -> dict[str, object]:
    """Return the fields of a log line that say which chunk."""
    return {"study": chunk.study_id, "chunk": chunk.index}


class Tries:
    """Counts tries that took a training process down, and gives a trial up that has had too many.

    Parameters
    ----------
    writer : ResultWriter
    settings : Settings
    metrics : Metrics
    """

    def __init__(self, writer: ResultWriter, settings: Settings, metrics: Metrics) -> None:
        self._writer = writer
        self._settings = settings
        self._metrics = metrics

    def count(self, progress: Progress, lost: ChildLostError) -> None:
        """Count a lost process against the trial that it was at.

        Of trials that share a fit nobody knows which it was: they are fitted alone from then on, and none is blamed.
        """
        seconds = time.monotonic() - progress.began if progress.began else 0.0
        self._metrics.wasted(seconds, "timed_out" if lost.timed_out else "crashed")
        reason = str(lost) if lost.timed_out else f"{lost} after {seconds:.1f} s"
        if lost.memory_bytes:
            reason += f", with {lost.memory_bytes / 1e6:,.0f} MB of memory"
        number = progress.todo[0].number
        about = which(progress.chunk) | {"trial": number, "reason": reason}
        if progress.part():
            logger.warning("lost the training process in a shared fit: its trials are fitted alone", extra=about)
            return
        one = Try(
            reason=reason,
            seconds=seconds,
            memory_bytes=lost.memory_bytes,
            worker=self._settings.worker_name,
            at=now(),
            output=lost.output,
        )
        self._writer.add_try(number, one)
        tries = progress.tries.setdefault(number, [])
        tries.append(vars(one))
        about |= {"try": len(tries), "at_most": self._settings.max_attempts}
        logger.warning("lost the training process", extra=about)
        self.give_up(progress)

    def give_up(self, progress: Progress) -> None:
        """Write the result of trials that took their process down too often, here or on other workers."""
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
