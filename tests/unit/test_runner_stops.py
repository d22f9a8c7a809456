"""What a worker that is told to stop asks of its training process, and when it gives up."""

from __future__ import annotations

from typing import Any, cast

import pytest
from evaluating import SMALL, Worker, rounds
from test_runner import SETTINGS, Kept, Scripted, ended

from warren.messages import encode_chunk
from warren.storage.documents import now
from warren.storage.store import Store
from worker.chunk.runner import ChunkRunner, Verdict
from worker.monitoring.liveness import Pulse
from worker.monitoring.metrics import Metrics
from worker.process.protocol import EpochsDone, Message, TrialsBegin
from worker.process.training_process import TrainingProcess, TrainingProcessLostError


def epoch(*, checkpointed: bool) -> EpochsDone:
    where: Any = {"number": 0, "fold": 0, "network": 0}
    about = {"started_at": now()}
    return EpochsDone(epochs={"epoch": [1]}, kept=0, checkpointed=checkpointed, saved_seconds=0.0, about=about, **where)


class Stops(Scripted):
    """The worker is told to go after some messages; what it asks is written down, and
    ends the chunk."""

    def __init__(self, *says: Any, grace: float, ends: bool = True) -> None:
        super().__init__(*says)
        self.grace, self.ends = grace, ends
        self.asked: list[str] = []
        self.runner: ChunkRunner | None = None

    def receive(self, seconds: float) -> Message | None:
        if not self._says and not (self.ends and self.asked):
            assert self.runner is not None
            self.runner.stop(self.grace)
            return None
        return super().receive(seconds)

    def stop_after(self, what: str) -> None:
        self.asked.append(what)


def run(trainer: Stops, seconds: float) -> Verdict:
    made = Worker().chunk(SMALL, *rounds(9, max_depth=2), *rounds(9, max_depth=3))
    trials = tuple(trial.model_copy(update={"estimated_seconds": seconds}) for trial in made.trials)
    store = Kept()
    store.unfinished.see_epochs = lambda _: None
    trainer.runner = ChunkRunner(
        cast("Store", store), SETTINGS, cast("TrainingProcess", trainer), Metrics(), Pulse(SETTINGS)
    )
    return trainer.runner.run(encode_chunk(made.model_copy(update={"trials": trials}))).verdict


@pytest.mark.parametrize(
    ("seconds", "checkpointed", "asked", "kills"),
    [
        (3600.0, True, ["fold"], 0),
        (3600.0, False, [], 1),
        (5.0, True, ["trial"], 0),
        (5.0, False, ["trial"], 0),
        # It is not known how long it takes.
        (0.0, True, ["fold"], 0),
        (0.0, False, ["trial"], 0),
    ],
)
def test_a_network_too_long_for_the_grace_stops_at_a_kept_epoch(
    seconds: float, checkpointed: bool, asked: list[str], kills: int
) -> None:
    trainer = Stops(TrialsBegin(), epoch(checkpointed=checkpointed), grace=60.0)
    assert run(trainer, seconds) == Verdict.REQUEUE
    assert (trainer.asked, trainer.kills) == (asked, kills)


def test_an_epoch_that_is_longer_than_the_grace_is_let_go_at_its_end() -> None:
    trainer = Stops(TrialsBegin(), epoch(checkpointed=True), grace=0.3, ends=False)
    assert run(trainer, 3600.0) == Verdict.REQUEUE
    assert (trainer.asked, trainer.kills) == (["fold"], 1)


def test_a_network_of_the_trial_before_says_nothing_of_the_one_in_hand() -> None:
    trainer = Stops(TrialsBegin(), epoch(checkpointed=True), ended(0), grace=60.0)
    assert run(trainer, 0.0) == Verdict.REQUEUE
    assert (trainer.asked, trainer.kills) == (["trial"], 0)


def test_checkpoints_are_looked_for_where_somebody_may_have_left_them() -> None:
    def orders(*, again: bool = False, generation: int = 1) -> list[bool]:
        chunk = Worker().chunk(SMALL, *rounds(9, max_depth=2), *rounds(9, max_depth=3))
        trainer = Scripted(
            TrialsBegin(), ended(0), TrainingProcessLostError("killed by signal 9"), TrialsBegin(), ended(1)
        )
        store = Kept(generation=generation)
        runner = ChunkRunner(
            cast("Store", store), SETTINGS, cast("TrainingProcess", trainer), Metrics(), Pulse(SETTINGS)
        )
        runner.run(encode_chunk(chunk.model_copy(update={"generation": generation})), again=again)
        return [order.left_behind for order in trainer.orders]

    assert orders() == [False, True], "the training process was lost in between"
    assert orders(again=True) == orders(generation=2) == [True, True]
