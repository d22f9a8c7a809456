"""A network as an estimator: scikit-learn's conventions, data of every kind, seeds and
early stopping."""

from __future__ import annotations

import copy
import pickle
import random
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import skops.io
from nets import BINARY, CODES, DIGITS, IMAGES, NAMES, NUMBERS, ROWS, X, needs_tensorflow, weights_of
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, get_scorer, r2_score
from sklearn.utils import get_tags

from warren.errors import InputError
from warren.networks import KerasModel, training
from warren.networks.backend import keras_library
from warren.networks.training import Rows, _predicted_at_once, held_out, scaling_of
from warren.networks.watch import Watch, watching

# Adam's step takes twice as long to trace.
SMALL = KerasModel(hidden_layers=(8,), optimizer="sgd", learning_rate=0.1, epochs=2, batch_size=16, random_state=0)


def small(**params: Any) -> KerasModel:
    return clone(SMALL).set_params(**params)


@cache
def fitted() -> KerasModel:
    """Return one that several tests compare with, and none changes."""
    return small().fit(X, CODES)


# -------------------------------------------------------------- without TensorFlow


def test_a_description_is_an_estimator_like_any_other() -> None:
    model = KerasModel(hidden_layers=[64, 32], builder_params={"filters": [8]}, epochs=3)
    assert model.get_params()["hidden_layers"] == [64, 32]
    copied = clone(model)
    assert copied is not model
    assert copied.get_params() == model.get_params()
    assert model.set_params(epochs=4).epochs == 4
    assert is_classifier(model)
    assert not is_regressor(model)
    assert is_regressor(KerasModel(task="regression"))
    assert not hasattr(KerasModel(task="regression"), "predict_proba")
    assert get_tags(model).target_tags.required
    assert repr(KerasModel(epochs=3)) == "KerasModel(epochs=3)"
    with pytest.raises(NotFittedError):
        model.predict(X)
    with pytest.raises(NotFittedError):
        _ = model.model_


