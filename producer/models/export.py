"""Exports the best model of a study for serving, with a manifest, in its library's format."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection
from importlib import metadata
from os import PathLike
from pathlib import Path
from typing import Any

from sklearn.base import clone

from producer.models.export_folder import Place, writing
from producer.models.export_manifest import verify, write_manifest
from producer.models.formats.registry import FORMATS
from producer.models.formats.xgboost import JSON_FILE, to_json
from producer.models.loading import load
from producer.models.model_shape import Own
from producer.models.training import trained
from producer.models.trusted_types import trusted_types
from producer.publishing.study_signature import check_study
from warren.encoding.codec import encode_estimator, readable
from warren.errors import InputError, study_gone
from warren.messages import Objective, is_study_id
from warren.networks import KerasModel
from warren.safety.allowlist import package_of_type
from warren.safety.signing import Keys
from warren.settings import Settings
from warren.storage.dataset import read_dataset
from warren.storage.documents import Document, now
from warren.storage.store import Store
from warren.storage.study_document import StudyDefinition
from warren.versions import packages_in, versions

__all__ = ["export_model", "read_export", "verify"]

# The file of each format, and Python code that loads it; a SavedModel is a folder.
_FORMATS = {
    **{one.name: (one.file, one.line) for one in FORMATS.values()},
    "xgboost-json": JSON_FILE,
    # The reader decides which types to trust: an attacker who changes the model can change this
    # list.
    "skops": ("model.skops", "skops.io.load('model.skops', trusted=TRUSTED)"),
}
_SAVED_MODEL = "tensorflow-savedmodel"
# The methods that serving calls, with their names in the signature.
_METHODS = ("predict_proba", "predict", "transform")


def export_model(
    store: Store,
    settings: Settings,
    trial: Document,
    unfitted: Any,
    path: str | PathLike[str],
    *,
    format: str | None = None,
    overwrite: bool = False,
    timeout: float | None = None,
) -> Path:
    """Write the model of a trial and its manifest into a folder; see `producer.Study.export`.

    Parameters
    ----------
    store : Store
    settings : Settings
    trial : dict
        Document of the trial.
    unfitted : estimator instance
        The trial's estimator before `fit`.
    path : str or PathLike
    format : {"json"}, default=None
    overwrite : bool, default=False
    timeout : float, default=None
        Seconds.

    Returns
    -------
    pathlib.Path
        The folder with the manifest.

    Raises
    ------
    InputError
        The model has no such format, the folder exists or can't be written, or TensorFlow is
        missing.
    TrialError, TimeoutError, StudyError, StoreError, BrokerError
        As for `producer.models.training.trained`.
    """
    served = isinstance(unfitted, KerasModel)
    _check_format(format, unfitted)
    folder = Path(os.path.expanduser(path)).resolve()  # noqa: PTH111 - pathlib's raises without a home
    if served:
        folder /= _serving_name(trial["study_id"])
    place = Place(folder=folder, versioned=served, overwrite=overwrite)
    with writing(place.folder):
        place.check()
        if served:
            _need_tensorflow()  # it takes seconds, so after the quick checks
        study = store.study(trial["study_id"], StudyDefinition)
        if study is None:
            raise study_gone(trial["study_id"])
        check_study(Keys(settings.key), study)
        objective = Objective.model_validate(study.objective)
        with place.staged() as staging:
            fit = trained(store, settings, trial["study_id"], trial["number"], unfitted, timeout)
            content = store.models.get(fit["model"]["file"])
            encoded = encode_estimator(unfitted, "estimator", settings.allow)
            classes = Own(unfitted).classes
            fitted = load(content, fit["model"], unfitted, settings.allow, vouched=bool(settings.key))
            if served:
                model = _write_saved_model(fitted, staging)
            else:
                X = read_dataset(store.datasets.get(objective.dataset), objective.dataset).X
                own_format = fit["model"]["format"] if format is None else f"xgboost-{format}"
                model = _write_file(content, own_format, fitted, staging, classes=classes, allow=settings.allow)
                model["signature"] = _signature(fitted, X)
            fields = {
                "created_at": now(),
                "study": {
                    "id": trial["study_id"],
                    "name": study.name,
                    "dataset": objective.dataset,
                    "splits": objective.splits,
                    "n_splits": objective.n_splits,
                },
                "trial": trial["number"],
                "estimator": readable(encoded),
                "parameters": trial["params"],
                "refit": objective.refit,
                "scores": _scores(trial, objective),
                "model": {"format": model.pop("format"), "class": fit["model"]["class"], **model},
                # The versions that trained the model, and those that wrote this: they may differ.
                "versions": {"trained": fit["versions"], "exported": _versions(encoded, skops="trusted" in model)},
            }
            write_manifest(staging, fields)
            return place.take(staging)


def read_export(path: str | PathLike[str], estimator: Any, allow: tuple[str, ...] = ()) -> Any:
    """Return the model of an export by skops, after a check against its unfitted estimator.

    Parameters
    ----------
    path : str or PathLike
        The folder with ``manifest.json``.
    estimator : estimator instance
        Unfitted, with the parameters of the training: `producer.Study.refit_estimator` returns it.
        The manifest is not trusted for them.
    allow : tuple of str, default=()
        Further names of classes and functions (the setting ``WARREN_ALLOW``).

    Returns
    -------
    estimator instance
        Fitted.

    Raises
    ------
    InputError
        It is no export, its own library loads it, or it holds types that the estimator does not
        need.
    StudyError
        No fit of the estimator gives this model.
    """
    folder = Path(path)
    manifest = verify(folder)
    model = manifest["model"]
    if model["format"] != "skops":
        raise InputError(f"{folder}: its model is of format {model['format']!r}: load it as its manifest says")
    content = (folder / _FORMATS["skops"][0]).read_bytes()
    about = {"file": str(folder), "format": "skops", "sha256": hashlib.sha256(content).hexdigest(), "facts": {}}
    return load(content, about, clone(estimator), allow)


def _check_format(format: str | None, unfitted: Any) -> None:
    if format is None:
        return
    if format != "json":
        raise InputError(f"format={format!r}: pass 'json', for XGBoost, or nothing for the library's own format")
    if package_of_type(type(unfitted)) != "xgboost":
        raise InputError(
            f"format='json': only XGBoost loads a model from JSON, and this is a {type(unfitted).__name__}; leave "
            "format out for its library's own"
        )


def _need_tensorflow() -> None:
    from warren.networks.backend import keras_library

    try:
        keras_library()
    except ImportError as exc:
        raise InputError(str(exc)) from exc


def _versions(encoded: Any, *, skops: bool) -> dict[str, str]:
    """Return the installed versions of all libraries in an encoded estimator, steps included."""
    return versions(*packages_in(encoded)) | ({"skops": metadata.version("skops")} if skops else {})


def _serving_name(study_id: str) -> str:
    """Return the study's name from its id, without the digest, to name the served model."""
    if not is_study_id(study_id):
        raise InputError(f"study {study_id!r}: no study is called so, and a folder would be")
    return study_id.rpartition("-")[0] or study_id


