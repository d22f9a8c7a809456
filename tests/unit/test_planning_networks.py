"""What training a network is expected to cost."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from producer.planning.calibration import corrections
from producer.planning.cost import Shape, changes_cost, fit_cost, is_guess
from warren.encoding.codec import encode_estimator
from warren.libraries.network_cost import NetworkCost
from warren.libraries.resolve import resolve
from warren.networks import KerasModel
from warren.storage.study_document import StudyMeasures

SHAPE = Shape(rows=1800, columns=64, classes=10)


def seconds(shape: Shape = SHAPE, trial: dict[str, Any] | None = None, **params: Any) -> float:
    encoded = encode_estimator(KerasModel(**params), "estimator")
    resolved = resolve(encoded, trial or {})
    return fit_cost(resolved, shape).seconds(resolved.rounds)


# Rows, columns, epochs, rows of a step, other parameters, seconds on one thread as they
# were measured.
MEASURED: list[tuple[int, int, int, int, dict[str, Any], float]] = [
    (100, 64, 1, 32, {}, 1.12),
    (1800, 64, 10, 32, {}, 2.00),
    (1800, 64, 40, 32, {}, 5.07),
    (1800, 64, 40, 8, {}, 12.02),
    (2000, 64, 20, 256, {"hidden_layers": [512, 512]}, 2.98),
    (4000, 784, 5, 32, {"hidden_layers": [512, 512]}, 4.72),
    (4000, 784, 5, 256, {"hidden_layers": [512, 512]}, 2.09),
    (4000, 784, 5, 256, {}, 1.45),
    (1000, 784, 2, 32, {"builder": "cnn"}, 2.30),
    (1000, 784, 2, 128, {"builder": "cnn"}, 2.24),
    (2000, 64, 5, 32, {"builder": "cnn"}, 2.77),
    (2000, 64, 5, 32, {"builder": "cnn", "builder_params": {"filters": [16]}}, 1.82),
    (100, 64, 1, 32, {"hidden_layers": [64] * 8, "batch_norm": True}, 3.97),
]


@pytest.mark.parametrize(("rows", "columns", "epochs", "batch", "params", "took"), MEASURED)
def test_the_formula_meets_what_was_measured(
    rows: int, columns: int, epochs: int, batch: int, params: dict[str, Any], took: float
) -> None:
    once, each = NetworkCost().seconds({"batch_size": batch, **params}, rows, columns, 10)
    expected = once + epochs * each
    assert took / 1.4 < expected < took * 1.4


def test_a_fit_costs_more_for_more_of_anything() -> None:
    least = seconds()
    for more in (
        seconds(epochs=20),
        seconds(batch_size=16),
        seconds(hidden_layers=(64, 64)),
        seconds(hidden_layers=(512,)),
        seconds(batch_norm=True),
        seconds(builder="cnn"),
        seconds(SHAPE._replace(rows=3600)),
        seconds(SHAPE._replace(columns=640)),
        seconds(SHAPE._replace(classes=100)),
        seconds(trial={"epochs": 20}),
    ):
        assert more > least
    assert seconds(validation_split=0.5) < least


def test_the_plan_tells_apart_what_changes_the_cost() -> None:
    network = resolve(encode_estimator(KerasModel(), "estimator"), {})
    assert not is_guess(network)
    assert changes_cost(network, "epochs")
    assert changes_cost(network, "hidden_layers")
    assert not changes_cost(network, "learning_rate")
    encoded = encode_estimator(Pipeline([("scale", StandardScaler()), ("net", KerasModel(epochs=20))]), "estimator")
    pipeline = resolve(encoded, {})
    assert changes_cost(pipeline, "net__epochs")
    assert not changes_cost(pipeline, "net__learning_rate")
    inside, alone = fit_cost(pipeline, SHAPE).seconds(pipeline.rounds), seconds(epochs=20)
    assert alone < inside < alone * 1.1
    assert resolve(encoded, {"net__epochs": 40}).rounds == 40


def test_nonsense_in_a_message_costs_something_and_raises_nothing() -> None:
    params = {
        "epochs": "many",
        "batch_size": 0,
        "hidden_layers": [None, {"a": 1}],
        "builder": "cnn",
        "builder_params": 3,
    }
    once, each = NetworkCost().seconds(params, 100, 10, 0)
    assert 0 < once + each < 1e6


def test_networks_of_other_data_correct_the_formula_too() -> None:
    counted = {"trials": 10, "estimated_seconds": 10.0, "fit_seconds": 20.0}
    before = {"trials": 0, "estimated_seconds": 0.0, "fit_seconds": 0.0}
    other = {
        "_id": "other",
        "progress": {"estimators": {"KerasModel": counted}},
        "estimates": {"KerasModel": {"correction": 1.0, "planned_seconds": 10.0, "before": before}},
    }
    assert corrections(StudyMeasures.read({"_id": "new"}), [StudyMeasures.read(other)]) == {"KerasModel": 2.0}
