"""Finds the final estimators that a grid can reach, through pipelines and replaced steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sklearn.pipeline import Pipeline


def without_own(grid: Mapping[str, Sequence[Any]], own: bool) -> Mapping[str, Sequence[Any]]:
    """Return a grid without the key ``"estimator"`` if that is the trial's own estimator."""
    return {name: values for name, values in grid.items() if name != "estimator"} if own else grid


def ends_of(estimator: Any, grid: Mapping[str, Sequence[Any]], prefix: str = "") -> Iterator[tuple[Any, str]]:
    """Yield the final estimators that the trials of a grid can reach.

    Parameters
    ----------
    estimator : estimator instance
        The estimator that trials start from.
    grid : mapping of str to sequence
        Values by parameter name.
    prefix : str, default=""
        Prefix of the estimator's parameter names in the grid.

    Yields
    ------
    estimator instance
        Never a pipeline. A pipeline whose last step is ``"passthrough"`` yields nothing.
    prefix : str
        Prefix of its parameter names in the grid, such as ``"clf__"`` for the last step ``clf``.
    """
    if not isinstance(estimator, Pipeline):
        if hasattr(estimator, "get_params"):
            yield estimator, prefix
        return
    for steps in grid.get(f"{prefix}steps", (estimator.steps,)):
        name, last = steps[-1]
        for value in grid.get(prefix + name, (last,)):
            yield from ends_of(value, grid, f"{prefix}{name}__")
