"""Ray Tune: two CPUs, two trials at a time, no loggers, no dashboard. Results are files.

By default, Ray Tune starts an actor, which is a process, for every trial. With ``--reuse-actors``
it keeps two and gives them one trial after the other.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from typing import Any

# Read when Ray is imported.
os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_USAGE_STATS_ENABLED": "0"}

import ray
from ray import tune

from benchmarks.peers.contract import WORKERS, arguments, noop, report

# Bytes of shared memory for objects; there are almost none.
OBJECT_BYTES = 100 * 2**20


class Ends(tune.Callback):
    """Records when each trial has ended."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Record one end."""
        self.at.append(time.perf_counter())


def trial(config: dict[str, int]) -> dict[str, float]:
    """Do nothing."""
    return {"score": noop(config["number"])}


def measure(trials: int, *, reuse_actors: bool) -> float:
    """Return the seconds for `trials` no-op trials, after the first on each CPU has ended."""
    ends = Ends()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=OBJECT_BYTES,
            _temp_dir=folder,
        )
        try:
            results = tune.Tuner(
                trial,
                param_space={"number": tune.grid_search(list(range(WORKERS + trials)))},
                tune_config=tune.TuneConfig(max_concurrent_trials=WORKERS, reuse_actors=reuse_actors),
                run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[ends]),
            ).fit()
        finally:
            ray.shutdown()
    assert not results.errors
    assert len(ends.at) == WORKERS + trials
    return ends.at[-1] - ends.at[WORKERS - 1]


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--reuse-actors", action="store_true")
    given = parser.parse_args()
    report(partial(measure, reuse_actors=given.reuse_actors), given.trials, "ray")
