"""Fit models on all rows, and store them in a format that runs no code."""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from warren.errors import InputError
from warren.safety.allowlist import dotted_name, package_of_type
from warren.storage.documents import Document
from worker.fitting.learner import Part, weights_for
from worker.process.database_access import DatabaseAccess, PackedModel
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
    XGBoost: `universal binary JSON
    <https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html>`_. LightGBM: the text of
    ``Booster.model_to_string``. CatBoost: ``cbm``. Others: `skops
    <https://skops.readthedocs.io/en/stable/persistence.html>`_, an archive of JSON and ``.npy``.
    """
    match package_of_type(type(estimator)):
        case "xgboost" if hasattr(estimator, "save_model"):
            return PackedModel(format="xgboost-ubj", content=_by_file(estimator.save_model, "model.ubj"))
        case "lightgbm" if hasattr(estimator, "booster_"):
            classes = getattr(estimator, "_classes", None)
            facts = {
                "objective": estimator.objective_,
                "n_features": int(estimator.n_features_),
                "named": bool(getattr(estimator, "_fitted_with_feature_names", True)),
                "best_iteration": int(estimator.best_iteration_ or 0),
                "classes": None if classes is None else {"dtype": classes.dtype.str, "values": classes.tolist()},
            }
            plain = classes is None or classes.dtype.kind in "biufU" or all(isinstance(label, str) for label in classes)
            if isinstance(facts["objective"], str) and plain:
                text = estimator.booster_.model_to_string(num_iteration=-1)
                return PackedModel(format="lightgbm-text", content=text.encode(), facts=facts)
        case "catboost" if hasattr(estimator, "save_model"):
            return PackedModel(
                format="catboost-cbm",
                content=_by_file(estimator.save_model, "model.cbm"),
                facts={"n_features": int(estimator.n_features_in_)} | _importances(estimator),
            )
    from worker.training.model_archive import dumps

    return PackedModel(format="skops", content=dumps(estimator))


def _importances(estimator: Any) -> Document:
    """Return the importances that CatBoost computes in a fit and does not write to its files."""
    return {
        name.removeprefix("_"): [float(value) for value in getattr(estimator, name)]
        for name in ("_prediction_values_change", "_loss_value_change")
        if getattr(estimator, name, None) is not None
    }


def _by_file(save: Callable[[str], None], name: str) -> bytes:
    """Return the bytes that a library writes to a path.

    On Linux the path leads to memory: a library may not notice a full disk, and write half a model.
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
