"""Report the training of networks epoch by epoch, as curves of loss and metrics."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from warren.messages import Chunk, Trial
from warren.networks.watch import Watch
from worker.training.fit_and_score import FoldResult

if TYPE_CHECKING:
    from warren.networks.checkpoints import Slot

Curve: TypeAlias = dict[str, list[float]]
"""Epochs from 1 on, and loss and metrics at the end of each: lists of equal length."""

# Points of a curve: more than a screen shows, but little for a document.
MOST_POINTS = 1000
# Numbers in all curves of a trial. Each takes 13 bytes, and a document holds 16 MiB.
_MOST_NUMBERS = 100_000
_FEWEST_POINTS = 8
# With more folds than this, no curves are kept: together they would be too large for a document.
_MOST_FOLDS = 500


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """A network in training.

    Attributes
    ----------
    chunk, trial
        The chunk and trial that it belongs to.
    started_at : datetime
        When the trial began on this worker, UTC.
    fold : int
        The fold.
    network : int
        Number of the network within the fit, from 0.
    history : mapping of str to sequence of float
        Loss and metrics of all epochs so far; it grows during training.
    most : int
        Points that its curve may have; 0 for no curve.
    kept : int
        Epochs in its last checkpoint.
    checkpointed : bool
        Whether there is a place for its checkpoints.
    saved_seconds : float
        Seconds of the fit that checkpoints have saved so far.
    """

    chunk: Chunk
    trial: Trial
    started_at: datetime
    fold: int
    network: int
    history: Mapping[str, Sequence[float]]
    most: int
    kept: int
    checkpointed: bool
    saved_seconds: float

    @property
    def done(self) -> int:
        """Epochs so far."""
        return _length(self.history)

    def after(self, epochs: int) -> Epochs:
        """Return this record as it was after so many epochs."""
        return replace(self, history={name: values[:epochs] for name, values in self.history.items()})

    @property
    def curve(self) -> Curve:
        """The curve to report.

        It takes a moment for many epochs, so it is not computed after every one.
        """
        return thinned(self.history, self.most) if self.most else {}


def thinned(history: Mapping[str, Sequence[float]], most: int) -> Curve:
    """Return a history as a curve of about `most` points.

    It takes every second, fourth, ... epoch, and the last.

    Parameters
    ----------
    history : mapping of str to sequence of float
        One number per epoch.
    most : int
        1 or more.

    Returns
    -------
    dict of str to list of float
        The curve.
    """
    n_epochs = _length(history)
    step = 1
    while -(-n_epochs // step) > most:
        step *= 2
    taken = [*range(0, n_epochs, step)]
    if taken and taken[-1] != n_epochs - 1:
        taken.append(n_epochs - 1)
    return {"epoch": [epoch + 1 for epoch in taken]} | {
        name: [float(values[epoch]) for epoch in taken] for name, values in history.items() if len(values) == n_epochs
    }


def _length(history: Mapping[str, Sequence[float]]) -> int:
    return max(map(len, history.values()), default=0)


def points_of(n_folds: int, n_curves: int) -> int:
    """Return how many points a curve may have, so that a trial fits into a document."""
    if n_folds > _MOST_FOLDS:
        return 0
    return max(_FEWEST_POINTS, min(MOST_POINTS, _MOST_NUMBERS // (n_folds * max(1, n_curves))))


class FoldWatch(Watch):
    """Watches the networks of a fit: gives them slots for checkpoints, and reports their epochs.

    Parameters
    ----------
    chunk : Chunk
        The chunk.
    trial : Trial
        The trial.
    started_at : datetime
        When the trial began.
    fold : int
        The fold.
    slots : callable
        Returns the slot of a network by its number within the fit; or None.
    report : callable
        Called after each epoch.
    stopping : callable
        Returns whether training should end once a checkpoint is written; `report` ends it.
    keeps : frozenset of int, default={}
        See `Watch`.

    Attributes
    ----------
    resumed_epochs : int
        Epochs that checkpoints saved.
    saved_seconds : float
        Seconds that those epochs took when they were trained.
    """

    def __init__(
        self,
        chunk: Chunk,
        trial: Trial,
        started_at: datetime,
        fold: int,
        slots: Callable[[int], Slot | None],
        report: Callable[[Epochs], None],
        stopping: Callable[[], bool],
        keeps: frozenset[int] = frozenset(),
    ) -> None:
        self._n_folds = 1 if chunk.objective.keep_model else chunk.objective.n_splits
        self._chunk, self._trial, self._started_at, self._fold = chunk, trial, started_at, fold
        self._slots, self._report, self._stopping = slots, report, stopping
        self.keeps = keeps
        self._networks = 0
        self._checkpointed = False
        self._last: Epochs | None = None
        self.resumed_epochs = 0
        self.saved_seconds = 0.0

    def imported(self) -> None:
        """Exclude TensorFlow's objects from garbage collection.

        Each fit begins with a collection; this saves 0.3 seconds of it.

        This is safe here because the process does nothing but fits: objects that exist at this
        moment are never freed.
        """
        gc.collect()
        gc.freeze()

    def begin(self) -> Slot | None:
        """Return the slot for checkpoints of the next network."""
        self._networks += 1
        slot = self._slots(self._networks - 1)
        self._checkpointed = slot is not None
        return slot

    def resumed(self, epochs: int, seconds: float) -> None:
        """Count epochs that need not be trained again."""
        self.resumed_epochs += epochs
        self.saved_seconds += seconds

    def wants_to_stop(self) -> bool:
        """Return whether the worker has asked to stop."""
        return self._stopping()

    def epoch(self, history: Mapping[str, Sequence[float]], kept: int) -> None:
        """Report an epoch."""
        self._last = Epochs(
            chunk=self._chunk,
            trial=self._trial,
            started_at=self._started_at,
            fold=self._fold,
            network=self._networks - 1,
            history=history,
            most=points_of(self._n_folds, len(history) + 1),
            kept=kept,
            checkpointed=self._checkpointed,
            saved_seconds=self.saved_seconds,
        )
        self._report(self._last)

    def noted(self, result: FoldResult, epochs: int = 0, of_all: int = 0) -> FoldResult:
        """Add what was observed of the networks to a result of the fit.

        The curve is that of the last network.

        Parameters
        ----------
        result : FoldResult
            The result.
        epochs, of_all : int, default=0
            If several trials share the fit: the epochs of this one, and the sum of all.

        Returns
        -------
        FoldResult
            The result with curve and epochs.
        """
        if self._last is None:
            return result
        last, resumed, part = self._last, self.resumed_epochs, 1.0
        if of_all:
            last, resumed = last.after(epochs), min(resumed, epochs)
            part = epochs / of_all
        return replace(
            result,
            # The saved seconds count, as those of folds that an earlier worker fitted do.
            fit_seconds=result.fit_seconds + self.saved_seconds * part,
            epochs=last.curve,
            resumed_epochs=resumed,
        )