def _write_saved_model(fitted: Any, folder: Path) -> Document:
    from warren.networks.saving import save_for_serving

    signature = save_for_serving(fitted, folder)
    names = getattr(fitted, "feature_names_in_", None)
    if names is not None:
        signature["inputs"][0]["columns"] = list(names)
    return {
        "format": _SAVED_MODEL,
        "load": "tensorflow.saved_model.load('.').signatures['serving_default']",
        "signature": signature | {"classes": getattr(fitted, "classes_", None)},
    }


def _write_file(
    content: bytes,
    format: str,
    fitted: Any,
    folder: Path,
    *,
    classes: Collection[str] | None,
    allow: tuple[str, ...] = (),
) -> Document:
    """Write the stored model unchanged, or as JSON; return its fields for the manifest."""
    more: Document = {}
    if format == "xgboost-json":
        content = to_json(content)
    if format == "skops":
        # The types of the study's estimator: the file was checked, and holds no others.
        more["trusted"] = trusted_types(content, classes, allow)
    name, line = _FORMATS[format]
    (folder / name).write_bytes(content)
    return {"format": format, "file": name, "load": line.format(cls=type(fitted).__name__), **more}


def _signature(fitted: Any, X: Any) -> Document:
    """Return a model's inputs and outputs, by the study's data and the model's methods."""
    inputs: Document = {"name": "X", "shape": [None, *X.shape[1:]]}
    if hasattr(X, "iloc"):
        inputs["columns"] = [
            {"name": name, "dtype": str(dtype)} for name, dtype in zip(X.columns, X.dtypes, strict=True)
        ]
    else:
        inputs["dtype"] = "text" if X.dtype == object else str(X.dtype)
    row = X.iloc[:1] if hasattr(X, "iloc") else X[:1]
    outputs: list[Document] = []
    for name in _METHODS:
        method: Callable[[Any], Any] | None = getattr(fitted, name, None)
        # Of a transformer that also predicts, serve the predictions.
        if method is None or (name == "transform" and outputs):
            continue
        found = method(row)
        dtype = str(found.dtype) if hasattr(found, "dtype") else type(found).__name__
        outputs.append({"name": name, "shape": [None, *getattr(found, "shape", (1,))[1:]], "dtype": dtype})
    return {"inputs": [inputs], "outputs": outputs, "classes": getattr(fitted, "classes_", None)}


def _scores(trial: Document, objective: Objective) -> Document:
    """Return mean and standard deviation of each metric over the folds, as in ``cv_results_``."""
    return {part: {"mean": trial.get(f"mean_{part}"), "std": trial.get(f"std_{part}")} for part in objective.parts}
