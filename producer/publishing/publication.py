"""Publishes a study: the trials without a result, as chunks of a new generation."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from producer.planning.calibration import MEASURED_STUDIES, corrections, estimates
from producer.planning.chunk_sizes import Planned, cut
from producer.planning.cost import Shape, class_name
from producer.planning.plan import Plan
from producer.publishing.lane_choice import choose_lane
from producer.publishing.outbox import Message
from producer.publishing.publisher import publish
from producer.space.space import Space
from warren.broker import DATABASE_HEADER, URL_HEADER
from warren.errors import BrokerError, InputError, StoreError, study_gone
from warren.libraries.devices import wants_gpu
from warren.messages import Chunk, Objective, Trial, check_body, encode_chunk
from warren.queues import GPU_QUEUE
from warren.retry import Patience, wait_for_store
from warren.safety.signing import Keys, signed_chunk
from warren.settings import Settings
from warren.storage.documents import now
from warren.storage.store import Store
from warren.storage.study_document import StudyMeasures, StudyPlan, StudyProgress

# Most chunks, and bytes of them, whose bodies are noted at once; they are in memory until then. The
# first group is small, so that workers start soon.
_FIRST_NOTED, _MOST_NOTED = 10, 500
_MOST_NOTED_BYTES = 8 * 2**20

logger = logging.getLogger(__name__)


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
    """Create the chunks of a plan, lazily.

    Parameters
    ----------
    study_id, generation, objective, trial_timeout, share_fits
        As in `warren.messages.Chunk`.
    space : Space
        Has the parameters.
    cuts : iterable of sequences of (int, float)
        Number and expected seconds of each trial of a chunk: `producer.planning.chunk_sizes.cut`.
    estimator_in_grid : bool, default=False
        Whether the grid's parameter "estimator" is the trial's estimator, not a parameter of it.
    allow : iterable of str, default=()
        Further allowed estimator names.

    Yields
    ------
    Chunk
        Either all its trials need a GPU, or none does: a mixed chunk of the plan becomes two.
    """
    index = itertools.count()
    for planned in cuts:
        points = space.encoded_points((number for number, _ in planned), allow)
        trials = [
            Trial(
                number=number,
                estimator=params.pop("estimator", None) if estimator_in_grid else None,
                params=params,
                estimated_seconds=seconds,
            )
            for (number, params), (_, seconds) in zip(points, planned, strict=True)
        ]
        on_gpu, others = _told_apart(objective, trials)
        for together in filter(None, (on_gpu, others)):
            yield Chunk(
                study_id=study_id,
                generation=generation,
                index=next(index),
                objective=objective,
                trials=tuple(together),
                trial_timeout=trial_timeout,
                share_fits=share_fits,
            )


def _told_apart(objective: Objective, trials: Iterable[Trial]) -> tuple[list[Trial], list[Trial]]:
    """Return the trials that need a GPU, and the others."""
    parts: tuple[list[Trial], list[Trial]] = ([], [])
    for trial in trials:
        parts[not wants_gpu(trial.estimator or objective.estimator, trial.params)].append(trial)
    return parts


def _encode_small(chunk: Chunk) -> bytes:
    """Encode a chunk, and check that the broker and workers accept it."""
    body = encode_chunk(chunk)
    try:
        check_body(body)
    except InputError as exc:
        raise InputError(f"a chunk of {len(chunk.trials):,} trials is {exc}; use a larger n_chunks") from None
    return body


def publish_missing(store: Store, settings: Settings, study_id: str, objective: Objective, space: Space) -> int:
    """Publish every trial of a study without a result, and set the study to run.

    Trials for a GPU go first, to one queue for all studies; the others go to the study's lane. The
    messages have a new generation. When the broker has confirmed all of them, the study gets this
    generation, and workers drop the remaining chunks of earlier publications: only trials that
    workers have just then are trained twice.

    If a server becomes unreachable, this waits ``WARREN_PATIENCE_SECONDS`` from the last progress.

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
        Number of published trials.

    Raises
    ------
    StudyError
        The study does not exist.
    BrokerError, StoreError
        A server is unreachable or stays so; the text says how much is in the queue. The same call
        publishes the rest.
    """
    ride = wait_for_store(settings, logger, f"publishing study {study_id} waits for the database")
    try:
        begun = _begin(store, settings, study_id, ride)
        headers = {DATABASE_HEADER: ride(store.identity), URL_HEADER: store.url}
        generation = begun.publications or 0
        found = ride(store.trials.finished_numbers, study_id)
        finished = {number for number in found if 0 <= number < begun.n_trials}
        if finished or begun.progress.done:
            counted = ride(store.recount, study_id)
            begun = counted or begun
        others = ride(store.studies, StudyMeasures, MEASURED_STUDIES)
    except StoreError as exc:
        raise StoreError(f"{exc}. Nothing was published: study.resume() or the same submit() does it") from exc
    missing = begun.n_trials - len(finished)
    on_gpu = 0
    planned: dict[str, float] = {}
    used = corrections(begun, others)
    if missing:
        plan = Plan(
            space,
            objective.estimator,
            _shape(begun),
            objective.n_splits,
            estimator_in_grid=begun.estimator_in_grid,
            share_fits=begun.share_fits,
            corrections=used,
            finished=finished,
            allow=settings.allow,
        )
        made = chunks(
            study_id,
            generation,
            objective,
            space,
            cut(plan, begun.n_chunks),
            estimator_in_grid=begun.estimator_in_grid,
            trial_timeout=begun.trial_timeout,
            share_fits=begun.share_fits,
            allow=settings.allow,
        )
        messages = _signed(Keys(settings.key), headers[DATABASE_HEADER], _messages(made, planned))
        noted = _noted(store, ride, study_id, generation, messages)
        on_gpu = _publish(settings, begun, noted, missing, headers)
    # Workers drop earlier chunks only from now on, so an interrupted publication removes nothing.
    ended = {
        "$max": {"generation": generation},
        "$set": {"submitted_at": now(), "estimates": estimates(begun, planned, used), "gpu_trials": on_gpu},
    }
    try:
        ride(store.update_study, study_id, ended)
    except StoreError as exc:
        raise StoreError(
            f"{exc}. All {missing:,} trials of study {study_id!r} are in the queue, and workers evaluate them; only a "
            "note of that is missing in the database: study.resume() or the same submit() makes it"
        ) from exc
    if generation > 1:
        with suppress(StoreError):  # they stay until the study is published again, or ends
            store.published.drop(study_id, before=generation)
    return missing


def _begin(store: Store, settings: Settings, study_id: str, ride: Patience) -> StudyPlan:
    """Set a study to run; return it with this publication's number and its queue."""
    while study := ride(store.study, study_id, StudyProgress):
        before = study.publications
        begun = ride(
            store.update_study,
            study_id,
            {
                "$inc": {"publications": 1},
                # From now on, workers accept only noted chunks of this study.
                "$push": {"noted": (before or 0) + 1},
                "$set": {
                    "state": "RUNNING",
                    "queue": ride(choose_lane, store, settings, study),
                    "finished_at": None,
                    "submitted_at": None,
                    "dead_letters": [],
                    "dead_chunks": [],
                    "progress.dead": 0,
                },
            },
            {"publications": before},
        )
        if begun:  # else another process has published it in the meantime
            return begun
    raise study_gone(study_id)


