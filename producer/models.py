"""Models: trained on all data by a worker, and read back from the formats that `worker.models` writes."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import time
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from producer.following import Follower, gone
from producer.inputs.parameters import THREADS
from producer.publication import publish_missing
from producer.space import Space
from tuning import broker
from tuning.allowlist import look_up
from tuning.codec import encode_estimator
from tuning.counts import no_counts
from tuning.errors import InputError, StudyError, TrialError
from tuning.messages import Objective, check_objective
from tuning.names import ALLOWED_PACKAGES
from tuning.seeds import seed_of
from tuning.settings import Settings
from tuning.store import Document, Store, now
from tuning.values import function_name

# Of a study, what its model's study takes over.
_SAME = ("n_splits", "train_rows", "n_classes", "data", "priority", "trial_timeout")
# Seconds after which a model that nobody has trained is published again: its message may have gone with its queue.
_LOST_SECONDS = 3600.0
# Types beside the allowed packages' that fitted estimators hold, and that do nothing when they are made.
_PLAIN_TYPES = frozenset(
    {"collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.slice"}
)
# What the boosting libraries' estimators hold. Their other classes that do not fit free memory by an address.
_BOOSTERS = frozenset({"xgboost.core.Booster", "lightgbm.basic.Booster"})
# Curves that a transformer has fitted, and the function that they keep, wherever a version of SciPy has it.
_CURVE = re.compile(r"scipy\.interpolate\._\w+\.(BSpline|PPoly|interp1d)", re.ASCII)
_AS_ARRAY = re.compile(r"scipy\._lib\.(\w+\.)*asarray", re.ASCII)
# Modules that hold tests, other people's code, servers and downloads, and no part of a model.
_NO_MODELS = frozenset(
    {"callback", "conftest", "dask", "datasets", "externals", "federated", "spark", "tracker", "widget"}
)


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
        if trial is not None or not _under_way(store, own_id):
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


def _under_way(store: Store, own_id: str) -> bool:
    """Say whether a model's trial is in the queue or with a worker: published again, two would train it."""
    study = store.study(own_id, ("state", "submitted_at", "progress.dead"))
    if study is None or study["state"] != "RUNNING" or study["submitted_at"] is None or study["progress"]["dead"]:
        return False
    return (now() - study["submitted_at"]).total_seconds() < _LOST_SECONDS


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
    refused = [name for name in unknown if not _trusted(name, allow)] or _called(content, {*unknown}.difference(allow))
    if refused:
        raise InputError(
            f"the model holds {', '.join(refused[:5])}, which nobody vouches for: name the class in WARREN_ALLOW if "
            "it is yours, or train here with study.refit_estimator().fit(X, y)"
        )
    fitted = skops.io.loads(content, trusted=unknown)
    if type(fitted) is not type(unfitted):
        raise StudyError(f"the stored model is a {type(fitted).__name__}, and no {type(unfitted).__name__}")
    _give_back(fitted, unfitted)
    return fitted


def _called(content: bytes, unknown: Iterable[str]) -> list[str]:
    """Return what of some types an archive would not only make but call, with arguments of its own; no model needs it.

    Its nodes are objects in skops' ``schema.json``, each with the module, the name and the loader of what it makes.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        nodes = [json.loads(archive.read("schema.json"))]
    found = set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if node.get("__loader__") == "ConstructorFromReduceNode":
                found.add(f"{node.get('__module__')}.{node.get('__class__')}")
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return sorted(found.intersection(unknown))


def _trusted(name: str, allow: tuple[str, ...]) -> bool:
    """Say whether a type may be made: a class that models of the allowed packages consist of, or a known function."""
    if name in allow or name in _PLAIN_TYPES or name in _BOOSTERS:
        return True
    module = name.rpartition(".")[0]
    package, *modules = module.split(".")
    if package not in (*ALLOWED_PACKAGES, "numpy", "scipy") or not _NO_MODELS.isdisjoint(modules):
        return False
    if "__" in name or "test" in name:
        return False
    try:
        found = look_up(name)
    except InputError:  # nothing that this machine has
        return False
    if not isinstance(found, type):
        return callable(found) and (function_name(found) is not None or _AS_ARRAY.fullmatch(name) is not None)
    match package:
        case "numpy":
            return issubclass(found, (np.generic, np.dtype))
        case "scipy":
            return _CURVE.fullmatch(name) is not None
    # Not what a module has only imported: a socket, a temporary folder.
    own = found.__module__ == module
    return own and (package == "sklearn" or (hasattr(found, "fit") and hasattr(found, "get_params")))


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
