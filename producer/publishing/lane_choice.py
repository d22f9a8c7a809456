"""Chooses the lane of a study's chunks: each study has its own lane while there are enough."""

from __future__ import annotations

import logging

from warren import broker
from warren.errors import BrokerError
from warren.queues import GPU_QUEUE, LANES
from warren.settings import Settings
from warren.storage.store import Store
from warren.storage.study_document import StudyProgress

logger = logging.getLogger(__name__)

# Seconds to wait for a broker if its answer is optional.
_INTEREST_SECONDS = 2.0


def choose_lane(store: Store, settings: Settings, study: StudyProgress) -> str:
    """Return the queue for the next publication of a study.

    It is the study's earlier lane if no other running study uses that; else the first empty lane,
    so that a single study always gets the first lane; else the lane with the fewest waiting chunks.

    Parameters
    ----------
    store : Store
    settings : Settings
        Name the broker.
    study : StudyProgress

    Returns
    -------
    str
        One of `warren.queues.LANES`.

    Raises
    ------
    BrokerError, StoreError
        A server is unreachable.
    """
    own = study.queue
    if own in LANES and not store.queue_shared(study.id, own):
        return own
    waiting: dict[str, int] = {}
    with broker.channel(settings, "warren lanes") as channel:
        for lane in LANES:
            waiting[lane] = channel.queue_declare(lane, passive=True).method.message_count
            if not waiting[lane]:
                break
    return min(waiting, key=lambda lane: waiting[lane])


def unclaimed_gpu_chunks(settings: Settings) -> int:
    """Return how many chunks wait for a GPU while no worker listens; 0 if unknown.

    A busy worker does not listen, so all GPU workers may be busy.
    """
    try:
        with broker.channel(_quick(settings), "warren status") as channel:
            declared = channel.queue_declare(GPU_QUEUE, passive=True).method
    except BrokerError as exc:
        logger.debug("can't read the GPU queue", extra={"reason": str(exc)})
        return 0
    return 0 if declared.consumer_count else int(declared.message_count)


def worker_listens(settings: Settings) -> bool:
    """Return whether a worker waits for chunks now; a busy worker does not.

    Raises
    ------
    BrokerError
        The broker is unreachable.
    """
    with broker.channel(_quick(settings), "warren status") as channel:
        return any(channel.queue_declare(name, passive=True).method.consumer_count for name in (*LANES, GPU_QUEUE))


def _quick(settings: Settings) -> Settings:
    """Return settings with a short connection timeout, for optional requests."""
    return settings.model_copy(update={"connect_seconds": min(settings.connect_seconds, _INTEREST_SECONDS)})
