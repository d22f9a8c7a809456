"""Models: trained on all data by a worker, and read back from the formats that `worker.models` writes."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from producer.following import Follower, gone
from producer.inputs.parameters import THREADS
from producer.publication import publish_missing
from producer.space import Space
from tuning import broker
from tuning.codec import encode_estimator
from tuning.counts import no_counts
from tuning.errors import InputError, StudyError, TrialError
from tuning.messages import Objective, check_objective
from tuning.names import ALLOWED_PACKAGES
from tuning.seeds import seed_of
from tuning.settings import Settings
from tuning.store import Document, Store, now

# Of a study, what its model's study takes over.
_SAME = ("n_splits", "train_rows", "n_classes", "data", "priority", "trial_timeout")
# Types beside the allowed packages' that fitted estimators hold, and that do nothing when they are made.
_PLAIN_TYPES = frozenset(
    {"collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.slice"}
)
# Modules whose functions estimators hold as parameters: scores of features, and what is done to numbers one by one.
_FUNCTION_MODULES = ("sklearn.feature_selection", "scipy.special")


def fitted_model(
    store: Store, settings: Settings, study_id: str, number: int, unfitted: Any, timeout: float | None
) -> Any:
    """Let a worker train an estimator on all data of a study, unless one has, and return it.

    Parameters
    ----------
    store : Store
    settings : Settings
    study_id : str
    number : int
        The trial that the estimator's parameters are those of.
    unfitted : estimator instance
        Is the one that is returned, or one like it, fitted.
    timeout : float or None
        Seconds to wait; None is as long as it takes.

    Returns
    -------
    estimator instance

    Raises
    ------
    TrialError
        The fit failed.
    TimeoutError
        The time is over; the same call goes on waiting.
    StudyError, StoreError, BrokerError
        As `producer.study.Study.wait` and `producer.study.Study.resume` raise them.
    """
    deadline = time.monotonic() + timeout if timeout is not None else math.inf
    definition = _definition(store, settings, study_id, number, unfitted)
    own_id = definition["_id"]
    trial = store.trial(own_id, 0)
    if trial is None or trial["state"] == "FAILED":
        broker.check(settings)
        store.create_study(definition)
        # A fit that failed is tried again: memory may have been short.
        store.update_study(own_id, {"$set": {"state": "RUNNING", "finished_at": None}})
        store.delete_failed(own_id)
        publish_missing(store, settings, own_id, Objective.model_validate(definition["objective"]), Space([{}]))
        Follower(store, own_id, deadline, lambda _: None).run()
        trial = store.trial(own_id, 0)
    if trial is None:
        raise StudyError(f"study {own_id}, which trains a model for {study_id}, was cancelled or deleted")
    if trial["state"] == "FAILED":
        raise TrialError(f"study {study_id}: training trial {number} on all data failed: {trial['error']}")
    return load(store.models.get(trial["model"]["file"]), trial["model"], unfitted, settings.allow)


def _definition(store: Store, settings: Settings, study_id: str, number: int, unfitted: Any) -> Document:
    """Return the document of the study whose one trial trains the model."""
    study = store.study(study_id, ("name", "objective", *_SAME))
    if study is None:
        raise gone(study_id)
    objective = Objective.model_validate(
        study["objective"]
        | {
            "estimator": encode_estimator(unfitted, "estimator", settings.allow),
            "validation": None,
            "scorers": {"score": None},
            "refit": "score",
            "error_score": "raise",
            "return_train_score": False,
            "n_splits": 1,
            "keep_model": True,
        }
    )
    check_objective(objective)
    content = json.dumps([study_id, objective.identity()], sort_keys=True)
    own_id = f"{study_id}-model-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    return {
        "_id": own_id,
        "name": f"{study['name']}, model of trial {number}",
        "model_of": study_id,
        "state": "RUNNING",
        "generation": 0,
        "publications": 0,
        "n_trials": 1,
        **{name: study[name] for name in _SAME if name in study},
        "n_splits": 1,
        "train_rows": study["data"]["n_samples"],
        "objective": objective.model_dump(),
        "space": Space([{}]).encode(),
        "estimator_in_grid": False,
        "n_chunks": None,
        "share_fits": False,
        "trial_timeout": None,
        "seed": seed_of(own_id),
        "created_at": now(),
        "submitted_at": None,
        "finished_at": None,
        "progress": no_counts(),
        "dead_letters": [],
    }


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
    refused = [name for name in unknown if not _trusted(name, allow)]
    if refused:
        raise InputError(
            f"the model holds {', '.join(refused[:5])}, which nobody vouches for: name the class in WARREN_ALLOW if "
            "it is yours, or train here with study.refit_estimator().fit(X, y)"
        )
    fitted = skops.io.loads(content, trusted=unknown)
    _give_back(fitted, unfitted)
    return fitted


def _trusted(name: str, allow: tuple[str, ...]) -> bool:
    """Say whether a type may be made: a class of an allowed package, or a function that works on numbers."""
    if name in allow or name in _PLAIN_TYPES:
        return True
    module, _, own = name.rpartition(".")
    package = module.partition(".")[0]
    if package not in (*ALLOWED_PACKAGES, "numpy", "scipy") or "test" in name:
        return False
    found = getattr(importlib.import_module(module), own, None)
    if isinstance(found, type):
        return package in ALLOWED_PACKAGES or issubclass(found, (np.generic, np.dtype))
    return isinstance(found, np.ufunc) or (callable(found) and module.startswith(_FUNCTION_MODULES))


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
