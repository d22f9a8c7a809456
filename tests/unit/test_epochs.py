"""What is told of networks while they are trained, and what is kept of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, cast

import pytest
from evaluating import SMALL, Worker

from warren.messages import Chunk
from warren.settings import Settings
from warren.storage.documents import now
from warren.storage.store import Store
from warren.storage.unfinished import DoneFold, SeenEpochs
from worker.chunk.progress import Progress
from worker.chunk.result_writer import ResultWriter
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics
from worker.process import main, protocol
from worker.training.epochs import MOST_POINTS, Epochs, FoldWatch, points_of, thinned
from worker.training.fit_and_score import FoldResult, summary

STARTED = now()


def chunk(**fields: Any) -> Chunk:
    return Worker().chunk(SMALL, {"max_depth": 1}, {"max_depth": 2}, **fields)


def history(n_epochs: int) -> dict[str, list[float]]:
    return {"loss": [1 / (epoch + 1) for epoch in range(n_epochs)], "val_loss": [math.nan] * n_epochs}


@pytest.mark.parametrize(
    ("n_epochs", "epochs"),
    [
        (0, []),
        (1, [1]),
        (4, [1, 2, 3, 4]),
        (5, [1, 3, 5]),
        (8, [1, 3, 5, 7, 8]),
        (9, [1, 5, 9]),
        (100, [1, 33, 65, 97, 100]),
    ],
)
def test_of_many_epochs_every_second_or_fourth_is_kept_and_the_last(n_epochs: int, epochs: list[int]) -> None:
    found = thinned(history(n_epochs), 4)
    assert found["epoch"] == epochs
    assert found["loss"] == [1 / epoch for epoch in epochs]
    assert len(found["val_loss"]) == len(epochs)


def test_all_curves_of_a_trial_fit_into_a_document() -> None:
    assert points_of(5, 3) == MOST_POINTS
    for n_folds, n_curves in ((1, 1), (5, 3), (10, 34), (500, 35)):
        assert n_folds * n_curves * (points_of(n_folds, n_curves) + 1) * 13 < 4e6


def watch(told: list[Epochs], made: Chunk | None = None) -> FoldWatch:
    made = made or chunk()
    return FoldWatch(made, made.trials[1], STARTED, 2, lambda _: None, told.append, lambda: False)


def test_a_fold_has_its_last_network_s_curve_and_the_saved_seconds() -> None:
    told: list[Epochs] = []
    seen = watch(told)
    result = FoldResult(test_scores={"score": 1.0}, train_scores={}, fit_seconds=2.0, score_seconds=0.0)
    assert seen.noted(result) is result, "no network was trained"
    assert seen.begin() is None
    seen.epoch(history(3), kept=0)
    assert seen.begin() is None
    seen.resumed(1, 0.5)
    seen.epoch(history(2), kept=1)
    assert [(one.trial.number, one.fold, one.network, one.curve["epoch"], one.kept) for one in told] == [
        (1, 2, 0, [1, 2, 3], 0),
        (1, 2, 1, [1, 2], 1),
    ]
    assert not told[0].checkpointed
    noted = seen.noted(result)
    assert noted.epochs == told[1].curve
    assert (noted.resumed_epochs, noted.fit_seconds) == (1, 2.5)
    fields = summary([result, noted, noted], ["score"], "score")
    assert fields["split_epochs"] == [{}, told[1].curve, told[1].curve]
    assert fields["resumed_epochs"] == 2
    assert not {"split_epochs", "resumed_epochs"} & summary([result], ["score"], "score").keys()


def test_of_trials_that_share_a_training_each_has_its_part_of_it() -> None:
    seen = watch([])
    seen.begin()
    seen.resumed(3, 6.0)
    seen.epoch(history(6), kept=3)
    result = FoldResult(test_scores={"score": 1.0}, train_scores={}, fit_seconds=2.0, score_seconds=0.0)
    parts = [seen.noted(result, epochs, 12) for epochs in (6, 4, 2)]
    assert [one.epochs for one in parts] == [thinned(history(epochs), 100) for epochs in (6, 4, 2)]
    assert [one.resumed_epochs for one in parts] == [3, 3, 2]
    assert [one.fit_seconds for one in parts] == [2.0 + 3.0, 2.0 + 2.0, 2.0 + 1.0]


def test_of_very_many_folds_no_curves_are_kept() -> None:
    made = chunk()
    many = made.model_copy(update={"objective": made.objective.model_copy(update={"n_splits": 501})})
    told: list[Epochs] = []
    seen = watch(told, many)
    seen.begin()
    seen.resumed(1, 0.5)
    seen.epoch(history(3), kept=2)
    assert [(one.curve, one.done, one.kept) for one in told] == [({}, 3, 2)], "a pause waits to be told"
    result = FoldResult(test_scores={"score": 1.0}, train_scores={}, fit_seconds=2.0, score_seconds=0.0)
    noted = seen.noted(result)
    assert (noted.resumed_epochs, noted.fit_seconds) == (1, 2.5)
    assert "split_epochs" not in summary([noted], ["score"], "score")


# ---------------------------------------------------------------- the training process


@pytest.fixture
def line() -> Iterator[tuple[Connection, main._Reporter]]:
    """Return the worker's end of the line, and what the training process has at its own."""
    ours, theirs = Pipe()
    with ours, theirs:
        yield ours, main._Reporter(theirs)


