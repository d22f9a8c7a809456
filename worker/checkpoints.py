"""Checkpoints of the networks that a training process trains: where each lies, and when it goes."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from tuning.errors import InputError
from tuning.messages import Chunk, Trial
from tuning.settings import Settings
from tuning.store import Store

if TYPE_CHECKING:
    from networks.checkpoints import Place, Slot

logger = logging.getLogger(__name__)

# Seconds between two looks for checkpoints that nobody will need.
_SWEEP_SECONDS = 600.0
# Age from which on a checkpoint goes whose study is cancelled, or none of this database: another may share the folder.
_STALE = timedelta(days=1)
_WAITING = ("RUNNING", "PAUSED")


class Checkpoints:
    """The checkpoints of this process's fits. Nothing is opened, or imported, before a network is trained.

    Whatever goes wrong here costs work that might have been kept, and no trial.

    Parameters
    ----------
    store : Store
        Says which studies there are.
    settings : Settings
        Say where checkpoints lie, and how far apart they are.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._place: Place | None = None
        self._unusable = False
        self._swept_at = float("-inf")
        # What the trial in hand may have there, and what those have that ended.
        self._in_hand: set[str] = set()
        self._ended: set[str] = set()

    def slots(self, chunk: Chunk, trial: Trial, fold: int) -> Callable[[int], Slot | None]:
        """Return a function that gives each network of a fit its slot; None where there are no checkpoints."""

        def slot(network: int) -> Slot | None:
            place = self._opened()
            if place is None:
                return None
            from networks.checkpoints import Slot, name_of

            name = name_of(chunk.study_id, trial.number, fold, network)
            self._in_hand.add(name)
            return Slot(place, name, self._settings.checkpoint_seconds, _data(chunk, trial, fold))

        return slot

    def ended(self) -> None:
        """Note that the trial in hand has ended; its result is not durable yet."""
        self._ended |= self._in_hand
        self._in_hand.clear()

    @property
    def any(self) -> bool:
        """Whether there may be checkpoints of this chunk's trials."""
        return bool(self._ended or self._in_hand)

    def durable(self) -> None:
        """Delete the checkpoints of trials that have ended: their results are durable."""
        while self._ended:
            self._delete(self._ended.pop())

    def left(self) -> None:
        """Leave the checkpoints of the trial in hand to whoever goes on with it."""
        self._in_hand.clear()

    def _opened(self) -> Place | None:
        if self._place is None and self._settings.checkpoints and not self._unusable:
            from networks.checkpoints import Place

            try:
                self._place = Place(self._settings.checkpoints)
            except (InputError, OSError) as exc:
                self._unusable = True
                logger.warning("trainings are not checkpointed", extra={"reason": str(exc)})
        if self._place is not None and time.monotonic() - self._swept_at > _SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            self._sweep(self._place)
        return self._place

    def _sweep(self, place: Place) -> None:
        """Delete checkpoints of studies that have ended, and old ones that no study of this database waits for."""
        try:
            found = place.found()
            by_study: dict[str, set[int]] = {}
            for one in found:
                by_study.setdefault(one.study_id, set()).add(one.trial)
            states = {study: (self._store.study(study, ("state",)) or {}).get("state") for study in by_study}
            with_result = {
                (study, number)
                for study, numbers in by_study.items()
                for number in self._store.trials.finished_numbers(study, numbers)
            }
        except OSError as exc:  # a StoreError is one too
            logger.info("can't look for old checkpoints", extra={"reason": str(exc)})
            return
        for one in found:
            waited_for = states[one.study_id] in _WAITING and not one.is_part
            if (one.study_id, one.trial) in with_result or (one.age > _STALE and not waited_for):
                logger.info("deleting a checkpoint that nobody needs", extra={"checkpoint": one.file})
                self._delete(one.file)

    def _delete(self, file: str) -> None:
        if self._place is None:
            return
        try:
            self._place.delete(file)
        except OSError as exc:
            logger.info("can't delete a checkpoint", extra={"checkpoint": file, "reason": str(exc)})


def _data(chunk: Chunk, trial: Trial, fold: int) -> str:
    """Return a digest of what a fold's networks are trained on, and of the estimator that they are part of."""
    one = chunk.objective
    what = [one.dataset, one.splits, one.validation, fold, trial.estimator or one.estimator, trial.params]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
