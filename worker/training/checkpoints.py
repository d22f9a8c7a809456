"""Checkpoints of the networks that a training process trains: where each is stored, and when it is deleted."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

from warren.errors import InputError
from warren.messages import Chunk, Trial
from warren.networks.checkpoints import Place, Slot, name_of
from warren.settings import Settings, redact
from worker.database import DatabaseAccess

logger = logging.getLogger(__name__)

# Seconds between two searches for checkpoints that are no longer needed.
_SWEEP_SECONDS = 600.0
# Age from which on a checkpoint is deleted whose study is cancelled, or whose write was cut short.
_STALE = timedelta(days=1)
# The same where this database has no such study: it was deleted, or is another's that shares the folder.
_UNKNOWN = timedelta(hours=1)
_WAITING = ("RUNNING", "PAUSED")
# Seconds for which a place that is away is not asked: each answer may take seconds of a fit. Twice as many each time.
_AWAY_SECONDS, _AWAY_SECONDS_AT_MOST = 60.0, 600.0


class Checkpoints:
    """The checkpoints of this process's fits. Nothing is opened before a network is trained.

    An error here costs work that might have been kept, and never fails a trial.

    Parameters
    ----------
    database : DatabaseAccess
        Say which studies there are.
    settings : Settings
        Say where checkpoints are stored, and how far apart they are.
    """

    def __init__(self, database: DatabaseAccess, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._place: Place | None = None
        self._unusable = False
        self._swept_at = float("-inf")
        # Until when the place is not asked, and how long that is.
        self._away_until, self._pause = float("-inf"), 0.0
        self._left_behind = True
        # What may be stored of the current trial, and of those that ended: what was loaded or saved here.
        self._current: set[str] = set()
        self._ended: set[str] = set()

    def begin(self, *, left_behind: bool) -> None:
        """Turn to a chunk; checkpoints of the last trial are left to the worker that continues it.

        Parameters
        ----------
        left_behind : bool
            Whether another process may have left checkpoints of this chunk's trials: they are looked for.
        """
        self._current.clear()
        self._left_behind = left_behind

    def slots(self, chunk: Chunk, trial: Trial, fold: int) -> Callable[[int], Slot | None]:
        """Return a function that gives each network of a fit its slot; None where there are no checkpoints."""

        def slot(network: int) -> Slot | None:
            place = self._opened()
            if place is None:
                return None
            name = name_of(chunk.study_id, trial.number, fold, network)
            return _Slot(self, place, name, self._settings.checkpoint_seconds, _data(chunk, trial, fold))

        return slot

    def ended(self) -> None:
        """Note that the current trial has ended; its result is not durable yet."""
        self._ended |= self._current
        self._current.clear()

    @property
    def any(self) -> bool:
        """Whether there may be checkpoints of this chunk's trials."""
        return bool(self._ended or self._current)

    def durable(self) -> None:
        """Delete the checkpoints of trials that have ended: their results are durable."""
        while self._ended and not self._is_away:
            self._delete(self._ended.pop())

    def asks(self, name: str) -> bool:
        """Return whether there may be a checkpoint of this name of the current trial."""
        return self._left_behind or name in self._current

    def uses(self, name: str) -> None:
        """Note that there may be a checkpoint of this name of the current trial from now on."""
        self._current.add(name)

    def answered(self) -> None:
        """Note that the place is there."""
        self._pause = 0.0

    def failed(self, reason: OSError) -> None:
        """Note that the place is away: it is not asked for a while."""
        if self._is_away:
            return
        self._pause = min(max(2 * self._pause, _AWAY_SECONDS), _AWAY_SECONDS_AT_MOST)
        self._away_until = time.monotonic() + self._pause
        logger.warning(
            "the place of checkpoints is away: for a while no training that begins is checkpointed",
            extra={"reason": self._said_of(reason), "seconds": self._pause},
        )

    @property
    def _is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def _opened(self) -> Place | None:
        if not self._settings.checkpoints or self._unusable or self._is_away:
            return None
        if self._place is None:
            try:
                self._place = Place(self._settings.checkpoints)
            except OSError as exc:
                self.failed(exc)
                return None
            except Exception as exc:  # noqa: BLE001 - whatever a library raises of an address: no fault of the trial
                self._unusable = True
                logger.warning("trainings are not checkpointed", extra={"reason": self._said_of(exc)})
                return None
        if time.monotonic() - self._swept_at > _SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            self._sweep(self._place)
        return None if self._is_away else self._place

    def _said_of(self, reason: Exception) -> str:
        """Return what is logged of a failure: with the setting, which it says itself where the setting is to blame."""
        if isinstance(reason, InputError):
            return str(reason)
        return f"WARREN_CHECKPOINTS={redact(self._settings.checkpoints)!r}: {type(reason).__name__}: {reason}"

    def _sweep(self, place: Place) -> None:
        """Delete checkpoints of studies that have ended, and old ones that no study of this database waits for."""
        try:
            found = place.found()
        except OSError as exc:
            self.failed(exc)
            return
        except Exception as exc:  # noqa: BLE001 - whatever else a library raises of a listing: no fault of the trial
            logger.info("can't look for old checkpoints", extra={"reason": self._said_of(exc)})
            return
        try:
            by_study: dict[str, set[int]] = {}
            for one in found:
                by_study.setdefault(one.study_id, set()).add(one.trial)
            states, with_result = self._database.study_states(by_study)
        except OSError as exc:  # a StoreError is one too
            logger.info("can't look for old checkpoints", extra={"reason": str(exc)})
            return
        for one in found:
            state = states.get(one.study_id)
            old = one.age > (_UNKNOWN if state is None and not one.is_part else _STALE)
            waited_for = state in _WAITING and not one.is_part
            if (one.study_id, one.trial) in with_result or (old and not waited_for):
                logger.info("deleting a checkpoint that is no longer needed", extra={"checkpoint": one.file})
                self._delete(one.file)

    def _delete(self, file: str) -> None:
        if self._place is None or self._is_away:
            return
        try:
            self._place.delete(file)
        except OSError as exc:
            logger.info("can't delete a checkpoint", extra={"checkpoint": file, "reason": str(exc)})
            self.failed(exc)
        except Exception as exc:  # noqa: BLE001 - whatever else a library raises: no fault of the trial
            logger.info("can't delete a checkpoint", extra={"checkpoint": file, "reason": self._said_of(exc)})


class _Slot(Slot):
    """A slot that asks its place only where there may be a checkpoint, and notes whether the place answers."""

    def __init__(self, owner: Checkpoints, place: Place, name: str, seconds: float, data: str) -> None:
        super().__init__(place, name, seconds, data)
        self._owner = owner

    def load(self, folder: Path) -> bool:
        if not self._owner.asks(self.name):
            return False
        self._owner.uses(self.name)
        try:
            found = super().load(folder)
        except OSError as exc:
            self._owner.failed(exc)
            raise
        self._owner.answered()
        return found

    def save(self, files: Iterable[Path]) -> None:
        self._owner.uses(self.name)
        try:
            super().save(files)
        except OSError as exc:
            self._owner.failed(exc)
            raise
        self._owner.answered()


def _data(chunk: Chunk, trial: Trial, fold: int) -> str:
    """Return a digest of what a fold's networks are trained on, and of the estimator that they are part of."""
    one = chunk.objective
    what = [one.dataset, one.splits, one.validation, fold, trial.estimator or one.estimator, trial.params]
    what += [changed] if (changed := one.configuration.changed()) else []
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
