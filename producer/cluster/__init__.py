"""Controls the workers on a Kubernetes cluster; `producer.cluster.deletion_cost` runs inside it.

`Cluster` is imported at first use: the Kubernetes client takes seconds, and `deletion_cost` runs
without it.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from warren.errors import ClusterError

if TYPE_CHECKING:
    from producer.cluster.cluster import Cluster

__all__ = ["Cluster"]


def __getattr__(name: str) -> Any:
    if name != "Cluster":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    missing = [package for package in ("kubernetes", "aiohttp") if find_spec(package) is None]
    if missing:  # the worker's image does not have them
        raise ClusterError(
            f"{' and '.join(missing)} is not installed in this environment: pip install {' '.join(missing)}, or use "
            "Cluster in your notebook's environment, not in a worker's container"
        )
    return importlib.import_module("producer.cluster.cluster").Cluster


def __dir__() -> list[str]:
    return __all__
