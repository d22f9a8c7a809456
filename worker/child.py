"""The training process: takes chunks from its worker over a socket, sends each trial back as it ends.

It holds what training needs (libraries, data, folds) and nothing else: no queue, no result is written
from here. So the worker can time it out, lose it and replace it.

What goes over the socket, one message each way at a time, the first byte says what:

====  ==========================  =============================================
to the child
``C``  BSON ``{body, skip, ...}``  evaluate this chunk as `ChunkEvaluator.evaluate` says
``S``  nothing                     stop after the fit in hand
from the child
``r``  nothing                     data and libraries are there, trials begin
``t``  number, trial document       a trial ended: 8 bytes, the least first, and BSON
``d``  nothing                     all trials ended, or stopped
``e``  text                        the chunk can't be evaluated at all: the reason
====  ==========================  =============================================
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from tuning.errors import WarrenError
from tuning.logs import configure_logging
from tuning.settings import Settings, load_settings

if TYPE_CHECKING:
    from worker.chunks import ChunkEvaluator

logger = logging.getLogger(__name__)

# Linux: the kernel sends this process a signal when its parent dies (prctl(2)).
_PR_SET_PDEATHSIG = 1
# What thread pools below the libraries read, once, when they are loaded.
_POOL_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def _die_with_parent(parent: int) -> None:
    """Let a worker's sudden death end its fit too; elsewhere the broken socket does, after the trial in hand."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)


def _serve(connection: Connection, settings: Settings) -> None:
    # Libraries are imported only now that there is work.
    from tuning.store import Store, pack, unpack
    from worker.chunks import ChunkEvaluator

    store = Store(settings)
    evaluator: ChunkEvaluator = ChunkEvaluator(store, settings)
    while True:
        message = connection.recv_bytes()
        if message[:1] != b"C":
            continue  # a stop that crossed the last result
        order = unpack(message[1:])
        stopped = False
        try:
            trials = evaluator.evaluate(
                order["body"], set(order["skip"]), dict(order["attempts"]), alone=set(order["alone"])
            )
            connection.send_bytes(b"r")
            for documents in trials:
                for document in documents:
                    connection.send_bytes(b"t" + document["number"].to_bytes(8, "little") + pack(document))
                stopped = connection.poll() and connection.recv_bytes()[:1] == b"S"
                if stopped:
                    break
        except WarrenError as exc:
            connection.send_bytes(b"e" + str(exc).encode())
            continue
        connection.send_bytes(b"d")


def main() -> None:
    """Serve the worker at the other end of the file descriptor named by the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the worker decides
    _die_with_parent(int(sys.argv[2]))
    settings = load_settings()
    configure_logging(settings.log_level)
    for variable in _POOL_VARIABLES:
        os.environ[variable] = str(settings.threads)
    try:
        _serve(Connection(int(sys.argv[1])), settings)
    except (EOFError, ConnectionError):
        logger.debug("the worker is gone, its training process ends")


if __name__ == "__main__":
    main()
