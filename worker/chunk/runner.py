"""From a message to a verdict: what a worker does with one chunk, on a thread of its own.

The training process trains; this thread hands it the chunk, takes the results, writes them, and watches
for what can end a chunk early: a crash, a time-out, a pause, a cancel, a newer publication, an eviction.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeAlias

from tenacity import RetryCallState
from tenacity.stop import stop_base

from warren.errors import MessageError, StoreError
from warren.messages import Address, Chunk, address_of, decode_chunk
from warren.settings import Settings
from warren.storage.dead_letters import letter_of
from warren.storage.documents import Document, now, pack, unpack
from warren.storage.store import Store
from warren.storage.unfinished import DoneFold, SeenEpochs
from worker.chunk.acceptance import Wanted, wanted
from worker.chunk.authenticity import Genuine
from worker.chunk.claim import Hold
from worker.chunk.failures import Tries, which
from worker.chunk.lost_processes import Losses
from worker.chunk.outcome import Outcome, Verdict
from worker.chunk.pace import Pace
from worker.chunk.progress import Progress
from worker.chunk.result_writer import ResultWriter
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics
from worker.process.training_process import ChildLostError, Order, Trainer

logger = logging.getLogger(__name__)

_Asked: TypeAlias = Literal["trial", "fold"]
"""After what the training process is asked to stop."""

# Seconds that the last writes of a worker which was told to stop may take.
_LAST_WRITE_SECONDS = 2.0
# Seconds between looks at the stop flag; forty workers on a laptop wake up often enough.
_TICK_SECONDS = 0.25


class _StopAsked(stop_base):
    """Give up on a database that is away once the worker's grace is over."""

    def __init__(self, runner: ChunkRunner) -> None:
        self._runner = runner

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002 - tenacity's signature
        return time.monotonic() >= self._runner.stop_at


