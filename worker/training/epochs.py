"""What a training process tells of networks while they are trained: their curves, epoch by epoch."""

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
"""Epochs, counted from 1, and by name the loss and metrics at their ends: lists of one length."""

# Points of a curve: more than a screen has, and little for a document.
MOST_POINTS = 1000
# Numbers of all curves of a trial. One takes 13 bytes, and a document holds 16 MiB.
_MOST_NUMBERS = 100_000
_FEWEST_POINTS = 8
# Folds from which on no curves are kept: together they would be too many for a document.
_MOST_FOLDS = 500


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """A network in training.

    Attributes
    ----------
    chunk, trial
        Whose it is.
    started_at : datetime
        When the trial began here, UTC.
    fold : int
    network : int
        Which of the networks that the fit trains, from 0 on.
    history : mapping of str to sequence of float
        Loss and metrics of all epochs so far; it grows.
    most : int
        Points that its curve may have; 0 is none.
    kept : int
        Epochs that its last checkpoint holds.
    checkpointed : bool
        Whether there is a place for checkpoints of it.
    spared : float
        Seconds of the fit that checkpoints have spared so far.
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
    spared: float

    @property
    def done(self) -> int:
        """Epochs so far."""
        return _length(self.history)

    def after(self, epochs: int) -> Epochs:
        """Return what there was to tell after so many epochs."""
        return replace(self, history={name: values[:epochs] for name, values in self.history.items()})

    @property
    def curve(self) -> Curve:
        """What is told of them. Of many it takes a moment, which not every epoch is worth."""
        return thinned(self.history, self.most) if self.most else {}


def thinned(history: Mapping[str, Sequence[float]], most: int) -> Curve:
    """Return a history as a curve of not many more than `most` points: every second, fourth, ..., and the last.

    Parameters
    ----------
    history : mapping of str to sequence of float
        One number an epoch.
    most : int
        1 or more.
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
    """Return how many points a curve may have, so that all of a trial are not too much for a document."""
    if n_folds > _MOST_FOLDS:
        return 0
    return max(_FEWEST_POINTS, min(MOST_POINTS, _MOST_NUMBERS // (n_folds * max(1, n_curves))))


class FoldWatch(Watch):
    """Watches over the networks of a fit.

    Parameters
    ----------
    chunk : Chunk
    trial : Trial
    started_at : datetime
    fold : int
    slots : callable
        Returns the slot of a network by its place among those of the fit; or None.
    tell : callable
        Is told of each epoch.
    stopping : callable
        Says whether the training shall end once a checkpoint is written; `tell` ends it.
    keeps : frozenset of int, default={}
        As of `Watch`.

    Attributes
    ----------
    resumed_epochs : int
        Epochs that were not trained again.
    spared_seconds : float
        Seconds that they took, when they were trained.
    """

    def __init__(
        self,
        chunk: Chunk,
        trial: Trial,
        started_at: datetime,
        fold: int,
        slots: Callable[[int], Slot | None],
        tell: Callable[[Epochs], None],
        stopping: Callable[[], bool],
        keeps: frozenset[int] = frozenset(),
    ) -> None:
        self._n_folds = 1 if chunk.objective.keep_model else chunk.objective.n_splits
        self._chunk, self._trial, self._started_at, self._fold = chunk, trial, started_at, fold
        self._slots, self._tell, self._stopping = slots, tell, stopping
        self.keeps = keeps
        self._networks = 0
        self._checkpointed = False
        self._last: Epochs | None = None
        self.resumed_epochs = 0
        self.spared_seconds = 0.0

    def imported(self) -> None:
        """Leave what TensorFlow has made out of every later look for garbage, with which each fit begins: 0.3 seconds.

        Here, for this process does nothing but fits: what others hold at that moment would never be freed.
        """
        gc.collect()
        gc.freeze()

    def begin(self) -> Slot | None:
        """Return where the next network is checkpointed."""
        self._networks += 1
        slot = self._slots(self._networks - 1)
        self._checkpointed = slot is not None
        return slot

    def resumed(self, epochs: int, seconds: float) -> None:
        """Count epochs that are not trained again."""
        self.resumed_epochs += epochs
        self.spared_seconds += seconds

    def wants_to_stop(self) -> bool:
        """Say whether the worker has asked to stop."""
        return self._stopping()

    def epoch(self, history: Mapping[str, Sequence[float]], kept: int) -> None:
        """Tell of an epoch."""
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
            spared=self.spared_seconds,
        )
        self._tell(self._last)

    def noted(self, result: FoldResult, epochs: int = 0, of_all: int = 0) -> FoldResult:
        """Return a result of the fit with what was seen of its networks: the curve is that of the last.

        Parameters
        ----------
        result : FoldResult
        epochs, of_all : int, default=0
            Those of its trial, one of several that share the fit, and the sum of theirs.
        """
        if self._last is None:
            return result
        last, resumed, part = self._last, self.resumed_epochs, 1.0
        if of_all:
            last, resumed = last.after(epochs), min(resumed, epochs)
            part = epochs / of_all
        return replace(
            result,
            # As of folds that an earlier worker fitted: whose seconds they are does not matter.
            fit_seconds=result.fit_seconds + self.spared_seconds * part,
            epochs=last.curve,
            resumed_epochs=resumed,
        )
