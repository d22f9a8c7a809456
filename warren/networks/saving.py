"""A fitted network as a SavedModel, which needs neither Warren nor Keras to be loaded."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from warren.networks.backend import keras_library

if TYPE_CHECKING:
    from warren.networks.estimator import KerasModel

INPUT = "inputs"
"""Name of the one input."""
# Kinds of NumPy's dtypes that TensorFlow has too; text becomes UTF-8 bytes.
_LABELS = "biufU"


def save_for_serving(model: KerasModel, folder: Path) -> dict[str, Any]:
    """Write a SavedModel whose signature ``serving_default`` takes X as `fit` does, and scales it.

    Parameters
    ----------
    model : KerasModel
        Fitted.
    folder : Path
        Where to write ``saved_model.pb`` and ``variables``.

    Returns
    -------
    dict
        ``inputs`` and ``outputs``, each a list of ``{"name", "shape", "dtype"}``; the first side of
        a shape is None, for any number of rows. For classes the outputs are ``probabilities``, of
        shape (n, n_classes) in the order of ``classes_``, and ``labels``, if TensorFlow has a type
        for them; for regression ``predictions``, in the shape that ``predict`` returns.

    Raises
    ------
    OSError
        The folder can't be written.
    ImportError
        TensorFlow is not installed.

    Notes
    -----
    The format is described at https://www.tensorflow.org/guide/saved_model. It is written by an
    `ExportArchive <https://keras.io/api/models/model_saving_apis/export/>`_ with one endpoint.
    """
    keras = keras_library()
    import tensorflow as tf

    answer = _classes(tf, model) if hasattr(model, "classes_") else _numbers(tf, model)
    spec = tf.TensorSpec((None, *model.input_shape_), tf.float32, name=INPUT)
    endpoint = tf.function(answer, input_signature=[spec])
    outputs = endpoint.get_concrete_function().structured_outputs
    archive = keras.export.ExportArchive()
    archive.track(model.model_)
    # The first endpoint is also served as ``serving_default``.
    archive.add_endpoint("serve", endpoint)
    try:
        archive.write_out(str(folder), verbose=False)
    except tf.errors.OpError as exc:  # no space, no permission: not all of TensorFlow's errors are OSErrors
        raise OSError(errno.EIO, f"TensorFlow can't write it: {exc.message}") from exc
    return {
        "inputs": [{"name": INPUT, "shape": [None, *model.input_shape_], "dtype": "float32"}],
        "outputs": [
            {"name": name, "shape": [None, *output.shape.as_list()[1:]], "dtype": output.dtype.name}
            for name, output in sorted(outputs.items())
        ],
    }


def _classes(tf: Any, model: KerasModel) -> Callable[[Any], dict[str, Any]]:
    """Return `predict_proba` and `predict` of KerasModel as one function in TensorFlow."""
    network, labels = model.model_, _as_tensor(tf, model.classes_)

    def answer(inputs: Any) -> dict[str, Any]:
        found = network(inputs, training=False)
        if found.shape[1] == 1:
            codes = tf.cast(found[:, 0] > 0.5, tf.int64)
            found = tf.concat([1 - found, found], axis=1)
        else:
            codes = tf.argmax(found, axis=1)
        return {"probabilities": found} | ({} if labels is None else {"labels": tf.gather(labels, codes)})

    return answer


def _numbers(tf: Any, model: KerasModel) -> Callable[[Any], dict[str, Any]]:
    network, flat = model.model_, model._flat

    def answer(inputs: Any) -> dict[str, Any]:
        found = network(inputs, training=False)
        return {"predictions": tf.reshape(found, [-1]) if flat else found}

    return answer


def _as_tensor(tf: Any, classes: NDArray[Any]) -> Any:
    if classes.dtype == object and all(isinstance(label, str) for label in classes):
        classes = classes.astype(np.str_)
    return tf.constant(classes) if classes.dtype.kind in _LABELS else None
