"""Networks as estimators: described by names and numbers, built where they are trained.

Importing this package is cheap, and works without TensorFlow, which is imported when a network is trained or asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warren.networks.estimator import KerasModel
    from warren.networks.mnist import load_digits_images, load_mnist

__all__ = ["KerasModel", "load_digits_images", "load_mnist"]


def __getattr__(name: str) -> Any:
    if name == "KerasModel":
        from warren.networks.estimator import KerasModel

        return KerasModel
    if name in __all__:
        from warren.networks import mnist

        return getattr(mnist, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
