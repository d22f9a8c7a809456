"""Optuna: two processes optimise one study, in a SQLite database or in a journal file.

With `RandomSampler`, which does not look at earlier trials. Samplers that do become slower with
every trial. A trial suggests one parameter, as trials of Warren and of the other peers have one.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from functools import partial
from multiprocessing.synchronize import Barrier

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from benchmarks.peers.contract import WARM_UP, WORKERS, arguments, noop, report

STUDY = "no-ops"
# Seconds that a writer waits for the other's lock. SQLite's default, 5, is too short on slow disks.
LOCK_SECONDS = 60


def open_storage(kind: str, folder: str) -> BaseStorage:
    """Open a storage of the kind ``sqlite`` or ``journal`` in a folder."""
    if kind == "sqlite":
        options = {"connect_args": {"timeout": LOCK_SECONDS}}
        return RDBStorage(f"sqlite:///{folder}/optuna.db", engine_kwargs=options)
    return JournalStorage(JournalFileBackend(f"{folder}/optuna.log"))


def objective(trial: optuna.Trial) -> float:
    """Do nothing with one parameter."""
    return noop(trial.suggest_int("number", 0, 1_000_000))


def optimise(kind: str, folder: str, trials: int, together: Barrier) -> None:
    """Run one worker's share; it waits at `together` for the others, before and after."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler()
    study = optuna.load_study(study_name=STUDY, storage=open_storage(kind, folder), sampler=sampler)
    study.optimize(objective, n_trials=WARM_UP // WORKERS)
    together.wait()
    study.optimize(objective, n_trials=trials)
    together.wait()


def measure(trials: int, kind: str) -> float:
    """Return the seconds that `trials` no-op trials take."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(WORKERS + 1)
    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(study_name=STUDY, storage=open_storage(kind, folder))
        shares = [len(range(worker, trials, WORKERS)) for worker in range(WORKERS)]
        workers = [
            spawn.Process(target=optimise, args=(kind, folder, share, together), daemon=True) for share in shares
        ]
        for worker in workers:
            worker.start()
        together.wait()
        began = time.perf_counter()
        together.wait()
        seconds = time.perf_counter() - began
        for worker in workers:
            worker.join()
        assert len(study.trials) == trials + WARM_UP // WORKERS * WORKERS
    return seconds


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--storage", choices=["sqlite", "journal"], required=True)
    given = parser.parse_args()
    report(partial(measure, kind=given.storage), given.trials, "optuna")
