"""What a worker's runner does when the database is away, without one."""

from __future__ import annotations

from typing import Any, cast

from tuning.errors import StoreError
from tuning.settings import Settings
from tuning.store import Store, pack
from worker.runner import ChunkRunner
from worker.trainer import Trainer
from worker.watching.metrics import Metrics
from worker.watching.pulse import Pulse


class Away:
    """A store that takes results, and is gone when they are to be counted."""

    def insert_trials(self, packed: list[bytes]) -> list[int]:
        return list(range(len(packed)))

    def add_progress(self, *_: Any) -> None:
        raise StoreError("away")


def test_a_stopped_worker_does_not_wait_for_a_database_to_count_in() -> None:
    metrics = Metrics()
    trainer = Trainer("worker-0", metrics)
    runner = ChunkRunner(cast("Store", Away()), Settings(), trainer, metrics, Pulse(Settings()))
    ended = {"state": "COMPLETE", "library": "sklearn", "fit_seconds": 0.0, "saved_seconds": 0.0}
    runner._writer.add(1, pack({"_id": "s:1", "study_id": "s", "number": 1} | ended))
    runner._writer.write()
    runner.stop(0.0)
    runner.settle(idle=True)  # returns, where it would try for ever; the test's watchdog is the deadline
