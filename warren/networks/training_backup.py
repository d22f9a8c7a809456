"""Keras' own backup of a training, and the state that it leaves out.

With both, a resumed training ends exactly as an undisturbed one.

`keras.callbacks.BackupAndRestore <https://keras.io/api/callbacks/backup_and_restore/>`_ keeps
weights, the optimizer's state and the epoch's number. We add the history, the state of early
stopping with its best weights, and the state of every random generator in the model (for dropout).
The order of rows needs no state: see `warren.networks.batches`.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from warren.networks.backend import keras_library
from warren.networks.checkpoints import Slot

logger = logging.getLogger(__name__)

History: TypeAlias = dict[str, list[float]]
"""Loss and metrics by name, one number per epoch."""
Weights: TypeAlias = dict[int, list[NDArray[Any]]]
"""A network's weights by epoch, counted from 1."""

_STATE, _ARRAYS = "state.json", "arrays.npz"
# The training waits for a write: the next write comes after at least so many times the last one's
# duration, unless all epochs are wanted.
_WRITE_SHARE = 20.0
# Seconds between a failed write and the next try: each try may cost seconds of the training.
_AGAIN_SECONDS = 60.0
# The state of early stopping besides its best weights.
_STOPPER_STATE = ("wait", "stopped_epoch", "best", "best_epoch")


