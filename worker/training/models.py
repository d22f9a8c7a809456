"""Models to keep: fitted on all rows, and stored in a format that no code runs from: the library's own, or skops'."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from warren.errors import InputError
from warren.safety.allowlist import dotted_name
from warren.storage.documents import Document
from worker.database import DatabaseAccess, PackedModel
from worker.fitting import packed_by_library
from worker.fitting.learner import Part, weights_for
from worker.training.fit_and_score import FoldResult
from worker.training.fit_errors import line_of, trace_of


def pack(estimator: Any) -> PackedModel:
    """Return a fitted estimator in its library's own format; anything that is not a booster, by skops.

    Parameters
    ----------
    estimator : estimator instance
        Fitted.

    Returns
    -------
    PackedModel

    Notes
    -----
    `skops <https://skops.readthedocs.io/en/stable/persistence.html>`_ writes an archive of JSON
    and ``.npy``.
    """
    if packed := packed_by_library(estimator):
        return packed
    from worker.training.model_archive import dumps

    return PackedModel(format="skops", content=dumps(estimator))


class ModelKeeper:
    """Fits models and stores them.

    Parameters
    ----------
    database : DatabaseAccess
    """

    def __init__(self, database: DatabaseAccess) -> None:
        self._database = database

    def fit(
        self, make_estimator: Callable[[], Any], part: Part, *, number: int, seed: int
    ) -> tuple[FoldResult, Document | None]:
        """Fit an estimator as `sklearn.model_selection.GridSearchCV` refits its best one, and store it.

        Parameters
        ----------
        make_estimator : callable
            Returns a new, unfitted estimator.
        part : Part
            What it is fitted on. Weights go to the last step of a pipeline.
        number : int
            The trial whose model it is.
        seed : int
            Seeds NumPy's global generator, which estimators without a ``random_state`` draw from.

        Returns
        -------
        result : FoldResult
            Without a score; also when the fit fails: a failure is data.
        model : dict or None
            What its trial's document says of it: ``file`` (its name in bucket ``models``), ``format``, ``sha256``,
            ``bytes``, ``class`` and ``facts``. None where there is none.
        """
        np.random.seed(seed)
        began = time.perf_counter()
        try:
            estimator = make_estimator()
            began = time.perf_counter()
            labels = () if part.y is None else (part.y,)
            estimator.fit(part.X, *labels, **weights_for(estimator, part.weight))
            seconds = time.perf_counter() - began
            packed = pack(estimator)
        except Exception as exc:  # noqa: BLE001 - whatever an estimator raises is this trial's result
            return _failed(exc, time.perf_counter() - began), None
        try:
            whose = dotted_name(type(estimator))
        except InputError:  # a class that the operator named
            whose = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        return _result(seconds), self._database.store_model(number, packed, whose)


def _result(seconds: float, **what: Any) -> FoldResult:
    return FoldResult(test_scores={"score": math.nan}, train_scores={}, fit_seconds=seconds, score_seconds=0.0, **what)


def _failed(exc: BaseException, seconds: float) -> FoldResult:
    return _result(seconds, error=line_of(exc), trace=trace_of(exc), fitted=False)
