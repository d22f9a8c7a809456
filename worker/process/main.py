"""The training process: receives chunks from its worker, and sends each finished trial back.

It holds what training needs (libraries, data, folds) and nothing else: no queue, no database, no
password. So the worker can end it after a time-out, lose it and replace it, and a trial sees only
its own data. The messages are in `worker.process.protocol`; it reads the database through its
worker, with `worker.process.database_access`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from warren.errors import WarrenError
from warren.logs import configure_logging
from warren.settings import Settings, load_settings
from warren.storage.documents import pack
from worker.database import DatabaseAccess
from worker.process import protocol
from worker.process.database_access import RemoteDatabaseAccess
from worker.process.output import PartedOutput
from worker.process.temp_folders import recreate
from worker.training.fit_errors import plain

if TYPE_CHECKING:
    from worker.training.epochs import Epochs
    from worker.training.fit_and_score import FoldResult

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds of work after which folds are sent to the worker, so that they are kept if the trial does
# not finish.
_KEEP_SECONDS = 0.5
# Seconds between two reports of epochs; together with the worker's own delay it stays below one.
_EPOCH_SECONDS = 0.2
# Seconds from the beginning of a trial in which no epochs are reported: a shorter trial sends them
# with its result.
_SHORT_SECONDS = 1.0
# Linux: when memory runs out, the kernel kills the process with the highest score
# (proc_pid_oom_score_adj(5)).
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_DIES_FIRST = "1000"
# Variables that the libraries' thread pools read once, when they are loaded.
_POOL_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    # TensorFlow has two pools: one for the work inside an operation, one to run operations in
    # parallel.
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
# Slots, of 8 bytes each, of the frame that `with_room` makes. A block has room for its first frame
# and 1,000 slots, rounded up to a power of two (CPython's push_chunk): 1 MiB here, half of it for
# the other frames. Keras uses a tenth.
_FRAME_SLOTS = 2**16
# TensorFlow's core writes to standard error, not to our log; errors that matter are also raised.
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}


def _die_first() -> None:
    """Make the kernel end this process before its worker, which can then report it."""
    try:
        _OOM_SCORE.write_text(_DIES_FIRST)
    except OSError as exc:  # not Linux, or not allowed
        logger.debug("can't set that this process ends first when memory runs out", extra={"reason": str(exc)})


def _quiet_libraries() -> None:
    """Silence warnings of libraries that a reader of the worker's log can't act on."""
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)
    # XGBoost warns of deprecated parameters at every fit, with the time in the text, so that no
    # filter merges the warnings. `producer.validation.deprecations` warns the user who submits such
    # a study.
    warnings.filterwarnings("ignore", message=".* is deprecated", module=r"xgboost\.")
    # TensorFlow warns of graphs that are traced again, which happens for each network.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def with_room(call: Callable[[], T]) -> T:
    """Call a function so that its calls allocate no memory for their frames.

    That holds for calls that are a thousand deep and more.

    CPython 3.11 and 3.12 keep frames in blocks of 16 KiB, and free a block as soon as the call that
    needed it returns. A loop whose calls cross the end of a block allocates and frees memory at
    every call. The speed of Keras then depends on how deep in the stack it was called
    (https://github.com/python/cpython/issues/142183; later versions keep a block).

    Parameters
    ----------
    call : callable
        Called without arguments.

    Returns
    -------
    object
        Its result.
    """
    return call()


# The frame is as large as the code object's stack size; pages of it that are never used take no
# memory.
with_room.__code__ = with_room.__code__.replace(co_stacksize=_FRAME_SLOTS)


class _StopRequestedError(BaseException):
    """The worker asked to stop after this fold, or at this checkpoint.

    Not the estimator's fault.
    """


class _Reporter:
    """Reports folds and epochs of the current trials, and reads the worker's requests to stop.

    Folds are sent once they hold enough work.

    Parameters
    ----------
    connection : Connection
        The connection to the worker.

    Attributes
    ----------
    stop_requested : bool
        Whether the worker asked to stop after the current trial, or earlier.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._folds: list[protocol.FoldDone] = []
        self._trial_began = self._folds_sent_at = self._epochs_sent_at = 0.0
        self.stop_requested = False
        self._fold_stop_requested = False

    def begin_chunk(self) -> None:
        """Forget the requests for the chunk before."""
        self.begin_trial()
        self.stop_requested = self._fold_stop_requested = False

    def begin_trial(self) -> None:
        """Begin the next trial: drop the folds of those that have ended."""
        self._drop_folds()
        self._trial_began = time.monotonic()

    def _drop_folds(self) -> None:
        self._folds.clear()
        self._folds_sent_at = time.monotonic()

    def raise_if_stopping(self) -> None:
        """Raise `_StopRequestedError` if the worker asked to stop after the current fold."""
        if self.stopping():
            raise _StopRequestedError

    def stopping(self) -> bool:
        """Read the worker's messages; return whether it asked to stop after the current fold."""
        while self._connection.poll():
            self.stop_requested = True
            self._fold_stop_requested |= protocol.receive(self._connection) == protocol.StopAfter(what="fold")
        return self._fold_stop_requested

    def report_epochs(self, epochs: Epochs) -> None:
        """Report the epochs of the current network, at most a few times a second."""
        from worker.training.trial_document import described

        stopping = self._fold_stop_requested and epochs.kept == epochs.done
        moment = time.monotonic()
        too_early = moment - self._trial_began < _SHORT_SECONDS or moment - self._epochs_sent_at < _EPOCH_SECONDS
        if too_early and not stopping:
            return
        message = protocol.EpochsDone(
            number=epochs.trial.number,
            fold=epochs.fold,
            network=epochs.network,
            epochs=epochs.curve,
            kept=epochs.kept,
            checkpointed=epochs.checkpointed,
            saved_seconds=epochs.saved_seconds,
            about=described(epochs.chunk, epochs.trial) | {"started_at": epochs.started_at},
        )
        protocol.send(self._connection, message)
        self._epochs_sent_at = time.monotonic()
        if stopping:
            raise _StopRequestedError

    def add_fold(self, results: Mapping[int, FoldResult], fold: int) -> None:
        """Add the results of a fold, by trial number."""
        self._folds += [
            protocol.FoldDone(number=number, fold=fold, result=vars(result)) for number, result in results.items()
        ]
        if time.monotonic() - self._folds_sent_at >= _KEEP_SECONDS:
            self.send_folds()
        self.raise_if_stopping()

    def send_folds(self) -> None:
        """Send the folds that were not sent yet."""
        if self._folds:
            protocol.send(self._connection, protocol.FoldsDone(folds=self._folds))
        self._drop_folds()


class Output(Protocol):
    """Where fits print; in a training process a `worker.process.output.PartedOutput`."""

    @property
    def part(self) -> int:
        """Number of the current part."""

    def begin(self) -> None:
        """Begin the next part."""

    def flush(self) -> None:
        """Write buffered output."""


def serve(
    connection: Connection, database: DatabaseAccess, settings: Settings, output: Output, temp_folder: str = ""
) -> None:
    """Evaluate chunks until the worker closes the connection.

    Parameters
    ----------
    connection : Connection
        The connection to the worker.
    database : DatabaseAccess
        Reads data and stores models.
    settings : Settings
        Threads, device and limits.
    output : Output
        Where fits print.
    temp_folder : str, default=""
        A folder to create again before each trial if it was removed; "" for none.

    Raises
    ------
    EOFError, ConnectionError
        The worker is gone.
    """
    # Import libraries only now that there is work.
    from worker.training.evaluator import ChunkEvaluator
    from worker.training.fit_and_score import FoldResult

    reporter = _Reporter(connection)
    evaluator = ChunkEvaluator(database, settings, reporter.add_fold, reporter.report_epochs, reporter.stopping)
    checkpoints = evaluator.checkpoints

    def begin_part() -> None:
        """Begin the part of the next trial, or the part before the first trial."""
        output.begin()
        if temp_folder:
            recreate(temp_folder)

    def evaluate(order: protocol.EvaluateChunk) -> None:
        """Evaluate a chunk, and send each trial when it ends."""
        begin_part()
        checkpoints.begin(left_behind=order.left_behind)
        trials = evaluator.evaluate(
            order.body,
            order.skip,
            order.attempts,
            order.alone,
            {
                number: {int(fold): FoldResult.of(result) for fold, result in folds.items()}
                for number, folds in order.folds.items()
            },
        )
        protocol.send(connection, protocol.TrialsBegin())
        reporter.begin_chunk()
        begin_part()
        for documents in trials:
            output.flush()
            for document in documents:
                part = output.part if document["state"] == "FAILED" else None
                protocol.send(
                    connection,
                    protocol.TrialEnded(number=document["number"], document=pack(document), output_part=part),
                )
            checkpoints.ended()
            reporter.begin_trial()
            begin_part()
            reporter.raise_if_stopping()
            if reporter.stop_requested:
                return

    while True:
        match protocol.receive(connection):
            case protocol.EvaluateChunk() as order:
                try:
                    evaluate(order)
                except _StopRequestedError:
                    reporter.send_folds()
                except WarrenError as exc:
                    protocol.send(connection, protocol.ChunkRefused(reason=plain(str(exc))))
                    continue
                protocol.send(connection, protocol.ChunkEnded(keeps_checkpoints=checkpoints.any))
            case protocol.ResultsDurable(given_up=given_up):
                if given_up:
                    checkpoints.ended()
                checkpoints.durable()
            case _:
                pass  # a request to stop that was sent just before the last trial ended


def main() -> None:
    """Serve the worker at the other end of the file descriptor in the first argument.

    The second argument is the file descriptor of the connection for questions. The third is the
    path of this process's folder for temporary files, or empty.
    """
    # Ctrl-C reaches all processes of a terminal, and systemd signals a whole control group; the
    # worker decides when to end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _die_first()
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    for variable in _POOL_VARIABLES:
        os.environ[variable] = str(settings.threads)
    _quiet_libraries()
    try:
        connection, questions = (Connection(int(number)) for number in sys.argv[1:3])
        database, output = RemoteDatabaseAccess(questions), PartedOutput()
        with_room(lambda: serve(connection, database, settings, output, sys.argv[3]))
    except (EOFError, ConnectionError):
        logger.debug("the worker is gone, its training process ends")


if __name__ == "__main__":
    main()
