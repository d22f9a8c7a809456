"""Loads fitted estimators from the formats that `worker.training.models` writes."""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import InconsistentVersionWarning

from producer.models.booster_files import lightgbm_is_sound, xgboost_is_sound
from producer.models.catboost_probe import ends_the_process
from producer.models.model_shape import Own
from producer.models.refusals import forged, unreadable
from producer.models.restoring import restore
from producer.models.trusted_types import trusted_types
from warren.errors import InputError, StudyError, WarrenError
from warren.storage.documents import Document

# Most bytes of all labels in a NumPy array: each is as long as the longest, with 4 bytes per
# character.
_MOST_OF_LABELS = 2**26


def load(content: bytes, model: Document, unfitted: Any, allow: Iterable[str] = (), *, vouched: bool = False) -> Any:
    """Return the model that `worker.training.models.pack` packed.

    Parameters
    ----------
    content : bytes
        The stored file.
    model : dict
        The field ``model`` of the trial's document.
    unfitted : estimator instance
        Has the parameters that the model was trained with, as the user wrote them. A booster is
        loaded into it.
    allow : iterable of str, default=()
        Further allowed estimator names.
    vouched : bool, default=False
        Whether a signature proves the file's origin. Otherwise a CatBoost file is first tried in
        another process, which must start Python and CatBoost.

    Returns
    -------
    estimator instance
        Fitted, with the class and the parameters of `unfitted`.

    Raises
    ------
    StudyError
        The file is not the one that the worker stored.
    InputError
        The file holds a type that is not trusted, or has a format of a later version.
    """
    if hashlib.sha256(content).hexdigest() != model["sha256"]:
        raise StudyError(f"model {model['file']!r} is damaged: its digest differs from the stored one")
    readers: dict[str, Callable[[], Any]] = {
        "xgboost-ubj": lambda: _xgboost(content, unfitted),
        "lightgbm-text": lambda: _lightgbm(content, model["facts"], unfitted),
        "catboost-cbm": lambda: _catboost(content, model["facts"], unfitted, vouched=vouched),
        "skops": lambda: _skops(content, unfitted, tuple(allow)),
    }
    if model["format"] not in readers:
        raise InputError(f"model {model['file']!r} has format {model['format']!r}: this version reads {[*readers]}")
    try:
        return readers[model["format"]]()
    except WarrenError:
        raise
    except Exception as exc:  # libraries raise any error for a malformed file
        raise unreadable(exc) from exc


def _xgboost(content: bytes, unfitted: Any) -> Any:
    given = dict(vars(unfitted))
    _check(sound=xgboost_is_sound(content))
    unfitted.load_model(bytearray(content))
    # `load_model` overwrites parameters; restore all but the objective, which `fit` would also have
    # set.
    vars(unfitted).update({name: value for name, value in given.items() if name != "objective"})
    return unfitted


def _check(*, sound: bool) -> None:
    if not sound:
        raise forged("holds numbers that are out of bounds")


def _catboost(content: bytes, facts: Document, unfitted: Any, *, vouched: bool) -> Any:
    if not vouched and ends_the_process(content):
        raise forged("makes CatBoost crash")
    given = dict(unfitted._init_params)
    unfitted.load_model(blob=content)
    unfitted._init_params = given  # `load_model` overwrites the parameters
    unfitted._n_features_in = facts["n_features"]
    for name in ("prediction_values_change", "loss_value_change"):
        if name in facts:
            setattr(unfitted, f"_{name}", [np.float64(value) for value in facts[name]])
    return unfitted


def _lightgbm(content: bytes, facts: Document, unfitted: Any) -> Any:
    """Load a booster and set what LightGBM's ``fit`` sets (4.5 to 4.7)."""
    # LightGBM's scikit-learn classes can't load a model themselves.
    from lightgbm import Booster
    from sklearn.preprocessing import LabelEncoder

    _check(sound=lightgbm_is_sound(content.decode()))
    unfitted._Booster = Booster(model_str=content.decode())
    unfitted._Booster.best_iteration = facts["best_iteration"]
    unfitted._objective = facts["objective"]
    unfitted._n_features = unfitted._n_features_in = facts["n_features"]
    unfitted._fitted_with_feature_names = facts["named"]
    unfitted._best_iteration = facts["best_iteration"]
    unfitted._best_score = defaultdict(OrderedDict)
    unfitted._other_params = getattr(unfitted, "_other_params", {})
    if facts["classes"] is not None:
        classes = _labels(np.dtype(facts["classes"]["dtype"]), facts["classes"]["values"])
        unfitted._classes, unfitted._n_classes = classes, len(classes)
        unfitted._le = LabelEncoder().fit(classes)
        unfitted._class_map = dict(zip(classes, unfitted._le.transform(classes), strict=True))
        unfitted._class_weight = unfitted.class_weight
        if isinstance(unfitted.class_weight, dict):
            unfitted._class_weight = {unfitted._class_map[name]: value for name, value in unfitted.class_weight.items()}
    unfitted.fitted_ = True
    return unfitted


def _labels(dtype: np.dtype[Any], values: list[Any]) -> NDArray[Any]:
    # A text dtype without a length would grow to the longest label, and nested lists would add
    # labels.
    fits = 0 < dtype.itemsize * len(values) <= _MOST_OF_LABELS
    if dtype.kind not in "biufUO" or not fits or not all(isinstance(value, (str, int, float)) for value in values):
        raise StudyError(f"the stored model has {len(values)} labels of type {dtype}, which no training produces")
    return np.array(values, dtype=dtype)


def _skops(content: bytes, unfitted: Any, allow: tuple[str, ...]) -> Any:
    import skops.io

    trusted = trusted_types(content, Own(unfitted).classes, allow)
    with warnings.catch_warnings():
        # One warning for each estimator; `producer.models.training` has already warned about
        # versions.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        try:
            fitted = skops.io.loads(content, trusted=trusted)
        except Exception as exc:  # classes raise any error for unexpected content
            raise unreadable(exc) from exc
    if type(fitted) is not type(unfitted):
        raise StudyError(f"the stored model is a {type(fitted).__name__}, not a {type(unfitted).__name__}")
    restore(fitted, unfitted)
    return fitted
