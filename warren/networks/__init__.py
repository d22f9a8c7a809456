"""Networks as estimators: described by names and numbers, and built where they are trained.

This package is cheap to import and works without TensorFlow, which is imported only to train or to
predict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warren.networks.estimator import KerasModel

__all__ = ["KerasModel"]


def __getattr__(name: str) -> Any:
    if name == "KerasModel":
        from warren.networks.estimator import KerasModel

        return KerasModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
