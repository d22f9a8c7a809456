"""Build estimators with the worker's threads and device, and silence their libraries."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import Any

from warren.libraries.devices import mentions_gpu, on_cpu, on_one_gpu
from warren.libraries.registry import BOOSTING
from warren.safety.allowlist import package_of_type

logger = logging.getLogger(__name__)


# Names of the parameter for threads: that of scikit-learn and those of the boosting libraries.
THREAD_PARAMETERS = frozenset({"n_jobs", *(library.threads[0] for library in BOOSTING.values())})


def takes_threads(estimator: Any) -> bool:
    """Return whether an estimator runs its own work on several threads."""
    return not THREAD_PARAMETERS.isdisjoint(estimator.get_params(deep=False))


# Estimators made of others: they start a process for each part. On a worker, their parts get the
# threads instead.
_OF_PARTS = frozenset({"ColumnTransformer", "FeatureUnion"})


@functools.cache
def _warn_of_cpu() -> None:
    """Warn once in a process; the document of each trial names its device."""
    logger.warning("this worker owns no GPU: trials that ask for one are fitted on the CPU")


def placed(value: Any, device: str) -> Any:
    """Return an encoded estimator or encoded parameters, changed for this worker's device.

    Parameters
    ----------
    value : Json
        The encoded estimator or parameters.
    device : str
        "gpu" if this worker owns one: every request for a GPU then means that one, whatever its
        number. Otherwise such requests become CPU for all libraries alike: LightGBM and CatBoost
        would raise, XGBoost and TensorFlow use the CPU.

    Returns
    -------
    Json
        The changed value.
    """
    if device == "gpu":
        return on_one_gpu(value)
    if mentions_gpu(value):
        _warn_of_cpu()
    return on_cpu(value)


@functools.cache
def _takes_jobs(cls: type) -> bool:
    return "n_jobs" in inspect.signature(cls).parameters


def build(cls: type, params: dict[str, Any], threads: int) -> Any:
    """Build an estimator that uses `threads` threads and prints nothing.

    Parameters
    ----------
    cls : type
        An estimator class from the allow-list.
    params : dict
        Its parameters. Numbers of threads among them are replaced by `threads`.
    threads : int
        Threads for one fit.

    Returns
    -------
    estimator
        Not fitted.
    """
    packages = (package_of_type(base) for base in cls.__mro__)  # a user's class may inherit from a library's
    library = next((BOOSTING[package] for package in packages if package in BOOSTING), None)
    if library is None:
        if not _takes_jobs(cls):
            return cls(**params)
        of_parts = cls.__module__.startswith("sklearn.") and cls.__name__ in _OF_PARTS
        return cls(**{**params, "n_jobs": 1 if of_parts else threads})
    final = {
        key: value
        for key, value in params.items()
        if key not in library.threads and not (value is None and key in library.verbosity)
    }
    quiet = {} if library.verbosity & final.keys() else library.quiet
    return cls(**{**final, **quiet, **library.fixed, library.threads[0]: threads})
