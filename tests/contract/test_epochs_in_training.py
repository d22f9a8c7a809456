"""Epochs of networks in training, on a real server, and as a table."""

from __future__ import annotations

import math
from typing import Any

from contract.documents import STUDY, study, trial

from producer.results.epochs import epochs_frame
from warren.messages import Objective
from warren.storage.documents import now, pack
from warren.storage.expected_trials import Expected
from warren.storage.own_trials import OwnTrials
from warren.storage.store import Store
from warren.storage.unfinished import DoneFold, SeenEpochs

ABOUT = {"estimator": "KerasModel", "library": "networks", "params": {"epochs": 9}, "started_at": now()}


OBJECTIVE = Objective(
    estimator=None,
    dataset="a" * 64,
    splits="b" * 64,
    n_splits=2,
    scorers={"score": None},
    refit="score",
    error_score=math.nan,
    return_train_score=False,
)


def trials(store: Store) -> OwnTrials:
    return OwnTrials(store.trials, store.unfinished, Expected(STUDY, 10, OBJECTIVE))


def seen(number: int, fold: int, *losses: float, kept: int = 0, network: int = 0) -> SeenEpochs:
    curve: dict[str, list[float]] = {"epoch": list(range(1, len(losses) + 1)), "accuracy": [0.5] * len(losses)}
    whose: dict[str, Any] = {"study_id": STUDY, "about": ABOUT, "worker": "w-0", "at": now()}
    whose |= {"kept": kept, "network": network}
    return SeenEpochs(number=number, fold=fold, epochs=curve | {"loss": [*losses]}, **whose)


def test_epochs_replace_those_before_and_keep_the_largest_kept(store: Store) -> None:
    store.unfinished.see_epochs([])
    store.unfinished.see_epochs([seen(3, 0, 2.0), seen(4, 0, 1.0)])
    store.unfinished.see_epochs([seen(3, 0, 2.0, math.nan, kept=2), seen(3, 1, math.inf, kept=1)])
    store.unfinished.see_epochs([seen(3, 0, 2.0, kept=0)])
    note = store.unfinished.of(STUDY, [3])[3]
    assert note["epochs"]["0"] == {"epoch": [1], "loss": [2.0], "accuracy": [0.5]}
    assert note["epochs"]["1"]["loss"] == [math.inf]
    assert note["epochs_kept"] == {"0-0": 2, "1-0": 1}
    assert {name: note[name] for name in ABOUT} == ABOUT
    assert note["last_seen"]["worker"] == "w-0"
    store.unfinished.take_over(STUDY, {3: note})
    assert [one["worker"] for one in note["interrupted"]] == ["w-0"]


def test_each_network_of_a_fit_counts_its_kept_epochs(store: Store) -> None:
    store.unfinished.see_epochs([seen(3, 0, 2.0, 1.0, kept=2)])
    store.unfinished.see_epochs([seen(3, 0, 3.0, kept=1, network=1)])
    note = store.unfinished.of(STUDY, [3])[3]
    assert note["epochs_kept"] == {"0-0": 2, "0-1": 1}
    assert note["epochs"]["0"]["loss"] == [3.0]


def test_epochs_without_a_curve_are_counted_and_no_table_shows_them(store: Store) -> None:
    store.unfinished.see_epochs([SeenEpochs(**{**vars(seen(3, 0, kept=2)), "epochs": {}})])
    assert store.unfinished.of(STUDY, [3])[3]["epochs_kept"] == {"0-0": 2}
    assert store.unfinished.in_training(STUDY) == []


def test_only_trials_with_epochs_are_in_training(store: Store) -> None:
    store.unfinished.see_epochs([seen(3, 1, 2.0)])
    store.unfinished.keep_folds([DoneFold(study_id=STUDY, number=number, fold=0, result={}) for number in (3, 4)])
    store.unfinished.see_epochs([SeenEpochs(**{**vars(seen(3, 0, 1.0)), "study_id": f"{STUDY}-2"})])
    [note] = store.unfinished.in_training(STUDY)
    assert note["number"] == 3
    assert "folds" not in note
    store.unfinished.drop(STUDY, [3])
    assert store.unfinished.in_training(STUDY) == []


def test_a_table_shows_epochs_while_a_trial_trains_and_once_it_has_ended(store: Store) -> None:
    store.create_study(study())
    assert epochs_frame(store, trials(store), 3).columns.tolist() == ["fold", "epoch"]
    store.unfinished.see_epochs([seen(3, fold, 2.0, 1.0) for fold in (10, 9)])
    frame = epochs_frame(store, trials(store), 3)
    assert frame.columns.tolist() == ["fold", "epoch", "loss", "accuracy"]
    assert frame["fold"].tolist() == [9, 9, 10, 10]
    assert frame["loss"].tolist() == [2.0, 1.0] * 2
    curves = [{}, dict(seen(3, 0, 3.0, math.nan).epochs)]
    store.trials.insert([pack(trial(3, split_test_score=[0.5, 0.5], split_epochs=curves))])
    frame = epochs_frame(store, trials(store), 3)
    assert frame["fold"].tolist() == [1, 1]
    assert frame["loss"].iloc[0] == 3.0
    assert math.isnan(frame["loss"].iloc[1])
    assert "split_epochs" not in store.trials.best(STUDY, 1)[0]


def test_a_trial_without_a_network_has_no_epochs(store: Store) -> None:
    store.create_study(study())
    store.trials.insert([pack(trial(0, split_test_score=[0.5, 0.5]))])
    assert epochs_frame(store, trials(store), 0).empty