@pytest.mark.parametrize(
    ("model", "X", "y", "message"),
    [
        (SMALL, scipy.sparse.csr_matrix(X), CODES, "X is sparse, but a network takes dense rows: pass X.toarray"),
        (
            SMALL,
            pd.DataFrame({"a": X[:, 0], "b": NAMES}),
            CODES,
            r"1 column\(s\) that are not numbers, 'b': put a step",
        ),
        (SMALL, np.where(X > 2, np.nan, X), CODES, "X contains NaN"),
        (SMALL, X, None, "requires y to be passed"),
        (SMALL, X, CODES[:5], "inconsistent numbers of samples"),
        (SMALL, X, np.zeros(ROWS), "y has only one class, 0.0"),
        (SMALL, X, NUMBERS, "Unknown label type"),
        (SMALL, X, np.c_[CODES, CODES], "takes one label per row; for several use sklearn.multioutput"),
        (small(task="regression"), X, np.where(NUMBERS > 1, np.nan, NUMBERS), "y contains NaN"),
        (small(loss="huber"), X, CODES, "loss='huber' is not for more than two classes: use categorical_cross"),
        (small(loss="sparse_categorical_crossentropy"), X, BINARY, "not for two classes: use binary_crossentropy"),
        (small(metrics=["auc"]), X, CODES, "metrics: 'auc' is not for more than two classes: use accuracy"),
        (small(metrics=["accuracy"], task="regression"), X, NUMBERS, "is not for regression: use mean_abs"),
    ],
)
def test_what_can_not_be_trained_on_is_said(model: KerasModel, X: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clone(model).fit(X, y)


def test_without_tensorflow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(ImportError, match=r"pip install 'warren\[tensorflow\]'"):
        small().fit(X, CODES)


def test_the_last_rows_are_held_out_once_all_are_shuffled() -> None:
    rows = Rows(np.arange(10, dtype=np.float32).reshape(-1, 1), np.arange(10), np.arange(10, dtype=np.float32))
    order = np.random.RandomState(3).permutation(10)
    for share, kept in ((0.2, 8), (0.25, 7), (0.05, 9)):
        trained, watched = held_out(rows, share, np.random.RandomState(3))
        assert watched is not None
        assert trained.targets.tolist() == order[:kept].tolist()
        assert watched.targets.tolist() == watched.X.ravel().tolist() == order[kept:].tolist()
    assert held_out(rows, 0.0, np.random.RandomState(3)) == (rows, None)
    with pytest.raises(InputError, match=r"validation_split=0.95: of 10 rows, 0 would be left"):
        held_out(rows, 0.95, np.random.RandomState(3))


def test_scaling_is_by_column_by_channel_or_for_all_pixels() -> None:
    draw = np.random.default_rng(1)
    for shape, axes in (((50, 3), 0), ((50, 4, 5), None), ((50, 4, 5, 3), (0, 1, 2))):
        values = draw.normal(5, 3, shape).astype(np.float32)
        found = scaling_of("standard", values)
        assert found is not None
        assert np.allclose(found["mean"], values.mean(axis=axes, dtype=float))
        assert np.allclose(found["variance"], values.var(axis=axes, dtype=float))
    still = scaling_of("standard", np.ones((5, 2), np.float32))
    assert still is not None
    assert still["variance"].tolist() == [1, 1]
    assert scaling_of(None, values) is None
    assert scaling_of(255, values) == {"divide_by": 255.0}


# ----------------------------------------------------------------- with TensorFlow


@pytest.mark.slow
@needs_tensorflow
def test_labels_of_any_kind_are_learned() -> None:
    model = small(epochs=15, optimizer="adam", learning_rate=0.02, metrics=["accuracy"]).fit(X, NAMES)
    assert model.classes_.tolist() == ["ash", "elm", "oak"]
    proba = model.predict_proba(X)
    assert proba.shape == (ROWS, 3)
    assert np.allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(model.predict(X), model.classes_[proba.argmax(axis=1)])
    assert model.score(X, NAMES) == accuracy_score(NAMES, model.predict(X)) > 0.7
    assert set(model.history_) == {"loss", "accuracy"}
    assert model.n_iter_ == len(model.history_["loss"]) == 15
    assert model.history_["loss"][-1] < model.history_["loss"][0]
    assert model.n_features_in_ == 6
    weights = np.linspace(0, 1, ROWS)
    assert model.score(X, NAMES, weights) == accuracy_score(NAMES, model.predict(X), sample_weight=weights)
    with pytest.raises(ValueError, match="X has 5 features, but KerasModel is expecting 6"):
        model.predict(X[:, :5])


@pytest.mark.slow
@needs_tensorflow
def test_two_classes_have_one_unit() -> None:
    model = small(epochs=15, metrics=["auc", "precision", "recall", "accuracy"]).fit(X, BINARY)
    assert model.model_.output_shape == (None, 1)
    assert model.classes_.tolist() == ["no", "yes"]
    proba = model.predict_proba(X)
    assert proba.shape == (ROWS, 2)
    assert np.array_equal(model.predict(X) == "yes", proba[:, 1] > 0.5)
    assert model.score(X, BINARY) > 0.8
    assert {"auc", "precision", "recall"} < set(model.history_)
    assert get_scorer("roc_auc")(model, X, BINARY) > 0.8


@pytest.mark.slow
@needs_tensorflow
def test_one_column_for_each_class_trains_the_same_model() -> None:
    columns = small(loss="categorical_crossentropy").fit(X, CODES)
    assert np.allclose(fitted().predict_proba(X), columns.predict_proba(X), atol=1e-5)


@pytest.mark.slow
@needs_tensorflow
def test_numbers_are_learned_one_or_several_a_row() -> None:
    model = small(task="regression", epochs=30, learning_rate=0.02, metrics=["r2_score"]).fit(X, NUMBERS)
    assert model.predict(X).shape == (ROWS,)
    assert model.score(X, NUMBERS) == r2_score(NUMBERS, model.predict(X)) > 0.8
    assert not hasattr(model, "classes_")
    both = small(task="regression", loss="huber").fit(X, np.c_[NUMBERS, -NUMBERS])
    assert both.predict(X).shape == (ROWS, 2)


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_loss_that_becomes_nan_ends_the_fit_and_is_no_failure() -> None:
    model = small(optimizer="sgd", learning_rate=10.0, task="regression", epochs=20).fit(X * 1e6, NUMBERS)
    assert np.isnan(model.history_["loss"][-1])
    assert model.n_iter_ < 20
    assert np.isnan(model.predict(X)).all()
    diverged = small(optimizer="sgd", learning_rate=10.0, epochs=20).fit(X * 1e30, CODES)
    assert np.isnan(diverged.history_["loss"][-1])
    assert set(diverged.predict(X)) == {0}
    assert diverged.score(X, CODES) == np.mean(CODES == 0)


@pytest.mark.slow
@needs_tensorflow
def test_images_are_taken_as_they_are_or_flat() -> None:
    tiny = {"filters": [4], "kernel_size": 3}
    cnn = small(builder="cnn", builder_params=tiny, scale=16.0, dropout=0.1, batch_norm=True, l2=1e-4)
    images = clone(cnn).fit(IMAGES, DIGITS)
    assert images.input_shape_ == (8, 8)
    channels = clone(cnn).fit(IMAGES[..., None], DIGITS)
    flat = clone(cnn).set_params(builder_params=tiny | {"image_shape": (8, 8)}).fit(IMAGES.reshape(300, 64), DIGITS)
    assert np.allclose(images.predict_proba(IMAGES), channels.predict_proba(IMAGES[..., None]), atol=1e-5)
    assert np.allclose(images.predict_proba(IMAGES), flat.predict_proba(IMAGES.reshape(300, 64)), atol=1e-5)
    with pytest.raises(InputError, match=r"rows of shape \(8, 8, 1\), but the network was trained on rows of \(8, 8\)"):
        images.predict(IMAGES[..., None])
    with pytest.raises(InputError, match=r"needs images, .* but a row has shape \(64,\)"):
        clone(cnn).fit(IMAGES.reshape(300, 64), DIGITS)
    with pytest.raises(InputError, match=r"\[9, 9\]: 81 pixels, but a row of X has 64 values"):
        small(builder="cnn", builder_params={"image_shape": [9, 9]}).fit(IMAGES.reshape(300, 64), DIGITS)
    mlp = small(scale="standard", epochs=10).fit(IMAGES, DIGITS)
    assert mlp.score(IMAGES, DIGITS) > 0.5


@pytest.mark.slow
@needs_tensorflow
def test_frames_are_numbers_with_names() -> None:
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(6)]).assign(f5=X[:, 5] > 0)
    model = small().fit(frame, CODES)
    assert model.feature_names_in_.tolist() == list(frame.columns)
    plain = small().fit(frame.to_numpy(dtype=np.float32), CODES)
    assert np.array_equal(model.predict_proba(frame), plain.predict_proba(frame.to_numpy(dtype=np.float32)))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"f0": "other"}))


