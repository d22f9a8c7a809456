"""Builders: ours, and those that an installed package registers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nets import CODES, X, install_builders, needs_tensorflow

from warren.errors import InputError
from warren.networks import KerasModel
from warren.networks.builders import SHARED, builder_names, check_builder, find_builder


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_builders(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def net(builder: str, params: dict[str, Any] | None = None, **more: Any) -> KerasModel:
    return KerasModel(builder, builder_params=params, epochs=1, random_state=0, **more)


def test_what_is_shared_says_nothing_by_default() -> None:
    described = KerasModel().get_params()
    assert {name: described[name] for name in SHARED} == SHARED


def test_a_builder_that_is_not_there_is_named_with_those_that_are() -> None:
    assert builder_names() == ["cnn", "mlp"]
    with pytest.raises(
        InputError, match=r"^builder = 'wide': no such builder here, there are cnn, mlp; one of your own"
    ):
        check_builder("wide")


@pytest.mark.usefixtures("theirs")
def test_a_package_that_is_installed_brings_builders() -> None:
    assert builder_names() == ["cnn", "gated", "lost", "missing", "mlp", "noisy", "nothing", "number", "whole", "wide"]
    check_builder("lost")
    with pytest.raises(InputError, match=r"not_there:build can't be imported \(ModuleNotFoundError: "):
        find_builder("lost")


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.usefixtures("theirs")
def test_a_builder_of_a_package_makes_layers_or_a_whole_model() -> None:
    model = net("wide", {"width": 5}, activation="tanh").fit(X, CODES)
    assert [one.shape for one in model.model_.get_weights()] == [(6, 5), (5,), (5, 3), (3,)]
    model = net("whole", {"more": 0}, scale="standard").fit(X, CODES)
    assert model.predict_proba(X).shape == (120, 3)


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (net("wide", {"depth": 5}), r"builder_params\['depth'\]: builder 'wide' takes width, activation$"),
        (net("wide", {"activation": "tanh"}), "and 'activation' is a parameter of KerasModel itself"),
        (net("wide", {"n_outputs": 5}), r"builder_params\['n_outputs'\]: builder 'wide' takes width"),
        (net("wide", dropout=0.5), "dropout = 0.5 would change nothing: builder 'wide' does not take it"),
        (net("whole", {"more": 1}), r"a model whose output has shape \(None, 4\), but 3 unit\(s\) are needed"),
        (net("nothing"), "builder 'nothing' made a NoneType: it must return a list of layers, or a model"),
        (net("number"), "their_networks:number is a int, not a function"),
        (net("missing"), "their_networks:missing can't be imported"),
        (net("mlp", {"width": 5}), r"builder_params\['width'\]: builder 'mlp' takes hidden_layers, activation, "),
        (net("cnn", {"filters": [0]}), r"builder_params\['filters'\] = \[0\]: pass at most 16 whole numbers from 1 to"),
        (net("cnn", {"kernel_size": 99}), r"builder_params\['kernel_size'\] = 99: pass a whole number from 1 to 31"),
    ],
)
def test_what_a_builder_can_not_use_is_said(model: KerasModel, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.fit(X, CODES)
