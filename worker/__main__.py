"""``python -m worker``: takes chunks until it is told to stop. All it needs to know are its settings."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

from tuning.broker import parameters
from tuning.errors import WarrenError
from tuning.logs import configure_logging
from tuning.settings import load_settings
from tuning.store import Store
from worker.consumer import Consumer
from worker.runner import ChunkRunner
from worker.trainer import Trainer

logger = logging.getLogger("worker")


def main() -> int:
    """Run a worker; return its exit code."""
    try:
        settings = load_settings()
        parameters(settings, settings.worker_name)  # an URL that can't be read is no broker to wait for
        store = Store(settings)
    except WarrenError as exc:
        sys.stderr.write(f"worker: {exc}\n")
        return 2
    configure_logging(settings.log_level)
    trainer = Trainer(settings.worker_name)
    consumer = Consumer(settings, ChunkRunner(store, settings, trainer))

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        if consumer.stopping:
            # The training process dies with this one, the broker takes the chunk back.
            os._exit(128 + number)
        consumer.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        consumer.run()
    finally:
        trainer.kill()
        store.close()
    logger.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
