"""Fitted estimators, read from the formats that `worker.training.models` writes."""

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

# Bytes of all labels as NumPy holds them, each as long as the longest: 4 a character.
_MOST_OF_LABELS = 2**26


def load(content: bytes, model: Document, unfitted: Any, allow: Iterable[str] = (), *, vouched: bool = False) -> Any:
    """Return the model that `worker.training.models.pack` packed.

    Parameters
    ----------
    content : bytes
        The stored file.
    model : dict
        What the trial's document says of it.
    unfitted : estimator instance
        With the parameters that the model was trained with, as the user wrote them. A booster is loaded into it.
    allow : iterable of str, default=()
        Further estimator names.
    vouched : bool, default=False
        Whether a signature says where the file is from. Without one a file of CatBoost is tried first, which takes as
        long as starting Python with CatBoost does.

    Returns
    -------
    estimator instance
        Fitted, of the class of `unfitted`, with its parameters.

    Raises
    ------
    StudyError
        The file is not the one that the worker stored.
    InputError
        It holds a type that nobody vouches for, or its format is one of a later version.
    """
    if hashlib.sha256(content).hexdigest() != model["sha256"]:
        raise StudyError(f"model {model['file']!r} is damaged: its digest is another one than when it was stored")
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
    except Exception as exc:  # whatever a library raises that is given what is none of its own
        raise unreadable(exc) from exc


def _xgboost(content: bytes, unfitted: Any) -> Any:
    given = dict(vars(unfitted))
    _check(sound=xgboost_is_sound(content))
    unfitted.load_model(bytearray(content))
    # It takes what the model knows for parameters; the objective alone is what `fit` would have left there too.
    vars(unfitted).update({name: value for name, value in given.items() if name != "objective"})
    return unfitted


def _check(*, sound: bool) -> None:
    if not sound:
        raise forged("holds numbers that lead out of it")


def _catboost(content: bytes, facts: Document, unfitted: Any, *, vouched: bool) -> Any:
    if not vouched and ends_the_process(content):
        raise forged("makes CatBoost crash")
    given = dict(unfitted._init_params)
    unfitted.load_model(blob=content)
    unfitted._init_params = given  # it takes what the model knows for parameters
    unfitted._n_features_in = facts["n_features"]
    for name in ("prediction_values_change", "loss_value_change"):
        if name in facts:
            setattr(unfitted, f"_{name}", [np.float64(value) for value in facts[name]])
    return unfitted


def _lightgbm(content: bytes, facts: Document, unfitted: Any) -> Any:
    """Fill in what ``fit`` of LightGBM's classes leaves behind (``lightgbm.sklearn``, 4.5 to 4.7); they can't load."""
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
            unfitted._class_weight = {unfitted._class_map[one]: value for one, value in unfitted.class_weight.items()}
    unfitted.fitted_ = True
    return unfitted


def _labels(dtype: np.dtype[Any], values: list[Any]) -> NDArray[Any]:
    # A type of text without a length would grow to the longest one, and a list inside the list makes more of them.
    fits = 0 < dtype.itemsize * len(values) <= _MOST_OF_LABELS
    if dtype.kind not in "biufUO" or not fits or not all(isinstance(one, (str, int, float)) for one in values):
        raise StudyError(f"the stored model has {len(values)} labels of type {dtype}, and none is trained with such")
    return np.array(values, dtype=dtype)


def _skops(content: bytes, unfitted: Any, allow: tuple[str, ...]) -> Any:
    import skops.io

    trusted = trusted_types(content, Own(unfitted).classes, allow)
    with warnings.catch_warnings():
        # One for every estimator in it, and `producer.models.training` has told which versions differ.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        try:
            fitted = skops.io.loads(content, trusted=trusted)
        except Exception as exc:  # whatever a class raises that is given what it does not expect
            raise unreadable(exc) from exc
    if type(fitted) is not type(unfitted):
        raise StudyError(f"the stored model is a {type(fitted).__name__}, and no {type(unfitted).__name__}")
    restore(fitted, unfitted)
    return fitted
