"""Builders: functions that turn the name of an architecture into layers.

A builder is a function ``(input_shape, n_outputs, **params)`` that returns Keras layers, without
input and output, or a model with both. A package registers its own under the entry point group
``warren.builders``::

    [project.entry-points."warren.builders"]
    residual = "my_networks:residual"
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

from warren.errors import InputError
from warren.libraries.keras import WIDEST
from warren.networks.backend import keras_library

Shape: TypeAlias = tuple[int, ...]
Builder: TypeAlias = Callable[..., Any]

GROUP = "warren.builders"
"""Entry point group of builders in other packages."""

# Parameters of KerasModel that a builder gets if it accepts them, with their default values.
SHARED: Mapping[str, Any] = {
    "hidden_layers": (64,),
    "activation": "relu",
    "dropout": 0.0,
    "batch_norm": False,
    "l2": 0.0,
}
_MOST_FILTERS, _WIDEST_FILTERS, _LARGEST_KERNEL, _LARGEST_POOL = 16, 4096, 31, 8


def mlp(
    input_shape: Shape,
    n_outputs: int,  # noqa: ARG001 - every builder gets it
    *,
    hidden_layers: Sequence[int] = (64,),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    l2: float = 0.0,
) -> list[Any]:
    """Return dense layers, one for each width; images are flattened.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one row.
    n_outputs : int
        Units of the output.
    hidden_layers : sequence of int, default=(64,)
        Width of each layer; empty for a linear model.
    activation : str, default="relu"
        Keras' name of the activation.
    dropout : float, default=0.0
        Share of each layer's outputs that a training step drops.
    batch_norm : bool, default=False
        Whether to normalise each layer's outputs before its activation.
    l2 : float, default=0.0
        Penalty on squared weights.

    Returns
    -------
    list of keras.layers.Layer
        The hidden layers.
    """
    layers = keras_library().layers
    made = [layers.Flatten()] if len(input_shape) > 1 else []
    for width in hidden_layers:
        dense = layers.Dense(width, kernel_regularizer=_penalty(l2))
        made += [dense, *_after(activation, dropout, batch_norm=batch_norm)]
    return made


def cnn(
    input_shape: Shape,
    n_outputs: int,
    *,
    filters: Sequence[int] = (32, 64),
    kernel_size: int = 3,
    pool_size: int = 2,
    image_shape: Sequence[int] | None = None,
    hidden_layers: Sequence[int] = (64,),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    l2: float = 0.0,
) -> list[Any]:
    """Return convolutions over images, each followed by pooling, then dense layers.

    Parameters
    ----------
    input_shape : tuple of int
        Height, width and, if there are any, channels; with `image_shape` the number of columns.
    n_outputs : int
        Units of the output.
    filters : sequence of int, default=(32, 64)
        Channels of each convolution.
    kernel_size : int, default=3
        Pixels on each side.
    pool_size : int, default=2
        Pixels on each side that are merged into one; 1 for no pooling.
    image_shape : sequence of int, default=None
        Shape of a row as an image, so that a study can also train trees on the same X.
    hidden_layers, activation, dropout, batch_norm, l2
        As for `mlp`. There is also dropout after each pooling.

    Returns
    -------
    list of keras.layers.Layer
        Convolutions, pooling and dense layers.

    Raises
    ------
    InputError
        A parameter is out of bounds, or rows are not images.
    """
    layers = keras_library().layers
    _check_numbers("filters", filters, _MOST_FILTERS, _WIDEST_FILTERS)
    _check_numbers("kernel_size", [kernel_size], 1, _LARGEST_KERNEL)
    _check_numbers("pool_size", [pool_size], 1, _LARGEST_POOL)
    made, shape = [], tuple(input_shape)
    if image_shape is not None:
        _check_numbers("image_shape", image_shape, 3, WIDEST)
        if math.prod(image_shape) != math.prod(shape):
            raise InputError(
                f"builder_params['image_shape'] = {list(image_shape)}: {math.prod(image_shape)} pixels, but a row of X "
                f"has {math.prod(shape)} values"
            )
        shape = tuple(image_shape)
        made.append(layers.Reshape(shape))
    if len(shape) not in (2, 3):
        raise InputError(
            f"builder='cnn' needs images, X of shape (n, height, width) or (n, height, width, channels), but a row has "
            f"shape {shape}: reshape X, or pass builder_params={{'image_shape': [height, width]}}"
        )
    if len(shape) == 2:
        shape = (*shape, 1)
        made.append(layers.Reshape(shape))
    height, width, _ = shape
    for channels in filters:
        made.append(layers.Conv2D(channels, kernel_size, padding="same", kernel_regularizer=_penalty(l2)))
        made += _after(activation, 0.0, batch_norm=batch_norm)
        if 1 < pool_size <= min(height, width):
            made.append(layers.MaxPooling2D(pool_size))
            height, width = height // pool_size, width // pool_size
        made += [layers.Dropout(dropout)] if dropout else []
    made.append(layers.Flatten())
    common = {"activation": activation, "dropout": dropout, "batch_norm": batch_norm, "l2": l2}
    return made + mlp((1,), n_outputs, hidden_layers=hidden_layers, **common)  # type: ignore[arg-type]  # a dict of many


_OWN: Mapping[str, Builder] = {"cnn": cnn, "mlp": mlp}


def _registered() -> Mapping[str, EntryPoint]:
    return _registered_on(tuple(sys.path))


@functools.lru_cache(maxsize=4)  # searching all installed packages takes milliseconds
def _registered_on(path: tuple[str, ...]) -> Mapping[str, EntryPoint]:  # noqa: ARG001 - where packages are searched
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in _OWN}


def builder_names() -> list[str]:
    """Return the names of all builders: our own and those of installed packages."""
    return sorted({*_OWN, *_registered()})


def check_builder(name: str, where: str = "builder") -> None:
    """Refuse a builder that does not exist here, without importing it.

    Raises
    ------
    InputError
        The text lists those that exist.
    """
    if name not in _OWN and name not in _registered():
        raise InputError(
            f"{where} = {name!r}: no such builder here, there are {', '.join(builder_names())}; one of your own is an "
            f"entry point of group {GROUP!r} in a package that is installed here and where the workers run"
        )


def find_builder(name: str) -> Builder:
    """Return a builder by its name; this imports its package.

    Raises
    ------
    InputError
        There is no such builder, or its package can't be imported.
    """
    check_builder(name)
    if name in _OWN:
        return _OWN[name]
    point = _registered()[name]
    try:
        found: Builder = point.load()
    except Exception as exc:  # an import may raise anything
        raise InputError(f"builder = {name!r}: {point.value} can't be imported ({type(exc).__name__}: {exc})") from exc
    if not callable(found):
        raise InputError(f"builder = {name!r}: {point.value} is a {type(found).__name__}, not a function")
    return found


def build(name: str, input_shape: Shape, n_outputs: int, own: Mapping[str, Any], shared: Mapping[str, Any]) -> Any:
    """Return the layers or model of a builder.

    Parameters
    ----------
    name : str
        The builder.
    input_shape : tuple of int
        Shape of one row.
    n_outputs : int
        Units of the output.
    own : mapping
        The builder's own parameters, ``builder_params``.
    shared : mapping
        Values of `SHARED`. A builder gets those that it accepts.

    Returns
    -------
    list of keras.layers.Layer, or keras.Model
        What the builder returned.

    Raises
    ------
    InputError
        There is no such builder, or a parameter would have no effect because the builder does not
        accept it.
    """
    builder = find_builder(name)
    parameters = inspect.signature(builder).parameters
    if any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        return builder(input_shape, n_outputs, **{**shared, **own})
    taken = list(parameters)[2:]
    for param in own:
        if param not in taken or param in SHARED:
            raise InputError(
                f"builder_params[{param!r}]: builder {name!r} takes {', '.join(taken) or 'none'}"
                + (f", and {param!r} is a parameter of KerasModel itself" if param in SHARED else "")
            )
    for param, value in shared.items():
        default = SHARED[param]
        if param not in taken and value != (list(default) if isinstance(value, list) else default):
            raise InputError(f"{param} = {value!r} would change nothing: builder {name!r} does not take it")
    return builder(input_shape, n_outputs, **{param: value for param, value in shared.items() if param in taken}, **own)


def _penalty(l2: float) -> Any:
    return keras_library().regularizers.L2(l2) if l2 else None


def _after(activation: str, dropout: float, *, batch_norm: bool) -> list[Any]:
    """Return the layers after a layer with weights."""
    layers = keras_library().layers
    made = [layers.BatchNormalization()] if batch_norm else []
    made.append(layers.Activation(activation))
    return made + ([layers.Dropout(dropout)] if dropout else [])


def _check_numbers(name: str, values: Any, most: int, highest: int) -> None:
    if (
        not isinstance(values, (list, tuple))
        or not 1 <= len(values) <= most
        or not all(isinstance(item, int) and not isinstance(item, bool) and 1 <= item <= highest for item in values)
    ):
        several = f"at most {most} whole numbers" if most > 1 else "a whole number"
        shown = values[0] if most == 1 else values
        raise InputError(f"builder_params[{name!r}] = {shown!r}: pass {several} from 1 to {highest:,}")
