"""Networks that differ in their epochs alone: trained once, with the numbers of trainings
of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluating import SCORES, Worker, X, Y, same_outcome, shared_by
from nets import needs_tensorflow, weights_of
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from warren.encoding.codec import encode_estimator
from warren.libraries.resolve import resolve
from warren.networks import KerasModel, batches, training
from warren.networks.checkpoints import Place, Slot, name_of
from warren.networks.estimator import has_epoch, restore_epoch
from warren.networks.watch import Watch, watching
from warren.storage.documents import Document

EPOCHS = (1, 3, 2, 3)  # in no order, one of them twice


@pytest.fixture(scope="module", autouse=True)
def loops() -> Iterator[None]:
    """The longest of these trainings takes its steps at once, and the others, alone, one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_WORTH_A_LOOP", 3 * -(-len(X) // 2 // 16))
        yield


# TensorFlow needs a second or two to trace the steps of each training: hence few trials
# and folds here.


def net(**params: Any) -> KerasModel:
    given = {"hidden_layers": (6,), "learning_rate": 0.05, "batch_size": 16, "random_state": 3, "deterministic": True}
    return KerasModel(**{**given, **params})


def shared(estimator: Any, **params: Any) -> tuple[str, int] | None:
    trial = resolve(encode_estimator(estimator, "estimator"), params)
    return None if trial.shared_key is None else (trial.shared_key, trial.rounds)


@cache
def trained(epochs: int) -> KerasModel:
    """Return a network that was trained by itself."""
    return net(epochs=epochs).fit(X, Y)


def curves(documents: list[Document]) -> list[Any]:
    return [one["split_epochs"] for one in documents]


# ------------------------------------------------------------------------------- who shares


def test_networks_that_differ_in_their_epochs_alone_have_one_key() -> None:
    first, second, third = shared(net(), epochs=2), shared(net(epochs=9)), shared(net(dropout=0.1), epochs=2)
    assert first
    assert second
    assert third
    assert first[0] == second[0] != third[0]
    assert (first[1], second[1]) == (2, 9)
    assert shared(net()) == (first[0], 10), "Keras' own default is ten"
    assert resolve(encode_estimator(net(), "estimator"), {"epochs": 4}).rounds == 4


@pytest.mark.parametrize(
    "params",
    [
        {"random_state": None},
        {"patience": 2},
        {"device": "gpu"},
        {"epochs": 0},
        {"epochs": "2"},
        {"builder": "that of a package"},
    ],
)
def test_a_network_that_may_end_otherwise_is_trained_alone(params: dict[str, Any]) -> None:
    assert shared(net(), **{"epochs": 2, **params}) is None


def test_the_last_step_of_a_pipeline_shares_too() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("net", net())])
    first, second = shared(pipeline, net__epochs=2), shared(pipeline, net__epochs=3)
    assert first
    assert second
    assert first[0] == second[0]
    assert shared(pipeline, net__epochs=2, scale__with_mean=False) != first


# ------------------------------------------------------------------------------- the same numbers


@pytest.mark.slow
@needs_tensorflow
def test_shared_epochs_have_the_bits_of_trainings_of_their_own() -> None:
    model = net(dropout=0.3, batch_norm=True, scale="standard", validation_split=0.25, metrics=("accuracy",))
    trials = [{"epochs": epochs} for epochs in EPOCHS]
    together = Worker(n_splits=2).evaluate(model, *trials)
    # The last trial is the second once more.
    alone = Worker(n_splits=2).evaluate(model, *trials[:-1], share_fits=False)
    assert shared_by(together) == [4] * 4
    assert shared_by(alone) == [1] * 3
    same_outcome(together[:-1], alone)
    assert [together[-1][name] for name in SCORES] == [alone[1][name] for name in SCORES]
    assert curves(together) == [*curves(alone), alone[1]["split_epochs"]]
    assert [len(one["split_epochs"][0]["loss"]) for one in together] == [*EPOCHS]
    assert len({one["mean_test_score"] for one in together}) == 3
    assert all(one["saved_seconds"] > 0 for one in together if one["params"]["epochs"] < 3)


