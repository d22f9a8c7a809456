"""Pipelines: trials share the fit of the steps before the last.

A fitted pipeline predicts by transforming with its fitted steps and calling its last. So the last
step is fitted and scored on transformed data, by its library's learner, and every prefix of steps
is kept for the next fit.
"""

from __future__ import annotations

import functools
import json
import sys
import types
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import sklearn
from scipy.sparse import csr_array, csr_matrix
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from warren.encoding.codec import encode_estimator
from warren.errors import InputError
from warren.storage.dataset import Matrix, matrix_bytes
from worker.fitting.learner import Derived, Fold, Inside, Learner, Part, Which, is_network
from worker.fitting.random_state import GLOBAL, Dice, held_by

T = TypeVar("T")

# To estimate the bytes of a fitted step: how deep to look into it, and how many items of a list or
# dict to inspect.
_DEEPEST, _MOST_ITEMS = 6, 1000
# Assumed bytes of an item of a larger dict or list.
_AN_ITEM = 100
# Shared by the whole process, not part of a step's size: a spline of SciPy refers to NumPy itself.
_NO_DATA = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
# Larger than any cache, so that the value is used but not kept.
_UNKEPT = sys.maxsize


class PipelineLearner(Learner):
    """Opens an `sklearn.pipeline.Pipeline`; not a subclass, which may fit and predict differently.

    Parameters
    ----------
    learner_of : callable
        Returns the learner for a class.
    allow : tuple of str, default=()
        Further allowed names of estimators.
    in_place : bool, default=False
        Whether a step may write into its input. Then nothing is kept, and every prediction uses the
        whole pipeline.
    """

    def __init__(
        self, learner_of: Callable[[type], Learner], allow: tuple[str, ...] = (), *, in_place: bool = False
    ) -> None:
        self._learner_of = learner_of
        self._allow = allow
        self._in_place = in_place

    def inside(self, estimator: Any, fold: Fold, derived: Derived) -> Inside:
        """Fit all steps but the last, or take them from the cache."""
        if not _opens(estimator):
            return super().inside(estimator, fold, derived)
        before, last = estimator.steps[:-1], estimator.steps[-1][1]
        prepared = self._prepare([step for _, step in before if _works(step)], fold, derived)
        fitted = iter(prepared.fitted)
        estimator.steps = [
            *((name, next(fitted) if _works(step) else step) for name, step in before),
            estimator.steps[-1],
        ]
        train = fold.train._replace(X=prepared.X)
        opened = _Opened(
            learner=self, estimator=estimator, fold=fold, derived=derived, prepared=prepared, in_place=self._in_place
        )
        evaluation, test = None, fold.test
        if fold.evaluation is not None:
            held_out = fold.evaluation is fold.test
            X = opened.transform(fold.evaluation.X, "test" if held_out else "evaluation")
            evaluation = fold.evaluation._replace(X=X)
            test = evaluation if held_out else test
        # Boosters accept only tables; for anything else, let them raise their own error.
        known = hasattr(prepared.X, "shape") and len(prepared.X.shape) == 2
        learner = self._learner_of(type(last)) if known or is_network(type(last)) else Learner()
        kept: Derived = _Unkept() if prepared.key is None else _Within(derived, prepared.key)
        return opened.around(learner.inside(last, Fold(train=train, test=test, evaluation=evaluation), kept))

    def _prepare(self, steps: Sequence[Any], fold: Fold, derived: Derived) -> _Prepared:
        """Fit steps on the training part, each on the output of the one before."""
        if not steps:
            return _Prepared((), fold.train.X, None if self._in_place else (), False, Dice(()))

        def make() -> _Prepared:
            prepared = self._prepare(steps[:-1], fold, derived)
            step, before = steps[-1], Dice((GLOBAL,))
            X = _fit_transform(step, prepared.X, fold.train.y)
            drew = prepared.drew or before.rolled
            own_key = None if drew or prepared.key is None or key is None else key
            return _Prepared((*prepared.fitted, step), X, own_key, drew, Dice((*prepared.dice.held, *held_by(step))))

        key = self._key(steps)
        prepared = make() if key is None else derived.get(("steps", key), make, _Prepared.nbytes)
        prepared.dice.put_back()  # another trial may have transformed with these steps
        return prepared

    def _key(self, steps: Sequence[Any]) -> tuple[str, ...] | None:
        """Return a key made of the steps' parameters; None if they can't be encoded."""
        if self._in_place:
            return None
        try:
            return tuple(json.dumps(encode_estimator(step, "step", self._allow)) for step in steps)
        except InputError:
            return None


class _Prepared(NamedTuple):
    """Fitted steps before the last, and their output on a fold.

    Attributes
    ----------
    fitted : tuple of estimators
        The steps that do something, in order.
    X : matrix
        The training part after ``fit_transform``.
    key : tuple of str or None
        The key in the cache; None if it must not be kept.
    drew : bool
        Whether a step drew from NumPy's global generator, so that its output differs for each
        trial.
    dice : Dice
        The generators that the steps own, in their state after the fit.
    """

    fitted: tuple[Any, ...]
    X: Matrix
    key: tuple[str, ...] | None
    drew: bool
    dice: Dice

    def nbytes(self) -> int:
        """Return its size in bytes; that of the fitted steps is an estimate."""
        return _UNKEPT if self.key is None else _matrix(self.X) + sum(map(_bytes, self.fitted))


