"""What a message may say of a network: allow-listed names, and numbers within bounds."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from producer.space.space import Space
from producer.validation import check_estimators
from warren.encoding.codec import decode, encode, encode_estimator
from warren.errors import InputError
from warren.libraries.keras import PARAMETERS, check_parameter
from warren.networks import KerasModel
from warren.safety.parameter_checks import TrialCheck, check_estimator

GOOD: dict[str, list[Any]] = {
    "builder": ["mlp", "cnn", "my-nets.Wide_2"],
    "builder_params": [None, {}, {"filters": [8, 16], "deep": {"er": [1.5, "text", None, True]}}],
    "hidden_layers": [(), (64,), [64, 32], [65_536] * 64],
    "activation": ["relu", "gelu", "tanh"],
    "dropout": [0, 0.0, 0.5],
    "batch_norm": [True, False],
    "l2": [0.0, 1e-4, 1],
    "optimizer": ["adam", "sgd"],
    "optimizer_params": [None, {}, {"momentum": 0, "nesterov": False}, {"weight_decay": 0.01, "clipnorm": 1}],
    "learning_rate": [1e-6, 1, 10.0],
    "loss": [None, "huber", "binary_crossentropy"],
    "metrics": [(), ["accuracy", "auc"]],
    "epochs": [1, 100_000],
    "batch_size": [1, 2**20],
    "validation_split": [0.0, 0.2],
    "patience": [None, 0, 5],
    "scale": [None, "standard", 255, 16.0],
    "deterministic": [True, False],
    "random_state": [None, 0, 2**32 - 1],
    "task": ["classification", "regression"],
    "device": ["cpu", "gpu"],
}
BAD: dict[str, list[Any]] = {
    "builder": ["", "os.system('x')", "../x", "a" * 101, "1st", 3, None, ["mlp"], "mlp\n"],
    "builder_params": ["x", [1], {"x": float("nan")}, {"x": "y" * 1001}, {"x": [0] * 1001}],
    "hidden_layers": [64, [0], [65_537], [1.5], [True], ["64"], [64] * 65, None, {"a": 1}],
    "activation": ["os.system", "lambda x: x", "Relu", None, 3],
    "dropout": [1.0, -0.1, "0.5", True, float("nan"), None],
    "batch_norm": [1, "yes", None],
    "l2": [-1e-3, 101.0, float("inf"), None],
    "optimizer": ["Adam", "keras.optimizers.Adam", {"class_name": "Adam"}, None],
    "optimizer_params": [3, [], "sgd", {"momentum": 1}, {"momentum": float("nan")}, {"clipnorm": None}, {"name": "x"}],
    "learning_rate": [0, 0.0, -1.0, 11.0, "auto", float("inf"), True],
    "loss": ["mse!", "file:///etc/passwd", {"class_name": "Huber"}],
    "metrics": ["accuracy", ["keras"], ["accuracy"] * 17, [None], None],
    "epochs": [0, -1, 100_001, 2.0, True, None],
    "batch_size": [0, 2**20 + 1, 1.0, None],
    "validation_split": [1.0, -0.5, None, True],
    "patience": [-1, 1.5, True],
    "scale": ["minmax", 0, -255.0, True, [255.0], float("nan")],
    "deterministic": [1, None],
    "random_state": [-1, 2**32, 1.0, "0"],
    "task": ["ranking", None],
    "device": ["cuda", "/GPU:0", "GPU", None, 0],
}


def test_every_parameter_of_the_estimator_is_checked_here() -> None:
    assert [*inspect.signature(KerasModel).parameters] == [*PARAMETERS]
    assert GOOD.keys() == BAD.keys() == PARAMETERS.keys()
    for name, default in KerasModel().get_params().items():
        check_parameter(name, default, "x")


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_value_that_may_be_passes_on_both_sides(name: str) -> None:
    for value in GOOD[name]:
        encoded = encode_estimator(KerasModel(**{name: value}), "estimator")
        check_estimator(encoded, "estimator")
        assert decode(encoded).get_params()[name] == value
        TrialCheck(encoded)({name: encode(value, "x")}, "params")
        check_parameter(name, value, "x")


@pytest.mark.parametrize("name", PARAMETERS)
def test_any_other_value_is_refused_by_both_sides_and_by_the_fit(name: str) -> None:
    for value in BAD[name]:
        model = KerasModel(**{name: value})
        with pytest.raises(InputError, match=rf"\({name}=...\)"):
            check_estimator(encode_estimator(model, "estimator"), "estimator")
        with pytest.raises(InputError):
            check_estimators(KerasModel(), Space([{name: [GOOD[name][0], value]}]))
        with pytest.raises(InputError, match=rf"^KerasModel\({name}=...\) = .*: {name} is "):
            model.fit(np.eye(4), [0, 1, 0, 1])  # before TensorFlow is imported


def test_the_error_says_what_a_parameter_may_be() -> None:
    with pytest.raises(InputError) as raised:
        check_parameter("epochs", 0, "KerasModel(epochs=...)")
    assert str(raised.value) == "KerasModel(epochs=...) = 0: epochs is a whole number from 1 to 100,000"
    with pytest.raises(InputError, match="KerasModel has no parameter 'epoch'; it has builder, "):
        check_parameter("epoch", 1, "x")


@pytest.mark.parametrize(
    "encoded",
    [
        {"__estimator__": "sklearn.svm.SVC", "params": {}},
        {"__float__": "nan"},
        {"__function__": "numpy.log1p"},
        {"__array__": ["int64", [1, 2]]},
        {"__dict__": [[{"__tuple__": [1]}, 2]]},
    ],
)
@pytest.mark.parametrize("name", ["builder_params", "hidden_layers", "scale", "loss"])
def test_what_is_more_than_plain_json_is_refused(name: str, encoded: dict[str, Any]) -> None:
    message = {"__estimator__": "networks.KerasModel", "params": {name: encoded}}
    with pytest.raises(InputError, match=name):
        check_estimator(message, "estimator")
    with pytest.raises(InputError, match=name):
        TrialCheck({"__estimator__": "networks.KerasModel", "params": {}})({name: encoded}, "params")


def test_a_builder_s_parameters_name_no_file() -> None:
    for params in ({"weights_path": "/etc/passwd"}, {"inside": {"cache_dir": "/tmp"}}):
        encoded = encode_estimator(KerasModel(builder_params=params), "estimator")
        with pytest.raises(InputError, match="names a file or folder"):
            check_estimator(encoded, "estimator")


def test_a_network_in_a_pipeline_is_looked_at_too() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("net", KerasModel())])
    check_estimators(pipeline, Space([{"net__epochs": [1, 2]}]))
    with pytest.raises(InputError, match="epochs is a whole number"):
        check_estimators(pipeline, Space([{"net__epochs": range(5)}]))
    with pytest.raises(InputError, match="has no parameter 'epoch'; the closest name is 'net__epochs'"):
        check_estimators(pipeline, Space([{"net__epoch": [1]}]))
    bad = Pipeline([("scale", StandardScaler()), ("net", KerasModel(optimizer="os.system"))])
    with pytest.raises(InputError, match="optimizer is one of adadelta, "):
        check_estimators(bad, Space([{}]))


def test_a_builder_that_does_not_exist_is_refused_by_submit() -> None:
    known = "no such builder here, there are cnn, mlp; one of your own is an entry point of group 'warren.builders'"
    pipeline = Pipeline([("net", KerasModel())])
    for estimator, grid in (
        (KerasModel("resnet"), {}),
        (KerasModel(), {"builder": ["mlp", "resnet"]}),
        (Pipeline([("net", KerasModel("resnet"))]), {}),
        (pipeline, {"net__builder": ["resnet"]}),
        (pipeline, {"net": [KerasModel("resnet")]}),
        (None, {"estimator": [KerasModel(), KerasModel("resnet")]}),
    ):
        with pytest.raises(InputError, match=known):
            check_estimators(estimator, Space([grid]))
    # The message is none of its parameters' business: a worker's image may have more builders than
    # this machine.
    check_estimator(encode_estimator(KerasModel("resnet"), "estimator"), "estimator")
