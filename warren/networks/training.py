"""Build, compile and train a network: the parts of a fit that use Keras."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from warren.errors import InputError
from warren.libraries.keras import METRICS, OPTIMIZERS
from warren.networks.backend import compiles, uses_gpu
from warren.networks.batches import batches, steps_at_once, steps_of
from warren.networks.builders import SHARED, Shape, build
from warren.networks.output_layer import Head
from warren.networks.training_backup import Weights, backed_up
from warren.networks.watch import current_watch

Params = Mapping[str, Any]
"""Parameters of KerasModel by name."""

# Most bytes of weights that a training keeps besides its last; weights of further epochs are not
# kept.
_MOST_KEPT = 2**26
# Rows to predict at once: for images, a convolution needs megabytes for each dozen.
_PREDICTED_AT_ONCE = 256
# Each call costs a millisecond. If layers need only memory for their outputs, predict as many rows
# as fit into so many bytes.
_PREDICTED_BYTES = 2**24
_PLAIN = {"Activation", "BatchNormalization", "Dense", "Dropout", "Flatten", "Normalization", "Rescaling"}


class Trained(NamedTuple):
    """Results of a training besides the model.

    Attributes
    ----------
    history : dict of str to list of float
        Loss and metrics, one number per epoch; ``val_loss`` and so on for held-out rows.
    best_epoch : int or None
        The epoch whose weights early stopping restored, counted from 1.
    earlier : dict of int to list of ndarray
        Weights after the epochs that the watch keeps, by epoch.
    """

    history: dict[str, list[float]]
    best_epoch: int | None
    earlier: Weights


class Rows(NamedTuple):
    """Rows to train on or to watch: X, targets for the loss, and weights if there are any."""

    X: NDArray[np.float32]
    targets: NDArray[Any]
    weight: NDArray[np.float32] | None

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """X, targets, and weights if there are any, as Keras accepts them."""
        return tuple(part for part in self if part is not None)

    def taken(self, order: NDArray[np.int64]) -> Rows:
        """Return some of the rows, in a given order."""
        return Rows(self.X[order], self.targets[order], None if self.weight is None else self.weight[order])


def held_out(rows: Rows, share: float, draw: np.random.RandomState) -> tuple[Rows, Rows | None]:
    """Shuffle rows and hold out the last.

    Keras' ``validation_split`` takes the last without shuffling.

    Parameters
    ----------
    rows : Rows
        All rows.
    share : float
        ``n - floor(n * (1 - share))`` rows are held out.
    draw : numpy.random.RandomState
        Shuffles; unused if the share is 0.

    Returns
    -------
    rows : Rows
        The rows to train on.
    watched : Rows or None
        The held-out rows.

    Raises
    ------
    InputError
        A part would have no rows.
    """
    if not share:
        return rows, None
    n_rows = len(rows.X)
    kept = math.floor(n_rows * (1 - share))
    if not 0 < kept < n_rows:
        raise InputError(
            f"validation_split={share}: of {n_rows} rows, {kept} would be left to train on; each part needs one"
        )
    order = draw.permutation(n_rows)
    return rows.taken(order[:kept]), rows.taken(order[kept:])


def scaling_of(scale: Any, X: NDArray[np.float32]) -> dict[str, Any] | None:
    """Return how the first layer scales X, computed from the training rows only.

    Parameters
    ----------
    scale : None, "standard" or float
        The parameter of KerasModel.
    X : ndarray of shape (n_samples, ...)
        Each column has its own mean and variance; images have one per channel, or one for all
        pixels without channels.

    Returns
    -------
    dict or None
        ``{"divide_by": float}``, or ``{"mean": array, "variance": array}``.
    """
    if scale is None:
        return None
    if not isinstance(scale, str):
        return {"divide_by": float(scale)}
    across = {2: 0, 3: None}.get(X.ndim, tuple(range(X.ndim - 1)))
    variance = np.asarray(X.var(axis=across, dtype=np.float64))
    # A constant column is only centred.
    return {
        "mean": np.asarray(X.mean(axis=across, dtype=np.float64)),
        "variance": np.where(variance > 0, variance, 1.0),
    }


def assembled(keras: Any, params: Params, head: Head, input_shape: Shape, scaling: Mapping[str, Any] | None) -> Any:
    """Return an untrained ``keras.Model``: scaling, the builder's layers, and the output.

    Raises
    ------
    InputError
        The builder does not exist, refuses its parameters, or returned something else.
    """
    name = params["builder"]
    shared = {param: params[param] for param in SHARED}
    made = build(name, input_shape, head.units, params["builder_params"] or {}, shared)
    layers: list[Any] = [keras.layers.Input(input_shape)]
    if scaling is not None and "divide_by" in scaling:
        layers.append(keras.layers.Rescaling(1 / scaling["divide_by"]))
    elif scaling is not None:
        layers.append(
            keras.layers.Normalization(
                axis=-1 if scaling["mean"].ndim else None, mean=scaling["mean"], variance=scaling["variance"]
            )
        )
    if isinstance(made, keras.Model):
        model = keras.Sequential([*layers, made])
        if tuple(model.output_shape) != (None, head.units):
            raise InputError(
                f"builder {name!r} made a model whose output has shape {model.output_shape}, but {head.units} unit(s) "
                f"are needed, with activation {head.activation!r}"
            )
        return model
    if not isinstance(made, (list, tuple)) or not all(isinstance(layer, keras.layers.Layer) for layer in made):
        raise InputError(f"builder {name!r} made a {type(made).__name__}: it must return a list of layers, or a model")
    return keras.Sequential([*layers, *made, keras.layers.Dense(head.units, activation=head.activation)])


def train(
    keras: Any,
    model: Any,
    params: Params,
    head: Head,
    rows: Rows,
    watched: Rows | None,
    callbacks: Sequence[Any],
    *,
    seed: int,
) -> Trained:
    """Compile and train a model; continue from a checkpoint of this training if there is one.

    Parameters
    ----------
    keras : module
        The module ``keras``.
    model : keras.Model
        Untrained.
    params : mapping
        Parameters of KerasModel.
    head : Head
        Its output.
    rows : Rows
        The rows to train on.
    watched : Rows or None
        The held-out rows.
    callbacks : sequence of keras.callbacks.Callback
        Further callbacks besides our own.
    seed : int
        Seed for the order of rows.

    Returns
    -------
    Trained
        History and weights.
    """
    optimizer = _optimizer(keras, params)
    metrics = [_metric(keras, name) for name in params["metrics"]]
    epochs, batch_size, device = int(params["epochs"]), int(params["batch_size"]), str(params["device"])
    steps = steps_of(len(rows.X), batch_size)

    def compile_model(at_once: int) -> None:
        model.compile(
            optimizer=optimizer,
            loss=head.loss,
            metrics=metrics,
            jit_compile=compiles(device),
            steps_per_execution=at_once,
        )

    at_once = 1
    # Never measured on a GPU.
    if not uses_gpu(device) and not any(map(_watches_batches, callbacks)):
        at_once = steps_at_once(steps, epochs, _multiplications(model, rows.X, batch_size))
    compile_model(at_once)

    def stop_at_nan(epoch: int, logs: Mapping[str, float]) -> None:  # noqa: ARG001 - Keras' signature
        # The loss never recovers from NaN, but this is not a failure: the model is scored by its
        # predictions.
        if not math.isfinite(logs["loss"]):
            model.stop_training = True

    history: dict[str, list[float]] = {}

    def note(epoch: int, logs: Mapping[str, float]) -> None:  # noqa: ARG001 - Keras' signature
        for name, value in logs.items():
            history.setdefault(str(name), []).append(float(value))

    own = [keras.callbacks.LambdaCallback(on_epoch_end=stop_at_nan), keras.callbacks.LambdaCallback(on_epoch_end=note)]
    stopper = None
    if params["patience"] is not None:
        stopper = keras.callbacks.EarlyStopping(
            monitor="loss" if watched is None else "val_loss",
            mode="min",
            patience=params["patience"],
            restore_best_weights=True,
        )
        own.append(stopper)
    watch = current_watch()
    slot = watch.begin()
    earlier: Weights = {}

    def keep(epoch: int, logs: Mapping[str, float]) -> None:  # noqa: ARG001 - Keras' signature
        if epoch + 1 in watch.keeps:
            weights = model.get_weights()
            if (len(earlier) + 1) * sum(part.nbytes for part in weights) <= _MOST_KEPT:
                earlier[epoch + 1] = weights

    own.append(keras.callbacks.LambdaCallback(on_epoch_end=keep))
    with ExitStack() as stack:
        backup = None
        if slot is not None:
            fit = _digest_of_fit(params, head, rows, watched, seed)
            backup = stack.enter_context(backed_up(slot, model, fit, epochs, stopper, history, earlier))
        first = 0 if backup is None else backup.first
        if backup is not None and first:
            watch.resumed(first, backup.spent)

        def report(epoch: int, logs: Mapping[str, float]) -> None:  # noqa: ARG001 - Keras' signature
            if backup is not None and watch.wants_to_stop():
                backup.save(epoch)
            watch.epoch(history, 0 if backup is None else backup.kept)

        last = [*([] if backup is None else [backup.callback]), keras.callbacks.LambdaCallback(on_epoch_end=report)]
        model.fit(
            batches(rows.arrays, batch_size, seed, first, epochs, ahead=uses_gpu(device)),
            epochs=epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            validation_data=None if watched is None else watched.arrays,
            validation_batch_size=batch_size,
            callbacks=[*own, *callbacks, *last],
            shuffle=False,
            verbose=0,
        )
    if at_once > 1:
        # A user who continues with the model gets an ordinary one.
        compile_model(1)
    best = None if stopper is None or stopper.best_weights is None else int(stopper.best_epoch) + 1
    # A checkpoint may contain more: weights for other trials that shared the training when it was
    # written.
    return Trained(history, best, {epoch: weights for epoch, weights in earlier.items() if epoch in watch.keeps})


def _watches_batches(callback: Any) -> bool:
    # Keras marks methods that are not overridden.
    names = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    return not all(getattr(getattr(callback, name, None), "_is_default", False) for name in names)


def _multiplications(model: Any, X: NDArray[np.float32], batch_size: int) -> int:
    # An upper bound: each weight once per row, in convolutions once per pixel.
    pixels = math.prod(X.shape[1:3]) if X.ndim > 2 else 1
    return int(model.count_params()) * pixels * batch_size


def _digest_of_fit(params: Params, head: Head, rows: Rows, watched: Rows | None, seed: int) -> str:
    """Return a digest of a training, to recognise checkpoints of other trainings."""
    described = sorted((name, value) for name, value in params.items() if name != "device")
    shapes = [part.shape for group in (rows, watched) if group is not None for part in group.arrays]
    return hashlib.sha256(repr((described, head, shapes, seed)).encode()).hexdigest()


def _optimizer(keras: Any, params: Params) -> Any:
    # Keras does not accept integers for some of them.
    own = {
        name: value if isinstance(value, bool) else float(value)
        for name, value in {"learning_rate": params["learning_rate"], **(params["optimizer_params"] or {})}.items()
    }
    made, _ = OPTIMIZERS[params["optimizer"]]
    return getattr(keras.optimizers, made)(**own)


def _metric(keras: Any, name: str) -> Any:
    made = METRICS[name][0]
    return made if made == name else getattr(keras.metrics, made)(name=name)


def outputs(model: Any, X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a model's outputs for rows, an ndarray of shape (n_samples, units)."""
    # Called directly, because ``model.predict`` traces a graph first, which takes longer than most
    # predictions.
    at_once = _predicted_at_once(model)
    parts = [np.asarray(model(X[start : start + at_once], training=False)) for start in range(0, len(X), at_once)]
    return np.concatenate(parts)


def _predicted_at_once(model: Any) -> int:
    kinds = {type(layer) for layer in model.layers}
    if any(kind.__name__ not in _PLAIN or not kind.__module__.startswith("keras.") for kind in kinds):
        return _PREDICTED_AT_ONCE
    largest: int = max(
        math.prod(shape[1:]) for shape in [model.input_shape, *(layer.output.shape for layer in model.layers)]
    )
    return max(_PREDICTED_AT_ONCE, _PREDICTED_BYTES // (4 * largest))
