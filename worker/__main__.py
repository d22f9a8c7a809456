"""Run a worker with ``python -m worker``: it takes chunks until it is stopped."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

if __name__ == "__main__" and not sys.flags.safe_path and (sys.path[0] == "" or sys.path[0] == os.getcwd()):  # noqa: PTH109
    # `python -m` imports from the working folder first, and a random.py there is the user's. The
    # folder is needed only for a clone that is not installed.
    _folder = sys.path.pop(0)
    _found = find_spec("warren")
    if _found is None or f"{_found.origin}".rpartition("warren")[0] != __file__.rpartition("worker")[0]:
        sys.path.insert(0, _folder)

from warren.safety.secrets import has_secrets, restart_without_secrets

if __name__ == "__main__" and has_secrets(os.environ):
    restart_without_secrets([sys.executable, *sys.orig_argv[1:]], os.environ)

import logging
import signal
from types import FrameType

from warren.broker import parameters
from warren.errors import WarrenError
from warren.logs import configure_logging, stream_form
from warren.processes import keep_memory_private
from warren.settings import load_settings
from warren.storage.store import Store
from warren.streams import discard_unread_output, open_standard_streams
from worker.chunk.runner import ChunkRunner
from worker.consumer.consumer import Consumer
from worker.monitoring.http_server import HealthServer
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics
from worker.process.gpus import claim_gpu
from worker.process.training_process import TrainingProcess

logger = logging.getLogger("worker")


def main() -> int:
    """Run a worker; return its exit code."""
    keep_memory_private()
    open_standard_streams()
    try:
        settings = load_settings()
    except WarrenError as exc:
        sys.stderr.write(f"worker: {exc}\n")
        return 2
    configure_logging(settings.log_level, settings.log_format)
    pulse, metrics = Pulse(settings), Metrics()
    try:
        parameters(settings, settings.worker_name)  # refuse an invalid URL at once instead of waiting for a broker
        store = Store(settings)
        pulse.ask("database", store.why_not)
        if settings.http_port is not None:
            HealthServer(settings, pulse, metrics).start()  # runs until the process ends, to report the shutdown too
    except WarrenError as exc:
        logger.critical("can't start", extra={"reason": str(exc)})
        return 2
    claim = claim_gpu(settings.device, os.environ)
    if claim.gpu is not None:
        logger.info("owns a GPU", extra={"gpu": claim.gpu})
    # From here on, the setting holds the device that runs fits that ask for a GPU.
    settings = settings.model_copy(update={"device": claim.device})
    process = TrainingProcess(settings.worker_name, store, metrics, claim, stream_form(settings.log_format, sys.stderr))
    metrics.watch_memory(process.memory_bytes)
    consumer = Consumer(settings, ChunkRunner(store, settings, process, metrics, pulse), metrics, pulse, claim.lanes)

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        if consumer.stopping:
            # The training process dies with this one, and the broker requeues the chunk.
            os._exit(128 + number)
        pulse.unready("worker", "it was told to stop")
        consumer.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        consumer.run()
    finally:
        process.kill()
        store.close()
    logger.info("stopped")
    discard_unread_output()
    return 0


if __name__ == "__main__":
    sys.exit(main())