class Backup:
    """Writes a checkpoint at the end of an epoch if one is due, and resumes from one.

    Parameters
    ----------
    slot : Slot
        The place of the checkpoint.
    model : keras.Model
        Compiled.
    folder : Path
        A temporary folder for this training only.
    fit : str
        Digest of the training, besides the slot's data: a checkpoint of another training is not
        used.
    epochs : int
        Epochs of the whole training.
    stopper : keras.callbacks.EarlyStopping or None
        Its state is saved and restored.
    history : dict
        History of the training; the caller updates it, a checkpoint fills it.
    earlier : dict
        Weights of earlier epochs; the caller updates it, a checkpoint fills it.

    Attributes
    ----------
    first : int
        Epochs that are not trained again.
    kept : int
        Epochs in the last checkpoint.
    spent : float
        Seconds that they took when they were trained.
    """

    def __init__(
        self,
        slot: Slot,
        model: Any,
        folder: Path,
        fit: str,
        epochs: int,
        stopper: Any,
        history: History,
        earlier: Weights,
    ) -> None:
        self._slot = slot
        self._model = model
        self._folder = folder
        self._keras = keras_library().callbacks.BackupAndRestore(str(folder))
        self._keras.set_model(model)
        self._fit = f"{fit} {slot.data}"
        self._epochs = epochs
        self._stopper = stopper
        self._history = history
        self._earlier = earlier
        self._stopper_state: dict[str, Any] = {}
        self._began = time.monotonic()
        self._due = self._began + slot.seconds
        self.first = self.kept = 0
        self.spent = 0.0

    @property
    def callback(self) -> Any:
        """The callback for ``fit``, to be placed after the callbacks whose state it keeps."""
        # Not Keras' own callback, which would restore and write each time; we call it only when
        # needed.
        return keras_library().callbacks.LambdaCallback(on_train_begin=self._begin, on_epoch_end=self._end_epoch)

    def resume(self) -> None:
        """Continue where the checkpoint ends, if there is a usable one.

        Otherwise change nothing.
        """
        about = {"checkpoint": self._slot.name}
        try:
            if not self._slot.load(self._folder):
                return
            state, extra, best, earlier = self._read()
        except Exception as exc:  # noqa: BLE001 - libraries may raise anything for a changed file
            logger.warning(
                "a checkpoint can't be used, so its training begins again",
                extra=about | {"reason": f"{type(exc).__name__}: {exc}"},
            )
            return
        if state["fit"] != self._fit:
            logger.warning("a checkpoint belongs to another training, so this one begins again", extra=about)
            return
        try:
            self._restore(state, extra)
        except Exception as exc:  # noqa: BLE001 - as above
            logger.warning(
                "a checkpoint does not fit its network, so the training begins again",
                extra=about | {"reason": f"{type(exc).__name__}: {exc}"},
            )
            return
        self._history.update(state["history"])
        self._earlier.update(earlier)
        self._stopper_state = state["stopper"] | ({"best_weights": best} if best else {}) if state["stopper"] else {}
        self.first = self.kept = state["epoch"]
        self.spent = state["seconds"]
        logger.info("resumed a training from its checkpoint", extra=about | {"epochs": self.first})

    def _read(self) -> tuple[dict[str, Any], list[NDArray[Any]], list[NDArray[Any]], Weights]:
        """Return the state next to Keras' own files, checked as untrusted input."""
        read: dict[str, Any] = json.loads((self._folder / _STATE).read_text())
        epoch, history, seen = int(read["epoch"]), read["history"], read["stopper"]
        if not 0 < epoch < self._epochs:
            raise ValueError(f"it contains {epoch} epochs, but the training has {self._epochs}")
        state = {
            "fit": str(read["fit"]),
            "epoch": epoch,
            "seconds": float(read["seconds"]),
            "history": {str(name): [float(value) for value in values] for name, values in history.items()},
            "stopper": None if seen is None else {name: seen[name] for name in _STOPPER_STATE},
        }
        if any(len(values) != epoch for values in history.values()):
            raise ValueError(f"its history is not of {epoch} epochs")
        with np.load(self._folder / _ARRAYS, allow_pickle=False) as arrays:
            extra, best = ([arrays[name] for name in _numbered(kind, arrays.files)] for kind in ("extra", "best"))
            earlier = {
                number: [arrays[name] for name in _numbered(_after(number), arrays.files)]
                for number in map(int, read["earlier"])
            }
        shapes = [part.shape for part in self._model.get_weights()]
        for weights in [*([best] if best else []), *earlier.values()]:
            if [part.shape for part in weights] != shapes:
                raise ValueError("its weights of earlier epochs have other shapes than the network")
        return state, extra, best, earlier

    def _restore(self, state: dict[str, Any], extra: list[NDArray[Any]]) -> None:
        """Restore the model from the checkpoint, or leave it unchanged."""
        model, optimizer = self._model, self._model.optimizer
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        variables = [*model.variables, *optimizer.variables]
        before = [variable.numpy() for variable in variables]
        try:
            with _quiet():
                self._keras.on_train_begin()
            for variable, value in zip(_not_saved(model), extra, strict=True):
                variable.assign(value)
            if model._initial_epoch != state["epoch"]:
                raise ValueError(f"its parts are of epochs {model._initial_epoch} and {state['epoch']}")
        except BaseException:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
            model._initial_epoch = None
            raise

    def _begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        """Restore the state of early stopping, which has just been reset."""
        self._began = time.monotonic()
        self._due = self._began + self._slot.seconds
        for name, value in self._stopper_state.items():
            setattr(self._stopper, name, value)

    def _end_epoch(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras' signature
        if time.monotonic() >= self._due:
            self.save(epoch)

    def save(self, epoch: int) -> None:
        """Write a checkpoint of the epoch that has just ended.

        Not if it exists already, or the training ends with this epoch.
        """
        if self.kept == epoch + 1 or self._model.stop_training or epoch + 1 >= self._epochs:
            return
        began = time.monotonic()
        try:
            with _quiet():
                self._keras.on_epoch_end(epoch)
            self._write(epoch + 1)
            self._slot.save(sorted(self._folder.iterdir()))
        except Exception as exc:  # noqa: BLE001 - a full disk, an unreachable bucket: not the trial's fault
            pause = max(self._slot.seconds, _AGAIN_SECONDS)
            logger.warning(
                "a checkpoint can't be written: the training continues, and would resume from the one before",
                extra={
                    "checkpoint": self._slot.name,
                    "epochs_kept": self.kept,
                    "again_in_seconds": pause,
                    "reason": f"{type(exc).__name__}: {exc}",
                },
            )
        else:
            self.kept = epoch + 1
            seconds = self._slot.seconds
            pause = max(seconds, _WRITE_SHARE * (time.monotonic() - began)) if seconds else 0.0
        self._due = time.monotonic() + pause

    def _write(self, epoch: int) -> None:
        stopper = self._stopper
        state = {
            "fit": self._fit,
            "epoch": epoch,
            "seconds": self.spent + time.monotonic() - self._began,
            "history": self._history,
            "stopper": None if stopper is None else {name: getattr(stopper, name) for name in _STOPPER_STATE},
            "earlier": sorted(self._earlier),
        }
        (self._folder / _STATE).write_text(json.dumps(state))
        arrays = {f"extra{position}": variable.numpy() for position, variable in enumerate(_not_saved(self._model))}
        if stopper is not None and stopper.best_weights is not None:
            arrays |= {f"best{position}": part for position, part in enumerate(stopper.best_weights)}
        for number, weights in self._earlier.items():
            arrays |= {f"{_after(number)}{position}": part for position, part in enumerate(weights)}
        np.savez(self._folder / _ARRAYS, **arrays)


@contextmanager
def backed_up(
    slot: Slot, model: Any, fit: str, epochs: int, stopper: Any, history: History, earlier: Weights
) -> Iterator[Backup | None]:
    """Return a backup of a training, with the model as in its checkpoint.

    None if there can't be one.

    Parameters
    ----------
    slot : Slot
        The place of the checkpoint.
    model : keras.Model
        Compiled.
    fit, epochs, stopper, history, earlier
        As for `Backup`.

    Yields
    ------
    Backup or None
        The backup.
    """
    try:
        scratch = tempfile.TemporaryDirectory(prefix="warren-backup-", ignore_cleanup_errors=True)
    except OSError as exc:
        logger.warning("no space for checkpoints: the training continues without", extra={"reason": str(exc)})
        yield None
        return
    with scratch as folder:
        backup = Backup(slot, model, Path(folder), fit, epochs, stopper, history, earlier)
        backup.resume()
        yield backup


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress a warning: Keras passes variables to NumPy in a way that NumPy deprecates."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _not_saved(model: Any) -> list[Any]:
    """Return the variables that Keras does not save with weights: the state of generators."""
    saved = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in saved]


def _after(epoch: int) -> str:
    """Return the prefix for the names of an epoch's weights; its ending distinguishes 1 from 10."""
    return f"after {epoch}: "


def _numbered(kind: str, names: list[str]) -> list[str]:
    return [f"{kind}{position}" for position in range(sum(name.startswith(kind) for name in names))]
