"""One publication of a study: what has no result goes into the queue, as chunks of a new generation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from producer.planning.cost import Shape, class_name
from producer.planning.measured import MEASURED_FIELDS, MEASURED_STUDIES, corrections, estimates
from producer.planning.order import Plan
from producer.planning.sizes import Planned, cut
from producer.publisher import publish
from producer.space import Space
from tuning.errors import InputError, StudyError
from tuning.messages import Chunk, Objective, Trial, encode_chunk
from tuning.names import CHUNKS_QUEUE
from tuning.settings import Settings
from tuning.store import Document, Store, now

# Bytes: RabbitMQ 4 refuses messages above 16 MiB.
_LARGEST_MESSAGE = 15 * 2**20


def chunks(
    study_id: str,
    generation: int,
    objective: Objective,
    space: Space,
    cuts: Iterable[Sequence[Planned]],
    *,
    estimator_in_grid: bool = False,
    trial_timeout: float | None = None,
    share_fits: bool = True,
    allow: Iterable[str] = (),
) -> Iterator[Chunk]:
    """Make the chunks of a plan, lazily.

    Parameters
    ----------
    study_id, generation, objective, trial_timeout, share_fits
        As in `tuning.messages.Chunk`.
    space : Space
        Gives the parameters.
    cuts : iterable of sequences of (int, float)
        Number and expected seconds of each trial of a chunk, as `producer.planning.sizes.cut` yields them.
    estimator_in_grid : bool, default=False
        The parameter "estimator" of a grid is the trial's estimator, not a parameter of it.
    allow : iterable of str, default=()
        Further estimator names.

    Yields
    ------
    Chunk
    """
    for index, planned in enumerate(cuts):
        points = space.encoded_points((number for number, _ in planned), allow)
        yield Chunk(
            study_id=study_id,
            generation=generation,
            index=index,
            objective=objective,
            trials=tuple(
                Trial(
                    number=number,
                    estimator=params.pop("estimator", None) if estimator_in_grid else None,
                    params=params,
                    estimated_seconds=seconds,
                )
                for (number, params), (_, seconds) in zip(points, planned, strict=True)
            ),
            trial_timeout=trial_timeout,
            share_fits=share_fits,
        )


def _encode_small(chunk: Chunk) -> bytes:
    """Encode a chunk that a broker takes."""
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
        begun = store.recount(study_id) or begun
    missing: int = begun["n_trials"] - len(finished)
    planned: dict[str, float] = {}
    used = corrections(begun, store.studies(limit=MEASURED_STUDIES, fields=MEASURED_FIELDS))
    if missing:
        plan = Plan(
            space,
            objective.estimator,
            _shape(begun),
            objective.n_splits,
            estimator_in_grid=begun["estimator_in_grid"],
            share_fits=begun.get("share_fits", True),
            corrections=used,
            finished=finished,
            allow=settings.allow,
        )
        made = chunks(
            study_id,
            generation,
            objective,
            space,
            cut(plan, begun["n_chunks"]),
            estimator_in_grid=begun["estimator_in_grid"],
            trial_timeout=begun["trial_timeout"],
            share_fits=begun.get("share_fits", True),
            allow=settings.allow,
        )
        publish(settings, CHUNKS_QUEUE, map(_encode_small, _summed(made, planned)))
    # Only now do workers drop what earlier publications left in the queue: one cut short takes nothing away.
    store.update_study(
        study_id,
        {
            "$max": {"generation": generation},
            "$set": {"submitted_at": now(), "estimates": estimates(begun, planned, used)},
        },
    )
    return missing


def _shape(study: Document) -> Shape:
    """Return the shape of the training part of a fold, from a study's document."""
    rows, *columns = study["data"]["shape"]
    # Studies of earlier versions know neither their training rows nor their classes.
    return Shape(study.get("train_rows", rows), math.prod(columns), study.get("n_classes", 0))


def _summed(made: Iterable[Chunk], planned: dict[str, float]) -> Iterator[Chunk]:
    """Pass chunks on, and add the seconds that they are expected to take up by the estimators' class names."""
    for chunk in made:
        for trial in chunk.trials:
            name = class_name(trial.estimator or chunk.objective.estimator)
            planned[name] = planned.get(name, 0.0) + trial.estimated_seconds
        yield chunk
