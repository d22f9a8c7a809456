"""Finds lost trials: they have no result, are not in the queue, and no worker has them.

A broker has removed them and reported nothing. The database has the results; the broker counts the
queue; a worker's notes in the database name its trials (`warren.storage.unfinished`), and a note
outlives its worker until the broker must have requeued the chunk. A chunk between the broker and a
worker shows in neither for a moment, so a trial counts as lost only if every check for half a
minute finds nothing. A chunk that the broker sent to an idle worker whose machine has just died
also shows in neither until the broker notices. While a consumer may still hold one, the loss is
reported but no wait ends.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

from producer.publishing.publisher import quiet_driver
from warren import broker
from warren.errors import BrokerError
from warren.queues import DEAD_QUEUE, GPU_QUEUE, LANES
from warren.settings import Settings
from warren.storage.dead_letters import tell_studies
from warren.storage.documents import now
from warren.storage.store import Store
from warren.storage.study_document import StudyProgress

logger = logging.getLogger(__name__)

# Seconds without a new result after which a study counts as stalled, and between two checks.
STILL_SECONDS = 10.0
LOOK_SECONDS = 10.0
# Seconds without any sign of trials before they count as lost.
SURE_SECONDS = 25.0
# Heartbeats after which the broker has requeued what it sent to a consumer that was already gone.
# Such a chunk has no note, so before that a loss is not certain while there are consumers.
_HEARTBEATS = 3
# Seconds to wait for a broker if its answer is optional, and until an unreachable one is asked
# again.
_INTEREST_SECONDS = 2.0
# Seconds to wait for a broker that hangs or blocks publishers: the follower has its own deadline.
_FROZEN_SECONDS = 5
_AWAY_SECONDS = 60.0

# Seconds after which earlier evidence expires, and after which dead letters are read again even if
# their number is the same: reading thousands takes seconds, and most stay for days.
_STALE_SECONDS = 60.0
_READ_AGAIN_SECONDS = 600.0
# The number of dead letters at their last read, and the time of it.
_dead: dict[tuple[str, str], tuple[int, float]] = {}
# When this process checks a study next: frequent status calls must not query the broker each time.
_due: dict[tuple[str, str, str], float] = {}


def stands_still(study: StudyProgress) -> bool:
    """Return whether no trial of a running study has ended for a while."""
    if study.state != "RUNNING" or study.submitted_at is None:
        return False
    moved = max(study.submitted_at, study.progress.last_result_at or study.submitted_at)
    # A time in the future comes from a clock that is ahead, and is no evidence.
    return not timedelta() <= now() - moved <= timedelta(seconds=STILL_SECONDS)


def look_closely(store: Store, settings: Settings, study_id: str) -> bool:
    """Check from time to time whether trials of a study are lost, and note it in its document.

    An unreachable broker is no evidence: nothing is noted.

    Parameters
    ----------
    store : Store
    settings : Settings
        Name the broker.
    study_id : str

    Returns
    -------
    bool
        Whether this call made a check.

    Raises
    ------
    StoreError
        The database is unreachable.
    """
    moment, which = time.monotonic(), (settings.amqp_url, store.url, study_id)
    if moment < _due.get(which, float("-inf")):
        return False
    _due[which] = moment + LOOK_SECONDS
    try:
        _look(store, settings, study_id)
    except BrokerError as exc:
        _due[which] = moment + _AWAY_SECONDS
        logger.debug("can't see what is in the queue", extra={"reason": str(exc)})
    return True


def _look(store: Store, settings: Settings, study_id: str) -> None:
    study = store.study(study_id, StudyProgress)
    if study is None or study.state != "RUNNING" or study.queue not in LANES:
        return
    limits = {
        "connect_seconds": _INTEREST_SECONDS,
        "heartbeat_seconds": _FROZEN_SECONDS,
        "blocked_seconds": _FROZEN_SECONDS,
    }
    quick = settings.model_copy(update={name: min(getattr(settings, name), most) for name, most in limits.items()})
    with quiet_driver(), broker.channel(quick, "warren status") as channel:

        def seen(queue: str) -> Any:
            return channel.queue_declare(queue, passive=True).method

        if (dead := int(seen(DEAD_QUEUE).message_count)) and _is_news(settings, store, dead):
            tell_studies(broker.dead_letters(channel), store)
            _dead[settings.amqp_url, store.url] = dead, time.monotonic()
        queues = [seen(queue) for queue in {study.queue, *([GPU_QUEUE] if study.gpu_trials else [])}]
    queued = any(one.message_count for one in queues)
    patience = _HEARTBEATS * settings.heartbeat_seconds if any(one.consumer_count for one in queues) else 0.0
    published = study.submitted_at is not None and study.publications == study.generation
    lost = 0 if queued or not published else _unseen(store, study)
    if lost > 0:
        # A worker that vanished may have left the count too low: count the documents.
        lost = _unseen(store, store.recount(study_id))
    if lost <= 0:
        if study.missing:
            store.update_study(study_id, {"$unset": {"missing": ""}})
        return
    moment, before = store.unfinished.moment(), study.missing
    since, trials = moment, lost
    if before and before.at and before.since and before.publication == study.publications:
        recent = (moment - before.at).total_seconds() <= _STALE_SECONDS
        since, trials = (before.since, min(lost, before.trials)) if recent else (moment, lost)
    age = (moment - since).total_seconds()
    found = {
        "publication": study.publications,
        "at": moment,
        "since": since,
        "trials": trials,
        "sure": age >= SURE_SECONDS,
        "certain": age >= max(SURE_SECONDS, patience),
    }
    still = {"publications": study.publications, "state": "RUNNING"}
    store.update_study(study_id, {"$set": {"missing": found}}, still)


def _unseen(store: Store, study: StudyProgress | None) -> int:
    """Count trials without a sign of life if the queue is empty; 0 if the study does not run."""
    if study is None or study.state != "RUNNING":
        return 0
    left = study.n_trials - study.progress.done - study.progress.dead
    return left - store.unfinished.trials_in_hand(study.id) if left > 0 else 0


def _is_news(settings: Settings, store: Store, dead: int) -> bool:
    """Return whether to read the dead letters: their number changed, or the last read is old."""
    before, read_at = _dead.get((settings.amqp_url, store.url), (0, 0.0))
    return dead != before or time.monotonic() - read_at > _READ_AGAIN_SECONDS
