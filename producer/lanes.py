"""Which lane a study's chunks go to: one of its own while there are enough."""

from __future__ import annotations

from tuning import broker
from tuning.documents import Document
from tuning.names import LANES
from tuning.settings import Settings
from tuning.store import Store


def choose_lane(store: Store, settings: Settings, study: Document) -> str:
    """Return the queue for the next publication of a study.

    Its own, as long as no other study that runs has the same; or else the first in which nothing waits, so that a
    study alone is always in the first; or else the one in which the fewest chunks wait.

    Parameters
    ----------
    store : Store
    settings : Settings
        Name the broker.
    study : dict
        Its document, with the field ``queue`` if it has one.

    Returns
    -------
    str
        One of `tuning.names.LANES`.

    Raises
    ------
    BrokerError, StoreError
        A server is unreachable.
    """
    own = study.get("queue")
    if own in LANES and not store.queue_shared(study["_id"], own):
        return str(own)
    waiting: dict[str, int] = {}
    with broker.channel(settings, "warren lanes") as channel:
        for lane in LANES:
            waiting[lane] = channel.queue_declare(lane, passive=True).method.message_count
            if not waiting[lane]:
                break
    return min(waiting, key=lambda lane: waiting[lane])
