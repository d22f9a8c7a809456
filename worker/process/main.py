"""The training process: takes chunks from its worker over a socket, sends each trial back as it ends.

It holds what training needs (libraries, data, folds) and nothing else: no queue, no database, no password. So the
worker can time it out, lose it and replace it, and a trial gets at its own data only. What it needs of the database it
asks its worker for, over a second connection: `worker.process.database_access`.

What goes over the first socket, one message each way at a time, the first byte says what:

====  ==========================  =============================================
to the child
``C``  BSON ``{body, skip, ...}``  evaluate this chunk as `ChunkEvaluator.evaluate` says
``S``  nothing                     stop after the trial in hand, or those that share its fit
``F``  nothing                     stop after the fold in hand, or at a checkpoint of it
``K``  ``g`` or nothing            every result that was sent is durable; ``g``: nobody waits for the others
from the child
``r``  nothing                     data and libraries are there, trials begin
``f``  BSON ``{folds: [...]}``     folds of the trials in hand that are done: number, fold, result
``p``  BSON ``{number, fold, ...}`` a network's epochs so far, how many of them a checkpoint holds, and if one can
``t``  number, trial document       a trial ended: 8 bytes, the least first, and BSON
``x``  number, part, document       a trial failed: the same, and between them in which part of the output it printed
``d``  ``k`` or nothing            all trials ended, or stopped; ``k``: there are checkpoints, so say ``K``
``e``  text                        the chunk can't be evaluated at all: the reason
====  ==========================  =============================================
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warren.errors import WarrenError
from warren.logs import configure_logging
from warren.settings import Settings, load_settings
from worker.process.frames import with_room
from worker.process.temp_folders import make_again
from worker.process.trial_output import Printing

if TYPE_CHECKING:
    from worker.training.epochs import Epochs
    from worker.training.fit_and_score import FoldResult

logger = logging.getLogger(__name__)

# Seconds of work that are worth keeping when the trial in hand ends without a result.
_KEEP_SECONDS = 0.5
# Seconds between two letters about epochs; with those that the worker waits for others it stays below one.
_EPOCH_SECONDS = 0.2
# Seconds of a trial in which nobody looks at its epochs: those of a shorter one come with its result, and cost nothing.
_SHORT_SECONDS = 1.0
# Linux: when memory runs out, the process with the highest score is the one that dies (proc_pid_oom_score_adj(5)).
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_DIES_FIRST = "1000"
# What thread pools below the libraries read, once, when they are loaded.
_POOL_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    # TensorFlow has two pools, for the work inside an operation and for operations side by side.
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
# TensorFlow writes past our log, and an error that matters is raised too: its core shall be silent.
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}


def _die_first() -> None:
    """Let the kernel take this process and not its worker, which tells the tale."""
    try:
        _OOM_SCORE.write_text(_DIES_FIRST)
    except OSError as exc:  # not Linux, or not allowed
        logger.debug("can't say that this process dies first when memory runs out", extra={"reason": str(exc)})


def _quiet_libraries() -> None:
    """Let libraries keep to themselves what nobody who reads a worker's log can act on."""
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)
    # XGBoost warns of what it deprecates at every fit, with the time in the text: no two are alike for a filter.
    # Whoever submits such a study is told, by `producer.validation.deprecations`.
    warnings.filterwarnings("ignore", message=".* is deprecated", module=r"xgboost\.")
    # It warns of graphs that are traced anew, which they are for each network.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


class _StopAskedError(BaseException):
    """The worker has asked to stop after the fold, or at the checkpoint, that is there now. No estimator's fault."""


