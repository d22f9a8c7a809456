"""Evaluate one chunk, from its message to a verdict, on a thread of its own.

The training process trains. This thread sends it the chunk, receives and writes the results, and
ends the chunk early when it must: after a crash or a time-out, on a pause, a cancel, a newer
publication or an eviction.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import AbstractContextManager, nullcontext, suppress

from tenacity import RetryCallState
from tenacity.stop import stop_base

from warren.errors import MessageError, StoreError, StudyError
from warren.messages import Address, Chunk, address_of, decode_chunk
from warren.settings import Settings
from warren.storage.dead_letters import letter_of
from warren.storage.documents import Document, now, pack, unpack
from warren.storage.store import Store
from warren.storage.study_document import StudyState
from warren.storage.unfinished import DoneFold, SeenEpochs
from worker.chunk.acceptance import Acceptance, Authenticity, needs
from worker.chunk.claim import Claim
from worker.chunk.failures import FailedAttempts, LostProcesses, check_limits
from worker.chunk.outcome import Outcome, Verdict, log_fields
from worker.chunk.progress import Pace, Progress
from worker.chunk.result_writer import ResultWriter
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics
from worker.process import protocol
from worker.process.training_process import TrainingProcess, TrainingProcessLostError

logger = logging.getLogger(__name__)

# Seconds that the last writes of a stopping worker may take.
_LAST_WRITE_SECONDS = 2.0
# Seconds between two checks of the stop flag: few enough wake-ups for forty workers on a laptop.
_TICK_SECONDS = 0.25


class _GraceIsOver(stop_base):
    """Stop retrying an unreachable database once the worker's grace is over."""

    def __init__(self, runner: ChunkRunner) -> None:
        self._runner = runner

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002 - tenacity's signature
        return time.monotonic() >= self._runner.stop_at


