"""Networks as SavedModels: in TensorFlow without Warren they answer as `predict_proba` and
`predict` do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nets import CODES, DIGITS, IMAGES, NAMES, NUMBERS, X, needs_tensorflow
from served import NETWORKS, asked

from producer.models.export import _write_saved_model
from warren.networks import KerasModel
from warren.networks.saving import save_for_serving

pytestmark = [needs_tensorflow, pytest.mark.slow]

# A batch has another order of sums than the pieces that are predicted at once: some of the
# last of 24 bits.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def net(**params: Any) -> KerasModel:
    given = {"hidden_layers": (8,), "epochs": 2, "optimizer": "sgd", "learning_rate": 0.1, "random_state": 0}
    return KerasModel(**{**given, **params})


def test_a_saved_model_answers_without_warren_as_the_network_does(tmp_path: Path) -> None:
    # Far from zero: without the scaling in it no answer would be right.
    far = X * 100 + 5000
    networks = {
        "names": (net(scale="standard", batch_norm=True, dropout=0.2), far, NAMES),
        "truth": (net(task="classification", scale=5000.0), far, NUMBERS > 0),
        "numbers": (net(task="regression", scale="standard"), far, NUMBERS),
        "columns": (net(task="regression"), X, np.c_[NUMBERS, -NUMBERS]),
        "images": (net(builder="cnn", builder_params={"filters": [4]}, scale=16.0, epochs=1), IMAGES, DIGITS),
    }
    signatures, folders = {}, {}
    for name, (model, rows, y) in networks.items():
        model.fit(rows, y)
        folders[name] = tmp_path / name
        signatures[name] = save_for_serving(model, folders[name])
        assert (folders[name] / "saved_model.pb").is_file()
        assert (folders[name] / "variables" / "variables.index").is_file()
    made = asked(NETWORKS, folders, {name: rows for name, (_, rows, _) in networks.items()}, tmp_path)
    for name, (model, rows, _) in networks.items():
        outputs = {one["name"]: one for one in signatures[name]["outputs"]}
        if model.task == "regression":
            assert outputs.keys() == {"predictions"}
            assert made[f"{name} predictions"].shape == model.predict(rows).shape
            assert np.allclose(made[f"{name} predictions"], model.predict(rows), **CLOSE)
        else:
            assert outputs.keys() == {"labels", "probabilities"}
            assert np.allclose(made[f"{name} probabilities"], model.predict_proba(rows), **CLOSE)
            assert np.array_equal(made[f"{name} labels"], model.predict(rows))
        for output, about in outputs.items():
            found = made[f"{name} {output}"]
            assert about["shape"] == [None, *found.shape[1:]]
            assert about["dtype"] == ("string" if found.dtype.kind == "U" else str(found.dtype))
    assert signatures["images"]["inputs"] == [{"name": "inputs", "shape": [None, 8, 8], "dtype": "float32"}]
    assert {one["dtype"] for one in signatures["truth"]["outputs"]} == {"bool", "float32"}


def test_labels_that_tensorflow_has_no_type_for_are_left_to_the_manifest(tmp_path: Path) -> None:
    days = np.array(["2026-01-01", "2026-01-02", "2026-01-03"], dtype="datetime64[D]")[CODES]
    assert [one["name"] for one in save_for_serving(net(epochs=1).fit(X, days), tmp_path / "m")["outputs"]] == [
        "probabilities"
    ]
    mixed = np.array(NAMES, dtype=object)
    outputs = save_for_serving(net(epochs=1).fit(X, mixed), tmp_path / "n")["outputs"]
    assert [(one["name"], one["dtype"]) for one in outputs] == [("labels", "string"), ("probabilities", "float32")]


def test_columns_and_classes_are_in_the_signature(tmp_path: Path) -> None:
    frame = pd.DataFrame(X[:, :2], columns=["width", "height"])
    about = _write_saved_model(net(epochs=1).fit(frame, NAMES), tmp_path / "m")
    assert about["signature"]["inputs"][0]["columns"] == ["width", "height"]
    assert list(about["signature"]["classes"]) == ["ash", "elm", "oak"]


def test_a_folder_that_tensorflow_can_not_write_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file") as caught:
        save_for_serving(net(epochs=1).fit(X, CODES), tmp_path / "file" / "m")
    assert caught.value.errno is not None
