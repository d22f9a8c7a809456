"""A training that is cut short and taken up ends as an undisturbed one: the same numbers, to the bit."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import CODES, NUMBERS, X, install_builders, needs_tensorflow, weights_of

from networks import KerasModel
from networks.checkpoints import Place, Slot, name_of
from networks.hooks import Watch, watching

pytestmark = needs_tensorflow

EPOCHS = 6
NAME = name_of("study", 0, 0, 0)


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
    given = {"hidden_layers": (8,), "epochs": EPOCHS, "learning_rate": 0.05, "random_state": 7, "batch_size": 50}
    return KerasModel(**{**given, "deterministic": True, **params})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path / "checkpoints"))


def fit_with(watch: Watch, model: KerasModel, y: Any = CODES, **more: Any) -> KerasModel:
    np.random.seed(3)
    with watching(watch):
        return model.fit(X, y, **more)


def cut_and_taken_up(place: Place, model: KerasModel, y: Any = CODES, after: int = 3, **more: Any) -> KerasModel:
    """Train up to an epoch, and in a fit of its own from there on."""
    with pytest.raises(CutShortError):
        fit_with(Watches(place, after), model, y, **more)
    second = Watches(place)
    fitted = fit_with(second, model, y, **more)
    assert second.not_again == after
    assert [done for done, _ in second.told] == list(range(after + 1, fitted.n_iter_ + 1))
    return fitted


def assert_the_same(one: KerasModel, other: KerasModel) -> None:
    assert one.history_ == other.history_
    assert (one.n_iter_, one.best_epoch_) == (other.n_iter_, other.best_epoch_)
    assert weights_of(one) == weights_of(other)


@pytest.mark.parametrize(
    ("params", "y"),
    [
        ({"dropout": 0.3, "batch_norm": True, "optimizer": "adam", "metrics": ("accuracy",)}, CODES),
        ({"optimizer": "nadam", "validation_split": 0.3, "random_state": None, "dropout": 0.2}, CODES),
        ({"optimizer": "ftrl", "task": "regression", "scale": "standard", "hidden_layers": ()}, NUMBERS),
    ],
)
def test_a_training_that_is_taken_up_ends_with_the_same_weights_and_history(
    params: dict[str, Any], y: Any, place: Place
) -> None:
    np.random.seed(3)
    undisturbed = net(**params).fit(X, y)
    assert undisturbed.n_iter_ == EPOCHS
    assert_the_same(undisturbed, cut_and_taken_up(place, net(**params), y))


def test_weights_of_rows_count_in_a_training_that_is_taken_up(place: Place) -> None:
    weight = np.linspace(0.1, 2, len(X))
    undisturbed = net(dropout=0.1, validation_split=0.2).fit(X, CODES, weight)
    assert_the_same(undisturbed, cut_and_taken_up(place, net(dropout=0.1, validation_split=0.2), sample_weight=weight))


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


def test_the_order_of_rows_is_another_each_epoch_and_each_seed_and_the_same_again() -> None:
    from networks.batches import batches, steps_of

    def orders(seed: int, first: int = 0, epochs: int = 2) -> list[list[int]]:
        found = [int(row) for (part,) in batches([np.arange(10)], 4, seed, first, epochs) for row in part]
        return [found[start : start + 10] for start in range(0, len(found), 10)]

    one, two = orders(0)
    assert sorted(one) == sorted(two) == list(range(10))
    assert list(range(10)) != one != two
    assert orders(0) == [one, two]
    assert orders(0, first=1) == [two]
    assert orders(2**32 - 1)[0] != one
    assert [len(part) for (part,) in batches([np.arange(10)], 4, 0, 0, 1)] == [4, 4, 2]
    assert [len(part) for (part,) in batches([np.arange(8)], 4, 0, 0, 1)] == [4, 4]
    assert [len(part) for (part,) in batches([np.arange(3)], 4, 0, 0, 1)] == [3]
    assert (steps_of(10, 4), steps_of(8, 4), steps_of(3, 4)) == (3, 2, 1)


def test_a_checkpoint_is_written_only_where_the_last_is_old_enough(place: Place) -> None:
    watch = Watches(place, seconds=3600)
    fit_with(watch, net())
    assert watch.told == [(done, 0) for done in range(1, EPOCHS + 1)]
    assert place.found() == []
    often = Watches(place)
    fit_with(often, net())
    # The last epoch ends the training, and is written no more.
    assert often.told == [*((done, done) for done in range(1, EPOCHS)), (EPOCHS, EPOCHS - 1)]
    assert [one.file for one in place.found()] == [NAME]


def test_one_who_wants_to_stop_gets_a_checkpoint_first(place: Place) -> None:
    class Stops(Watches):
        def wants_to_stop(self) -> bool:
            return len(self.told) == 1

    watch = Stops(place, after=2, seconds=3600)
    with pytest.raises(CutShortError):
        fit_with(watch, net())
    assert watch.told == [(1, 0), (2, 2)]


@contextmanager
def warned(caplog: pytest.LogCaptureFixture, text: str) -> Iterator[None]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "networks"):
        yield
    assert [record.getMessage() for record in caplog.records] == [text]


def test_a_checkpoint_of_something_else_is_not_used(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CutShortError):
        fit_with(Watches(place, 2), net())
    others = [net(learning_rate=0.04), net(random_state=8), net(batch_size=49)]
    for other in others:
        content = {path: path.read_bytes() for path in Path(place.address).iterdir()}
        watch = Watches(place, seconds=3600)
        with warned(caplog, "a checkpoint is another training's, so this one begins anew"):
            fit_with(watch, other)
        assert watch.told[0] == (1, 0)
        assert content == {path: path.read_bytes() for path in Path(place.address).iterdir()}


@pytest.mark.parametrize("harm", ["cut off", "shapes", "epochs"])
def test_a_checkpoint_that_is_damaged_is_not_used(
    harm: str, place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CutShortError):
        fit_with(Watches(place, 2), net())
    path = Path(place.address) / NAME
    if harm == "cut off":
        path.write_bytes(path.read_bytes()[:-9])
    else:  # whole, and yet nothing that can be used
        rewrite(place, tmp_path, harm)
    watch = Watches(place, seconds=3600)
    unfit = "a checkpoint does not fit its network, so the training begins anew"
    with warned(caplog, unfit if harm == "shapes" else "a checkpoint can't be used, so its training begins anew"):
        fitted = fit_with(watch, net())
    assert watch.not_again == 0
    assert_the_same(fitted, net().fit(X, CODES))


def rewrite(place: Place, tmp_path: Path, harm: str) -> None:
    """Write a checkpoint anew whose weights are of another network, or whose parts belong to other epochs."""
    slot, folder = Slot(place, NAME, 0), tmp_path / "parts"
    folder.mkdir()
    assert slot.load(folder)
    state = json.loads((folder / "state.json").read_text())
    if harm == "epochs":
        state["epoch"] = 1
    else:
        other = Place(str(tmp_path / "other"))
        with pytest.raises(CutShortError):
            fit_with(Watches(other, 2), net(hidden_layers=(9,)))
        shutil.rmtree(folder)
        folder.mkdir()
        assert Slot(other, NAME, 0).load(folder)
    (folder / "state.json").write_text(json.dumps(state))
    slot.save(sorted(folder.iterdir()))


def test_a_folder_that_is_gone_is_no_fault_of_the_training(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    Path(place.address).rmdir()
    watch = Watches(place)
    text = "a checkpoint can't be written: the training goes on without, and begins anew if it is cut short"
    with warned(caplog, text):
        fitted = fit_with(watch, net())
    assert watch.told == [(done, 0) for done in range(1, EPOCHS + 1)]
    assert_the_same(fitted, net().fit(X, CODES))
