"""A training that is cut short and taken up ends as an undisturbed one: the same numbers,
to the bit."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from nets import CODES, NUMBERS, X, install_builders, needs_tensorflow, weights_of

from warren.networks import KerasModel, batches, training_backup
from warren.networks.checkpoints import Place, Slot, name_of
from warren.networks.watch import Watch, watching

pytestmark = [needs_tensorflow, pytest.mark.slow]

EPOCHS = 6
NAME = name_of("study", 0, 0, 0)
NOT_WRITTEN = "a checkpoint can't be written: the training continues, and would resume from the one before"
WEIGHTS = np.linspace(0.1, 2, len(X))


class CutShortError(Exception):
    """The machine is gone."""


class Watches(Watch):
    """Checkpoints each epoch, and cuts the training short after some."""

    def __init__(self, place: Place, after: int | None = None, seconds: float = 0.0) -> None:
        self.slot = Slot(place, NAME, seconds)
        self.after = after
        self.not_again = 0
        self.told: list[tuple[int, int]] = []

    def begin(self) -> Slot:
        return self.slot

    def resumed(self, epochs: int, seconds: float) -> None:
        assert seconds > 0
        self.not_again = epochs

    def epoch(self, history: Mapping[str, Sequence[float]], kept: int) -> None:
        self.told.append((len(history["loss"]), kept))
        if len(history["loss"]) == self.after:
            raise CutShortError


def net(**params: Any) -> KerasModel:
    # Other optimizers take twice as long to trace as "sgd".
    given = {"hidden_layers": (8,), "epochs": EPOCHS, "learning_rate": 0.05, "random_state": 7, "batch_size": 50}
    return KerasModel(**{**given, "optimizer": "sgd", "deterministic": True, **params})


@pytest.fixture(scope="module", autouse=True)
def loops() -> Iterator[None]:
    """However short these trainings are, their steps are taken at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_WORTH_A_LOOP", 0)
        yield


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "checkpoints"))


@pytest.fixture(scope="module")
def undisturbed() -> KerasModel:
    """`net()`, without checkpoints: each fit takes a second, most of it to trace its steps."""
    return net().fit(X, CODES)


