"""The cluster from a notebook, on Kubernetes' own API; and `producer.cluster.deletion_cost`, which runs inside of it.

Names are imported when they are first used: the Kubernetes client takes seconds, and idle-first runs without it.
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
    if missing:  # the image of a worker goes without
        raise ClusterError(
            f"there is no {' and no '.join(missing)} in this environment: pip install {' '.join(missing)}, or use "
            "Cluster where your notebook is, not in a worker's container"
        )
    return importlib.import_module("producer.cluster.cluster").Cluster


def __dir__() -> list[str]:
    return __all__
