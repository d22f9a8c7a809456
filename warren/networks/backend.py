"""TensorFlow, when it is needed: imported late, put on a device, seeded, and made deterministic."""

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
from warren.networks.watch import watch_in_force

logger = logging.getLogger(__name__)

# Whether this thread fits a network.
_fits: ContextVar[bool] = ContextVar("fits", default=False)


def keras_library() -> Any:
    """Return Keras on TensorFlow, importing it the first time: some seconds.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        It is not installed, or can't be loaded.
    InputError
        Keras runs on another library.
    """
    new = "tensorflow" not in sys.modules
    try:
        import keras
        import tensorflow as tf  # noqa: F401 - Keras may be there without it
    except ImportError as exc:
        raise ImportError(
            f"KerasModel needs TensorFlow, which can't be imported here ({exc}): pip install 'warren[tensorflow]', and "
            "workers of the image that has it"
        ) from exc
    if (backend := keras.backend.backend()) != "tensorflow":
        raise InputError(
            f"Keras runs on {backend} here, and KerasModel needs TensorFlow: set KERAS_BACKEND=tensorflow before "
            "Keras is imported"
        )
    if new:
        watch_in_force().imported()
    return keras


@contextmanager
def on_device(device: str) -> Iterator[None]:
    """Let networks be made, trained and asked on a device.

    Parameters
    ----------
    device : {"cpu", "gpu"}
        "cpu" also where there is a GPU: numbers don't depend on which machine took a trial. "gpu" is the first that
        TensorFlow sees; where it sees none it is the CPU, and that is logged once.
    """
    keras_library()
    import tensorflow as tf

    with tf.device("/GPU:0" if uses_gpu(device) else "/CPU:0"):
        yield


def compiles(device: str) -> bool | Literal["auto"]:
    """Return ``jit_compile`` of ``keras.Model.compile``: on the CPU what it is on a machine without a GPU."""
    return "auto" if uses_gpu(device) else False


def uses_gpu(device: str) -> bool:
    """Return whether a network that is to be on a device is on a GPU here."""
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
    """Seed what a fit draws from: initial weights, the order of rows, dropout.

    Python's and NumPy's global generators are afterwards as they were: nobody else's numbers depend on a fit.

    Parameters
    ----------
    keras : module
    seed : int
        Of 32 bits.
    deterministic : bool
        Let TensorFlow use only operations that give the same bits each time. It can't be taken back in a process, and
        changes no result of other fits but their speed.
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
def freed() -> Iterator[None]:
    """Free what TensorFlow keeps of a fit for the life of the process: the graph of its training step, megabytes.

    Each step that averages gradients enters a function into the table of gradients
    (``tensorflow.python.distribute.distribute_lib.ReplicaContextBase.all_reduce``, a ``tf.custom_gradient``), and the
    function holds the graph. A step that was traced has its gradients, and asks the table no more. The table is not
    public: where a version has it elsewhere, memory grows with each fit, and nothing else changes.
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
def unwarned() -> Iterator[None]:
    """Keep TensorFlow from warning, in this thread, of steps that are traced too often: each fit traces its own, once.

    It counts those of all models together, among the last few calls (``FrequentTracingDetector``), and a small network
    has few.
    """
    logging.getLogger("tensorflow").addFilter(_worth_saying)  # there once, however often it is added
    token = _fits.set(True)
    try:
        yield
    finally:
        _fits.reset(token)


def _worth_saying(record: logging.LogRecord) -> bool:
    said = str(record.msg)
    return not (
        _fits.get() and "triggered tf.function retracing" in said and "TensorFlowTrainer._make_function" in said
    )