class ChunkRunner:
    """Runs chunks one after the other.

    Parameters
    ----------
    store : Store
        The worker's database.
    settings : Settings
        Worker name and limits.
    process : TrainingProcess
        Trains; it is kept between chunks, with its libraries and data.
    metrics : Metrics
        Counts results and lost time.
    pulse : Pulse
        Records whether the database can be reached.
    """

    def __init__(
        self, store: Store, settings: Settings, process: TrainingProcess, metrics: Metrics, pulse: Pulse
    ) -> None:
        self._store = store
        self._settings = settings
        self._worker = settings.worker_name
        self._process = process
        self._metrics = metrics
        self._stopping = threading.Event()
        self.stop_at = float("inf")
        # Set when the broker redelivers the current chunk.
        self._let_go = threading.Event()
        self._writer = ResultWriter(store, settings, metrics, pulse, _GraceIsOver(self))
        self._acceptance = Acceptance(store, self._writer.retry)
        self._authenticity = Authenticity(store, self._writer.retry, settings)
        self._claim = Claim(store.unfinished, self._writer.retry, settings)
        self._lost_processes = LostProcesses(store, self._claim, settings, self._writer.retry)
        self._failed_attempts = FailedAttempts(self._writer, settings, metrics)
        self._pace = Pace()
        # Studies whose chunks another worker had before: it may have died between writing a result
        # and counting it.
        self._to_recount: set[str] = set()

    def stop(self, grace_seconds: float) -> None:
        """Stop after the current trial if it ends within `grace_seconds`.

        Called from another thread.
        """
        self.stop_at = min(self.stop_at, time.monotonic() + grace_seconds)
        self._stopping.set()

    def let_go(self) -> None:
        """Stop after the current fold: the broker redelivers the chunk.

        Called from another thread.
        """
        self._let_go.set()

    def ready_again(self) -> None:
        """Be ready for the next chunk after `let_go`."""
        self._let_go.clear()

    def run(
        self,
        body: bytes,
        *,
        again: bool = False,
        database: str | None = None,
        database_url: str = "",
        signature: str | None = None,
    ) -> Outcome:
        """Evaluate a chunk and write its results.

        Parameters
        ----------
        body : bytes
            The message.
        again : bool, default=False
            Whether it was delivered before: another worker may have left folds, or vanished with
            it.
        database : str, default=None
            The id of its database; None if the message names none, as in earlier versions.
        database_url : str, default=""
            The URL of that database, from the message.
        signature : str, default=None
            The publisher's signature.

        Returns
        -------
        Outcome
            ``ACKNOWLEDGE`` only if every result that is due is durable.
        """
        try:
            if (foreign := self._acceptance.foreign(database, database_url)) is not None:
                return foreign
            if (problem := self._authenticity.signature_problem(body, database, signature)) is not None:
                return Outcome(verdict=Verdict.DEAD_LETTER, reason=problem)
            return self._run(body, again=again, named=database is not None)
        except StoreError as exc:  # only after the grace is over
            logger.warning("requeued a chunk with unwritten results", extra={"reason": str(exc)})
            self._process.kill()
            self._writer.forget()
            return Outcome(verdict=Verdict.REQUEUE)
        except StudyError as exc:  # its document was changed by hand: no worker can tell what is wanted
            self._process.kill()
            self._writer.forget()
            return Outcome(verdict=Verdict.DEAD_LETTER, reason=str(exc))

    def _run(self, body: bytes, *, again: bool, named: bool) -> Outcome:
        try:
            chunk = decode_chunk(body)
        except MessageError as exc:
            return self._refuse(body, str(exc))
        address = Address(chunk.study_id, chunk.generation, chunk.index, [trial.number for trial in chunk.trials])
        if (unneeded := self._acceptance.unneeded(chunk, named=named)) is not None:
            return unneeded
        if (problem := self._authenticity.body_problem(address, body)) is not None:
            # The record of what was published is deleted when the study ends or is published again,
            # perhaps just now.
            unneeded = self._acceptance.unneeded(chunk, named=named, fresh=True)
            return unneeded or Outcome(verdict=Verdict.DEAD_LETTER, reason=problem)
        if (left := self._lost_processes.left_to_others(chunk)) is not None:
            return left
        progress = self._progress(chunk, again=again)
        if again:
            self._to_recount.add(chunk.study_id)
        vanished = self._claim.begin(progress, again=again) if progress.todo else 0
        if vanished >= self._settings.max_lost_workers:
            reason = (
                f"{vanished} workers in a row vanished with this chunk and left nothing done; "
                f"trial {progress.todo[0].number} is the first without a result"
            )
            outcome = self._dead_letter(progress, reason)
        else:
            outcome = self._train(body, progress)
        self._claim.end(chunk)
        return outcome

    def _progress(self, chunk: Chunk, *, again: bool) -> Progress:
        """Read what the database already has of a chunk."""
        numbers = [trial.number for trial in chunk.trials]
        done = self._writer.retry(self._store.trials.finished_numbers, chunk.study_id, numbers)
        # Only another worker, or an earlier publication, can have left something.
        left_behind = again or chunk.generation > 1
        notes = (
            self._writer.retry(self._store.unfinished.of, chunk.study_id, set(numbers) - done) if left_behind else {}
        )
        self._writer.begin(chunk.study_id, notes)
        if notes:
            self._writer.retry(self._store.unfinished.take_over, chunk.study_id, notes)
        return Progress(chunk, done, notes, left_behind=left_behind)

    @property
    def uncounted(self) -> bool:
        """Whether there are written results that their study has not counted."""
        return self._writer.uncounted

    def settle(self, *, idle: bool = False) -> None:
        """Count written results now and then, and when the worker is `idle`."""
        if idle or self._writer.count_due():
            try:
                self._acceptance.note(self._writer.count())
                if idle:
                    self._recount()
            except StoreError as exc:  # the grace is over; followers of the study count the documents themselves
                logger.warning("left results uncounted", extra={"reason": str(exc)})

    def _recount(self) -> None:
        """Count the documents of studies whose count may be wrong.

        Once, when the worker is idle.
        """
        while self._to_recount:
            study_id = next(iter(self._to_recount))
            with suppress(StudyError):  # its document was changed by hand
                study = self._writer.retry(self._store.study, study_id, StudyState)
                if study is not None and study.state != "COMPLETE":
                    self._writer.retry(self._store.recount, study_id)
            self._to_recount.discard(study_id)

    def _train(self, body: bytes, progress: Progress) -> Outcome:
        began = time.monotonic()
        self._failed_attempts.give_up(progress)
        while progress.todo and not (self._stopping.is_set() or self._let_go.is_set()):
            progress.began = None
            try:
                order = protocol.EvaluateChunk(
                    body=body,
                    skip=progress.done,
                    attempts={number: len(tries) + 1 for number, tries in progress.tries.items()},
                    alone=progress.alone,
                    folds=progress.folds,
                    left_behind=progress.left_behind,
                )
                self._process.begin(progress.chunk, order)
                outcome = self._collect(progress)
            except TrainingProcessLostError as exc:
                progress.left_behind = True
                if self._stopping.is_set():  # the training process may have received the same signal
                    break
                if progress.began is None:
                    self._writer.write()
                    lost = self._lost_processes.count(progress.chunk, exc)
                    dead = lost.verdict is Verdict.DEAD_LETTER
                    return self._dead_letter(progress, lost.reason) if dead else lost
                if progress.todo:
                    self._failed_attempts.count(progress, exc)
                continue
            if outcome is not None:
                return outcome
            break
        with self._in_time():
            return self._end(progress, time.monotonic() - began)

    def _end(self, progress: Progress, seconds: float) -> Outcome:
        """Write what is finished, and return the outcome of the chunk."""
        chunk, left = progress.chunk, len(progress.todo)
        self._writer.write()
        about = {"trials": len(chunk.trials), "left": left, "seconds": round(seconds, 1)}
        logger.info("chunk ended", extra=log_fields(chunk) | about)
        study = self._acceptance.study(chunk, fresh=bool(left))
        given_up = bool(left) and (study is None or study.state == "COMPLETE")
        if progress.keeps_checkpoints:
            self._process.results_durable(given_up=given_up)
        if given_up:
            # The study was deleted, or ended, during a trial: delete what was just written.
            (self._store.delete_results if study is None else self._store.unfinished.drop_study)(chunk.study_id)
        return Outcome(verdict=Verdict.REQUEUE if left and needs(study, chunk) else Verdict.ACKNOWLEDGE)

    def _in_time(self) -> AbstractContextManager[object]:
        """Return a context that ends database calls soon after the grace of a stopping worker."""
        if not self._stopping.is_set():
            return nullcontext()
        return self._store.within(max(self.stop_at - time.monotonic(), _LAST_WRITE_SECONDS))

    def _collect(self, progress: Progress) -> Outcome | None:
        """Receive results until the chunk ends.

        Return an outcome only if it can't be evaluated at all.
        """
        chunk = progress.chunk
        requested: set[protocol.StopPoint] = set()
        while True:
            match self._process.receive(min(_TICK_SECONDS, self._writer.seconds_left())):
                case protocol.TrialsBegin():
                    progress.begin(time.monotonic())
                case protocol.FoldsDone(folds=folds):
                    for fold in folds:
                        done = DoneFold(study_id=chunk.study_id, worker=self._worker, at=now(), **vars(fold))
                        progress.add_fold(done)
                        self._writer.add_fold(done)
                case protocol.TrialEnded() as ended:
                    self._end_trial(progress, ended)
                case protocol.EpochsDone() as epochs:
                    self._note_epochs(progress, epochs)
                case protocol.ChunkEnded(keeps_checkpoints=keeps):
                    progress.keeps_checkpoints = keeps
                    return None
                case protocol.ChunkRefused(reason=reason):
                    return self._dead_letter(progress, reason)
            moment = time.monotonic()
            self._claim.renew(chunk)
            if self._stopping.is_set() and not self._ends_in_time(progress, moment, requested):
                self._abandon(progress, moment)
                return None
            if self._let_go.is_set() or not needs(self._acceptance.study(chunk), chunk):
                if progress.began is None:  # it is loading data, and reads no message meanwhile
                    self._process.kill()
                    return None
                self._stop_after("fold", requested)
            if not self._process.has_more():  # a waiting message may report that the trial ended long ago
                check_limits(self._process, progress, self._settings)
            if self._writer.seconds_left() <= 0:
                self._writer.write()
            # On every turn: counting may have been too early when they were written, and the next
            # trial may take hours.
            self.settle()

    def _note_epochs(self, progress: Progress, epochs: protocol.EpochsDone) -> None:
        progress.checkpointed = epochs.checkpointed
        progress.add_saved(epochs.fold, epochs.saved_seconds)
        self._writer.add_epochs(
            SeenEpochs(
                study_id=progress.chunk.study_id,
                number=epochs.number,
                fold=epochs.fold,
                network=epochs.network,
                epochs=epochs.epochs,
                kept=epochs.kept,
                about=epochs.about,
                worker=self._worker,
                at=now(),
            )
        )

    def _ends_in_time(self, progress: Progress, moment: float, requested: set[protocol.StopPoint]) -> bool:
        """Ask for an end within the grace; return False if there is none.

        The process stops after the current trial, or at the next epoch if a checkpoint can keep it.
        """
        if moment >= self.stop_at:
            return False
        end = progress.expected_end(self._pace.of(progress))
        if progress.checkpointed and not moment <= end < self.stop_at:
            # Too late, or unknown: a checkpoint keeps the epochs so far, but an unfinished trial
            # would be lost.
            self._stop_after("fold", requested)
            return True
        if end >= self.stop_at:
            return False
        self._stop_after("trial", requested)
        return True

    def _stop_after(self, what: protocol.StopPoint, requested: set[protocol.StopPoint]) -> None:
        if what not in requested:
            self._process.stop_after(what)
            requested.add(what)

    def _end_trial(self, progress: Progress, ended: protocol.TrialEnded) -> None:
        moment, number = time.monotonic(), ended.number
        more: Document = {}
        if ended.output_part is not None and (output := self._process.output(ended.output_part)):
            more["output"] = output
        if number in progress.interrupted:
            more["interrupted"] = progress.interrupted[number]
        packed = pack(unpack(ended.document) | more) if more else ended.document
        if progress.chunk.objective.keep_model:
            packed = pack(self._authenticity.sign_model(progress.chunk.study_id, number, unpack(packed)))
        self._pace.learn(progress, number, moment)
        progress.end(number)
        progress.begin(moment)
        self._writer.add(number, packed)

    def _abandon(self, progress: Progress, moment: float) -> None:
        """End the current fit, because it does not finish within the grace."""
        # Write its folds now or not at all.
        self.stop_at = min(self.stop_at, moment + _LAST_WRITE_SECONDS)
        lost = moment - progress.began if progress.began else 0.0
        logger.info("abandoned the current trial", extra=log_fields(progress.chunk) | {"seconds": round(lost, 1)})
        self._metrics.wasted(lost, "abandoned")
        if progress.began is not None and progress.todo:
            numbers = [trial.number for trial in progress.current_trials()]
            self._writer.abandon(numbers, self._worker)
        self._process.kill()

    def _refuse(self, body: bytes, reason: str) -> Outcome:
        """Dead-letter a body that this version can't read.

        Note it in its study if the study published it.
        """
        address = address_of(body)
        if address is not None and address.numbers and self._authenticity.body_problem(address, body) is None:
            self._note_dead_letter(address, reason)
        return Outcome(verdict=Verdict.DEAD_LETTER, reason=reason)

    def _dead_letter(self, progress: Progress, reason: str) -> Outcome:
        """Dead-letter a chunk.

        Note in its study which trials no worker can evaluate, so that it does not wait for them.
        """
        chunk = progress.chunk
        self._writer.write()
        numbers = [trial.number for trial in progress.todo]
        self._note_dead_letter(Address(chunk.study_id, chunk.generation, chunk.index, numbers), reason)
        return Outcome(verdict=Verdict.DEAD_LETTER, reason=reason)

    def _note_dead_letter(self, address: Address, reason: str) -> None:
        self._writer.retry(self._store.update_study, address.study_id, *letter_of(address, reason))