@pytest.mark.slow
@needs_tensorflow
def test_scaling_is_part_of_the_network_and_learns_of_training_rows_alone() -> None:
    mean, spread = X.mean(axis=0), X.std(axis=0)
    scaled = small(scale="standard").fit(X * 50 + 7, CODES)
    by_hand = small().fit((X - mean) / spread, CODES)
    assert np.allclose(scaled.predict_proba(X * 50 + 7), by_hand.predict_proba((X - mean) / spread), atol=1e-4)
    divided = small(scale=4.0).fit(X * 4, CODES)
    assert np.allclose(divided.predict_proba(X * 4), fitted().predict_proba(X), atol=1e-5)
    # Rows that are held out say nothing of the scale.
    order = np.random.RandomState(0).permutation(ROWS)
    apart = small(scale="standard", validation_split=0.25).fit(X, CODES)
    assert apart._scaling is not None
    assert np.allclose(apart._scaling["mean"], X[order[:90]].mean(axis=0), atol=1e-6)


@pytest.mark.slow
@needs_tensorflow
def test_the_same_seed_gives_the_same_bits() -> None:
    model = small(deterministic=True, dropout=0.3, validation_split=0.2)
    random.seed(5)
    np.random.seed(5)
    first = clone(model).fit(X, CODES)
    after = random.random(), np.random.random()
    np.random.seed(6)
    second = clone(model).fit(X, CODES)
    assert weights_of(first) == weights_of(second)
    assert first.history_ == second.history_
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    random.seed(5)
    np.random.seed(5)
    assert after == (random.random(), np.random.random())
    assert weights_of(clone(model).set_params(random_state=1).fit(X, CODES)) != weights_of(first)


@pytest.mark.slow
@needs_tensorflow
def test_without_a_seed_numpy_s_generator_gives_one() -> None:
    np.random.seed(7)
    first, second = small(random_state=None).fit(X, CODES), small(random_state=None).fit(X, CODES)
    np.random.seed(7)
    again = small(random_state=None).fit(X, CODES)
    assert weights_of(first) == weights_of(again) != weights_of(second)


@pytest.mark.slow
@needs_tensorflow
def test_patience_stops_early_and_puts_the_best_weights_back() -> None:
    noise = np.random.default_rng(2).integers(0, 2, ROWS)  # nothing to learn: what is held out soon gets worse
    model = small(epochs=60, patience=2, validation_split=0.3, learning_rate=0.3, hidden_layers=(64,)).fit(X, noise)
    losses = model.history_["val_loss"]
    assert model.n_iter_ < 60
    assert model.best_epoch_ == int(np.argmin(losses)) + 1 == model.n_iter_ - 2
    order = np.random.RandomState(0).permutation(ROWS)[84:]
    proba = model.predict_proba(X[order])[np.arange(36), noise[order]]
    assert np.isclose(-np.log(proba).mean(), min(losses), atol=1e-4)
    assert small(patience=5).fit(X, CODES).best_epoch_ == 2  # by the loss of the training rows, which only falls


