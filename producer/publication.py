"""One publication of a study: what has no result goes into the queue, as chunks of a new generation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from producer.publisher import publish
from producer.space import Space, split_sizes
from tuning.errors import InputError, StudyError
from tuning.messages import Chunk, Objective, Trial, encode_chunk
from tuning.names import CHUNKS_QUEUE
from tuning.settings import Settings
from tuning.store import Store, now

# Without n_chunks: trials a chunk at most, so that a lost node costs little and workers end together ...
_TRIALS_A_CHUNK = 20
# ... and chunks at least, so that a small grid keeps many workers busy.
_FEWEST_CHUNKS = 100

# Bytes: RabbitMQ 4 refuses messages above 16 MiB.
_LARGEST_MESSAGE = 15 * 2**20


def default_chunks(n_trials: int) -> int:
    """Return how many chunks a study is cut into when its user does not say."""
    return max(min(n_trials, _FEWEST_CHUNKS), -(-n_trials // _TRIALS_A_CHUNK))


def chunks(
    study_id: str,
    generation: int,
    objective: Objective,
    space: Space,
    numbers: Iterable[int],
    sizes: Iterable[int],
    *,
    estimator_in_grid: bool = False,
    trial_timeout: float | None = None,
    allow: Iterable[str] = (),
) -> Iterator[Chunk]:
    """Cut trials into chunks, lazily.

    Parameters
    ----------
    study_id, generation, objective, trial_timeout
        As in `tuning.messages.Chunk`.
    space : Space
        Gives the parameters.
    numbers : iterable of int
        The trials, in order.
    sizes : iterable of int
        Trials of each chunk.
    estimator_in_grid : bool, default=False
        The parameter "estimator" of a grid is the trial's estimator, not a parameter of it.
    allow : iterable of str, default=()
        Further estimator names.

    Yields
    ------
    Chunk
    """
    points = space.encoded_points(numbers, allow)
    for index, size in enumerate(sizes):
        trials = tuple(
            Trial(number=number, estimator=params.pop("estimator", None) if estimator_in_grid else None, params=params)
            for number, params in islice(points, size)
        )
        yield Chunk(
            study_id=study_id,
            generation=generation,
            index=index,
            objective=objective,
            trials=trials,
            trial_timeout=trial_timeout,
        )


def _encode_small(chunk: Chunk) -> bytes:
    """Encode a chunk that a broker takes; the first of a publication is never smaller than the others by a trial."""
    body = encode_chunk(chunk)
    if len(body) > _LARGEST_MESSAGE:
        raise InputError(
            f"a chunk of {len(chunk.trials):,} trials is a message of {len(body) / 2**20:.0f} MiB, and brokers take "
            f"{_LARGEST_MESSAGE // 2**20}: use a larger n_chunks"
        )
    return body


def publish_missing(store: Store, settings: Settings, study_id: str, objective: Objective, space: Space) -> int:
    """Publish every trial of a study that has no result, and let the study run.

    The new messages carry a new generation. Once all of them are safe in the queue the study's generation
    follows, and workers drop what is left of earlier publications: only the trials in hand are trained twice.

    Parameters
    ----------
    store : Store
    settings : Settings
    study_id : str
    objective : Objective
    space : Space

    Returns
    -------
    int
        Trials published.

    Raises
    ------
    StudyError
        There is no such study.
    BrokerError
        The broker is unreachable or goes away. The same call publishes what is then missing.
    """
    begun = store.update_study(
        study_id,
        {
            "$inc": {"publications": 1},
            "$set": {
                "state": "RUNNING",
                "finished_at": None,
                "submitted_at": None,
                "dead_letters": [],
                "progress.dead": 0,
            },
        },
    )
    if begun is None:
        raise StudyError(f"study {study_id!r} is not in the database any more")
    generation: int = begun["publications"]
    finished = store.finished_numbers(study_id)
    if finished or begun["progress"]["complete"] or begun["progress"]["failed"]:
        store.recount(study_id)
    missing: int = begun["n_trials"] - len(finished)
    if missing:
        numbers = range(space.size) if not finished else (n for n in range(space.size) if n not in finished)
        bodies = chunks(
            study_id,
            generation,
            objective,
            space,
            numbers,
            split_sizes(missing, begun["n_chunks"] or default_chunks(missing)),
            estimator_in_grid=begun["estimator_in_grid"],
            trial_timeout=begun["trial_timeout"],
            allow=settings.allow,
        )
        publish(settings, CHUNKS_QUEUE, map(_encode_small, bodies))
    # Only now do workers drop what earlier publications left in the queue: one cut short takes nothing away.
    store.update_study(study_id, {"$max": {"generation": generation}, "$set": {"submitted_at": now()}})
    return missing