class _Folds:
    """Folds of the trials in hand, told to the worker when enough work lies in them; and what it says meanwhile.

    Parameters
    ----------
    connection : Connection
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._folds: list[dict[str, Any]] = []
        self._began = self._told_at = self._epoch_told_at = 0.0
        self.stop_asked = False
        self._fold_stop_asked = False

    def begin(self) -> None:
        """Turn to the next trial: forget the folds of those that have ended."""
        self._forget()
        self._began = time.monotonic()

    def _forget(self) -> None:
        self._folds.clear()
        self._told_at = time.monotonic()

    def begin_chunk(self) -> None:
        """Forget what was asked of the chunk before."""
        self.begin()
        self.stop_asked = self._fold_stop_asked = False

    def listen(self) -> None:
        """Take what the worker has said since."""
        if self.stopping():
            raise _StopAskedError

    def stopping(self) -> bool:
        """Take what the worker has said since; say whether it waits for the end of the fold in hand."""
        while self._connection.poll():
            self.stop_asked = True
            self._fold_stop_asked |= self._connection.recv_bytes()[:1] == b"F"
        return self._fold_stop_asked

    def epoch(self, epochs: Epochs) -> None:
        """Tell of an epoch of the network that is being trained, unless the trial or the last letter is very young."""
        from warren.storage.documents import pack
        from worker.training.trial_document import described

        stopping = self._fold_stop_asked and epochs.kept == epochs.done
        moment = time.monotonic()
        if not stopping and (moment - self._began < _SHORT_SECONDS or moment - self._epoch_told_at < _EPOCH_SECONDS):
            return
        said = {
            "number": epochs.trial.number,
            "fold": epochs.fold,
            "epochs": epochs.curve,
            "network": epochs.network,
            "kept": epochs.kept,
            "checkpointed": epochs.checkpointed,
            "spared": epochs.spared,
            "about": described(epochs.chunk, epochs.trial) | {"started_at": epochs.started_at},
        }
        self._connection.send_bytes(b"p" + pack(said))
        self._epoch_told_at = time.monotonic()
        if stopping:
            raise _StopAskedError

    def add(self, results: Mapping[int, FoldResult], fold: int) -> None:
        """Take the results of a fold by trial number."""
        from dataclasses import asdict

        self._folds += [
            {"number": number, "fold": fold, "result": asdict(result)} for number, result in results.items()
        ]
        if time.monotonic() - self._told_at >= _KEEP_SECONDS:
            self.tell()
        self.listen()

    def tell(self) -> None:
        """Tell the worker what is not told yet."""
        from warren.storage.documents import pack

        if self._folds:
            self._connection.send_bytes(b"f" + pack({"folds": self._folds}))
        self._forget()


def _serve(connection: Connection, supplies: Connection, settings: Settings, scratch: str) -> None:
    # Libraries are imported only now that there is work.
    from warren.storage.documents import pack, unpack
    from worker.process.database_access import Asking
    from worker.training.evaluator import ChunkEvaluator
    from worker.training.fit_and_score import FoldResult

    told = _Folds(connection)
    printing = Printing()
    evaluator = ChunkEvaluator(Asking(supplies), settings, told.add, told.epoch, told.stopping)
    checkpoints = evaluator.checkpoints

    def begin() -> None:
        """Turn to the next trial, or to what comes before the first."""
        printing.begin()
        if scratch:
            make_again(scratch)

    while True:
        message = connection.recv_bytes()
        if message[:1] == b"K":
            if message[1:]:
                checkpoints.ended()
            checkpoints.durable()
        if message[:1] != b"C":
            continue  # perhaps a stop that crossed the last result
        order = unpack(message[1:])
        begin()
        checkpoints.begin(left_behind=order["left_behind"])
        try:
            trials = evaluator.evaluate(
                order["body"],
                set(order["skip"]),
                {int(number): tries for number, tries in order["attempts"].items()},
                set(order["alone"]),
                {
                    int(number): {int(fold): FoldResult.of(result) for fold, result in folds.items()}
                    for number, folds in order["folds"].items()
                },
            )
            connection.send_bytes(b"r")
            told.begin_chunk()
            begin()
            for documents in trials:
                printing.flush()
                for document in documents:
                    failed = document["state"] == "FAILED"
                    numbers = (document["number"], printing.part) if failed else (document["number"],)
                    head = b"".join(number.to_bytes(8, "little") for number in numbers)
                    connection.send_bytes((b"x" if failed else b"t") + head + pack(document))
                checkpoints.ended()
                told.begin()
                begin()
                told.listen()
                if told.stop_asked:
                    break
        except _StopAskedError:
            told.tell()
        except WarrenError as exc:
            connection.send_bytes(b"e" + str(exc).encode(errors="backslashreplace"))
            continue
        connection.send_bytes(b"dk" if checkpoints.any else b"d")


def main() -> None:
    """Serve the worker at the other end of the file descriptor named by the first argument.

    The second is that of the connection to ask for data, the third the folder of temporary files that is this process's
    own, or empty.
    """
    # Ctrl-C reaches the whole terminal, and systemd tells a whole control group to end; the worker decides.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _die_first()
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format)
    for variable in _POOL_VARIABLES:
        os.environ[variable] = str(settings.threads)
    _quiet_libraries()
    try:
        orders, supplies = (Connection(int(number)) for number in sys.argv[1:3])
        with_room(lambda: _serve(orders, supplies, settings, sys.argv[3]))
    except (EOFError, ConnectionError):
        logger.debug("the worker is gone, its training process ends")


if __name__ == "__main__":
    main()