def epochs(n_epochs: int, kept: int = 0) -> Epochs:
    made = chunk()
    whose: Any = {"chunk": made, "trial": made.trials[1], "started_at": STARTED, "fold": 2}
    whose |= {"network": 1, "checkpointed": True, "saved_seconds": 7.5}
    return Epochs(history=history(n_epochs), most=1000, kept=kept, **whose)


def messages(ours: Connection) -> list[protocol.EpochsDone]:
    found = []
    while ours.poll():
        message = protocol.receive(ours)
        assert isinstance(message, protocol.EpochsDone)
        found.append(message)
    return found


class Clock:
    """Time that passes only when a test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The training process's clock."""
    made = Clock()
    monkeypatch.setattr(main, "time", made)
    return made


def test_the_first_epoch_is_told_at_once_and_others_a_few_times_a_second(
    line: tuple[Connection, main._Reporter], clock: Clock
) -> None:
    ours, reporter = line
    for n_epochs in range(1, 101):
        reporter.report_epochs(epochs(n_epochs))
        clock.now += 0.01
    found = messages(ours)
    assert 4 <= len(found) <= 6
    first = found[0]
    assert (first.number, first.fold, first.network, first.kept, first.checkpointed) == (1, 2, 1, 0, True)
    assert first.saved_seconds == 7.5
    assert first.epochs["epoch"] == [1]
    assert math.isnan(first.epochs["val_loss"][0])
    assert first.about == {
        "estimator": "XGBClassifier",
        "library": "xgboost",
        "params": {"max_depth": 2},
        "started_at": STARTED,
    }
    assert found[-1].epochs["epoch"][-1] > 80


def test_a_trial_of_less_than_a_second_tells_nothing_before_its_result(
    line: tuple[Connection, main._Reporter], clock: Clock
) -> None:
    ours, reporter = line
    for _ in range(2):
        reporter.begin_trial()
        for n_epochs in range(1, 10):
            clock.now += 0.1
            reporter.report_epochs(epochs(n_epochs))
    assert messages(ours) == []
    clock.now += 0.2
    reporter.report_epochs(epochs(10))
    (only,) = messages(ours)
    assert only.epochs["epoch"][-1] == 10


def test_a_worker_that_waits_for_the_fold_gets_it_at_the_next_checkpoint(
    line: tuple[Connection, main._Reporter],
) -> None:
    ours, reporter = line
    assert not reporter.stopping()
    protocol.send(ours, protocol.StopAfter(what="trial"))
    assert not reporter.stopping()
    reporter.report_epochs(epochs(1, kept=1))
    protocol.send(ours, protocol.StopAfter(what="fold"))
    assert reporter.stopping()
    reporter.report_epochs(epochs(2, kept=1))  # this one is in no checkpoint: what was trained would be lost
    with pytest.raises(main._StopRequestedError):
        reporter.report_epochs(epochs(3, kept=3))
    assert messages(ours)[-1].epochs["epoch"] == [1, 2, 3]
    reporter.begin_chunk()
    assert not reporter.stopping()


# ------------------------------------------------------------------------- the worker


class Written:
    """A store that writes down what it is told of trials that have not ended."""

    def __init__(self) -> None:
        self.seen: list[list[SeenEpochs]] = []
        self.dropped: list[set[int]] = []
        self.trials = self.unfinished = self

    def insert(self, packed: Sequence[bytes]) -> list[int]:
        return []

    def keep_folds(self, folds: Sequence[DoneFold]) -> None:
        assert folds == []

    def see_epochs(self, seen: Sequence[SeenEpochs]) -> None:
        self.seen.append([*seen])

    def drop(self, _: str, numbers: Iterable[int]) -> None:
        self.dropped.append(set(numbers))


def seen(number: int, n_epochs: int) -> SeenEpochs:
    curve = thinned(history(n_epochs), 1000)
    about: Mapping[str, Any] = {}
    whose: Any = {"study_id": "study", "worker": "w", "about": about, "at": STARTED}
    return SeenEpochs(number=number, fold=0, epochs=curve, kept=0, **whose)


def test_epochs_wait_a_moment_for_others_and_a_result_makes_them_needless() -> None:
    store = Written()
    settings = Settings(WARREN_FLUSH_SECONDS=0.8)
    writer = ResultWriter(cast("Store", store), settings, Metrics(), Pulse(settings))
    writer.begin("study", ())
    assert writer.seconds_left() == float("inf")
    writer.add_epochs(seen(1, 1))
    assert 0.5 < writer.seconds_left() <= 0.8
    writer.add_epochs(seen(1, 2))
    writer.add_epochs(seen(2, 5))
    writer.write()
    assert [[(one.number, len(one.epochs["loss"])) for one in batch] for batch in store.seen] == [[(1, 2), (2, 5)]]
    assert writer.seconds_left() == float("inf")
    writer.add_epochs(seen(1, 3))
    writer.add(1, b"a result")
    writer.add(3, b"of a trial without epochs")
    writer.write()
    assert len(store.seen) == 1
    assert store.dropped == [{1}], "only what was noted is forgotten"
    writer.add_epochs(seen(4, 1))
    writer.forget()
    writer.write()
    assert len(store.seen) == 1


def test_epochs_in_a_checkpoint_are_work_done_and_others_are_not() -> None:
    made = chunk()
    assert Progress(made, set(), {0: {"epochs": {"0": {"loss": [1.0]}}, "epochs_kept": {"0-0": 0}}}).work_done == 0
    assert Progress(made, set(), {0: {"epochs_kept": {"0-0": 7, "0-1": 2}}}).work_done == 9
    assert Progress(made, {0}, {0: {"epochs_kept": {"0-0": 7}}}).work_done == 1
