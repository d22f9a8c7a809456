"""The document of a trial: its parameters, scores, times, worker and versions.

The same fields however it ended.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from warren.host import cpu_model
from warren.libraries.devices import wants_gpu
from warren.messages import Chunk, Trial
from warren.seeds import seed_of
from warren.settings import Settings
from warren.storage.documents import Document, now, trial_id
from warren.versions import packages_in, versions


def trial_document(
    chunk: Chunk, trial: Trial, settings: Settings, outcome: Document, *, started_at: datetime, attempts: int
) -> Document:
    """Return a trial's document.

    Parameters
    ----------
    chunk, trial
        The trial, and its chunk.
    settings : Settings
        Worker name, device and threads.
    outcome : dict
        State, error, scores and times, from `worker.training.fit_and_score.summary` or
        `crash_outcome`.
    started_at : datetime
        UTC; the end is now.
    attempts : int
        The number of attempts.

    Returns
    -------
    dict
        Flat, with readable names, for people who read it in MongoDB Compass.
    """
    objective = chunk.objective
    estimator = trial.estimator or objective.estimator or {}
    return {
        "_id": trial_id(chunk.study_id, trial.number),
        "study_id": chunk.study_id,
        "number": trial.number,
        **described(chunk, trial),
        **outcome,
        "worker": settings.worker_name,
        "attempts": attempts,
        "estimated_seconds": trial.estimated_seconds,
        "started_at": started_at,
        "finished_at": now(),
        # The device where its fits ran, not the one that it asked for.
        "device": "gpu" if settings.device == "gpu" and wants_gpu(estimator, trial.params) else "cpu",
        "threads": settings.threads,
        "seed": seed_of(chunk.study_id, trial.number),
        "dataset": objective.dataset,
        "splits": objective.splits,
        "cpu": cpu_model(),
        "versions": versions(*packages_in([estimator, trial.params])),
    }


def described(chunk: Chunk, trial: Trial) -> Document:
    """Return the first fields of a trial's document: its estimator, library and parameters."""
    from warren.encoding.codec import readable  # imports NumPy, which an idle worker does not need

    name = str((trial.estimator or chunk.objective.estimator or {}).get("__estimator__", ""))
    own = {"estimator": readable(trial.estimator)} if trial.estimator else {}
    return {
        "estimator": name.rpartition(".")[2],
        "library": name.partition(".")[0],
        "params": own | {key: readable(value) for key, value in trial.params.items()},
    }


def crash_outcome(chunk: Chunk, error: str, seconds: float, memory_bytes: int | None, output: str = "") -> Document:
    """Return the outcome of a trial that ended its process: all scores are ``error_score``.

    Parameters
    ----------
    chunk : Chunk
        Its chunk.
    error : str
        The reason.
    seconds : float
        Seconds of the last attempt.
    memory_bytes : int or None
        The most memory that its process held.
    output : str, default=""
        The end of its output.

    Returns
    -------
    dict
        The fields of `worker.training.fit_and_score.summary`.
    """
    objective = chunk.objective
    score = objective.failed_score
    spread = score - score  # 0, or NaN for NaN
    fields: Document = {
        "state": "FAILED",
        "error": error,
        "mean_test_score": score,
        "std_test_score": spread,
        "failed_fits": objective.n_splits,
    }
    for part in objective.parts:
        fields |= {f"mean_{part}": score, f"std_{part}": spread, f"split_{part}": [score] * objective.n_splits}
    return fields | {
        "fit_seconds": seconds,
        "score_seconds": 0.0,
        "saved_seconds": 0.0,
        "split_fit_seconds": [seconds / objective.n_splits] * objective.n_splits,
        "split_score_seconds": [0.0] * objective.n_splits,
        "shared_by": 1,
        "peak_memory_bytes": memory_bytes,
        **({"output": output} if output else {}),
    }


def started(seconds_ago: float) -> datetime:
    """Return the time, UTC, `seconds_ago` before now."""
    return now() - timedelta(seconds=round(seconds_ago, 3))