@pytest.mark.slow
@needs_tensorflow
def test_a_network_behind_steps_of_a_pipeline_shares_its_epochs() -> None:
    cnn = net(builder="cnn", builder_params={"filters": [4]})
    pipeline = Pipeline([("scale", FunctionTransformer(np.negative)), ("net", cnn)])
    images = np.repeat(X[:, :, None], 4, axis=2)
    trials = [{"net__epochs": epochs} for epochs in (2, 1)]
    together = Worker(x=images, n_splits=1).evaluate(pipeline, *trials)
    alone = Worker(x=images, n_splits=1).evaluate(pipeline, *trials, share_fits=False)
    assert shared_by(together) == [2] * 2
    same_outcome(together, alone)


@pytest.mark.slow
@needs_tensorflow
def test_a_loss_that_becomes_nan_ends_all_that_were_to_go_on() -> None:
    wild = net(task="regression", learning_rate=0.1, optimizer="sgd")
    scorers = {"score": "neg_mean_squared_error"}
    trials = [{"epochs": epochs} for epochs in (1, 40, 60)]
    target = X[:, 0] * 10
    together = Worker(y=target, n_splits=1).evaluate(wild, *trials, scorers=scorers)
    alone = Worker(y=target, n_splits=1).evaluate(wild, *trials, scorers=scorers, share_fits=False)
    same_outcome(together, alone)
    assert repr(curves(together)) == repr(curves(alone)), "NaN is no equal of NaN"
    assert len(together[2]["split_epochs"][0]["loss"]) < 40, "it ends before"


@pytest.mark.slow
@needs_tensorflow
def test_epochs_of_a_network_too_large_to_keep_are_trained_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    model, trials = net(optimizer="sgd"), [{"epochs": epochs} for epochs in EPOCHS]
    whole = Worker(n_splits=1).evaluate(model, *trials)
    size = sum(4 * number for number in (4 * 6, 6, 6, 1))
    monkeypatch.setattr(training, "_MOST_KEPT", size)
    some = Worker(n_splits=1).evaluate(model, *trials)
    same_outcome(sorted(some, key=itemgetter("number")), whole)
    assert sorted(shared_by(some)) == [1, 3, 3, 3]


class Watches(Watch):
    """Keeps the weights after two epochs, checkpoints each, and cuts the training short
    after some."""

    keeps = frozenset({2})

    def __init__(self, place: Place, after: int | None) -> None:
        self.slot = Slot(place, name_of("study", 0, 0, 0), 0.0)
        self.after = after
        self.not_again = 0

    def resumed(self, epochs: int, seconds: float) -> None:
        assert seconds > 0
        self.not_again = epochs

    def begin(self) -> Slot:
        return self.slot

    def epoch(self, history: Mapping[str, Sequence[float]], kept: int) -> None:
        assert kept <= len(history["loss"])
        if len(history["loss"]) == self.after:
            raise InterruptedError


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize("after", [1, 3])
def test_the_checkpoint_holds_weights_of_earlier_epochs(tmp_path: Path, after: int) -> None:
    place = Place(str(tmp_path))
    with pytest.raises(InterruptedError), watching(Watches(place, after)):
        net(epochs=4).fit(X, Y)
    content = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with watching(Watches(place, None)):
        taken_up = net(epochs=4).fit(X, Y)
    for epoch in (4, 2):
        assert has_epoch(taken_up, epoch)
        restore_epoch(taken_up, epoch)
        alone = trained(epoch)
        assert weights_of(taken_up) == weights_of(alone)
        assert (taken_up.history_, taken_up.n_iter_) == (alone.history_, epoch)
    assert not has_epoch(taken_up, 1)

    # The same checkpoint, where the others train by themselves by now.
    for name, written in content.items():
        (tmp_path / name).write_bytes(written)
    watch = Watches(place, None)
    watch.keeps = frozenset()
    with watching(watch):
        by_itself = net(epochs=4).fit(X, Y)
    assert watch.not_again == after
    assert weights_of(by_itself) == weights_of(trained(4))
    assert not has_epoch(by_itself, 2)
