"""The producer: submits studies as chunks to the queue, and reads their results.

Names are imported at first use, so that ``warren --help`` does not import scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from warren import __all__ as __all__

if TYPE_CHECKING:
    from warren import Cluster as Cluster
    from warren import GridSearchCV as GridSearchCV
    from warren import KerasModel as KerasModel
    from warren import RandomizedSearchCV as RandomizedSearchCV
    from warren import Study as Study
    from warren import local_stack as local_stack
    from warren import split_params as split_params
    from warren import submit as submit

_HOMES = {
    "Cluster": "producer.cluster",
    "GridSearchCV": "producer.search",
    "KerasModel": "warren.networks",
    "RandomizedSearchCV": "producer.search",
    "Study": "producer.study",
    "local_stack": "producer.stack",
    "split_params": "producer.space.space",
    "submit": "producer.submission",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
