"""The rows of a training in the order of each epoch.

The order depends only on the seed and the epoch's number.

So an epoch has the same order of rows whether the epochs before it were trained in this process or
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

# Steps of a training from which a loop saves more time than it costs; and most steps of one loop,
# as more save nothing.
_WORTH_A_LOOP = 200
_MOST_AT_ONCE = 64
# Multiplications of a step that takes some hundredths of a second on one core.
_LONG_STEP = 2**25


def steps_of(n_rows: int, batch_size: int) -> int:
    """Return the steps of an epoch; the last may have fewer rows."""
    return -(-n_rows // batch_size)


def steps_at_once(steps: int, epochs: int, multiplications: int) -> int:
    """Return how many steps one call of TensorFlow runs, in a loop of its own.

    A call for one step costs a millisecond in Python and between threads, more than the step of a
    small network. The loop costs a tenth of a second to trace, once per fit.

    Parameters
    ----------
    steps : int
        Steps of an epoch; no epoch ends inside a call.
    epochs : int
        Epochs of the training.
    multiplications : int
        Most multiplications of a forward step. If steps take long, a loop saves little, and Ctrl-C
        waits for its end.

    Returns
    -------
    int
        ``steps_per_execution`` for ``keras.Model.compile``: the largest divisor of `steps` up to
        64, which is 1 for a larger prime; 1 for a short training and for long steps.
    """
    if steps * epochs < _WORTH_A_LOOP or multiplications > _LONG_STEP:
        return 1
    return max(number for number in range(1, min(steps, _MOST_AT_ONCE) + 1) if steps % number == 0)


def batches(
    arrays: Sequence[NDArray[Any]], batch_size: int, seed: int, first: int, epochs: int, *, ahead: bool = False
) -> Any:
    """Return the batches of several epochs, one after the other.

    Parameters
    ----------
    arrays : sequence of ndarray
        X, targets and, if there are any, weights: with equal numbers of rows.
    batch_size : int
        Rows of a batch.
    seed : int
        32 bits.
    first, epochs : int
        The first epoch, counted from 0, and the end (exclusive).
    ahead : bool, default=False
        Whether to prepare batches during training steps, because a GPU would wait for them. For
        training on the CPU, one thread prepares each batch when it is needed.

    Returns
    -------
    tf.data.Dataset
        Of tuples with a part of each array, `steps_of` per epoch.

    Notes
    -----
    It works like Keras' own path for arrays
    (``keras.src.trainers.data_adapters.array_data_adapter``): a permutation is cut into batches of
    indices, and each gathers its rows. The permutation is stateless:
    https://www.tensorflow.org/api_docs/python/tf/random/experimental/stateless_shuffle.
    """
    import tensorflow as tf

    n_rows = len(arrays[0])
    whole = n_rows // batch_size * batch_size

    def order(epoch: Any) -> Any:
        return tf.random.experimental.stateless_shuffle(tf.range(n_rows, dtype=tf.int64), seed=tf.stack([seed, epoch]))

    def cut(indices: Any) -> Any:
        found = tf.data.Dataset.from_tensor_slices(tf.reshape(indices[:whole], [-1, batch_size]))
        return found if whole == n_rows else found.concatenate(tf.data.Dataset.from_tensors(indices[whole:]))

    def gather(indices: Any, data: Any) -> Any:
        return tuple(tf.gather(part, indices) for part in data)

    # These functions are graphs already. Autograph would take time to search them for Python
    # branches, and on Python 3.13 its parser warns of some syntax.
    as_it_is = tf.autograph.experimental.do_not_convert
    with tf.device("CPU:0"):
        parts = tuple(tf.convert_to_tensor(part) for part in arrays)
        orders = tf.data.Dataset.range(first, epochs).map(as_it_is(order))
        indices = (orders.prefetch(1) if ahead else orders).flat_map(as_it_is(cut))
        data = tf.data.Dataset.zip((indices, tf.data.Dataset.from_tensors(parts).repeat()))
        options = tf.data.Options()
        # The search for optimizations takes longer than it saves.
        options.experimental_optimization.apply_default_optimizations = False
        if ahead:
            made = data.map(as_it_is(gather), num_parallel_calls=tf.data.AUTOTUNE)
            return made.prefetch(tf.data.AUTOTUNE).with_options(options)
        options.autotune.enabled = False
        options.threading.private_threadpool_size = 1
        return data.map(as_it_is(gather)).with_options(options)
