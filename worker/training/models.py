"""Models to keep: fitted on all rows, and stored in a format that no code runs from: the library's own, or skops'."""

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
    XGBoost: `universal binary JSON <https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html>`_. LightGBM:
    the text of ``Booster.model_to_string``. CatBoost: ``cbm``. Others: `skops
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
            plain = classes is None or classes.dtype.kind in "biufU" or all(isinstance(one, str) for one in classes)
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
    """Return what CatBoost computes with the training data, and leaves out of its files."""
    return {
        name.removeprefix("_"): [float(value) for value in getattr(estimator, name)]
        for name in ("_prediction_values_change", "_loss_value_change")
        if getattr(estimator, name, None) is not None
    }


def _by_file(save: Callable[[str], None], name: str) -> bytes:
    """Return what a library writes, which wants a path.

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