class _Opened(Inside):
    """A pipeline whose steps before the last are fitted."""

    def __init__(self, *, prepared: _Prepared, in_place: bool, **inside: Any) -> None:
        super().__init__(**inside)
        self._whole, self._all = self.estimator, self.derived
        self._prepared = prepared
        self._in_place = in_place
        self._inner: Inside = self
        self._made: dict[Which, Matrix] = {}

    def around(self, inner: Inside) -> _Opened:
        """Set the part of the last step that is to be fitted."""
        self._inner = inner
        self.learner, self.estimator = inner.learner, inner.estimator
        self.fold, self.derived = inner.fold, inner.derived
        self.alone = self._prepared.drew or inner.alone
        return self

    def scored_on(self, part: Part, which: Which) -> tuple[Any, Part]:
        """Return the last step and transformed data.

        Or the whole pipeline, if the short way may change a number or fails.

        An error then comes from the same call as in scikit-learn: the fit succeeded and a score
        failed.
        """
        if self._in_place or not self._is_fitted:
            return self._whole, part
        dice = self._dice()
        try:
            X = self.transform(part.X, which)
        except Exception:  # noqa: BLE001 - the whole pipeline raises it again, as its caller expects
            X = None
        if X is None or dice.rolled:
            self._made.pop(which, None)
            dice.put_back()
            return self._whole, part
        return self._inner.scored_on(part._replace(X=X), which)

    def _dice(self) -> Dice:
        return Dice((GLOBAL, *self._prepared.dice.held))

    @functools.cached_property
    def _is_fitted(self) -> bool:
        """Whether scikit-learn considers the last step fitted.

        Otherwise a pipeline refuses to predict.
        """
        try:
            check_is_fitted(self._whole)
        except NotFittedError:
            return False
        return True

    def transform(self, X: Matrix, which: Which) -> Matrix:
        """Transform a part of the fold as a fitted pipeline does before it predicts; only once."""

        def make() -> Matrix:
            made, dice = X, self._dice()
            for step in self._prepared.fitted:
                made = step.transform(made)
            drawn.append(dice.rolled)
            return made

        drawn: list[bool] = []
        if not self._prepared.fitted:
            return X
        if which not in self._made:
            key = self._prepared.key
            self._made[which] = (
                make()
                if key is None
                else self._all.get(
                    ("transformed", key, which), make, lambda made: _UNKEPT if any(drawn) else _matrix(made)
                )
            )
        return self._made[which]


class _Within:
    """A cache for values derived from transformed data, inside the fold's cache."""

    def __init__(self, derived: Derived, steps: tuple[str, ...]) -> None:
        self._derived = derived
        self._steps = steps

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return the value under `key` for these steps, or compute it."""
        return self._derived.get(("after", self._steps, key), make, size)


class _Unkept:
    """Keeps nothing, because the next fit has other data."""

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:  # noqa: ARG002 - the protocol
        """Compute the value."""
        return make()


def _opens(pipeline: Any) -> bool:
    """Return whether a pipeline fits and predicts step by step.

    An invalid one then raises its own error.
    """
    if type(pipeline) is not Pipeline or pipeline.memory is not None or not isinstance(pipeline.verbose, bool):
        return False
    if getattr(pipeline, "transform_input", None) is not None or sklearn.get_config().get("enable_metadata_routing"):
        return False
    try:
        pipeline._validate_steps()
    except Exception:  # noqa: BLE001 - its own ``fit`` raises it again, as the trial's result
        return False
    return _works(pipeline.steps[-1][1])


def _works(step: Any) -> bool:
    return step is not None and not (isinstance(step, str) and step == "passthrough")


def _fit_transform(step: Any, X: Matrix, y: Any) -> Matrix:
    """Fit and transform with a step, as ``Pipeline.fit`` does."""
    return step.fit_transform(X, y) if hasattr(step, "fit_transform") else step.fit(X, y).transform(X)


def _matrix(X: Matrix) -> int:
    """Return the bytes of transformed data.

    For data of unknown size, or that a fit may change, more than is kept.
    """
    if hasattr(X, "indptr") and not X.has_canonical_format:
        return _UNKEPT  # the first estimator to sort its entries would do so for all others
    return matrix_bytes(X) if hasattr(X, "nbytes") or hasattr(X, "memory_usage") or hasattr(X, "indptr") else _UNKEPT


def _bytes(value: Any) -> int:
    """Estimate the bytes of a fitted step; each object in it counts once."""
    total, counted = 0, set()
    waiting = [(value, 0)]
    while waiting:
        found, depth = waiting.pop()
        if id(found) in counted or isinstance(found, _NO_DATA):
            continue
        counted.add(id(found))
        if isinstance(found, (np.ndarray, csr_array, csr_matrix)):
            total += matrix_bytes(found)
            continue
        if type(found).__module__.startswith("pandas.") and hasattr(found, "memory_usage"):
            total += int(np.sum(found.memory_usage(deep=True)))
            continue
        total += sys.getsizeof(found)
        inside = _inside(found)
        if len(inside) > _MOST_ITEMS:
            total += len(inside) * _AN_ITEM
        elif depth < _DEEPEST:
            waiting += [(item, depth + 1) for item in inside]
    return total


def _inside(value: Any) -> Collection[Any]:
    """Return the objects inside an object."""
    if isinstance(value, dict):
        return [*value, *value.values()]
    if isinstance(value, (list, tuple, set)):
        return value
    inside = getattr(value, "__dict__", None)
    return inside.values() if isinstance(inside, dict) else ()