@pytest.mark.slow
@needs_tensorflow
def test_rows_of_no_weight_count_for_nothing() -> None:
    weights = np.where(np.arange(ROWS) < 60, 1.0, 0.0)
    spoiled = np.where(weights > 0, CODES, 2 - CODES)
    model = small().fit(X, spoiled, sample_weight=weights)
    assert weights_of(model) == weights_of(small().fit(X, CODES, sample_weight=weights))
    assert weights_of(model) != weights_of(fitted())
    watched = small(validation_split=0.2).fit(X, CODES, sample_weight=weights)
    assert "val_loss" in watched.history_
    with pytest.raises(ValueError, match="sample_weight"):
        small().fit(X, CODES, sample_weight=weights[:5])


@pytest.mark.slow
@needs_tensorflow
def test_small_layers_predict_many_rows_at_once() -> None:
    keras = keras_library()

    def at_once(*layers: Any) -> int:
        return _predicted_at_once(keras.Sequential([keras.layers.Input((20,)), *layers]))

    dense, own = keras.layers.Dense, keras.Sequential([keras.layers.Input((20,)), keras.layers.Dense(3)])
    assert at_once(dense(64), dense(1)) == 2**24 // 4 // 64
    assert at_once(dense(2**20), dense(1)) == at_once(own) == at_once(keras.layers.Reshape((20, 1))) == 256
    model = KerasModel(hidden_layers=(8,), epochs=1, random_state=0).fit(X, CODES)
    many = np.tile(X, (300, 1))
    assert np.array_equal(model.predict_proba(many)[: len(X)], model.predict_proba(X))


@pytest.mark.slow
@needs_tensorflow
def test_a_fitted_network_is_its_weights() -> None:
    model = small(scale="standard", batch_norm=True).fit(X, NAMES)
    expected = model.predict_proba(X)
    untrusted = skops.io.get_untrusted_types(data=skops.io.dumps(model))
    assert untrusted == ["warren.networks.estimator.KerasModel"]
    copies = [
        copy.deepcopy(model),
        skops.io.loads(skops.io.dumps(model), trusted=untrusted),
    ]
    for other in copies:
        assert "_model" not in vars(other)
        assert np.array_equal(other.predict_proba(X), expected)
        assert other.history_ == model.history_
    unasked = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(model))))  # never built in between
    assert np.array_equal(unasked.set_params(hidden_layers=(3,)).predict_proba(X), expected)
    # The estimator itself is fitted again, as a classifier or not.
    refitted = model.set_params(task="regression", hidden_layers=(3,)).fit(X, NUMBERS)
    assert refitted.predict(X).dtype == np.float32
    assert not hasattr(refitted, "classes_")


@pytest.mark.slow
@needs_tensorflow
def test_callbacks_watch_a_fit_from_inside_and_from_outside() -> None:
    import keras

    seen: list[str] = []

    def noting(who: str) -> Any:
        return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(f"{who} {epoch}"))

    class Around(Watch):
        def epoch(self, history: Mapping[str, Sequence[float]], kept: int) -> None:
            seen.append(f"around {len(history['loss']) - 1} {kept}")

    with watching(Around()):
        small().fit(X, CODES, callbacks=[noting("given")])
    assert seen == ["given 0", "around 0 0", "given 1", "around 1 0"]
    small(epochs=1).fit(X, CODES)
    assert len(seen) == 4


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize(
    ("name", "value"), [("activation", {"class_name": "Dense", "config": {"units": 1}}), ("builder", "os.system")]
)
def test_a_stored_network_is_looked_at_again_before_it_is_built(name: str, value: Any) -> None:
    stored = pickle.loads(pickle.dumps(small(epochs=1).fit(X, CODES)))
    stored._described = stored._described | {name: value}
    with pytest.raises(InputError, match=rf"stored KerasModel\({name}|no such builder"):
        stored.predict(X)


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("at_once", [1, 8])
def test_a_fit_leaves_no_graph_behind(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    import gc

    monkeypatch.setattr(training, "steps_at_once", lambda *_: at_once)

    def graphs() -> int:
        gc.collect()
        return sum(type(one).__name__ == "FuncGraph" for one in gc.get_objects())

    small(epochs=1).fit(X, CODES)
    before = graphs()
    for _ in range(2):
        small(epochs=1).fit(X, CODES)
    assert graphs() <= before
