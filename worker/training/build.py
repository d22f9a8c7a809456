"""What each library calls its threads, how it is kept quiet, and where it fits: for every estimator that is built."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import Any

from warren.libraries.devices import mentions_gpu, on_cpu, on_one_gpu
from warren.libraries.registry import BOOSTING
from warren.safety.allowlist import package_of_type

logger = logging.getLogger(__name__)


# What scikit-learn's convention and the boosting libraries call their threads.
THREAD_PARAMETERS = frozenset({"n_jobs", *(library.threads[0] for library in BOOSTING.values())})


def takes_threads(estimator: Any) -> bool:
    """Say whether an estimator spreads its own work over threads."""
    return not THREAD_PARAMETERS.isdisjoint(estimator.get_params(deep=False))


# Put together of others, for each of which they start a process; inside a worker their parts have the threads.
_OF_PARTS = frozenset({"ColumnTransformer", "FeatureUnion"})


@functools.cache
def _tell_of_cpu() -> None:
    """Say it once in a process: a trial's document says it of each."""
    logger.warning("no GPU is owned here: trials that ask for one are fitted on the CPU")


def placed(value: Any, device: str) -> Any:
    """Return an encoded estimator, or a trial's encoded parameters, for the device that fits run on here.

    Parameters
    ----------
    value : Json
    device : str
        "gpu" where this worker owns one; what asks for a GPU then gets that, under whatever number. Otherwise it gets
        the CPU, in all libraries alike: LightGBM and CatBoost would raise, XGBoost and TensorFlow take the CPU.
    """
    if device == "gpu":
        return on_one_gpu(value)
    if mentions_gpu(value):
        _tell_of_cpu()
    return on_cpu(value)


@functools.cache
def _takes_jobs(cls: type) -> bool:
    return "n_jobs" in inspect.signature(cls).parameters


def build(cls: type, params: dict[str, Any], threads: int) -> Any:
    """Make an estimator that uses `threads` threads and prints nothing.

    Parameters
    ----------
    cls : type
        An estimator class from the allow-list.
    params : dict
        Its parameters. Thread numbers among them give way to `threads`.
    threads : int
        Threads for one fit.

    Returns
    -------
    estimator
    """
    packages = (package_of_type(base) for base in cls.__mro__)  # a class of one's own may inherit
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
