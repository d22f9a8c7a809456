"""What an optimizer takes besides its learning rate: by name, within bounds, and of
that optimizer."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
from nets import CODES, X, needs_tensorflow, weights_of
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from producer.space.space import Space
from producer.validation import check_estimators
from warren.encoding.codec import encode_estimator
from warren.errors import InputError
from warren.libraries.keras import OPTIMIZERS, check_optimizer, check_parameter
from warren.libraries.resolve import resolve
from warren.networks import KerasModel
from warren.networks.output_layer import Head
from warren.networks.training import Rows, _digest_of_fit, _optimizer

NESTEROV = {"momentum": 0.9, "nesterov": True}
# Of each optimizer some that are not its defaults.
OTHERS: Mapping[str, dict[str, Any]] = {
    "adadelta": {"rho": 0.5},
    "adagrad": {"initial_accumulator_value": 1},
    "adam": {"beta_1": 0, "amsgrad": True},
    "adamax": {"beta_2": 0.5},
    "adamw": {"weight_decay": 0.5},
    "ftrl": {"l1_regularization_strength": 0.1},
    "lion": {"beta_1": 0.5},
    "nadam": {"epsilon": 1},
    "rmsprop": {"centered": True, "momentum": 0.5},
    "sgd": NESTEROV,
}


def net(**params: Any) -> KerasModel:
    return KerasModel(**{"hidden_layers": (6,), "epochs": 1, "batch_size": 32, "random_state": 0, **params})


def test_an_optimizer_has_what_it_takes_and_no_more() -> None:
    assert OTHERS.keys() == OPTIMIZERS.keys()
    for optimizer, params in OTHERS.items():
        check_parameter("optimizer_params", params, "x")
        check_optimizer(optimizer, params, "x")
        check_optimizer(optimizer, {"weight_decay": 0.1, "clipnorm": 1.0}, "x")
        check_optimizer(optimizer, None, "x")
    with pytest.raises(InputError) as raised:
        check_optimizer("rmsprop", NESTEROV, "KerasModel(optimizer_params=...)")
    assert str(raised.value) == (
        "KerasModel(optimizer_params=...) = {'momentum': 0.9, 'nesterov': True}: optimizer 'rmsprop' has no 'nesterov'"
        "; it takes centered, clipnorm, clipvalue, epsilon, global_clipnorm, momentum, rho, weight_decay"
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"momentum": 1.0}, "; momentum is a number from 0 to below 1$"),
        ({"momentum": True}, "; momentum is a number"),
        ({"nesterov": 1, "momentum": 0.9}, "; nesterov is True or False$"),
        ({"epsilon": 0.0}, "; epsilon is a number above 0, at most 1$"),
        ({"clipnorm": None}, "; clipnorm is a number above 0, at most 1e"),
        ({"weight_decay": -0.1}, "; weight_decay is a number from 0 to 100$"),
        ({"decay": 0.1}, "; 'decay' is none of amsgrad, beta, .*, weight_decay$"),
        ({"clipnorm": 1.0, "clipvalue": 0.5}, "; clipnorm and clipvalue exclude each other$"),
        ({"nesterov": True}, "; nesterov changes nothing without a momentum$"),
    ],
)
def test_a_value_that_none_takes_is_refused_with_what_it_may_be(params: dict[str, Any], message: str) -> None:
    kind = "optimizer_params is None, or a dict of numbers and bools that the optimizer takes"
    with pytest.raises(InputError, match=rf"\['optimizer_params'\]\[1\] = .*: {kind}{message}"):
        check_estimators(KerasModel(), Space({"optimizer_params": [None, params]}))


def test_what_a_grid_brings_together_fits_or_is_refused() -> None:
    pipeline = Pipeline([("net", net())])
    for estimator, grid in (
        (net(optimizer="sgd"), {"optimizer_params": [None, {"momentum": 0.9}]}),
        (net(optimizer_params=NESTEROV), {"optimizer": ["sgd"]}),
        (net(), [{"optimizer": ["sgd"], "optimizer_params": [NESTEROV]}, {"optimizer": ["adam", "lion"]}]),
        (pipeline, {"net__optimizer": ["sgd"], "net__optimizer_params": [NESTEROV]}),
    ):
        check_estimators(estimator, Space(grid))
    for estimator, grid, where in (
        (net(), {"optimizer_params": [None, NESTEROV]}, r"^param_grid\['optimizer_params'\]\[1\] = .* 'adam' has no"),
        (net(optimizer_params=NESTEROV), {"epochs": [1]}, r"^KerasModel\(optimizer_params=...\) = "),
        (
            net(),
            {"optimizer": ["sgd", "adam"], "optimizer_params": [NESTEROV]},
            "; use a list of grids, one for each optimizer",
        ),
        (pipeline, {"net__optimizer_params": [NESTEROV]}, r"\['net__optimizer_params'\]\[0\] = "),
        (pipeline, {"net": [net(optimizer_params=NESTEROV)]}, "optimizer 'adam' has no 'momentum'"),
        (None, {"estimator": [net(optimizer_params=NESTEROV)]}, "optimizer 'adam' has no 'momentum'"),
    ):
        with pytest.raises(InputError, match=where):
            check_estimators(estimator, Space(grid))


def test_a_fit_refuses_it_too_before_tensorflow_is_imported() -> None:
    with pytest.raises(InputError, match="optimizer 'adam' has no 'momentum'; it takes amsgrad, "):
        net(optimizer_params=NESTEROV).fit(X, CODES)


def test_a_network_that_has_none_is_described_as_before() -> None:
    assert encode_estimator(net(), "x") == encode_estimator(net(optimizer_params=None), "x")
    assert "optimizer_params" not in encode_estimator(net(), "x")["params"]


def test_a_network_of_an_earlier_version_gets_later_defaults() -> None:
    stored = KerasModel(epochs=3)
    del stored.optimizer_params
    read = pickle.loads(pickle.dumps(stored))
    assert read.get_params() == KerasModel(epochs=3).get_params()


def test_trainings_that_differ_in_it_share_nothing() -> None:
    first, second, longer = (
        resolve(encode_estimator(net(optimizer="sgd"), "x"), params).shared_key
        for params in (
            {"optimizer_params": None},
            {"optimizer_params": {"momentum": 0.9}},
            {"optimizer_params": {"momentum": 0.9}, "epochs": 9},
        )
    )
    assert first
    assert second
    assert longer
    assert first != second == longer
    rows = Rows(X, CODES, None)
    head = Head.of(n_classes=3, n_outputs=1, loss=None, metrics=())
    about = [
        _digest_of_fit(net(optimizer_params=one).get_params(), head, rows, None, 0) for one in (None, {"clipnorm": 1.0})
    ]
    assert about[0] != about[1]


@pytest.mark.slow
@needs_tensorflow
def test_the_table_is_that_of_the_keras_that_is_installed() -> None:
    import keras

    every = {
        *("self", "learning_rate", "name", "kwargs", "loss_scale_factor", "gradient_accumulation_steps"),
        *("use_ema", "ema_momentum", "ema_overwrite_frequency"),
    }
    for made, taken in OPTIMIZERS.values():
        assert inspect.signature(getattr(keras.optimizers, made).__init__).parameters.keys() - every == taken


@pytest.mark.slow
@needs_tensorflow
def test_an_optimizer_is_made_with_them() -> None:
    import keras

    for optimizer, own in OTHERS.items():
        made = _optimizer(keras, net(optimizer=optimizer, optimizer_params=own).get_params()).get_config()
        assert {name: made[name] for name in own} == own
        assert made["learning_rate"] == pytest.approx(1e-3)


@pytest.mark.slow
@needs_tensorflow
def test_a_network_is_trained_by_them() -> None:
    plain = net(optimizer="sgd").fit(X, CODES)
    fitted = net(optimizer="sgd", optimizer_params=NESTEROV).fit(X, CODES)
    assert weights_of(fitted) != weights_of(plain)
    assert weights_of(pickle.loads(pickle.dumps(fitted))) == weights_of(fitted)
    assert clone(fitted).optimizer_params == NESTEROV
