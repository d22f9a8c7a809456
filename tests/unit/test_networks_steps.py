"""Steps that one call of TensorFlow takes at once: the same bits, and a callback that watches
batches sees each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import CODES, DIGITS, IMAGES, ROWS, X, needs_tensorflow, weights_of

from warren.networks import KerasModel, training
from warren.networks.backend import keras_library
from warren.networks.batches import steps_at_once


def small(**params: Any) -> KerasModel:
    given = {"hidden_layers": (8,), "optimizer": "sgd", "learning_rate": 0.1, "epochs": 2, "batch_size": 16}
    return KerasModel(**{**given, "random_state": 0, **params})


@pytest.mark.parametrize(
    ("steps", "epochs", "multiplications", "at_once"),
    [(45, 10, 10**6, 45), (1500, 1, 10**6, 60), (257, 9, 10**6, 1), (10, 19, 10**6, 1), (45, 10, 10**8, 1)],
)
def test_a_call_takes_many_steps_where_it_is_worth_it(
    steps: int, epochs: int, multiplications: int, at_once: int
) -> None:
    assert steps_at_once(steps, epochs, multiplications) == at_once


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize(
    ("params", "images"),
    [
        ({"optimizer": "adam", "dropout": 0.3, "batch_norm": True, "metrics": ("accuracy",)}, False),
        ({"validation_split": 0.2, "patience": 1, "epochs": 4, "learning_rate": 2.0}, False),
        ({"builder": "cnn", "builder_params": {"filters": (2,)}, "dropout": 0.3}, True),
    ],
)
def test_steps_that_are_taken_at_once_give_the_bits_of_steps_one_by_one(
    monkeypatch: pytest.MonkeyPatch, params: dict[str, Any], images: bool
) -> None:
    rows, labels = (IMAGES[:ROWS], DIGITS[:ROWS]) if images else (X, CODES)
    taken: list[int] = []

    def fitted(at_once: int) -> KerasModel:
        monkeypatch.setattr(training, "steps_at_once", lambda *_: at_once)
        looks = keras_library().callbacks.LambdaCallback()
        looks.on_epoch_end = lambda epoch, logs: taken.append(looks.model.steps_per_execution)
        return small(**params).fit(rows, labels, np.linspace(0.1, 2, ROWS), callbacks=[looks])

    one_by_one, at_once = fitted(1), fitted(2)
    assert set(taken) == {1, 2}
    assert one_by_one.history_ == at_once.history_
    assert one_by_one.best_epoch_ == at_once.best_epoch_
    assert weights_of(one_by_one) == weights_of(at_once)
    assert at_once.model_.steps_per_execution == 1, "a user who goes on with it has an ordinary model"


@pytest.mark.slow
@needs_tensorflow
def test_fits_that_trace_a_step_each_are_no_reason_for_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training, "steps_at_once", lambda *_: 8)
    for _ in range(7):  # TensorFlow warns from the sixth time on that a function is traced again
        small(epochs=1).fit(X, CODES)
    assert caplog.records == []


@pytest.mark.slow
@needs_tensorflow
def test_a_callback_that_watches_batches_sees_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "steps_at_once", lambda *_: 8)
    seen: list[int] = []
    watches = keras_library().callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    small(epochs=1).fit(X, CODES, callbacks=[watches])
    assert seen == [*range(8)]
