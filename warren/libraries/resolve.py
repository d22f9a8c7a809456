"""What a trial trains in the end, found once a trial: everything that follows from its final estimator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from warren.encoding.estimators import tail_of
from warren.libraries.devices import wants_gpu
from warren.libraries.library import Library
from warren.libraries.registry import library_of
from warren.libraries.shared_fits import shared_key
from warren.libraries.tree_cost import number_or

Json: TypeAlias = Any  # as in warren.encoding.codec, which brings NumPy: an idle worker does without


@dataclass(frozen=True, kw_only=True, eq=False)
class ResolvedTrial:
    """A trial's final estimator, and what follows from it: `resolve` makes it.

    The final estimator is the trial's own, or the last step of its pipeline, of pipelines in pipelines too.

    Attributes
    ----------
    start : Json
        The encoded estimator that the trial starts from.
    assigned : mapping of str to Json
        The trial's encoded parameters.
    final : Json
        The encoded final estimator, without what the trial sets on it.
    changes : mapping of str to Json
        The trial's parameters that are set on the final estimator, without `prefix`.
    prefix : str
        What stands before the names of these in the trial: ``"clf__"``, or nothing.
    before : Json
        Everything else, the other steps and their parameters; None where there is no pipeline. Trials in which it is
        equal prepare their data in the same way.
    library : Library or None
        Of the final estimator, where that is trained round by round; its `Library.cost` is the cost formula.
    """

    start: Json
    assigned: Mapping[str, Json]
    final: Json
    changes: Mapping[str, Json]
    prefix: str
    before: Json
    library: Library | None

    @cached_property
    def params(self) -> Mapping[str, Json]:
        """All encoded parameters of the final estimator, the trial's over its own."""
        return {**self.final.get("params", {}), **self.changes}

    @cached_property
    def rounds(self) -> int:
        """Rounds that it is expected to take; 1 where it has none, or says nothing usable."""
        if self.library is None:
            return 1
        asked = next((self.params[name] for name in self.library.rounds if self.params.get(name) is not None), None)
        return max(int(number_or(asked, self.library.default_rounds)), 1)

    @cached_property
    def shared_key(self) -> str | None:
        """Key of the fit that it may share with trials that differ in their rounds alone; None where it must not.

        Of a pipeline, the last step decides, and the key holds all the rest. Sums on a GPU round from run to run, so
        nothing there could be compared bit for bit.
        """
        if self.library is None or wants_gpu(self.final, self.changes):
            return None
        return shared_key(self.library, self._name, self.params, self.before)

    def group(self, number: int, *, share: bool = True) -> str:
        """Return a text that is equal for trials of a study that share a fit.

        Parameters
        ----------
        number : int
            The trial's.
        share : bool, default=True
            False where it shares none, whatever its parameters.
        """
        return self.shared_key if share and self.shared_key is not None else f"trial {number}"

    @cached_property
    def bins(self) -> str:
        """A text that is equal for trials that can use the same bins, or the same other steps of a pipeline."""
        prepared = "" if self.before is None else json.dumps(self.before, sort_keys=True)
        if self.library is None:
            return prepared
        binned = {name: self.params[name] for name in sorted(self.library.binning & self.params.keys())}
        return prepared + json.dumps([self._name, binned])

    @cached_property
    def stops_early(self) -> bool:
        """Whether it asks for early stopping, and so needs an evaluation set."""
        asks = self.library.early_stopping if self.library else {}
        return any(self.params.get(name) not in (None, *off) for name, off in asks.items())

    @cached_property
    def wants_gpu(self) -> bool:
        """Whether it asks for a GPU, in any of the estimators that it is made of."""
        return wants_gpu(self.start, self.assigned)

    @property
    def _name(self) -> str:
        return str(self.final.get("__estimator__", ""))


def resolve(estimator: Json, params: Mapping[str, Json]) -> ResolvedTrial:
    """Return what a trial trains in the end.

    Parameters
    ----------
    estimator : dict
        The encoded estimator that the trial starts from.
    params : mapping
        The trial's encoded parameters.

    Returns
    -------
    ResolvedTrial
    """
    tail = tail_of(estimator, params)
    return ResolvedTrial(
        start=estimator,
        assigned=params,
        final=tail.estimator,
        changes=tail.params,
        prefix=tail.prefix,
        before=tail.before,
        library=library_of(str(tail.estimator.get("__estimator__", ""))),
    )
