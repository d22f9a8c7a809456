"""Checks that a stored model is what a fit of the study's own estimator gives.

A file may contain any attributes. So its estimators must have the study's classes and parameters,
or be parts that these classes are known to create. Boosters must be in the attributes where their
class reads them. Nothing may replace a method, and a method name that scikit-learn will call must
be one that predicts.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import clone

from producer.models.fitted_parts import class_name, default_kernels, parts_of
from producer.models.formats.registry import FORMATS
from producer.models.refusals import forged
from warren.encoding.encoded import SEARCHES
from warren.errors import StudyError, short
from warren.libraries.registry import ALLOWED_PACKAGES, LIBRARIES, THREADS
from warren.safety.allowlist import package_of_type
from warren.safety.built_estimators import inside, is_estimator, walk
from warren.safety.parameter_checks import check_estimator

# Seeds, which an estimator sets differently in each clone of another.
_SEEDS = frozenset({"random_state", "random_seed", "seed"})
# Parameters that a worker or a booster's `fit` sets: threads, output, and device.
_SET_BY_WORKERS = THREADS.union(
    *(one.chosen for one in FORMATS.values()),
    *((*library.quiet, *library.fixed, *library.devices, *library.only_gpu) for library in LIBRARIES.values()),
)
# Parameters that scikit-learn's `fit` changes, against its own rules.
_CHANGED = frozenset({("SpectralEmbedding", "affinity")})
# Methods that an estimator calls on others, by names that `fit` stores.
_RESPONSES = frozenset(
    {"predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples"}
)
# Attributes with "method" in their name that hold other names.
_OTHER_METHODS: Mapping[str, frozenset[str]] = {
    "_fit_method": frozenset({"auto", "ball_tree", "brute", "kd_tree"}),
    "method": frozenset({"isotonic", "sigmoid", "temperature"}),
}
# Class names of boosters.
_BOOSTERS = frozenset(one.booster[-1] for one in FORMATS.values())
# What a `KerasModel` creates from its weights; no file holds it.
_MADE_HERE = frozenset({"_model", "_earlier"})
_REQUESTS = "sklearn.utils._metadata_requests."
# By class name of a search: the parameter with its grid.
_GRIDS = {name.rpartition(".")[2]: grid for name, grid in SEARCHES.items()}
# Packages whose objects hold only numbers.
_LEAVES = frozenset({"builtins", "numpy", "pandas", "scipy"})
_WORDS = (type(None), bool, int, float, str, bytes, np.generic)
_PLAIN = (*_WORDS, np.random.RandomState, np.random.Generator, np.dtype)

Pairs = Sequence[tuple[Any, Any]]
"""Estimators of a model, each with the study's estimator that it matches."""


class Own:
    """The estimators that a study has given.

    Parameters
    ----------
    unfitted : estimator instance
        The outermost.

    Attributes
    ----------
    estimators : list
        This estimator and all inside it, also in the grids of searches.
    values : list
        Their other parameter values.
    classes : frozenset of str or None
        Classes that a fitted one may consist of, with parts; None if one class comes from
        ``WARREN_ALLOW``, because its parts are unknown.
    """

    def __init__(self, unfitted: Any) -> None:
        self.estimators: list[Any] = []
        self.values: list[Any] = []
        for found in walk(unfitted):
            (self.estimators if is_estimator(found) else self.values).append(found)
        classes = {type(one) for one in self.estimators}
        self.parts = parts_of(classes)
        boosters = {class_name(found[1]) for found in map(_booster_of, classes) if found}
        closed = all(package_of(one) in ALLOWED_PACKAGES for one in self.estimators)
        self.classes = self.parts | {class_name(cls) for cls in classes} | boosters if closed else None


def params_of(estimator: Any) -> dict[str, Any]:
    """Return an estimator's own parameters by name."""
    return dict(estimator.get_params(deep=False))


def package_of(value: Any) -> str:
    """Return the package of an object's class."""
    return package_of_type(type(value))


def check_shape(fitted: Any, unfitted: Any) -> Pairs:
    """Refuse a model that no fit of the study's estimator gives.

    Parameters
    ----------
    fitted : estimator instance
        As read from an archive, of classes in `Own.classes`.
    unfitted : estimator instance
        With the parameters that the user wrote.

    Returns
    -------
    list of (estimator, estimator)
        Estimators of the model, each with the study's estimator that it is or copies.

    Raises
    ------
    StudyError
        An estimator of the model differs; the message says which, and how.
    """
    own = Own(unfitted)
    pairs: list[tuple[Any, Any]] = []
    _match(fitted, unfitted, pairs)
    seen = {id(ours) for ours, _ in pairs}
    candidates = list(own.estimators)
    for holder, name, value in held(fitted):
        _check_place(holder, name, value)
        if name == "kernel_" and package_of(holder) == "sklearn":
            _match_kernel(value, holder)
            seen |= {id(part) for part in walk(value)}
        if is_estimator(value) and package_of(value) in ALLOWED_PACKAGES:
            if id(value) not in seen:
                seen.add(id(value))
                users = next((one for one in candidates if _is_copy(value, one)), None)
                if users is not None:
                    pairs.append((value, users))
                else:
                    _check_part(value, own)
            if type(value).__name__ in _GRIDS:
                candidates += _found_by(value)
    return pairs


