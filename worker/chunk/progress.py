"""Progress of a chunk: finished trials, folds and epochs, and when the current fit should end."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from warren.libraries.resolve import ResolvedTrial, resolve
from warren.messages import Chunk, Trial
from warren.storage.documents import Document
from warren.storage.unfinished import DoneFold

# Weight of the earlier measurements when a new one comes: machines and parameters change during a
# study.
_WEIGHT_OF_EARLIER = 0.8


class Progress:
    """Progress of a chunk.

    Parameters
    ----------
    chunk : Chunk
        The chunk.
    done : set of int
        Numbers of trials that have a result.
    notes : mapping of int to dict, default={}
        What earlier workers left of the other trials, in the form of `warren.storage.unfinished`.
    left_behind : bool, default=False
        Whether other workers may have had the chunk before.

    Attributes
    ----------
    chunk : Chunk
        The chunk.
    done : set of int
        Numbers of trials that have a result.
    todo : deque of Trial
        Trials without a result, in order; the first is the current one.
    tries : dict of int to (list of dict)
        Attempts that ended the training process, by trial number.
    folds : dict of int to (dict of str to dict)
        Finished folds, by trial number and fold.
    alone : set of int
        Numbers of trials that no longer share a fit: a shared fit of theirs ended the training
        process.
    taken_over : set of int
        Numbers of trials of which other workers left folds or epochs.
    epochs_kept : int
        Epochs in the checkpoints that other workers left of the trials to do.
    interrupted : dict of int to (list of dict)
        Which workers had the trials last, and when, by trial number.
    left_behind : bool
        Whether there may be checkpoints of the trials to do, from another worker or a lost training
        process.
    checkpointed : bool
        Whether the network that is being trained has a place for checkpoints, as far as known.
    keeps_checkpoints : bool
        Whether the training process keeps checkpoints of ended trials until their results are
        durable.
    since : float
        When the current trial began, on the monotonic clock.
    began : float or None
        The same, minus the time of its folds and epochs that were already there; None while data
        and libraries are loading.
    """

    def __init__(
        self,
        chunk: Chunk,
        done: set[int],
        notes: Mapping[int, Document] | None = None,
        *,
        left_behind: bool = False,
    ) -> None:
        self.chunk = chunk
        self.done = done
        self.todo = deque(trial for trial in chunk.trials if trial.number not in done)
        known = {number: note for number, note in (notes or {}).items() if number not in done}
        self.tries: dict[int, list[Document]] = {
            number: note["tries"] for number, note in known.items() if note.get("tries")
        }
        self.folds: dict[int, dict[str, Any]] = {
            number: note["folds"] for number, note in known.items() if note.get("folds")
        }
        kept: dict[int, int] = {number: sum(note.get("epochs_kept", {}).values()) for number, note in known.items()}
        self.taken_over = {*self.folds, *(number for number, epochs in kept.items() if epochs)}
        self.epochs_kept = sum(kept.values())
        self.left_behind = left_behind
        self.checkpointed = False
        self.keeps_checkpoints = False
        self.interrupted: dict[int, list[Document]] = {
            number: note["interrupted"] for number, note in known.items() if note.get("interrupted")
        }
        self.alone: set[int] = set()
        self.since = 0.0
        self.began: float | None = None
        # By number: the final estimator and parameters of a trial.
        self._resolved: dict[int, ResolvedTrial] = {}
        # Seconds that checkpoints saved, by fold of the current trial.
        self._saved: dict[int, float] = {}

    @property
    def work_done(self) -> int:
        """The number of results, folds, attempts and kept epochs: it grows with all progress."""
        kept = sum(map(len, self.folds.values())) + sum(map(len, self.tries.values()))
        return len(self.done) + kept + self.epochs_kept

    def begin(self, moment: float) -> None:
        """Note that the next trial begins."""
        self.since = self.began = moment
        self.checkpointed = False
        self._saved.clear()
        if self.folds and self.todo:
            self.began -= sum(_seconds(self.folds.get(trial.number, {}).values()) for trial in self.current_trials())

    def add_saved(self, fold: int, seconds: float) -> None:
        """Note the seconds of the current fit that checkpoints saved; they count as time spent."""
        if self.began is not None:
            self.began -= seconds - self._saved.get(fold, 0.0)
            self._saved[fold] = seconds

    def add_fold(self, fold: DoneFold) -> None:
        """Note that a fold of a trial is done."""
        self.folds.setdefault(fold.number, {})[str(fold.fold)] = fold.result

    def end(self, number: int) -> None:
        """Note that a trial has ended, usually the first to do."""
        self.done.add(number)
        self.folds.pop(number, None)
        if self.todo[0].number == number:
            self.todo.popleft()
        else:
            self.todo = deque(trial for trial in self.todo if trial.number != number)

    def current_trials(self) -> list[Trial]:
        """Return the trials that share the current fit; usually only the first to do."""
        _, sharing = next(groupby(self.todo, self._group))
        return list(sharing)

    def _group(self, trial: Trial) -> str:
        """Return a key that is equal for trials that share a fit."""
        if trial.number not in self._resolved:
            estimator = trial.estimator or self.chunk.objective.estimator
            self._resolved[trial.number] = resolve(estimator, trial.params)
        share = self.chunk.share_fits and trial.number not in self.alone
        return self._resolved[trial.number].group(trial.number, share=share)

    def separate(self) -> bool:
        """Fit the trials that share the current fit alone from now on.

        Return False if there is only one.
        """
        sharing = [trial.number for trial in self.current_trials()]
        self.alone.update(sharing)
        return len(sharing) > 1

    def expected_end(self, pace: float) -> float:
        """Return when the current fit should end, on the monotonic clock.

        Minus infinity if unknown.

        Parameters
        ----------
        pace : float
            Seconds that this worker takes for an estimated second.
        """
        if not self.todo:
            return float("-inf")
        if self.began is None:  # nothing has begun yet
            return float("inf")
        return self.began + pace * sum(trial.estimated_seconds for trial in self.current_trials())


def _seconds(folds: Iterable[Mapping[str, Any]]) -> float:
    return float(sum(fold["fit_seconds"] + fold["score_seconds"] for fold in folds))


@dataclass
class _Measured:
    expected: float = 0.0
    taken: float = 0.0


class Pace:
    """How fast this worker is: its seconds for each estimated second, by kind of estimator."""

    def __init__(self) -> None:
        self._measured: defaultdict[str, _Measured] = defaultdict(_Measured)

    def learn(self, progress: Progress, number: int, moment: float) -> None:
        """Learn from a trial that ends at `moment`, on the monotonic clock."""
        trial = next(trial for trial in progress.todo if trial.number == number)
        if progress.began is not None and trial.estimated_seconds and number not in progress.taken_over:
            measured = self._measured[_kind(progress)]
            measured.expected = _WEIGHT_OF_EARLIER * measured.expected + trial.estimated_seconds
            measured.taken = _WEIGHT_OF_EARLIER * measured.taken + moment - progress.since

    def of(self, progress: Progress) -> float:
        """Return the pace for the current trial; 1 if nothing was measured."""
        measured = self._measured.get(_kind(progress)) if progress.todo else None
        return measured.taken / measured.expected if measured else 1.0


def _kind(progress: Progress) -> str:
    estimator = progress.todo[0].estimator or progress.chunk.objective.estimator or {}
    return str(estimator.get("__estimator__"))
