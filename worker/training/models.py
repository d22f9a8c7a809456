"""Fit models on all rows, and store them in a format that runs no code."""

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
    """Return a fitted estimator in its library's own format.

    In skops's format if it is not a booster.

    Parameters
    ----------
    estimator : estimator instance
        Fitted.

    Returns
    -------
    PackedModel
        The model with its format.

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
        Stores the models.
    """

    def __init__(self, database: DatabaseAccess) -> None:
        self._database = database

    def fit(
        self, make_estimator: Callable[[], Any], part: Part, *, number: int, seed: int
    ) -> tuple[FoldResult, Document | None]:
        """Fit an estimator as scikit-learn's searches refit their best one, and store it.

        Parameters
        ----------
        make_estimator : callable
            Returns a new, unfitted estimator.
        part : Part
            The data to fit on. Weights are passed to the last step of a pipeline.
        number : int
            The trial whose model it is.
        seed : int
            Seed for NumPy's global generator, which estimators without a ``random_state`` use.

        Returns
        -------
        result : FoldResult
            Without a score; also when the fit fails: a failure is data.
        model : dict or None
            The entry for its trial's document: ``file`` (its name in bucket ``models``),
            ``format``, ``sha256``, ``bytes``, ``class`` and ``facts``. None if there is no model.
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
        except Exception as exc:  # noqa: BLE001 - any error of an estimator is this trial's result
            return _failed(exc, time.perf_counter() - began), None
        try:
            cls = dotted_name(type(estimator))
        except InputError:  # a class that the operator named
            cls = f"{type(estimator).__module__}.{type(estimator).__qualname__}"
        return _result(seconds), self._database.store_model(number, packed, cls)


def _result(seconds: float, **fields: Any) -> FoldResult:
    return FoldResult(
        test_scores={"score": math.nan}, train_scores={}, fit_seconds=seconds, score_seconds=0.0, **fields
    )


def _failed(exc: BaseException, seconds: float) -> FoldResult:
    return _result(seconds, error=line_of(exc), trace=trace_of(exc), fitted=False)