class ChunkRunner:
    """Runs chunks one after the other.

    Parameters
    ----------
    store : Store
    settings : Settings
    trainer : Trainer
        The training process, kept warm between chunks.
    metrics : Metrics
    pulse : Pulse
        Is told when the database is away.
    """

    def __init__(self, store: Store, settings: Settings, trainer: Trainer, metrics: Metrics, pulse: Pulse) -> None:
        self._store = store
        self._settings = settings
        self._trainer = trainer
        self._metrics = metrics
        self._stopping = threading.Event()
        self.stop_at = float("inf")
        # The chunk in hand is somebody else's by now.
        self._let_go = threading.Event()
        self._writer = ResultWriter(store, settings, metrics, pulse, _StopAsked(self))
        self._wanted = Wanted(store, self._writer.retry)
        self._genuine = Genuine(store, self._writer.retry, settings)
        self._hold = Hold(store.unfinished, self._writer.retry, settings)
        self._losses = Losses(store, self._hold, settings, self._writer.retry)
        self._tries = Tries(self._writer, settings, metrics)
        self._pace = Pace()
        # Studies of which this worker took chunks over: whoever had them may have died between a result and its count.
        self._doubtful: set[str] = set()

    def stop(self, grace_seconds: float) -> None:
        """Stop after the trial in hand, if it ends within `grace_seconds`. Called from another thread."""
        self.stop_at = min(self.stop_at, time.monotonic() + grace_seconds)
        self._stopping.set()

    def let_go(self) -> None:
        """Stop after the fold in hand: its chunk will be delivered to whomever. Called from another thread."""
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
            It was delivered before: whoever had it may have left folds, or vanished.
        database : str, default=None
            The id of the database that it belongs to; None where it does not say, as those of earlier versions.
        database_url : str, default=""
            Where that is, as the message says.
        signature : str, default=None
            Of the one who published it.

        Returns
        -------
        Outcome
            ``ACKNOWLEDGE`` only when every result that is due is durable.
        """
        try:
            if (foreign := self._wanted.foreign(database, database_url)) is not None:
                return foreign
            if (unsigned := self._genuine.unsigned(body, database, signature)) is not None:
                return Outcome(verdict=Verdict.DEAD_LETTER, reason=unsigned)
            return self._run(body, again=again, named=database is not None)
        except StoreError as exc:  # only after the grace is over
            logger.warning("gave a chunk back with results unwritten", extra={"reason": str(exc)})
            self._trainer.kill()
            self._writer.forget()
            return Outcome(verdict=Verdict.REQUEUE)

    def _run(self, body: bytes, *, again: bool, named: bool) -> Outcome:
        try:
            chunk = decode_chunk(body)
        except MessageError as exc:
            return self._refuse(body, str(exc))
        address = Address(chunk.study_id, chunk.generation, chunk.index, [trial.number for trial in chunk.trials])
        if (unwanted := self._wanted.unwanted(chunk, named=named)) is not None:
            return unwanted
        if (forged := self._genuine.forged(address, body)) is not None:
            # What was noted of it goes when the study ends or is published anew, perhaps this moment.
            gone = self._wanted.unwanted(chunk, named=named, afresh=True)
            return gone or Outcome(verdict=Verdict.DEAD_LETTER, reason=forged)
        if (left := self._losses.left_to_others(chunk)) is not None:
            return left
        progress = self._progress(chunk, again=again)
        if again:
            self._doubtful.add(chunk.study_id)
        vanished = self._hold.begin(progress, again=again) if progress.todo else 0
        if vanished >= self._settings.max_lost_workers:
            reason = (
                f"{vanished} workers in a row vanished with this chunk and left nothing done; "
                f"trial {progress.todo[0].number} is the first without a result"
            )
            outcome = self._dead_letter(progress, reason)
        else:
            outcome = self._train(body, progress)
        self._hold.end(chunk)
        return outcome

    def _progress(self, chunk: Chunk, *, again: bool) -> Progress:
        """Read what is there of a chunk already."""
        numbers = [trial.number for trial in chunk.trials]
        done = self._writer.retry(self._store.trials.finished_numbers, chunk.study_id, numbers)
        # Only who had it before, or an earlier publication, can have left anything.
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
        """Whether results are written that their study has not counted."""
        return self._writer.uncounted

    def settle(self, *, idle: bool = False) -> None:
        """Count written results now and then, and when the worker is `idle`: no acknowledgement waits for it."""
        if idle or self._writer.count_due():
            try:
                self._wanted.see(self._writer.count())
                if idle:
                    self._count_anew()
            except StoreError as exc:  # the grace is over; whoever follows the study counts the documents
                logger.warning("left results uncounted", extra={"reason": str(exc)})

    def _count_anew(self) -> None:
        """Count the documents of studies whose count is in doubt; once, when there is nothing else to do."""
        while self._doubtful:
            study_id = next(iter(self._doubtful))
            study = self._writer.retry(self._store.study, study_id, ("state",))
            if study is not None and study["state"] != "COMPLETE":
                self._writer.retry(self._store.recount, study_id)
            self._doubtful.discard(study_id)

    def _train(self, body: bytes, progress: Progress) -> Outcome:
        began = time.monotonic()
        self._tries.give_up(progress)
        while progress.todo and not (self._stopping.is_set() or self._let_go.is_set()):
            progress.began = None
            try:
                self._trainer.begin(
                    Order(
                        body=body,
                        chunk=progress.chunk,
                        skip=progress.done,
                        attempts={number: len(tries) + 1 for number, tries in progress.tries.items()},
                        alone=progress.alone,
                        folds=progress.folds,
                        left_behind=progress.left_behind,
                    )
                )
                outcome = self._collect(progress)
            except ChildLostError as exc:
                progress.left_behind = True
                if self._stopping.is_set():  # whoever told the worker to go may have told its process too
                    break
                if progress.began is None:
                    self._writer.write()
                    lost = self._losses.count(progress.chunk, exc)
                    dead = lost.verdict is Verdict.DEAD_LETTER
                    return self._dead_letter(progress, lost.reason) if dead else lost
                if progress.todo:
                    self._tries.count(progress, exc)
                continue
            if outcome is not None:
                return outcome
            break
        with self._in_time():
            return self._end(progress, time.monotonic() - began)

    def _end(self, progress: Progress, seconds: float) -> Outcome:
        """Write what is finished, and say what becomes of the rest."""
        chunk, left = progress.chunk, len(progress.todo)
        self._writer.write()
        about = {"trials": len(chunk.trials), "left": left, "seconds": round(seconds, 1)}
        logger.info("chunk ended", extra=which(chunk) | about)
        study = self._wanted.look(chunk, afresh=bool(left))
        given_up = bool(left) and (study is None or study["state"] == "COMPLETE")
        if progress.keeps_checkpoints:
            self._trainer.results_durable(given_up=given_up)
        if given_up:
            # Deleted, or ended by others, while a trial was in hand: nobody else clears up what was just written of it.
            (self._store.delete_results if study is None else self._store.unfinished.drop_study)(chunk.study_id)
        return Outcome(verdict=Verdict.REQUEUE if left and wanted(study, chunk) else Verdict.ACKNOWLEDGE)

    def _in_time(self) -> AbstractContextManager[object]:
        """Return a block that the database can't hold up for much longer than the grace, once the worker is to stop."""
        if not self._stopping.is_set():
            return nullcontext()
        return self._store.within(max(self.stop_at - time.monotonic(), _LAST_WRITE_SECONDS))

    def _collect(self, progress: Progress) -> Outcome | None:
        """Take results until the child is done; return an outcome only if the chunk can't be evaluated at all."""
        chunk = progress.chunk
        asked: set[_Asked] = set()
        while True:
            message = self._trainer.receive(min(_TICK_SECONDS, self._writer.seconds_left()))
            match message:
                case ("r", _):
                    progress.begin(time.monotonic())
                case ("f", packed):
                    for fold in unpack(packed)["folds"]:
                        done = DoneFold(study_id=chunk.study_id, worker=self._settings.worker_name, at=now(), **fold)
                        progress.keep(done)
                        self._writer.add_fold(done)
                case ("t", ended):
                    self._take(progress, int.from_bytes(ended[:8], "little"), ended[8:])
                case ("x", ended):
                    number, part = (int.from_bytes(ended[at : at + 8], "little") for at in (0, 8))
                    printed = {"output": output} if (output := self._trainer.output(part)) else {}
                    self._take(progress, number, pack(unpack(ended[16:]) | printed))
                case ("p", packed):
                    self._note_epochs(progress, unpack(packed))
                case ("d", keeps):
                    progress.keeps_checkpoints = bool(keeps)
                    return None
                case ("e", reason):
                    return self._dead_letter(progress, reason.decode())
            moment = time.monotonic()
            self._hold.keep(chunk)
            if self._stopping.is_set() and not self._ends_in_time(progress, moment, asked):
                self._abandon(progress, moment)
                return None
            if self._let_go.is_set() or not wanted(self._wanted.look(chunk), chunk):
                if progress.began is None:  # it loads data, and hears nothing meanwhile
                    self._trainer.kill()
                    return None
                self._ask_to_stop(asked, "fold")
            if not self._trainer.has_more():  # what waits to be read may say that the trial has ended long ago
                self._watch(progress, moment)
            if self._writer.seconds_left() <= 0:
                self._writer.write()
            # Each turn, for it may have been too early when they were written, and the next trial may take hours.
            self.settle()

    def _note_epochs(self, progress: Progress, said: Document) -> None:
        worker = self._settings.worker_name
        progress.checkpointed = said.pop("checkpointed")
        progress.spare(said["fold"], said.pop("spared"))
        self._writer.add_epochs(SeenEpochs(study_id=progress.chunk.study_id, worker=worker, at=now(), **said))

    def _ends_in_time(self, progress: Progress, moment: float, asked: set[_Asked]) -> bool:
        """Ask for an end within the grace: after the trial in hand, or at the next epoch where that can be kept."""
        if moment >= self.stop_at:
            return False
        end = progress.expected_end(self._pace.of(progress))
        if progress.checkpointed and not moment <= end < self.stop_at:
            # Too late, or nobody knows: epochs that a checkpoint holds are not lost, those of an unended trial are.
            self._ask_to_stop(asked, "fold")
            return True
        if end >= self.stop_at:
            return False
        self._ask_to_stop(asked, "trial")
        return True

    def _ask_to_stop(self, asked: set[_Asked], after: _Asked) -> None:
        if after not in asked:
            self._trainer.stop_soon(after)
            asked.add(after)

    def _take(self, progress: Progress, number: int, packed: bytes) -> None:
        moment = time.monotonic()
        self._pace.learn(progress, number, moment)
        if number in progress.interrupted:
            packed = pack(unpack(packed) | {"interrupted": progress.interrupted[number]})
        if progress.chunk.objective.keep_model:
            packed = pack(self._genuine.signed(progress.chunk.study_id, number, unpack(packed)))
        progress.end(number)
        progress.begin(moment)
        self._writer.add(number, packed)

    def _abandon(self, progress: Progress, moment: float) -> None:
        """Let the fit in hand go: it does not end within the grace, or nobody waits for it that long."""
        # Its folds are written at once, or left.
        self.stop_at = min(self.stop_at, moment + _LAST_WRITE_SECONDS)
        lost = moment - progress.began if progress.began else 0.0
        logger.info("abandoned the trial in hand", extra=which(progress.chunk) | {"seconds": round(lost, 1)})
        self._metrics.wasted(lost, "abandoned")
        if progress.began is not None and progress.todo:
            self._writer.abandon([trial.number for trial in progress.in_hand()], self._settings.worker_name)
        self._trainer.kill()

    def _watch(self, progress: Progress, moment: float) -> None:
        """Raise `ChildLostError` where the trial in hand takes more time or memory than it may."""
        if progress.began is None or not progress.todo:
            return
        timeout = progress.chunk.trial_timeout or self._settings.trial_seconds
        most = self._settings.trial_memory_bytes
        if moment - progress.began > timeout:
            output = self._trainer.output()
            raise ChildLostError(
                f"timed out after {timeout:g} seconds", self._trainer.kill(), timed_out=True, output=output
            )
        if most and (taken := self._trainer.memory_bytes() or 0) > most:
            output = self._trainer.output()
            self._trainer.kill()
            reason = f"took more memory than the {most / 1e6:,.0f} MB that a trial may"
            raise ChildLostError(reason, taken, output=output)

    def _refuse(self, body: bytes, reason: str) -> Outcome:
        """Dead-letter what is no chunk of this version; tell its study, if that has published it."""
        address = address_of(body)
        if address is not None and address.numbers and self._genuine.forged(address, body) is None:
            self._tell(address, reason)
        return Outcome(verdict=Verdict.DEAD_LETTER, reason=reason)

    def _dead_letter(self, progress: Progress, reason: str) -> Outcome:
        """Tell the study which trials no worker can evaluate, so that nobody waits for them."""
        chunk = progress.chunk
        self._writer.write()
        numbers = [trial.number for trial in progress.todo]
        self._tell(Address(chunk.study_id, chunk.generation, chunk.index, numbers), reason)
        return Outcome(verdict=Verdict.DEAD_LETTER, reason=reason)

    def _tell(self, address: Address, reason: str) -> None:
        self._writer.retry(self._store.update_study, address.study_id, *letter_of(address, reason))