# ---------------------------------------------------------------------------- what lies where


def held(fitted: Any) -> Iterator[tuple[Any, str, Any]]:
    """Yield each object in a model once per place: its holder, the attribute, and the object.

    The model itself comes first; a holder comes before its objects.
    """
    waiting: deque[tuple[Any, str, Any]] = deque([(None, "", fitted)])
    seen: dict[int, Any] = {}  # kept alive, so that no other object gets its id
    while waiting:
        holder, name, found = waiting.popleft()
        yield holder, name, found
        if id(found) in seen:
            continue
        # A list may have millions of texts and numbers: yield only those that name methods.
        words = "method" in name
        items = [(holder, name, item) for item in inside(found) if words or not isinstance(item, _WORDS)]
        if not isinstance(found, type) and package_of(found) not in _LEAVES and hasattr(found, "__dict__"):
            items += [(found, name, value) for name, value in vars(found).items()]
        if items:
            seen[id(found)] = found
            waiting.extend(items)


def _check_place(holder: Any, name: str, value: Any) -> None:
    """Refuse objects in places where their class would not put them."""
    if holder is None:
        return
    if type(value).__name__ in _BOOSTERS or (name == "_Booster" and value is not None):
        whose = _booster_of(type(holder))
        if not whose or (name, type(value)) != whose:
            raise _other(f"{type(holder).__name__}.{name} holds a {type(value).__name__}")
    if package_of(holder) not in ALLOWED_PACKAGES:
        return
    there = getattr(type(holder), name, None)
    hides = there is not None and not isinstance(there, bool) and name not in _params(holder)
    if hides or name.startswith("__") or name in _MADE_HERE:
        raise _other(f"{type(holder).__name__}.{name} stands for what its class has under this name")
    if "method" in name and isinstance(value, str) and name not in _params(holder):
        of_request = class_name(type(holder)).startswith(_REQUESTS)
        if not of_request and value not in _OTHER_METHODS.get(name, _RESPONSES):
            raise _other(f"{type(holder).__name__}.{name} is {short(value)}, and no method that answers")


def _booster_of(cls: type) -> tuple[str, type] | None:
    """Return the attribute and class of the booster in an estimator class; None without one."""
    for package in FORMATS.keys() & {package_of_type(base) for base in cls.__mro__}:
        attribute, module, name = FORMATS[package].booster
        return attribute, getattr(importlib.import_module(module), name)
    return None


def _params(holder: Any) -> frozenset[str]:
    return frozenset(params_of(holder)) if is_estimator(holder) else frozenset()


# ------------------------------------------------------------------------------- parameters


def _match(ours: Any, users: Any, pairs: list[tuple[Any, Any]]) -> None:
    """Compare an estimator of a model with the study's, and all estimators inside."""
    if type(ours) is not type(users):
        raise _other(f"it has a {type(ours).__name__} in the place of a {type(users).__name__}")
    pairs.append((ours, users))
    if package_of(users) not in ALLOWED_PACKAGES:
        return  # from WARREN_ALLOW: its fit may change any parameter
    theirs = params_of(ours)
    for name, value in params_of(users).items():
        mine = theirs.get(name)
        if not (_differ_by_design(ours, name) and isinstance(mine, _PLAIN)):
            _match_value(mine, value, f"{type(users).__name__}({name}=...)", pairs)


def _match_value(ours: Any, users: Any, where: str, pairs: list[tuple[Any, Any]]) -> None:
    if is_estimator(users):
        _match(ours, users, pairs)
    elif isinstance(users, (list, tuple)) and type(ours) is type(users) and len(ours) == len(users):
        for mine, other in zip(ours, users, strict=True):
            _match_value(mine, other, where, pairs)
    elif not alike(ours, users):
        raise _other(f"{where} is {short(ours)}, and the study's is {short(users)}")


def _differ_by_design(estimator: Any, name: str) -> bool:
    """Return whether a parameter may differ from the user's: a worker or `fit` sets it."""
    if name in THREADS or (type(estimator).__name__, name) in _CHANGED:
        return True
    return package_of(estimator) in LIBRARIES and name in _SET_BY_WORKERS


def _is_copy(ours: Any, users: Any) -> bool:
    """Return whether an estimator is a copy of a study's, with other seeds."""
    return type(ours) is type(users) and alike(_settings(ours), _settings(users))


def _settings(estimator: Any) -> dict[str, Any]:
    return {
        name: value
        for name, value in params_of(estimator).items()
        if not (isinstance(value, _PLAIN) and (name in _SEEDS or _differ_by_design(estimator, name)))
    }


