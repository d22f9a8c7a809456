"""What trials train in the end: estimators, and the last steps of pipelines, also those that a grid puts there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sklearn.pipeline import Pipeline


def without_own(grid: Mapping[str, Sequence[Any]], own: bool) -> Mapping[str, Sequence[Any]]:
    """Return what a grid sets on estimators, also where it brings them itself."""
    return {name: values for name, values in grid.items() if name != "estimator"} if own else grid


def ends_of(estimator: Any, grid: Mapping[str, Sequence[Any]], prefix: str = "") -> Iterator[tuple[Any, str]]:
    """Yield what the trials of a grid end with.

    Parameters
    ----------
    estimator : estimator instance
        What they start from.
    grid : mapping of str to sequence
        Values by parameter name.
    prefix : str, default=""
        What stands before the names of the estimator's parameters in the grid.

    Yields
    ------
    estimator instance
        No pipeline. A pipeline that ends with ``"passthrough"`` trains nothing in the end and yields nothing.
    prefix : str
        What stands before the names of its parameters in the grid: ``"clf__"`` for the last step ``clf``.
    """
    if not isinstance(estimator, Pipeline):
        if hasattr(estimator, "get_params"):
            yield estimator, prefix
        return
    for steps in grid.get(f"{prefix}steps", (estimator.steps,)):
        name, last = steps[-1]
        for value in grid.get(prefix + name, (last,)):
            yield from ends_of(value, grid, f"{prefix}{name}__")
