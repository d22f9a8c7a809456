"""Keras networks: allowed parameter names and values, and which trials may share a fit.

A network's description is data: nothing in it names code, a file or a class. Producer and worker
check it like every parameter (`warren.safety.parameter_checks`), and
`warren.networks.KerasModel` checks it again before the training. No library is imported.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from warren.errors import InputError, short
from warren.libraries.library import DEVICE_ON_GPU, DeviceParameter, Library
from warren.libraries.network_cost import NetworkCost
from warren.libraries.rule import Json

NETWORK = "networks.KerasModel"
"""The name of `warren.networks.KerasModel` in messages, from before `warren` had its rooms."""
PACKAGE = "networks"

# Keras' names (https://keras.io/api/) of objects that need no arguments.
ACTIVATIONS = frozenset(
    {
        *("elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "leaky_relu", "linear", "mish", "relu", "relu6"),
        *("selu", "sigmoid", "silu", "softplus", "softsign", "swish", "tanh"),
    }
)
_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


def _taken(names: str) -> frozenset[str]:
    return frozenset({*names.split(), "weight_decay", *_CLIPS})


# The class of each, and its parameters besides the learning rate. Left out are moving averages of
# weights, and gradients of several steps, because weights after an epoch then differ from those of
# a training that ends there; and scaling for mixed precision.
OPTIMIZERS: Mapping[str, tuple[str, frozenset[str]]] = {
    "adadelta": ("Adadelta", _taken("rho epsilon")),
    "adagrad": ("Adagrad", _taken("initial_accumulator_value epsilon")),
    "adam": ("Adam", _taken("beta_1 beta_2 epsilon amsgrad")),
    "adamax": ("Adamax", _taken("beta_1 beta_2 epsilon")),
    "adamw": ("AdamW", _taken("beta_1 beta_2 epsilon amsgrad")),
    "ftrl": (
        "Ftrl",
        _taken("""
            learning_rate_power initial_accumulator_value l1_regularization_strength l2_regularization_strength
            l2_shrinkage_regularization_strength beta
        """),
    ),
    "lion": ("Lion", _taken("beta_1 beta_2")),
    "nadam": ("Nadam", _taken("beta_1 beta_2 epsilon")),
    "rmsprop": ("RMSprop", _taken("rho momentum epsilon centered")),
    "sgd": ("SGD", _taken("momentum nesterov")),
}
BINARY_LOSSES = frozenset({"binary_crossentropy", "binary_focal_crossentropy"})
ONE_HOT_LOSSES = frozenset({"categorical_crossentropy", "categorical_focal_crossentropy"})
CLASS_LOSSES = frozenset({"sparse_categorical_crossentropy", *ONE_HOT_LOSSES})
REGRESSION_LOSSES = frozenset(
    {
        *("huber", "log_cosh", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error"),
        *("mean_squared_logarithmic_error", "poisson"),
    }
)
LOSSES = BINARY_LOSSES | CLASS_LOSSES | REGRESSION_LOSSES
# The tasks of each loss and metric: two classes, any number of classes, numbers.
METRICS: Mapping[str, tuple[str, frozenset[str]]] = {
    "accuracy": ("accuracy", frozenset({"binary", "classes"})),
    "auc": ("AUC", frozenset({"binary"})),
    "precision": ("Precision", frozenset({"binary"})),
    "recall": ("Recall", frozenset({"binary"})),
    "mean_absolute_error": ("MeanAbsoluteError", frozenset({"numbers"})),
    "mean_absolute_percentage_error": ("MeanAbsolutePercentageError", frozenset({"numbers"})),
    "mean_squared_error": ("MeanSquaredError", frozenset({"numbers"})),
    "r2_score": ("R2Score", frozenset({"numbers"})),
    "root_mean_squared_error": ("RootMeanSquaredError", frozenset({"numbers"})),
}
TASKS = ("classification", "regression")

# More than anyone trains, and few enough that a message can't cause an overflow.
MOST_LAYERS, WIDEST = 64, 65_536
MOST_EPOCHS = 100_000
LARGEST_BATCH = 2**20
_MOST_METRICS = 16
_LARGEST_RATE = 10.0
# Limits of a builder's arguments: values in all, levels, and characters of a text.
_MOST_VALUES, _DEEPEST, _LONGEST_TEXT = 1000, 8, 1000

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """The allowed values of a parameter.

    Attributes
    ----------
    expects : str
        In words, for the error.
    fits : callable
        Returns whether a value is allowed.
    why_not : callable
        Returns what is wrong with a value, if `expects` is not enough.
    """

    expects: str
    fits: Callable[[Any], bool]
    why_not: Callable[[Any], str] = lambda _: ""


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _whole(low: int, high: int) -> _Kind:
    return _Kind(
        expects=f"a whole number from {low:,} to {high:,}", fits=lambda value: _is_whole(value) and low <= value <= high
    )


def _one_of(names: Iterable[str]) -> _Kind:
    known = frozenset(names)
    return _Kind(
        expects=f"one of {', '.join(sorted(known))}", fits=lambda value: isinstance(value, str) and value in known
    )


def _or_none(kind: _Kind) -> _Kind:
    return _Kind(expects=f"None, or {kind.expects}", fits=lambda value: value is None or kind.fits(value))


def _list_of(kind: _Kind, most: int) -> _Kind:
    return _Kind(
        expects=f"a list of at most {most}, each {kind.expects}",
        fits=lambda value: isinstance(value, (list, tuple)) and len(value) <= most and all(map(kind.fits, value)),
    )


def _is_plain(value: Any) -> bool:
    """Return whether a value is a dict of plain JSON of a moderate size."""
    if not isinstance(value, Mapping):
        return False
    left, level = _MOST_VALUES, [value]
    for _ in range(_DEEPEST):
        deeper: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                if not all(isinstance(key, str) and len(key) <= _LONGEST_TEXT for key in one):
                    return False
                deeper += one.values()
            elif isinstance(one, (list, tuple)):
                deeper += one
            elif isinstance(one, str):
                if len(one) > _LONGEST_TEXT:
                    return False
            elif not (one is None or isinstance(one, bool) or _is_number(one)):
                return False
        left -= len(deeper)
        if left < 0:
            return False
        level = deeper
    return not level


_BOOL = _Kind(expects="True or False", fits=lambda value: isinstance(value, bool))


def _number(low: float, high: float) -> _Kind:
    return _Kind(
        expects=f"a number from {low:g} to {high:g}", fits=lambda value: _is_number(value) and low <= value <= high
    )


def _above_0(high: float) -> _Kind:
    return _Kind(
        expects=f"a number above 0, at most {high:g}", fits=lambda value: _is_number(value) and 0 < value <= high
    )


_BELOW_1 = _Kind(expects="a number from 0 to below 1", fits=lambda value: _is_number(value) and 0 <= value < 1)

_OF_OPTIMIZERS: Mapping[str, _Kind] = {
    **dict.fromkeys(("beta_1", "beta_2", "momentum", "rho"), _BELOW_1),
    **dict.fromkeys(("amsgrad", "centered", "nesterov"), _BOOL),
    "epsilon": _above_0(1),  # 0 causes NaN
    **dict.fromkeys(_CLIPS, _above_0(1e6)),  # 0 would clip nothing
    **dict.fromkeys(("weight_decay", "beta", "initial_accumulator_value"), _number(0, 100)),
    **{f"{name}_regularization_strength": _number(0, 100) for name in ("l1", "l2", "l2_shrinkage")},
    "learning_rate_power": _number(-1, 0),
}


def _wrong_of_optimizers(value: Any) -> str:
    """Return what is wrong with parameters for any optimizer; empty if nothing is."""
    if not isinstance(value, Mapping):
        return ""
    for name, one in value.items():
        kind = _OF_OPTIMIZERS.get(name) if isinstance(name, str) else None
        if kind is None:
            return f"; {short(name)} is none of {', '.join(sorted(_OF_OPTIMIZERS))}"
        if not kind.fits(one):
            return f"; {name} is {kind.expects}"
    if len(clips := [name for name in _CLIPS if name in value]) > 1:
        return f"; {' and '.join(clips)} exclude each other"
    if value.get("nesterov") and not value.get("momentum"):
        return "; nesterov changes nothing without a momentum"
    return ""


PARAMETERS: Mapping[str, _Kind] = {
    "builder": _Kind(
        expects="the name of a builder: a letter, then letters, digits, '_', '-' and '.', at most 100",
        fits=lambda value: isinstance(value, str) and _NAME.fullmatch(value) is not None,
    ),
    "builder_params": _or_none(
        _Kind(
            expects=f"a dict of numbers, text, and lists and dicts of them, {_MOST_VALUES:,} values in all",
            fits=_is_plain,
        )
    ),
    "hidden_layers": _list_of(_whole(1, WIDEST), MOST_LAYERS),
    "activation": _one_of(ACTIVATIONS),
    "dropout": _BELOW_1,
    "batch_norm": _BOOL,
    "l2": _number(0, 100),
    "optimizer": _one_of(OPTIMIZERS),
    "optimizer_params": _Kind(
        expects="None, or a dict of numbers and bools that the optimizer takes",
        fits=lambda value: value is None or (isinstance(value, Mapping) and not _wrong_of_optimizers(value)),
        why_not=_wrong_of_optimizers,
    ),
    "learning_rate": _above_0(_LARGEST_RATE),
    "loss": _or_none(_one_of(LOSSES)),
    "metrics": _list_of(_one_of(METRICS), _MOST_METRICS),
    "epochs": _whole(1, MOST_EPOCHS),
    "batch_size": _whole(1, LARGEST_BATCH),
    "validation_split": _Kind(
        expects="a share from 0 to below 1", fits=lambda value: _is_number(value) and 0 <= value < 1
    ),
    "patience": _or_none(_whole(0, MOST_EPOCHS)),
    "scale": _Kind(
        expects="None, 'standard', or a number above 0 to divide by",
        fits=lambda value: (
            value is None or (isinstance(value, str) and value == "standard") or (_is_number(value) and value > 0)
        ),
    ),
    "deterministic": _BOOL,
    "random_state": _or_none(_whole(0, 2**32 - 1)),
    "task": _one_of(TASKS),
    "device": _one_of(("cpu", "gpu")),
}
"""Every parameter of `warren.networks.KerasModel`, and its allowed values."""


class _Networks(Library):
    def check_value(self, name: str, value: Json, where: str, *, sure: bool) -> None:
        if sure:
            check_parameter(name, value, where, encoded=True)


# The order of rows is a function of seed and epoch (`warren.networks.batches`), and dropout draws
# its numbers in sequence. Without a seed, each trial has its own; early stopping restores weights
# of its choice; a network of another package may keep more state than weights.
NETWORKS = _Networks(
    package=PACKAGE,
    title="KerasModel",
    classes=frozenset({NETWORK}),
    rounds=("epochs",),
    default_rounds=10,
    free=frozenset(PARAMETERS) - {"builder", "epochs", "patience", "device"},
    only={"builder": ("mlp", "cnn"), "patience": (None,), "device": ("cpu",)},
    required=frozenset({"random_state"}),
    devices={"device": DeviceParameter(gpu=DEVICE_ON_GPU, cpu="cpu")},
    on_gpu=("device", "gpu"),
    cost=NetworkCost(),
    distributions={"tensorflow": ("tensorflow", "tensorflow-cpu"), "keras": ("keras",)},
)


def check_parameter(name: str, value: Any, where: str, *, encoded: bool = False) -> None:
    """Refuse an unknown parameter of a network, or a value that is not allowed.

    Parameters
    ----------
    name : str
    value : object
    where : str
        The parameter's name in the error: ``"KerasModel(epochs=...)"``.
    encoded : bool, default=False
        Whether the value is encoded as in a message (`warren.encoding.codec.encode`).

    Raises
    ------
    InputError
        Names the parameter, its value, and the allowed values.
    """
    kind = PARAMETERS.get(name)
    if kind is None:
        raise InputError(f"{where}: KerasModel has no parameter {short(name)}; it has {', '.join(PARAMETERS)}")
    written = _plain(value) if encoded else value
    if not kind.fits(written):
        raise InputError(f"{where} = {short(value)}: {name} is {kind.expects}{kind.why_not(written)}")


def check_optimizer(optimizer: str, params: Mapping[str, Any] | None, where: str) -> None:
    """Refuse parameters that an optimizer does not have.

    Parameters
    ----------
    optimizer : str
    params : mapping or None
        Both are valid by themselves (`check_parameter`).
    where : str
        The parameters' name in the error: ``"KerasModel(optimizer_params=...)"``.

    Raises
    ------
    InputError
        Names the optimizer and its parameters.
    """
    _, taken = OPTIMIZERS[optimizer]
    if wrong := [name for name in params or () if name not in taken]:
        raise InputError(
            f"{where} = {short(params)}: optimizer {optimizer!r} has no {wrong[0]!r}; it takes "
            f"{', '.join(sorted(taken))}"
        )


def _plain(value: Any) -> Any:
    """Return an encoded value as written; an invalid one if it is not plain JSON and tuples."""
    match value:
        case {"__tuple__": list(items), **rest} if not rest:
            return tuple(map(_plain, items))
        case dict():
            if any(key.startswith("__") for key in value):  # an estimator, an array, NaN
                return NotImplemented
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return list(map(_plain, value))
    return value
