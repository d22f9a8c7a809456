"""Expected seconds to train a network on one thread, by layers, batches, rows and columns.

::

    fixed = start + layers x layer
    per_epoch = steps x (step + weights x update) + rows x products x product

`weights` is the number of trained numbers, `products` the number of multiplications per row: the
same in dense layers, far more in convolutions. The constants were fitted to 13 fits with TensorFlow
2.21 on one thread of a cloud machine, 100 to 4,000 rows, 64 to 784 columns; each fit is predicted
within a factor of 1.4. For another package's builder, only the dense layers are known. Measured
times correct the rest (`producer.planning.calibration`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from warren.encoding.tags import items_of
from warren.libraries.tree_cost import number_or

# Seconds: to build a network and trace its step, more for each layer, of which normalisation makes
# two; for a step; for the update of a weight; for a product.
_START, _LAYER = 0.8, 0.2
_STEP = 1.4e-3
_UPDATE = 3e-9
_PRODUCT = 1e-10

_DEFAULTS: Mapping[str, float] = {"batch_size": 32, "validation_split": 0.0}
_HIDDEN, _FILTERS, _KERNEL, _POOL = [64], [32, 64], 3, 2


class NetworkCost:
    """Expected seconds of training a network; its rounds are its epochs."""

    names = frozenset({"builder", "builder_params", "hidden_layers", "batch_norm", *_DEFAULTS})

    def seconds(self, params: Mapping[str, Any], rows: int, columns: int, classes: int) -> tuple[float, float]:
        """Return the expected seconds of one fit: fixed, and for each epoch."""
        batch, share = (_number(params.get(name), default) for name, default in _DEFAULTS.items())
        trained = rows * (1 - min(max(share, 0.0), 1.0))
        steps = math.ceil(trained / max(batch, 1))
        layers, weights, products = _layers(params, columns, classes if classes > 2 else 1)
        # Held-out rows are predicted, which costs a third of training on them.
        seen = trained + (rows - trained) / 3
        start = _START + layers * _LAYER * (2 if params.get("batch_norm") is True else 1)
        return start, steps * (_STEP + weights * _UPDATE) + seen * products * _PRODUCT


def _layers(params: Mapping[str, Any], columns: int, outputs: int) -> tuple[int, float, float]:
    """Return the numbers of hidden layers, of weights, and of products per row."""
    layers, weights, products = 0, 0.0, 0.0
    width = float(columns)
    if params.get("builder") == "cnn":
        own = params.get("builder_params")
        own = own if isinstance(own, dict) else {}
        kernel, pool = _number(own.get("kernel_size"), _KERNEL), max(_number(own.get("pool_size"), _POOL), 1.0)
        # The input's pixels in all channels, each multiplied by a kernel for each filter.
        pixels, channels = width, 1.0
        for filters in _numbers(own.get("filters"), _FILTERS):
            layers += 1
            weights += kernel**2 * channels * filters
            products += kernel**2 * pixels * channels * filters
            pixels, channels = max(pixels / pool**2, 1.0), filters
        width = pixels * channels
    dense = _numbers(params.get("hidden_layers"), _HIDDEN)
    for wide in [*dense, outputs]:
        weights += width * wide
        products += width * wide
        width = wide
    return layers + len(dense), weights, products


def _numbers(value: Any, default: list[int]) -> list[float]:
    found = default if value is None else items_of(value)
    return [max(_number(one, 1.0), 1.0) for one in found]


def _number(value: Any, default: float) -> float:
    return float(number_or(value, default))