def alike(ours: Any, users: Any) -> bool:
    """Return whether two parameter values of any type are equal; of generators, only the class."""
    if ours is users:
        return True
    if type(ours) is not type(users):
        return False
    match users:
        case float():
            return bool(ours == users) or (math.isnan(ours) and math.isnan(users))
        case None | bool() | int() | str() | bytes():
            return bool(ours == users)
        case np.random.RandomState() | np.random.Generator():
            return True
        case Mapping():
            return [*ours] == [*users] and all(alike(ours[key], users[key]) for key in users)
        case list() | tuple():
            return len(ours) == len(users) and all(map(alike, ours, users))
        case np.ndarray():
            same = ours.dtype == users.dtype and ours.shape == users.shape
            return (
                same
                and (ours.dtype != object or alike(ours.ravel().tolist(), users.ravel().tolist()))
                and (ours.dtype == object or ours.tobytes() == users.tobytes())
            )
        case functools.partial():
            return alike([ours.func, ours.args, ours.keywords], [users.func, users.args, users.keywords])
    if is_estimator(users):
        return alike(_settings(ours), _settings(users))
    if callable(users) and not hasattr(users, "__dict__"):
        return bool(ours == users)
    if package_of(users) in ("sklearn", "scipy") and hasattr(users, "__dict__") and not isinstance(users, type):
        return _alike_inside(ours, users)
    return bool(np.all(ours == users))


def _alike_inside(ours: Any, users: Any) -> bool:
    dist = getattr(users, "dist", None)  # a frozen distribution of SciPy: an archive has its name and arguments
    if dist is not None:
        return alike(
            [ours.dist.name, *ours.dist._parse_args(*ours.args, **ours.kwds)],
            [dist.name, *dist._parse_args(*users.args, **users.kwds)],
        )
    return alike(dict(vars(ours)), dict(vars(users)))


def _match_kernel(fitted: Any, process: Any) -> None:
    """Compare a Gaussian process's fitted kernel with its own, or with its default kernel."""
    given = params_of(process).get("kernel")
    if not any(_fits_kernel(fitted, one) for one in (default_kernels() if given is None else [given])):
        raise _other(f"{type(process).__name__}.kernel_ is {short(fitted)}, and no fit makes that of {short(given)}")


def _fits_kernel(fitted: Any, given: Any) -> bool:
    """Return whether two kernels differ only in the numbers that a fit optimises."""
    if isinstance(given, (list, tuple)):
        return len(fitted) == len(given) and all(map(_fits_kernel, fitted, given))
    if not is_estimator(given):
        return alike(fitted, given)
    if type(fitted) is not type(given):
        return False
    found, theirs = params_of(fitted), params_of(given)
    looked_for = {one.name: one.n_elements for one in given.hyperparameters if not one.fixed}
    return all(
        np.size(found[name]) == looked_for[name] and np.asarray(found[name]).dtype.kind in "iuf"
        if name in looked_for
        else _fits_kernel(found[name], theirs[name])
        for name in theirs
    )


# ------------------------------------------------------------------------------------- parts


def _check_part(part: Any, own: Own) -> None:
    """Refuse an estimator that is neither the study's nor a known part with plain parameters."""
    if own.classes is not None and class_name(type(part)) not in own.parts:
        raise _other(f"it has a {type(part).__name__} with other parameters than the study's")
    if own.classes is None:
        worded = {key: value for key, value in params_of(part).items() if isinstance(value, (str, bool, int))}
        check_estimator({"__estimator__": class_name(type(part)), "params": worded}, "the stored model")
    for name, value in params_of(part).items():
        if not _is_plain(value, own):
            raise _other(f"it has a {type(part).__name__} with {name}={short(value)}, which the study has not")


def _is_plain(value: Any, own: Own) -> bool:
    """Return whether a part's parameter is plain (numbers, text, estimators) or the study's."""
    if isinstance(value, (*_PLAIN, type, functools.partial)) or is_estimator(value):
        return True
    if isinstance(value, np.ndarray):
        return bool(value.dtype != object)
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item, own) for item in value)
    return any(alike(value, one) for one in own.values)


# ---------------------------------------------------------------------------------- searches


def _found_by(search: Any) -> list[Any]:
    """Return a search's results, rebuilt with the study's own grid, whose copy they contain."""
    best = vars(search).get("best_params_")
    if not isinstance(best, dict):
        return []
    params = params_of(search)
    grids = params[_GRIDS[type(search).__name__]]
    resource = params.get("resource")
    found: dict[str, Any] = {}
    for name, value in best.items():
        listed = [grid[name] for grid in (grids if isinstance(grids, (list, tuple)) else [grids]) if name in grid]
        ours = [item for values in listed if not hasattr(values, "rvs") for item in values if alike(value, item)]
        drawn = any(hasattr(values, "rvs") for values in listed) or name == resource
        if ours:
            found[name] = ours[0]
        elif drawn and isinstance(value, (int, float, str, np.generic)):
            found[name] = value
        else:
            raise _other(f"its {type(search).__name__} has found {name}={short(value)}, which is not in its grid")
    made: Callable[..., Any] = clone(params["estimator"]).set_params
    best_one = made(**{name: clone(value, safe=False) for name, value in found.items()})
    return [best_one, *Own(best_one).estimators]


def _other(what: str) -> StudyError:
    return forged(f"is not the study's: {what}")
