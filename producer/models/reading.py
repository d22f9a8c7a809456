"""Fitted estimators, read from the formats that `worker.models` writes."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

from producer.inputs.parameters import THREADS
from producer.models.trust import refused_types
from tuning.documents import Document
from tuning.errors import InputError, StudyError


def load(content: bytes, model: Document, unfitted: Any, allow: Iterable[str] = ()) -> Any:
    """Return the model that `worker.models.pack` packed.

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
        "catboost-cbm": lambda: _catboost(content, model["facts"], unfitted),
        "skops": lambda: _skops(content, unfitted, tuple(allow)),
    }
    if model["format"] not in readers:
        raise InputError(f"model {model['file']!r} has format {model['format']!r}: this version reads {[*readers]}")
    return readers[model["format"]]()


def _xgboost(content: bytes, unfitted: Any) -> Any:
    given = unfitted.get_params()
    unfitted.load_model(bytearray(content))
    # It takes what the model knows for parameters; the objective alone is what `fit` would have left there too.
    for name in given.keys() - {"objective"}:
        setattr(unfitted, name, given[name])
    return unfitted


def _catboost(content: bytes, facts: Document, unfitted: Any) -> Any:
    unfitted.load_model(blob=content)
    unfitted._n_features_in = facts["n_features"]
    return unfitted


def _lightgbm(content: bytes, facts: Document, unfitted: Any) -> Any:
    """Fill in what ``fit`` of LightGBM's classes leaves behind (``lightgbm.sklearn``, 4.5 to 4.7); they can't load."""
    from lightgbm import Booster
    from sklearn.preprocessing import LabelEncoder

    unfitted._Booster = Booster(model_str=content.decode())
    unfitted._objective = facts["objective"]
    unfitted._n_features = unfitted._n_features_in = facts["n_features"]
    unfitted._fitted_with_feature_names = facts["named"]
    unfitted._best_iteration = facts["best_iteration"]
    unfitted._other_params = getattr(unfitted, "_other_params", {})
    if facts["classes"] is not None:
        classes = np.array(facts["classes"]["values"], dtype=facts["classes"]["dtype"])
        unfitted._classes, unfitted._n_classes = classes, len(classes)
        unfitted._le = LabelEncoder().fit(classes)
        unfitted._class_map = dict(zip(classes, range(len(classes)), strict=True))
    unfitted.fitted_ = True
    return unfitted


def _skops(content: bytes, unfitted: Any, allow: tuple[str, ...]) -> Any:
    import skops.io

    unknown = skops.io.get_untrusted_types(data=content)
    if refused := refused_types(content, unknown, allow):
        raise InputError(
            f"the model holds {', '.join(refused[:5])}, which nobody vouches for: name the class in WARREN_ALLOW if "
            "it is yours, or train here with study.refit_estimator().fit(X, y)"
        )
    with warnings.catch_warnings():
        # One for every estimator in it, and `producer.models.training` has told which versions differ.
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        fitted = skops.io.loads(content, trusted=unknown)
    if type(fitted) is not type(unfitted):
        raise StudyError(f"the stored model is a {type(fitted).__name__}, and no {type(unfitted).__name__}")
    _give_back(fitted, unfitted)
    return fitted


def _give_back(fitted: Any, unfitted: Any) -> None:
    """Put back the parameters that a worker sets: its threads, and what keeps libraries quiet."""
    owners = [(fitted, unfitted)]
    found = fitted.get_params(deep=True)
    owners += [(found[name], value) for name, value in unfitted.get_params(deep=True).items() if name in found]
    for ours, users in owners:
        if type(ours) is not type(users) or not hasattr(ours, "get_params") or isinstance(ours, type):
            continue
        match type(ours).__module__.partition(".")[0]:
            case "catboost":  # it lets nobody set parameters once it is fitted
                ours._init_params = dict(users._init_params)
                continue
            case "lightgbm":
                for name in ours._other_params.keys() - users._other_params.keys():
                    del ours._other_params[name]
                    vars(ours).pop(name, None)
        wanted = users.get_params(deep=False)
        if threads := {name: value for name, value in wanted.items() if name in THREADS}:
            ours.set_params(**threads)