@pytest.fixture(scope="module")
def cut_short(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The checkpoint of two epochs of `net()`."""
    return checkpoint_of(net(), tmp_path_factory.mktemp("cut-short"))


def checkpoint_of(model: KerasModel, folder: Path) -> bytes:
    with pytest.raises(CutShortError):
        fit_with(Watches(Place(str(folder)), 2), model)
    return (folder / NAME).read_bytes()


def fit_with(watch: Watch, model: KerasModel, y: Any = CODES, **more: Any) -> KerasModel:
    np.random.seed(3)
    with watching(watch):
        return model.fit(X, y, **more)


def cut_and_taken_up(place: Place, model: KerasModel, y: Any = CODES, after: int = 3, **more: Any) -> KerasModel:
    """Train up to an epoch, and in a fit of its own from there on."""
    first, second = Watches(place, after), Watches(place)
    with pytest.raises(CutShortError):
        fit_with(first, model, y, **more)
    assert first.told == [(done, done) for done in range(1, after + 1)]
    assert [one.file for one in place.found()] == [NAME]
    fitted = fit_with(second, model, y, **more)
    assert second.not_again == after
    # The last epoch ends the training, and is written no more.
    end = fitted.n_iter_
    assert second.told == [*((done, done) for done in range(after + 1, end)), (end, end - 1)]
    return fitted


def assert_the_same(one: KerasModel, other: KerasModel) -> None:
    assert one.history_ == other.history_
    assert (one.n_iter_, one.best_epoch_) == (other.n_iter_, other.best_epoch_)
    assert weights_of(one) == weights_of(other)


@pytest.mark.parametrize(
    ("params", "y", "weight"),
    [
        ({"dropout": 0.3, "batch_norm": True, "optimizer": "adam", "metrics": ("accuracy",)}, CODES, None),
        ({"optimizer": "nadam", "validation_split": 0.3, "random_state": None, "dropout": 0.2}, CODES, WEIGHTS),
        ({"optimizer": "ftrl", "task": "regression", "scale": "standard", "hidden_layers": ()}, NUMBERS, None),
    ],
)
def test_a_resumed_training_ends_with_the_same_weights_and_history(
    params: dict[str, Any], y: Any, weight: Any, place: Place
) -> None:
    np.random.seed(3)
    undisturbed = net(**params).fit(X, y, weight)
    assert undisturbed.n_iter_ == EPOCHS
    assert_the_same(undisturbed, cut_and_taken_up(place, net(**params), y, sample_weight=weight))


def test_early_stopping_goes_on_from_what_it_had_seen(place: Place) -> None:
    stopping = {"epochs": 60, "patience": 4, "validation_split": 0.4, "learning_rate": 0.3, "dropout": 0.2}
    undisturbed = net(**stopping).fit(X, CODES)
    assert undisturbed.best_epoch_ is not None
    assert undisturbed.n_iter_ == undisturbed.best_epoch_ + 4 < 60, "it stopped early"
    # Cut short while it waits: the best weights are those of an epoch that is not trained again.
    after = undisturbed.best_epoch_ + 2
    assert_the_same(undisturbed, cut_and_taken_up(place, net(**stopping), after=after))


def test_a_builder_of_ones_own_is_taken_up_too(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install_builders(site)
    monkeypatch.syspath_prepend(str(site))
    undisturbed = net(builder="noisy", hidden_layers=(64,)).fit(X, CODES)
    assert_the_same(undisturbed, cut_and_taken_up(place, net(builder="noisy", hidden_layers=(64,))))


def test_the_order_of_rows_differs_by_epoch_and_seed_and_repeats() -> None:
    def orders(seed: int, first: int = 0, epochs: int = 2) -> list[list[int]]:
        found = [int(row) for (part,) in batches.batches([np.arange(10)], 4, seed, first, epochs) for row in part]
        return [found[start : start + 10] for start in range(0, len(found), 10)]

    one, two = orders(0)
    assert sorted(one) == sorted(two) == list(range(10))
    assert list(range(10)) != one != two
    assert orders(0) == [one, two]
    assert orders(0, first=1) == [two]
    assert orders(2**32 - 1)[0] != one
    assert [len(part) for (part,) in batches.batches([np.arange(10)], 4, 0, 0, 1)] == [4, 4, 2]
    assert [len(part) for (part,) in batches.batches([np.arange(8)], 4, 0, 0, 1)] == [4, 4]
    assert [len(part) for (part,) in batches.batches([np.arange(3)], 4, 0, 0, 1)] == [3]
    assert (batches.steps_of(10, 4), batches.steps_of(8, 4), batches.steps_of(3, 4)) == (3, 2, 1)
    # Made ready by threads of their own, for a GPU, they are the same ones.
    ahead = [int(row) for (part,) in batches.batches([np.arange(10)], 4, 0, 0, 2, ahead=True) for row in part]
    assert ahead == [*one, *two]


def test_a_checkpoint_is_written_when_old_enough_or_to_stop(place: Place) -> None:
    found: list[int] = []

    class Stops(Watches):
        def wants_to_stop(self) -> bool:
            found.append(len(place.found()))
            return len(self.told) in {1, EPOCHS - 1}

    watch = Stops(place, seconds=3600)
    fit_with(watch, net())
    # The last epoch ends the training, and is written no more.
    assert watch.told == [(1, 0), *((done, 2) for done in range(2, EPOCHS + 1))]
    assert found == [0, 0, 1, 1, 1, 1]


@contextmanager
def warned(caplog: pytest.LogCaptureFixture, text: str) -> Iterator[None]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "warren.networks"):
        yield
    assert [record.getMessage() for record in caplog.records] == [text]


def test_a_checkpoint_of_something_else_is_not_used(
    place: Place, cut_short: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(place.address) / NAME
    path.write_bytes(cut_short)
    for other in (net(learning_rate=0.04), net(random_state=8)):
        watch = Watches(place, after=1, seconds=3600)
        text = "a checkpoint belongs to another training, so this one begins again"
        with warned(caplog, text), pytest.raises(CutShortError):
            fit_with(watch, other)
        assert watch.told == [(1, 0)]
        assert path.read_bytes() == cut_short


@pytest.mark.parametrize("harm", ["cut off", "shapes", "epochs"])
def test_a_checkpoint_that_is_damaged_is_not_used(
    harm: str, place: Place, cut_short: bytes, undisturbed: KerasModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(place.address) / NAME
    path.write_bytes(cut_short[:-9] if harm == "cut off" else cut_short)
    if harm != "cut off":  # whole, and yet nothing that can be used
        rewrite(place, tmp_path, harm)
    watch = Watches(place, seconds=3600)
    unfit = "a checkpoint does not fit its network, so the training begins again"
    with warned(caplog, unfit if harm == "shapes" else "a checkpoint can't be used, so its training begins again"):
        fitted = fit_with(watch, net())
    assert watch.not_again == 0
    assert_the_same(fitted, undisturbed)


def rewrite(place: Place, tmp_path: Path, harm: str) -> None:
    """Write a checkpoint again, with weights of another network, or with parts of other epochs."""
    slot, folder = Slot(place, NAME, 0), tmp_path / "parts"
    folder.mkdir()
    assert slot.load(folder)
    state = json.loads((folder / "state.json").read_text())
    if harm == "epochs":
        state["epoch"] = 1
    else:
        other = tmp_path / "other"
        checkpoint_of(net(hidden_layers=(9,)), other)
        shutil.rmtree(folder)
        folder.mkdir()
        assert Slot(Place(str(other)), NAME, 0).load(folder)
    (folder / "state.json").write_text(json.dumps(state))
    slot.save(sorted(folder.iterdir()))


def test_a_folder_that_is_gone_is_no_fault_of_the_training(
    place: Place, undisturbed: KerasModel, caplog: pytest.LogCaptureFixture
) -> None:
    Path(place.address).rmdir()
    watch = Watches(place)
    with warned(caplog, NOT_WRITTEN):
        fitted = fit_with(watch, net())
    assert watch.told == [(done, 0) for done in range(1, EPOCHS + 1)]
    assert_the_same(fitted, undisturbed)


@pytest.mark.parametrize(("again", "last"), [(0.0, EPOCHS - 1), (3600.0, 2)])
def test_a_write_that_failed_is_tried_again_after_a_while(
    again: float, last: int, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training_backup, "_AGAIN_SECONDS", again)
    watch = Watches(place)
    put, asked = place.put, []

    def sometimes(name: str, content: IO[bytes]) -> None:
        asked.append(name)
        if len(asked) == 3:
            raise OSError("no room")
        put(name, content)

    monkeypatch.setattr(place, "put", sometimes)
    with warned(caplog, NOT_WRITTEN):
        fit_with(watch, net())
    assert watch.told[2] == (3, 2)
    assert watch.told[-1] == (EPOCHS, last), "of the last epoch there is a result"


def test_writes_that_take_long_come_seldom(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_backup, "_WRITE_SHARE", 1e9)
    watch = Watches(place, seconds=1e-9)
    fit_with(watch, net())
    assert watch.told == [(1, 1), *((done, 1) for done in range(2, EPOCHS + 1))]
