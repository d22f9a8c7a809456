"""The rows of a training in the order of each epoch, which its seed and the epoch's number alone decide.

So an epoch sees its rows in the same order whether the epochs before it were trained here, elsewhere, or in another
process that is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

# Steps of a training from which on a loop saves more than it costs; and of a loop, for more save no more.
_WORTH_A_LOOP = 200
_MOST_AT_ONCE = 64
# Multiplications of a step that takes some hundredths of a second on one core.
_LONG_STEP = 2**25


def steps_of(n_rows: int, batch_size: int) -> int:
    """Return the steps of an epoch; the last may have fewer rows."""
    return -(-n_rows // batch_size)


def steps_at_once(steps: int, epochs: int, multiplications: int) -> int:
    """Return how many steps one call of TensorFlow takes, as a loop of its own.

    A call of one step costs a millisecond of Python and of hand-over between threads, more than the step of a small
    network; the loop costs a tenth of a second to trace, once a fit.

    Parameters
    ----------
    steps : int
        Of an epoch, for no epoch ends within a call.
    epochs : int
    multiplications : int
        Of a step, forwards, at most. Where steps take long a loop spares little, and Ctrl-C waits for its end.

    Returns
    -------
    int
        ``steps_per_execution`` of ``keras.Model.compile``: the largest divisor up to 64, which is 1 for a larger prime;
        1 for a short training and for long steps.
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
        X, targets and, where there are any, weights: as many rows each.
    batch_size : int
    seed : int
        Of 32 bits.
    first, epochs : int
        The first epoch, counted from 0, and the one after the last.
    ahead : bool, default=False
        Make batches ready while others are trained on: a GPU would wait for them. Where the CPU trains, each is made
        when it is wanted, by one thread.

    Returns
    -------
    tf.data.Dataset
        Of a tuple with a part of each array, `steps_of` each epoch.

    Notes
    -----
    It goes the way of Keras' own path for arrays (``keras.src.trainers.data_adapters.array_data_adapter``): a
    permutation is cut into batches of indices, and each gathers its rows. The permutation is stateless:
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

    # They are graphs as they stand. To look for Python's own branches in them takes time, and on Python 3.13 words that
    # its syntax trees warn of.
    as_it_is = tf.autograph.experimental.do_not_convert
    with tf.device("CPU:0"):
        parts = tuple(tf.convert_to_tensor(part) for part in arrays)
        orders = tf.data.Dataset.range(first, epochs).map(as_it_is(order))
        indices = (orders.prefetch(1) if ahead else orders).flat_map(as_it_is(cut))
        data = tf.data.Dataset.zip((indices, tf.data.Dataset.from_tensors(parts).repeat()))
        options = tf.data.Options()
        # A look for what could be faster takes longer than it saves.
        options.experimental_optimization.apply_default_optimizations = False
        if ahead:
            made = data.map(as_it_is(gather), num_parallel_calls=tf.data.AUTOTUNE)
            return made.prefetch(tf.data.AUTOTUNE).with_options(options)
        options.autotune.enabled = False
        options.threading.private_threadpool_size = 1
        return data.map(as_it_is(gather)).with_options(options)
