"""Import TensorFlow only when needed; choose its device, seed it, and make it deterministic."""

from __future__ import annotations

import functools
import logging
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import numpy as np

from warren.errors import InputError
from warren.networks.watch import current_watch

logger = logging.getLogger(__name__)

# Whether this thread is fitting a network.
_fits: ContextVar[bool] = ContextVar("fits", default=False)


def keras_library() -> Any:
    """Return Keras on TensorFlow; the first call imports it, which takes some seconds.

    Returns
    -------
    module
        The module ``keras``.

    Raises
    ------
    ImportError
        It is not installed, or can't be loaded.
    InputError
        Keras uses another library than TensorFlow.
    """
    new = "tensorflow" not in sys.modules
    try:
        import keras
        import tensorflow as tf  # noqa: F401 - Keras may be installed without it
    except ImportError as exc:
        raise ImportError(
            f"KerasModel needs TensorFlow, which can't be imported here ({exc}): pip install 'warren[tensorflow]', and "
            "use the workers' image that includes it"
        ) from exc
    if (backend := keras.backend.backend()) != "tensorflow":
        raise InputError(
            f"Keras uses {backend} here, but KerasModel needs TensorFlow: set KERAS_BACKEND=tensorflow before "
            "Keras is imported"
        )
    if new:
        current_watch().imported()
    return keras


@contextmanager
def on_device(device: str) -> Iterator[None]:
    """Create, train and run networks on a device inside a ``with`` block.

    Parameters
    ----------
    device : {"cpu", "gpu"}
        "cpu" also on a machine with a GPU, so that numbers don't depend on the machine. "gpu" is
        the first one that TensorFlow finds; if there is none, the CPU is used, and that is logged
        once.
    """
    keras_library()
    import tensorflow as tf

    with tf.device("/GPU:0" if uses_gpu(device) else "/CPU:0"):
        yield


def compiles(device: str) -> bool | Literal["auto"]:
    """Return ``jit_compile`` for ``keras.Model.compile``; on the CPU, as if there were no GPU."""
    return "auto" if uses_gpu(device) else False


def uses_gpu(device: str) -> bool:
    """Return whether a network with this device runs on a GPU here."""
    return device == "gpu" and _has_gpu()


@functools.cache
def _has_gpu() -> bool:
    import tensorflow as tf

    if tf.config.list_logical_devices("GPU"):
        return True
    logger.warning("TensorFlow sees no GPU here: KerasModel(device='gpu') uses the CPU")
    return False


@contextmanager
def seeded(keras: Any, seed: int, *, deterministic: bool) -> Iterator[None]:
    """Seed the random numbers of a fit: initial weights, the order of rows, dropout.

    Python's and NumPy's global generators are restored afterwards, so that a fit changes no other
    numbers.

    Parameters
    ----------
    keras : module
        The module ``keras``.
    seed : int
        32 bits.
    deterministic : bool
        Whether TensorFlow may use only operations that give the same bits each time. This can't be
        undone in a process; it makes other fits slower but does not change their results.
    """
    if deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    pythons, numpys = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)


@contextmanager
def graphs_freed() -> Iterator[None]:
    """Free the graph of a fit's training step, megabytes that TensorFlow would keep.

    Each step that averages gradients adds a function to the table of gradients
    (``tensorflow.python.distribute.distribute_lib.ReplicaContextBase.all_reduce``, a
    ``tf.custom_gradient``), and the function holds the graph. A traced step has its gradients and
    needs the table no more. The table is not public: if a version stores it elsewhere, memory grows
    with each fit, but nothing else changes.
    """
    from tensorflow.python.framework import ops

    table: dict[str, Any] = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
    before = set(table)
    try:
        yield
    finally:
        for name in set(table) - before:
            if name.startswith("CustomGradient-"):
                del table[name]


@contextmanager
def retracing_unreported() -> Iterator[None]:
    """Suppress warnings in this thread that steps are traced too often.

    Each fit traces its own step once.

    TensorFlow counts the traces of all models among the last few calls
    (``FrequentTracingDetector``), and a small network makes few calls.
    """
    logging.getLogger("tensorflow").addFilter(_is_not_retracing)  # adding it again changes nothing
    token = _fits.set(True)
    try:
        yield
    finally:
        _fits.reset(token)


def _is_not_retracing(record: logging.LogRecord) -> bool:
    text = str(record.msg)
    return not (
        _fits.get() and "triggered tf.function retracing" in text and "TensorFlowTrainer._make_function" in text
    )
