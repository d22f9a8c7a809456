"""Evaluate the trials of a chunk, one at a time, and return their documents."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import TypeAlias

from warren.errors import InputError
from warren.libraries.keras import NETWORKS
from warren.messages import Chunk, Trial, decode_chunk
from warren.networks.watch import watching
from warren.seeds import seed_of
from warren.settings import Settings
from warren.storage.documents import Document, now
from worker.database import DatabaseAccess
from worker.fitting.learner import Part
from worker.training.candidate import Planned
from worker.training.checkpoints import Checkpoints
from worker.training.data_cache import DataCache, Watched
from worker.training.epochs import Epochs, FoldWatch
from worker.training.fit_and_score import FoldResult, fit_and_score, summary
from worker.training.models import ModelKeeper
from worker.training.scorers import Scorer, make_scorer
from worker.training.sklearn_config import configured
from worker.training.trial_document import trial_document

# A trial with more folds than this keeps none of them when it is abandoned: each is a small part of
# the work, and together they are too large for a document.
_MOST_KEPT_FOLDS = 500

Kept: TypeAlias = dict[int, dict[int, FoldResult]]
"""Results of folds, by trial number and fold."""

OnFold: TypeAlias = Callable[[Mapping[int, FoldResult], int], None]
"""Receives the results of a fold, by trial number, and the number of the fold."""

OnEpoch: TypeAlias = Callable[[Epochs], None]
"""Receives an epoch of a network in training.

