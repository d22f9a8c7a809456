"""Which lane a study's chunks go to: one of its own while there are enough."""

from __future__ import annotations

import logging

from warren import broker
from warren.errors import BrokerError
from warren.queues import GPU_QUEUE, LANES
from warren.settings import Settings
from warren.storage.store import Store
from warren.storage.study_document import StudyProgress

logger = logging.getLogger(__name__)

# Seconds to wait for a broker that is asked out of interest.
_INTEREST_SECONDS = 2.0


def choose_lane(store: Store, settings: Settings, study: StudyProgress) -> str:
    """Return the queue for the next publication of a study.

    Its own, as long as no other study that runs has the same; or else the first in which nothing waits, so that a
    study alone is always in the first; or else the one in which the fewest chunks wait.

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


def unheard_gpu_chunks(settings: Settings) -> int:
    """Return how many chunks wait for a GPU while no worker listens there; 0 where the broker does not say.

    A worker with a chunk in hand listens nowhere: that nobody does may also mean that all are busy.
    """
    try:
        with broker.channel(_quick(settings), "warren status") as channel:
            declared = channel.queue_declare(GPU_QUEUE, passive=True).method
    except BrokerError as exc:
        logger.debug("can't see who waits for a GPU", extra={"reason": str(exc)})
        return 0
    return 0 if declared.consumer_count else int(declared.message_count)


def somebody_listens(settings: Settings) -> bool:
    """Return whether a worker waits for chunks now; one with a chunk in hand does not.

    Raises
    ------
    BrokerError
        The broker is unreachable.
    """
    with broker.channel(_quick(settings), "warren status") as channel:
        return any(channel.queue_declare(name, passive=True).method.consumer_count for name in (*LANES, GPU_QUEUE))


def _quick(settings: Settings) -> Settings:
    """Return settings that ask a broker out of interest."""
    return settings.model_copy(update={"connect_seconds": min(settings.connect_seconds, _INTEREST_SECONDS)})
