"""Finds the final estimator of a trial once, and everything that follows from it."""

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
    """A trial's final estimator, and what follows from it: `resolve` creates it.

    The final estimator is the trial's own, or the last step of its pipeline, also of nested
    pipelines.

    Attributes
    ----------
    start : Json
        The encoded estimator that the trial starts from.
    assigned : mapping of str to Json
        The trial's encoded parameters.
    final : Json
        The encoded final estimator, without the trial's parameters.
    changes : mapping of str to Json
        The trial's parameters for the final estimator, without `prefix`.
    prefix : str
        The prefix of these names in the trial: ``"clf__"``, or empty.
    before : Json
        Everything else: the other steps and their parameters; None without a pipeline. Trials with
        the same value prepare their data in the same way.
    library : Library or None
        Of the final estimator, if it is trained in rounds; `Library.cost` is the cost formula.
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
        """All encoded parameters of the final estimator; the trial's replace its own."""
        return {**self.final.get("params", {}), **self.changes}

    @cached_property
    def rounds(self) -> int:
        """Expected number of rounds; 1 if it has none, or the value is invalid."""
        if self.library is None:
            return 1
        asked = next((self.params[name] for name in self.library.rounds if self.params.get(name) is not None), None)
        return max(int(number_or(asked, self.library.default_rounds)), 1)

    @cached_property
    def shared_key(self) -> str | None:
        """Key of the fit that it may share with trials that differ only in rounds, or None.

        For a pipeline, the last step decides, and the key contains everything else. On a GPU, sums
        differ from run to run, so nothing there could be compared bit for bit.
        """
        if self.library is None or wants_gpu(self.final, self.changes):
            return None
        return shared_key(self.library, self._name, self.params, self.before)

    def group(self, number: int, *, share: bool = True) -> str:
        """Return a text that is equal for trials of a study that share a fit.

        Parameters
        ----------
        number : int
            The trial's number.
        share : bool, default=True
            False to share none, whatever the parameters are.
        """
        return self.shared_key if share and self.shared_key is not None else f"trial {number}"

    @cached_property
    def bins(self) -> str:
        """A text that is equal for trials with the same bins, or the same other pipeline steps."""
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
        """Whether any of its estimators asks for a GPU."""
        return wants_gpu(self.start, self.assigned)

    @property
    def _name(self) -> str:
        return str(self.final.get("__estimator__", ""))


def resolve(estimator: Json, params: Mapping[str, Json]) -> ResolvedTrial:
    """Return a trial's final estimator, and what follows from it.

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