May end the training with an exception that is not an ``Exception``.
"""


class ChunkEvaluator:
    """Evaluates chunks, and keeps the data of earlier ones.

    Parameters
    ----------
    database : DatabaseAccess
        Reads the data.
    settings : Settings
        Threads, device, size of the cache, and checkpoints.
    on_fold : callable, default=None
        Called after a fold that is not the last of its trials.
    on_epoch : callable, default=None
        Called after each epoch of a network.
    stopping : callable, default=None
        Returns whether `on_epoch` would end the training: then a checkpoint is written first.

    Attributes
    ----------
    checkpoints : Checkpoints
        The checkpoints of its networks.
    """

    def __init__(
        self,
        database: DatabaseAccess,
        settings: Settings,
        on_fold: OnFold | None = None,
        on_epoch: OnEpoch | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> None:
        self._settings = settings
        self._cache = DataCache(database, settings.cache_bytes)
        self._models = ModelKeeper(database)
        self._on_fold = on_fold or (lambda _results, _fold: None)
        self._on_epoch = on_epoch or (lambda _epochs: None)
        self._stopping = stopping or (lambda: False)
        self.checkpoints = Checkpoints(database, settings)

    def evaluate(
        self,
        body: bytes,
        skip: AbstractSet[int] = frozenset(),
        attempts: Mapping[int, int] = MappingProxyType({}),
        alone: AbstractSet[int] = frozenset(),
        kept: Kept | None = None,
    ) -> Iterator[list[Document]]:
        """Prepare a chunk and return an iterator that evaluates its trials as it is advanced.

        Parameters
        ----------
        body : bytes
            The message.
        skip : set of int, default={}
            Numbers of trials that have a result.
        attempts : mapping of int to int, default={}
            Number of this attempt, by trial number; 1 if absent.
        alone : set of int, default={}
            Numbers of trials that must not share a fit, even if the chunk allows it.
        kept : dict, default=None
            Results of folds that are done; they are not fitted again.

        Returns
        -------
        iterator of list of dict
            Documents of trials that end together because they share a fit; usually one.

        Raises
        ------
        WarrenError
            The whole chunk can't be evaluated: its data is missing, or it names something that is
            not allowed.
        """
        chunk = decode_chunk(body)
        objective = chunk.objective
        with configured(objective.configuration):
            try:
                scorer = make_scorer(objective.scorers, self._settings.allow)
            except ValueError as exc:
                raise InputError(f"scorers {list(objective.scorers.values())}: {' '.join(str(exc).split())}") from exc
        planned = [
            Planned.of(
                chunk,
                trial,
                self._settings,
                attempts.get(trial.number, 1),
                share=chunk.share_fits and trial.number not in alone,
            )
            for trial in chunk.trials
            if trial.number not in skip
        ]
        data = self._cache.dataset(objective.dataset)
        if objective.keep_model:
            return ([self._model(chunk, plan)] for plan in planned)
        self._cache.splits(objective.splits, data.X.shape[0] * objective.n_splits)
        groups = (list(group) for _, group in groupby(planned, key=lambda plan: plan.group))
        work = _Work(chunk=chunk, scorer=scorer, kept=kept or {})
        return (documents for group in groups for documents in self._documents(work, group))

    def _model(self, chunk: Chunk, plan: Planned) -> Document:
        """Fit a trial on all rows, and store the model."""
        started_at, objective = now(), chunk.objective
        data = self._cache.dataset(objective.dataset)
        part = Part(data.X, data.y, data.sample_weight)
        watch = self._watch(chunk, plan.trial, started_at, 0)
        with configured(objective.configuration), watching(watch):
            result, model = self._models.fit(
                plan.candidate,
                copy.deepcopy(part) if plan.candidate.in_place else part,
                number=plan.trial.number,
                seed=seed_of(chunk.study_id, plan.trial.number),
            )
        result = watch.noted(result)
        outcome = summary([result], [*objective.scorers], objective.refit) | {"shared_by": 1, "model": model}
        return trial_document(chunk, plan.trial, self._settings, outcome, started_at=started_at, attempts=plan.attempt)

    def _watch(
        self, chunk: Chunk, trial: Trial, started_at: datetime, fold: int, keeps: frozenset[int] = frozenset()
    ) -> FoldWatch:
        slots = self.checkpoints.slots(chunk, trial, fold)
        return FoldWatch(chunk, trial, started_at, fold, slots, self._on_epoch, self._stopping, keeps)

    def _documents(self, work: _Work, group: list[Planned]) -> Iterator[list[Document]]:
        """Evaluate trials that share a fit on each fold, or one that does not."""
        started_at = now()
        if not self._fit(work, group, started_at):
            # The error may come only from the largest fit: fit each trial alone, as if they had not
            # shared.
            for plan in group:
                yield from self._documents(work, [plan])
            return
        objective = work.chunk.objective
        ended, rest = [], []
        for plan in group:
            folds = work.kept[plan.trial.number]
            if len(folds) == objective.n_splits:
                del work.kept[plan.trial.number]
                in_order = [folds[number] for number in range(objective.n_splits)]
                ended.append((plan, summary(in_order, list(objective.scorers), objective.refit)))
            else:
                rest.append(plan)
        yield [
            trial_document(
                work.chunk,
                plan.trial,
                self._settings,
                outcome | {"shared_by": len(ended)},
                started_at=started_at,
                attempts=plan.attempt,
            )
            for plan, outcome in ended
        ]
        if rest:
            yield from self._documents(work, rest)

    def _fit(self, work: _Work, group: list[Planned], started_at: datetime) -> bool:
        """Fit the missing folds, and keep their results; return False if a shared fit failed.

        Some folds of a trial may still be missing afterwards: those whose shared fit does not
        contain its model.
        """
        last = work.chunk.objective.n_splits - 1
        for number in range(last + 1):
            missing = [plan for plan in group if number not in work.kept.setdefault(plan.trial.number, {})]
            if not missing:
                continue
            results = self._fit_fold(work, missing, number, started_at)
            if len(missing) > 1 and any(result is not None and not result.fitted for result in results):
                return False
            found = {
                plan.trial.number: result for plan, result in zip(missing, results, strict=True) if result is not None
            }
            for trial, result in found.items():
                work.kept[trial][number] = result
            if number < last <= _MOST_KEPT_FOLDS:
                self._on_fold(found, number)
        return True

    def _fit_fold(
        self, work: _Work, group: list[Planned], number: int, started_at: datetime
    ) -> list[FoldResult | None]:
        """Return a result for each trial, in the group's order.

        None if the shared fit has none for it.
        """
        objective = work.chunk.objective
        largest = max(group, key=lambda plan: plan.resolved.rounds)
        candidate = largest.candidate
        watched: Watched = "nothing"
        if largest.resolved.stops_early:
            watched = "set apart" if objective.validation else "held out"
        with configured(objective.configuration):
            pairwise = candidate.pairwise(self._cache.dataset(objective.dataset).X)
        fold, derived = self._cache.fold(objective, number, pairwise=pairwise, watched=watched)
        rounds = [plan.resolved.rounds for plan in group] if len(group) > 1 else []
        by_epochs = largest.resolved.library is NETWORKS
        keeps = frozenset(rounds) - {largest.resolved.rounds} if by_epochs else frozenset[int]()
        watch = self._watch(work.chunk, largest.trial, started_at, number, keeps)
        with configured(objective.configuration), watching(watch):
            results = fit_and_score(
                candidate,
                fold.copied() if candidate.in_place else fold,
                work.scorer,
                list(objective.scorers),
                error_score=objective.failed_score,
                return_train_score=objective.return_train_score,
                seed=seed_of(work.chunk.study_id, largest.trial.number),
                weigh_scores=objective.weigh_scores,
                learner=candidate.learner,
                derived=None if candidate.in_place else derived,
                rounds=rounds,
            )
        found = [*zip(group, results, strict=True)]
        of_all = sum(plan.resolved.rounds for plan, result in found if result) if rounds else 0
        return [result and watch.noted(result, plan.resolved.rounds, of_all) for plan, result in found]


@dataclass(frozen=True, kw_only=True)
class _Work:
    """The current chunk: how its trials are scored, and which of their folds are done."""

    chunk: Chunk
    scorer: Scorer
    kept: Kept
