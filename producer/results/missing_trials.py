"""Trials that are neither done, nor in the queue, nor with a worker: a broker has removed them, and nobody was told.

The evidence is exact, as far as there is any. What is done, the trials' documents say; what is in the queue, the
broker; what a worker has in hand, its note in the database (`warren.storage.unfinished`), which outlives a worker that
vanished until its broker must have taken the chunk back. A chunk on its way between the two shows in neither for a
moment: so a trial counts as lost only where nothing is seen of it at every look for half a minute. What the broker gave
to an idle worker whose machine had just died shows in neither until the broker notices: as long as that may take, and
somebody listens, it is told and nobody gives up.
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

# Seconds without a new result after which a study seems to stand still, and between two looks at why.
STILL_SECONDS = 10.0
LOOK_SECONDS = 10.0
# Seconds that nothing is seen of trials before they count as lost.
SURE_SECONDS = 25.0
# Heartbeats after which the broker has taken back what it gave to a listener that had vanished by then: it goes by no
# note, so while somebody listens nothing is certain before.
_HEARTBEATS = 3
# Seconds to wait for a broker that is asked out of interest, and until one that was away is asked again.
_INTEREST_SECONDS = 2.0
# Seconds to wait for one that freezes or takes no messages meanwhile: whoever follows a study has a time of its own.
_FROZEN_SECONDS = 5
_AWAY_SECONDS = 60.0

# Seconds after which what was seen before is no evidence any more; and after which dead letters are read again although
# there are as many as before: thousands of them take seconds, and most lie there for days.
_STALE_SECONDS = 60.0
_READ_AGAIN_SECONDS = 600.0
# How many dead letters there were when they were read last, and when.
_dead: dict[tuple[str, str], tuple[int, float]] = {}
# When the next look at a study is due in this process: whoever asks for its status every second asks the broker rarely.
_due: dict[tuple[str, str, str], float] = {}


def stands_still(study: StudyProgress) -> bool:
    """Say whether no trial of a study that runs has ended for a while."""
    if study.state != "RUNNING" or study.submitted_at is None:
        return False
    moved = max(study.submitted_at, study.progress.last_result_at or study.submitted_at)
    # A time to come is that of a clock which is ahead, and says nothing.
    return not timedelta() <= now() - moved <= timedelta(seconds=STILL_SECONDS)


def look_closely(store: Store, settings: Settings, study_id: str) -> bool:
    """Find out whether trials of a study are lost, and note it in its document; now and then, however often called.

    A broker that is away is no evidence: nothing is noted.

    Parameters
    ----------
    store : Store
    settings : Settings
        Name the broker.
    study_id : str

    Returns
    -------
    bool
        Whether there was a look.

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
        # A worker that vanished may have left the count too low: the documents prove.
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
    """Count the trials of a study with an empty queue that nobody has in hand; 0 where it does not run."""
    if study is None or study.state != "RUNNING":
        return 0
    left = study.n_trials - study.progress.done - study.progress.dead
    return left - store.unfinished.trials_in_hand(study.id) if left > 0 else 0


def _is_news(settings: Settings, store: Store, dead: int) -> bool:
    """Say whether so many dead letters are to be read: others than before, or not for a while."""
    before, read_at = _dead.get((settings.amqp_url, store.url), (0, 0.0))
    return dead != before or time.monotonic() - read_at > _READ_AGAIN_SECONDS
