"""The plain way to fit, and the base of learners that know a library."""

from __future__ import annotations

import copy
import hashlib
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
import sklearn
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from warren.libraries.keras import NETWORK
from warren.safety.allowlist import package_of_type
from warren.storage.dataset import Matrix
from worker.database import PackedModel

T = TypeVar("T")
Which: TypeAlias = Literal["train", "test", "evaluation"]
"""The name of a part of a `Fold`."""


class Part(NamedTuple):
    """Rows of a dataset: X, y and, if there are any, sample weights."""

    X: Matrix
    y: Any
    weight: Any = None


@dataclass(frozen=True, kw_only=True)
class Fold:
    """The data of one fold.

    Attributes
    ----------
    train, test : Part
        The part to fit on, and the held-out part to score.
    evaluation : Part or None
        The part that early stopping watches: the held-out part, or rows separate from the training
        part.
    """

    train: Part
    test: Part
    evaluation: Part | None = None

    def copied(self) -> Fold:
        """Return a copy for an estimator that writes into its input."""
        return Fold(**{name: copy.deepcopy(part) for name, part in vars(self).items()})


class Derived(Protocol):
    """Cache of values derived from one fold's training part, for the next fit on it."""

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return the value under `key`, or compute it and keep it as `size` bytes."""


class Inside:
    """The part of an estimator that is fitted, and its data.

    This is the estimator itself, or the last step of a pipeline.

    Attributes
    ----------
    learner : Learner
        Fits `estimator`.
    estimator : estimator instance
        The estimator to fit.
    fold : Fold
        Its data; for a pipeline's last step, transformed.
    derived : Derived
        Cache for fits on these data.
    alone : bool
        Whether the fit contains no other trial's model: an earlier step drew random numbers, which
        each trial must draw itself.
    """

    def __init__(self, *, learner: Learner, estimator: Any, fold: Fold, derived: Derived, alone: bool = False) -> None:
        self.learner = learner
        self.estimator = estimator
        self.fold = fold
        self.derived = derived
        self.alone = alone

    def scored_on(self, part: Part, which: Which) -> tuple[Any, Part]:  # noqa: ARG002 - the part is not transformed
        """Return the fitted estimator to score, and the data to score it on.

        Parameters
        ----------
        part : Part
            The data as the user gave them.
        which : {"train", "test"}
            The name of this part of the fold.

        Returns
        -------
        estimator : estimator instance
            The one to score.
        part : Part
            The data for it.
        """
        return self.estimator, part


class Learner:
    """Fits as scikit-learn's searches do; the base class of learners that know a library."""

    def inside(self, estimator: Any, fold: Fold, derived: Derived) -> Inside:
        """Return the part of an estimator that is fitted, and its data.

        Parameters
        ----------
        estimator : estimator instance
            Unfitted. Of a pipeline, this call fits the steps before the last.
        fold, derived
            As for `fit`.

        Returns
        -------
        Inside
            What to fit next.

        Raises
        ------
        Exception
            Any error of a step.
        """
        return Inside(learner=self, estimator=estimator, fold=fold, derived=derived)

    def fit(self, estimator: Any, fold: Fold, derived: Derived) -> None:  # noqa: ARG002 - plain fits derive nothing
        """Fit an estimator on the training part, and watch the evaluation part if the fold has one.

        Parameters
        ----------
        estimator : estimator instance
            Unfitted; fitted afterwards.
        fold : Fold
            The data.
        derived : Derived
            Cache for fits on this fold.

        Raises
        ------
        Exception
            Any error of the estimator.
        """
        weights = weights_for(estimator, fold.train.weight)
        if fold.train.y is None:
            estimator.fit(fold.train.X, **weights)
        else:
            estimator.fit(fold.train.X, fold.train.y, **weights)

    # Some libraries also need the other arguments.
    def contained(self, estimator: Any, rounds: Sequence[int], fold: Fold, derived: Derived) -> list[int]:  # noqa: ARG002
        """Return the numbers of rounds whose separate fits equal prefixes of this one.

        Parameters
        ----------
        estimator : estimator instance
            Fitted on `fold` with ``max(rounds)`` rounds.
        rounds : sequence of int
            Numbers of rounds, at least 1 each; the largest is always contained.
        fold, derived
            As for `fit`.

        Returns
        -------
        list of int
            Some of `rounds`.
        """
        return list(rounds)

    def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
        """Let a fitted estimator predict as the model of its first rounds, for each number.

        Parameters
        ----------
        estimator : estimator instance
            Fitted with at least ``max(rounds)`` rounds.
        rounds : sequence of int
            Numbers of rounds.

        Yields
        ------
        int
            Each number once, in an order that suits the library; until the next one, `estimator`
            predicts with so many rounds.
        """
        raise NotImplementedError(f"{type(estimator).__name__} has no rounds")

    def best_iteration(self, estimator: Any) -> int | None:  # noqa: ARG002 - nothing else stops early in a known way
        """Return the number of rounds that early stopping kept, counted from 1.

        None if it did not run.
        """
        return None

    def chosen(self, estimator: Any) -> dict[str, Any]:  # noqa: ARG002 - nothing else chooses by the rounds
        """Return the parameters that an estimator chose by itself from the number of rounds."""
        return {}

    def pack(self, estimator: Any) -> PackedModel | None:  # noqa: ARG002 - nothing else has a format of its own
        """Return a fitted estimator in its library's own format; None where that has none for it.

        Parameters
        ----------
        estimator : estimator instance
            Of any class of the library, those that are not trained round by round included.
        """
        return None


