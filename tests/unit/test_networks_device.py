"""Where a network is trained: on this machine, which has a CPU alone or one that TensorFlow
is kept to."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from nets import CODES, NUMBERS, X, needs_tensorflow, weights_of

from producer import KerasModel
from warren.networks import backend

pytestmark = [needs_tensorflow, pytest.mark.slow]


def net(**params: Any) -> KerasModel:
    return KerasModel(**{"hidden_layers": (6,), "epochs": 2, "random_state": 0, "deterministic": True, **params})


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: [])
    backend._has_gpu.cache_clear()


@pytest.mark.usefixtures("no_gpu")
def test_a_network_that_asks_for_a_gpu_trains_without_and_warns_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "warren.networks"):
        asked = net(device="gpu").fit(X, CODES)
        assert weights_of(asked) == weights_of(net().fit(X, CODES))
        assert asked.predict(X).tolist() == net().fit(X, CODES).predict(X).tolist()
        net(device="gpu", task="regression").fit(X, NUMBERS)
    said = [one.getMessage() for one in caplog.records]
    assert said == ["TensorFlow sees no GPU here: KerasModel(device='gpu') uses the CPU"]


def test_a_network_on_the_cpu_has_its_weights_and_its_outputs_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine that has a GPU: what is for the CPU is put there by name, and not
    # compiled by XLA.
    monkeypatch.setattr(backend, "_has_gpu", lambda: True)
    fitted = net().fit(X, CODES)
    assert {one.value.device.rpartition("/")[2] for one in fitted.model_.weights} == {"device:CPU:0"}
    assert fitted.model_.jit_compile is False
    assert backend.compiles("gpu") == "auto"
    assert weights_of(fitted) == weights_of(net().fit(X, CODES))


def test_a_gpu_is_the_first_that_tensorflow_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    asked: list[str] = []
    own = tf.device

    def device(name: str) -> Any:
        asked.append(name)
        return own("/CPU:0")

    monkeypatch.setattr(tf, "device", device)
    monkeypatch.setattr(backend, "_has_gpu", lambda: True)
    fitted = net(device="gpu", epochs=1).fit(X, CODES)
    fitted.predict(X)
    # Keras itself names the CPU for what comes before the network.
    assert [name for name in asked if name.startswith("/")] == ["/GPU:0", "/GPU:0"]


def test_a_network_of_an_earlier_version_predicts_on_the_cpu() -> None:
    fitted = net(epochs=1).fit(X, CODES)
    del fitted._described["device"]
    assert fitted.predict(X).shape == CODES.shape
