"""The plain way to fit, and what a learner that knows its library can do better."""

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
"""A part of a fold, as `Fold` calls it."""


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
        What is fitted on, and what is held out and scored.
    evaluation : Part or None
        What early stopping watches: the held-out part, or rows set apart from the training part.
    """

    train: Part
    test: Part
    evaluation: Part | None = None

    def copied(self) -> Fold:
        """Return a fold of its own, for an estimator that writes into its data: every fit gets them as they were."""
        return Fold(**{name: copy.deepcopy(part) for name, part in vars(self).items()})


class Derived(Protocol):
    """What was derived from one fold's training part, kept for the next fit on it."""

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return what is kept under `key`, or make it and keep it as `size` bytes."""


class Inside:
    """What of an estimator is fitted, and on what: itself, or the last step of a pipeline on transformed data.

    Attributes
    ----------
    learner : Learner
        Knows how `estimator` is fitted.
    estimator : estimator instance
        What is fitted.
    fold : Fold
        Its data.
    derived : Derived
        Keeps what may be shared by fits on these.
    alone : bool
        The fit holds no other trial's model: something before it drew random numbers, which each trial draws itself.
    """

    def __init__(self, *, learner: Learner, estimator: Any, fold: Fold, derived: Derived, alone: bool = False) -> None:
        self.learner = learner
        self.estimator = estimator
        self.fold = fold
        self.derived = derived
        self.alone = alone

    def scored_on(self, part: Part, which: Which) -> tuple[Any, Part]:  # noqa: ARG002 - the part is as it is
        """Return what to score, once it is fitted, and the data to score it on.

        Parameters
        ----------
        part : Part
            As the user gave it.
        which : {"train", "test"}
            Which part of the fold it is.
        """
        return self.estimator, part


class Learner:
    """Fits as scikit-learn's searches do; the base of those that know a library."""

    def inside(self, estimator: Any, fold: Fold, derived: Derived) -> Inside:
        """Return what of an estimator is fitted, and on what.

        Parameters
        ----------
        estimator : estimator instance
            Unfitted. Of a pipeline, the steps before the last are fitted.
        fold, derived
            As for `fit`.

        Raises
        ------
        Exception
            Whatever a step raises.
        """
        return Inside(learner=self, estimator=estimator, fold=fold, derived=derived)

    def fit(self, estimator: Any, fold: Fold, derived: Derived) -> None:  # noqa: ARG002 - plain fits derive nothing
        """Fit an estimator on the training part, watching the evaluation part where the fold has one.

        Parameters
        ----------
        estimator : estimator instance
            Unfitted; fitted afterwards.
        fold : Fold
        derived : Derived
            Keeps what may be shared by fits on this fold.

        Raises
        ------
        Exception
            Whatever the estimator raises.
        """
        weights = weights_for(estimator, fold.train.weight)
        if fold.train.y is None:
            estimator.fit(fold.train.X, **weights)
        else:
            estimator.fit(fold.train.X, fold.train.y, **weights)

    # The other arguments are for libraries in which it depends on them.
    def contained(self, estimator: Any, rounds: Sequence[int], fold: Fold, derived: Derived) -> list[int]:  # noqa: ARG002
        """Return those of some numbers of rounds of which a fitted estimator contains the model, as if fitted alone.

        Parameters
        ----------
        estimator : estimator instance
            Fitted on `fold` with ``max(rounds)`` rounds.
        rounds : sequence of int
            At least 1 each; the largest is always contained.
        fold, derived
            As for `fit`.
        """
        return list(rounds)

    def prefixes(self, estimator: Any, rounds: Sequence[int]) -> Iterator[int]:
        """Let a fitted estimator be the model of its first rounds, for one number after the other.

        Parameters
        ----------
        estimator : estimator instance
            Fitted with at least ``max(rounds)`` rounds.
        rounds : sequence of int

        Yields
        ------
        int
            Each number once, in the order that suits the library; until the next, `estimator` predicts with as many.
        """
        raise NotImplementedError(f"{type(estimator).__name__} has no rounds")

    def best_iteration(self, estimator: Any) -> int | None:  # noqa: ARG002 - nothing else stops early in a known way
        """Return how many rounds early stopping has kept, counted from 1; None where it did not watch."""
        return None

    def chosen(self, estimator: Any) -> dict[str, Any]:  # noqa: ARG002 - nothing else chooses by the rounds
        """Return the parameters that a fitted estimator has chosen by itself, by the number of rounds."""
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
    """Say whether a class is that of networks, which is not imported for it."""
    return f"{package_of_type(cls)}.{cls.__name__}" == NETWORK


def weights_for(estimator: Any, weight: Any) -> dict[str, Any]:
    """Return the keyword of an estimator's ``fit`` that takes sample weights, with them; nothing for None.

    Parameters
    ----------
    estimator : estimator instance
        A pipeline hands them to its last step, which is how it is told to: ``clf__sample_weight``. Where metadata is
        routed, it is told what there is, and hands it to whoever asks.
    weight : ndarray of shape (n_samples,) or None
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
        else:  # hands its keywords to its regressor as they are
            estimator = estimator.regressor
    return {"__".join([*path, "sample_weight"]): weight}


def written(save: Callable[[str], None], name: str) -> bytes:
    """Return what a library writes into a file, which wants a path.

    Where the system can, that leads to memory: a library may not notice that a disk is full, and leave half a model.
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
    """Return a digest of the content of values: keys of what is derived are made of it, and of nothing shorter.

    What shows a value, its ``repr`` for one, leaves out the middle of a long array.

    Parameters
    ----------
    *values : any
        Labels, weights, parameters. What can't be looked into has another digest each time, and so shares nothing.
    """
    found = hashlib.blake2b(digest_size=16)
    for piece in _content(values):
        found.update(b"%d:" % len(piece))
        found.update(piece)
    return found.hexdigest()


def _content(value: Any) -> Iterator[bytes | memoryview]:
    """Yield the content of a value: its type, and every entry of it."""
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