def is_network(cls: type[Any]) -> bool:
    """Return whether a class is `KerasModel`; this does not import it."""
    return f"{package_of_type(cls)}.{cls.__name__}" == NETWORK


def weights_for(estimator: Any, weight: Any) -> dict[str, Any]:
    """Return sample weights as the keyword argument for an estimator's ``fit``; nothing for None.

    Parameters
    ----------
    estimator : estimator instance
        A pipeline passes weights to its last step under a longer name: ``clf__sample_weight``. With
        metadata routing, it gets the plain name and passes them to every step that requests them.
    weight : ndarray of shape (n_samples,) or None
        The weights.

    Returns
    -------
    dict
        Keyword arguments for ``fit``.
    """
    if weight is None:
        return {}
    if sklearn.get_config().get("enable_metadata_routing"):
        return {"sample_weight": weight}
    path = []
    while isinstance(estimator, (Pipeline, TransformedTargetRegressor)):
        if isinstance(estimator, Pipeline):
            name, estimator = estimator.steps[-1]
            path.append(name)
        else:  # passes its keywords to its regressor unchanged
            estimator = estimator.regressor
    return {"__".join([*path, "sample_weight"]): weight}


def written(save: Callable[[str], None], name: str) -> bytes:
    """Return what a library writes to a file whose path it gets.

    If possible, the path leads to memory: a library may not notice a full disk, and write half a
    model.
    """
    with tempfile.TemporaryDirectory(prefix="warren-model-") as folder:
        path = Path(folder) / name
        if sys.platform != "linux":
            save(str(path))
            return path.read_bytes()
        with open(os.memfd_create(name), "r+b") as held:  # noqa: PTH123 - a descriptor
            path.symlink_to(f"/proc/self/fd/{held.fileno()}")
            save(str(path))
            return held.read()


def fingerprint(*values: Any) -> str:
    """Return a digest of the whole content of values, to be used in the key of a derived value.

    A shorter text is not enough: the ``repr`` of a long array leaves out its middle.

    Parameters
    ----------
    *values : any
        Labels, weights, parameters. An object of an unknown type gets another digest each time, and
        so shares nothing.

    Returns
    -------
    str
        The digest.
    """
    found = hashlib.blake2b(digest_size=16)
    for piece in _content(values):
        found.update(b"%d:" % len(piece))
        found.update(piece)
    return found.hexdigest()


def _content(value: Any) -> Iterator[bytes | memoryview]:
    """Yield the content of a value: its type and all its entries."""
    kind = type(value)
    yield f"{kind.__module__}.{kind.__qualname__}".encode()
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, date, timedelta)):
        yield ascii(value).encode()
    elif isinstance(value, (np.ndarray, np.generic)):
        yield f"{value.dtype.str}{value.shape}".encode()
        if value.dtype == object:
            yield from _content(value.tolist())
        else:
            yield np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    elif isinstance(value, Mapping):
        yield from _content(sorted((fingerprint(key), fingerprint(item)) for key, item in value.items()))
    elif isinstance(value, Set):
        yield from _content(sorted(map(fingerprint, value)))
    elif isinstance(value, (list, tuple)):
        yield b"%d" % len(value)
        for item in value:
            yield from _content(item)
    elif kind.__module__.partition(".")[0] == "pandas" and hasattr(value, "columns"):
        yield from _content([[name, value.iloc[:, position]] for position, name in enumerate(value.columns)])
    elif kind.__module__.partition(".")[0] == "pandas" and hasattr(value, "dtype"):
        yield str(value.dtype).encode()
        categories = getattr(value.dtype, "categories", None)
        yield from _content([np.asarray(value), None if categories is None else np.asarray(categories)])
    else:
        yield secrets.token_bytes(16)
