"""The output of a network for its task: units, activation, loss, and form of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from warren.errors import InputError
from warren.libraries.keras import BINARY_LOSSES, CLASS_LOSSES, METRICS, ONE_HOT_LOSSES, REGRESSION_LOSSES

Ends: TypeAlias = Literal["binary", "classes", "numbers"]
_WHAT = {"binary": "two classes", "classes": "more than two classes", "numbers": "regression"}
_LOSSES = {"binary": BINARY_LOSSES, "classes": CLASS_LOSSES, "numbers": REGRESSION_LOSSES}
_DEFAULTS = {
    "binary": "binary_crossentropy",
    "classes": "sparse_categorical_crossentropy",
    "numbers": "mean_squared_error",
}
_ACTIVATIONS = {"binary": "sigmoid", "classes": "softmax", "numbers": "linear"}


@dataclass(frozen=True, kw_only=True)
class Head:
    """The output of a network.

    Two classes have one unit, the probability of the second. This is the same model as two units of
    a softmax with half the weights, and the form that metrics for two classes need.

    Attributes
    ----------
    ends : {"binary", "classes", "numbers"}
        Two classes, more classes, or regression.
    units : int
        Number of outputs.
    loss : str
        Name of the loss.
    """

    ends: Ends
    units: int
    loss: str

    @classmethod
    def of(cls, *, n_classes: int | None, n_outputs: int, loss: str | None, metrics: Sequence[str]) -> Head:
        """Return the output for a task and its labels.

        Parameters
        ----------
        n_classes : int or None
            None for regression.
        n_outputs : int
            Columns of y.
        loss : str or None
            None for the usual one.
        metrics : sequence of str
            Names of metrics, which are checked.

        Returns
        -------
        Head
            The output.

        Raises
        ------
        InputError
            The loss or a metric does not fit the task.
        """
        ends: Ends = "numbers" if n_classes is None else "binary" if n_classes == 2 else "classes"
        chosen = loss or _DEFAULTS[ends]
        if chosen not in _LOSSES[ends]:
            raise InputError(f"loss={chosen!r} is not for {_WHAT[ends]}: use {', '.join(sorted(_LOSSES[ends]))}")
        if wrong := [name for name in metrics if ends not in METRICS[name][1]]:
            fitting = sorted(name for name, (_, tasks) in METRICS.items() if ends in tasks)
            raise InputError(f"metrics: {wrong[0]!r} is not for {_WHAT[ends]}: use {', '.join(fitting)}")
        units = n_outputs if n_classes is None else 1 if n_classes == 2 else n_classes
        return cls(ends=ends, units=units, loss=chosen)

    @property
    def activation(self) -> str:
        """Activation of the output."""
        return _ACTIVATIONS[self.ends]

    def targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return labels in the form for the loss: class codes, one column per class, or float32.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Codes of classes from 0 on, or numbers.

        Returns
        -------
        ndarray
            The targets.
        """
        if self.ends == "classes":
            return np.eye(self.units, dtype=np.float32)[y] if self.loss in ONE_HOT_LOSSES else y.astype(np.int32)
        return y.astype(np.float32).reshape(len(y), -1)
