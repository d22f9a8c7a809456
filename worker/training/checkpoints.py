"""Checkpoints of networks: where they are stored, and when they are deleted."""

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
# Age at which a checkpoint is deleted if its study is cancelled, or if its write was cut short.
_STALE = timedelta(days=1)
# The same if this database has no such study: it was deleted, or it belongs to another database
# that uses the folder.
_UNKNOWN = timedelta(hours=1)
_WAITING = ("RUNNING", "PAUSED")
# Seconds for which an unreachable place is not used: each try may cost seconds of a fit. They
# double with each failure.
_AWAY_SECONDS, _AWAY_SECONDS_AT_MOST = 60.0, 600.0


class Checkpoints:
    """The checkpoints of this process's fits. Nothing is opened before a network is trained.

    An error here costs work that could have been kept, but never fails a trial.

    Parameters
    ----------
    database : DatabaseAccess
        Tells which studies exist.
    settings : Settings
        Where checkpoints are stored, and how many seconds apart.
    """

    def __init__(self, database: DatabaseAccess, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._place: Place | None = None
        self._unusable = False
        self._swept_at = float("-inf")
        # Until when the place is not used, and how long that pause is.
        self._away_until, self._pause = float("-inf"), 0.0
        self._left_behind = True
        # Names of checkpoints of the current trial, and of ended trials, that this process loaded
        # or saved.
        self._current: set[str] = set()
        self._ended: set[str] = set()

    def begin(self, *, left_behind: bool) -> None:
        """Begin a chunk; checkpoints of the last trial stay for the worker that continues it.

        Parameters
        ----------
        left_behind : bool
            Whether another process may have left checkpoints of this chunk's trials, so that we
            look for them.
        """
        self._current.clear()
        self._left_behind = left_behind

    def slots(self, chunk: Chunk, trial: Trial, fold: int) -> Callable[[int], Slot | None]:
        """Return a function that gives each network of a fit its slot; None without checkpoints."""

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
        """Note that the place answers."""
        self._pause = 0.0

    def failed(self, reason: OSError) -> None:
        """Note that the place is unreachable: it is not used for a while."""
        if self._is_away:
            return
        self._pause = min(max(2 * self._pause, _AWAY_SECONDS), _AWAY_SECONDS_AT_MOST)
        self._away_until = time.monotonic() + self._pause
        logger.warning(
            "the place of checkpoints is unreachable: new trainings are not checkpointed for a while",
            extra={"reason": self._describe(reason), "seconds": self._pause},
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
            except Exception as exc:  # noqa: BLE001 - a library may raise anything for an address: not the trial's fault
                self._unusable = True
                logger.warning("trainings are not checkpointed", extra={"reason": self._describe(exc)})
                return None
        if time.monotonic() - self._swept_at > _SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            self._sweep(self._place)
        return None if self._is_away else self._place

    def _describe(self, reason: Exception) -> str:
        """Return the log text of a failure, with the setting.

        An InputError names the setting itself.
        """
        if isinstance(reason, InputError):
            return str(reason)
        return f"WARREN_CHECKPOINTS={redact(self._settings.checkpoints)!r}: {type(reason).__name__}: {reason}"

    def _sweep(self, place: Place) -> None:
        """Delete checkpoints of ended studies, and old ones that no study here needs."""
        try:
            found = place.found()
        except OSError as exc:
            self.failed(exc)
            return
        except Exception as exc:  # noqa: BLE001 - a library may raise anything for a listing: not the trial's fault
            logger.info("can't look for old checkpoints", extra={"reason": self._describe(exc)})
            return
        try:
            by_study: dict[str, set[int]] = {}
            for file in found:
                by_study.setdefault(file.study_id, set()).add(file.trial)
            states, with_result = self._database.study_states(by_study)
        except OSError as exc:  # a StoreError is one too
            logger.info("can't look for old checkpoints", extra={"reason": str(exc)})
            return
        for file in found:
            state = states.get(file.study_id)
            old = file.age > (_UNKNOWN if state is None and not file.is_part else _STALE)
            needed = state in _WAITING and not file.is_part
            if (file.study_id, file.trial) in with_result or (old and not needed):
                logger.info("deleting a checkpoint that is no longer needed", extra={"checkpoint": file.file})
                self._delete(file.file)

    def _delete(self, file: str) -> None:
        if self._place is None or self._is_away:
            return
        try:
            self._place.delete(file)
        except OSError as exc:
            logger.info("can't delete a checkpoint", extra={"checkpoint": file, "reason": str(exc)})
            self.failed(exc)
        except Exception as exc:  # noqa: BLE001 - a library may raise anything: not the trial's fault
            logger.info("can't delete a checkpoint", extra={"checkpoint": file, "reason": self._describe(exc)})


class _Slot(Slot):
    """A slot that skips needless reads, and records whether its place answers."""

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
    """Return a digest of the data and estimator that a fold's networks belong to."""
    objective = chunk.objective
    parts = [
        objective.dataset,
        objective.splits,
        objective.validation,
        fold,
        trial.estimator or objective.estimator,
        trial.params,
    ]
    parts += [changed] if (changed := objective.configuration.changed()) else []
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
