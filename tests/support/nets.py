"""Networks in this process, on one thread as in the workers: import it before anything imports
TensorFlow."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

# TensorFlow reads these when it first computes, as in a worker's training process.
for _pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ[_pool] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

# TensorFlow has no build for the newest Python; looked for and not imported, for that
# takes seconds.
needs_tensorflow = pytest.mark.skipif(find_spec("tensorflow") is None, reason="no TensorFlow for this Python")

_DRAW = np.random.default_rng(0)
ROWS = 120
X = _DRAW.normal(size=(ROWS, 6))
CODES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0.7)
NAMES = np.array(["ash", "elm", "oak"])[CODES]
BINARY = np.where(X[:, 0] > 0, "yes", "no")
NUMBERS = X[:, 0] - 2 * X[:, 1] + 0.1 * _DRAW.normal(size=ROWS)

_digits = load_digits()
IMAGES, DIGITS = _digits.images[:300].astype(np.uint8), _digits.target[:300]

BUILDERS = """
import os
import time
from pathlib import Path

import keras
import tensorflow as tf


def wide(input_shape, n_outputs, *, width=4, activation="relu"):
    return [keras.layers.Dense(width, activation=activation)]


def noisy(input_shape, n_outputs):
    return [keras.layers.GaussianNoise(0.1), keras.layers.Dense(5, "relu"), keras.layers.AlphaDropout(0.2)]


class Gate(keras.layers.Layer):
    def call(self, rows):
        def wait():
            if Path(os.environ["GATE"]).exists():
                time.sleep(0.05)
            return 0

        with tf.control_dependencies([tf.numpy_function(wait, [], tf.int64)]):
            return tf.identity(rows)


def gated(input_shape, n_outputs, *, dropout=0.0, batch_norm=False):
    # Each step takes long while there is a file.
    layers = [Gate(), keras.layers.Dense(8, "relu"), keras.layers.Dropout(dropout)]
    return layers + ([keras.layers.BatchNormalization()] if batch_norm else [])


def whole(input_shape, n_outputs, **params):
    inputs = keras.Input(input_shape)
    hidden = keras.layers.Dense(3)(inputs)
    return keras.Model(inputs, keras.layers.Dense(n_outputs + params["more"], activation="softmax")(hidden))


def nothing(input_shape, n_outputs):
    return None


number = 3
"""


def install_builders(site: Path) -> None:
    """Install a distribution that registers builders, as pip would lay it out in a folder
    of packages."""
    (site / "their_networks.py").write_text(BUILDERS)
    about = site / "their_networks-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: their-networks\nVersion: 1.0\n")
    there = ("wide", "noisy", "gated", "whole", "nothing", "number", "missing")
    names = {name: f"their_networks:{name}" for name in there}
    points = "".join(f"{name} = {value}\n" for name, value in {**names, "lost": "not_there:build"}.items())
    (about / "entry_points.txt").write_text(f"[warren.builders]\n{points}")


def weights_of(model: Any) -> list[bytes]:
    """Return the bits of a fitted network's weights."""
    return [np.asarray(one).tobytes() for one in model.model_.get_weights()]
