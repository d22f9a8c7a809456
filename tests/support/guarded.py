"""Takes off what `worker.training.guards.install` puts on the libraries: it stays in a worker."""

from __future__ import annotations

import sys

from joblib.parallel import register_parallel_backend
from sklearn.base import BaseEstimator
from sklearn.preprocessing import FunctionTransformer

from worker.training import guards


def uninstall() -> None:
    """Give every guarded class its own methods back, and joblib its own processes."""
    places = [(BaseEstimator, "set_params"), *((FunctionTransformer, name) for name in guards.TABLES)]
    for listed, method in ((guards.SETTERS, "set_params"), (guards.MATRICES, "__init__")):
        places += [(getattr(sys.modules[module], name), method) for module, name in listed if module in sys.modules]
    for cls, method in places:
        guarded = cls.__dict__.get(method)
        if hasattr(guarded, "_guarded"):
            setattr(cls, method, guarded.__wrapped__)
    register_parallel_backend("loky", guards.Processes)
