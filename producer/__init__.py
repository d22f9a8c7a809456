"""The producer: submits studies as chunks to the queue, and reads their results.

Names are imported at first use, so that ``warren --help`` does not import scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producer.cluster import Cluster as Cluster
    from producer.search import GridSearchCV as GridSearchCV
    from producer.search import RandomizedSearchCV as RandomizedSearchCV
    from producer.space.space import split_params as split_params
    from producer.stack import local_stack as local_stack
    from producer.study import Study as Study
    from producer.submission import submit as submit
    from warren.networks import KerasModel as KerasModel

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
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