def _publish(
    settings: Settings, study: StudyPlan, messages: Iterable[Message], missing: int, headers: Mapping[str, str]
) -> int:
    """Publish messages to their own queue or the study's lane; return how many trials need a GPU.

    Errors say how many trials are in the queue.
    """
    safe = on_gpu = 0

    def count(message: Message) -> None:
        nonlocal safe, on_gpu
        safe += message.n_trials
        on_gpu += message.n_trials if message.queue == GPU_QUEUE else 0

    try:
        publish(settings, study.queue or "", messages, priority=study.priority, headers=headers, on_safe=count)
    except (BrokerError, StoreError) as exc:
        raise type(exc)(
            f"{exc}. {safe:,} of {missing:,} trials of study {study.id!r} are in the queue; study.resume() "
            "or the same submit() publishes the rest"
        ) from exc
    return on_gpu


def _shape(study: StudyPlan) -> Shape:
    """Return the shape of the training part of a fold."""
    rows, *columns = study.data.shape
    return Shape(rows if study.train_rows is None else study.train_rows, math.prod(columns), study.n_classes)


def _messages(made: Iterable[Chunk], planned: dict[str, float]) -> Iterator[Message]:
    """Create messages of chunks, and add up their expected seconds by class name."""
    for chunk in made:
        for trial in chunk.trials:
            name = class_name(trial.estimator or chunk.objective.estimator)
            planned[name] = planned.get(name, 0.0) + trial.estimated_seconds
        yield Message(
            body=_encode_small(chunk),
            id=f"{chunk.study_id}/{chunk.generation}/{chunk.index}",
            n_trials=len(chunk.trials),
            # The first trial decides: `chunks` has separated them.
            queue=GPU_QUEUE if _told_apart(chunk.objective, chunk.trials[:1])[0] else None,
        )


def _signed(keys: Keys, database: str, messages: Iterable[Message]) -> Iterator[Message]:
    """Sign messages if there is a key."""
    for message in messages:
        yield replace(message, signature=keys.sign("warren/chunk", signed_chunk(database, message.body)))


def _noted(
    store: Store, ride: Patience, study_id: str, generation: int, messages: Iterable[Message]
) -> Iterator[Message]:
    """Note bodies of messages in the database before sending: `warren.storage.published_chunks`."""
    index, most, left = 0, _FIRST_NOTED, iter(messages)
    while batch := _some(left, most):
        bodies = {index + place: message.body for place, message in enumerate(batch)}
        ride(store.published.note, study_id, generation, bodies)
        yield from batch
        index, most = index + len(batch), min(2 * most, _MOST_NOTED)


def _some(messages: Iterator[Message], most: int) -> list[Message]:
    """Take the next messages: at most so many, and little more bytes than the limit."""
    batch: list[Message] = []
    size = 0
    while len(batch) < most and size < _MOST_NOTED_BYTES and (message := next(messages, None)) is not None:
        batch.append(message)
        size += len(message.body)
    return batch
