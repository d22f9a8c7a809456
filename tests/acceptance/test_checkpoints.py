"""Networks that are cut short go on at their epoch, on another worker, and end as undisturbed ones:
bit for bit."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from acceptance.conftest import SUPPORT, StartWorker, trainer_of
from nets import CODES, X, install_builders, needs_tensorflow
from polling import until
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from producer import KerasModel, Study, submit
from warren.errors import InputError
from warren.seeds import seed_of
from warren.storage.documents import Document
from warren.storage.store import Store

pytestmark = needs_tensorflow

# Seconds that a worker may take to import TensorFlow, on a machine that others use too.
PATIENCE = 120
HALVES = [(range(60), range(60, 120)), (range(60, 120), range(60))]
EPOCHS = 64


def net(**params: Any) -> KerasModel:
    """Return a network whose steps take long while the gate is there."""
    given = {"epochs": EPOCHS, "learning_rate": 0.002, "dropout": 0.2, "batch_size": 20, "metrics": ("accuracy",)}
    return KerasModel("gated", **{**given, "deterministic": True, **params})


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file, with the builder installed here and where workers run."""
    site = tmp_path / "site"
    site.mkdir()
    install_builders(site)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", f"{site}:{SUPPORT}")
    gate = tmp_path / "gate"
    gate.touch()
    monkeypatch.setenv("GATE", str(gate))
    return gate


def undisturbed(model: Any, seed: int) -> tuple[list[float], list[dict[str, list[float]]]]:
    """Return what the trial has to end with: scores and curves of each fold."""
    scores, curves = [], []
    for train, test in HALVES:
        np.random.seed(seed)
        fitted = model.fit(X[list(train)], CODES[list(train)])
        scores.append(float(fitted.score(X[list(test)], CODES[list(test)])))
        history = (fitted[-1] if isinstance(fitted, Pipeline) else fitted).history_
        curves.append({"epoch": list(range(1, len(history["loss"]) + 1)), **history})
    return scores, curves


def note_of(store: Store, study: Study) -> Document:
    return store.unfinished.of(study.id, [0]).get(0, {})


def kept_of(store: Store, study: Study) -> int:
    """Return how many epochs of the first fold's network are kept."""
    return int(note_of(store, study).get("epochs_kept", {}).get("0-0", 0))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that all workers mount."""
    folder = tmp_path / "checkpoints"
    monkeypatch.setenv("WARREN_CHECKPOINTS", str(folder))
    # Every epoch: otherwise a disk that is slow for a moment puts the next one off.
    monkeypatch.setenv("WARREN_CHECKPOINT_SECONDS", "0")
    return folder


def look_pause_and_delete(store: Store, folder: Path, log: Path) -> None:
    """See that epochs of a trial that trains are there to look at, that a pause keeps them, and a
    deletion does not."""
    study = submit(net(random_state=0), {"epochs": [20_000]}, X, CODES, cv=HALVES, name=uuid4().hex)
    until(lambda: len(study.epochs(0)) >= 3, PATIENCE, "epochs are there")
    with pytest.raises(InputError, match="the trials of this study are 0 to 0"):
        study.epochs(1)
    assert study.epochs(0)["epoch"].tolist() == list(range(1, len(study.epochs(0)) + 1))
    study.pause()
    until(lambda: "chunk ended" in log.read_text(), what="the worker has stopped at an epoch")
    kept = kept_of(store, study)
    assert study.epochs(0)["epoch"].iloc[-1] == kept < 20_000
    study.resume()
    until(lambda: kept_of(store, study) > kept, PATIENCE, "it goes on")
    assert list(folder.glob("*.checkpoint"))
    study.delete()
    until(lambda: list(folder.iterdir()) == [], what="no trial waits for what is left")


@pytest.mark.slow
@pytest.mark.timeout(800)  # TensorFlow starts five times
def test_an_interrupted_network_goes_on_at_its_epoch_to_equal_scores(
    store: Store, start_worker: StartWorker, folder: Path, gate: Path, tmp_path: Path
) -> None:
    worker = start_worker()
    # With the TensorFlow that this worker has to start anyway.
    look_pause_and_delete(store, folder, tmp_path / "worker-0.log")
    # No random_state: the worker seeds each trial. It never stops early, and early stopping keeps
    # the best weights.
    network = net(optimizer="nadam", batch_norm=True, validation_split=0.3, patience=EPOCHS)
    model = Pipeline([("scale", StandardScaler()), ("net", network)])
    study = submit(model, {"net__epochs": [EPOCHS]}, X, CODES, cv=HALVES, name=uuid4().hex)

    def train_on() -> tuple[Document, Path]:
        """Wait until three more epochs are kept; return what is known then, and where Keras
        writes first."""
        before = kept_of(store, study)
        until(lambda: kept_of(store, study) >= before + 3, PATIENCE, "epochs are kept")
        trainer = trainer_of(worker)
        assert trainer is not None
        scratch = Path(trainer.environ()["TMPDIR"])
        assert list(scratch.iterdir())
        return note_of(store, study), scratch

    note, scratch = train_on()
    assert note["epochs"]["0"]["epoch"][0] == 1
    assert len(note["epochs"]["0"]["loss"]) >= 3
    assert note["params"] == {"net__epochs": EPOCHS}
    trainer = trainer_of(worker)
    assert trainer is not None
    os.kill(trainer.pid, signal.SIGKILL)

    _, second = train_on()
    assert not scratch.exists(), "a worker clears up after its training process"
    os.kill(worker.pid, signal.SIGKILL)
    worker = start_worker()

    _, third = train_on()
    assert not second.exists(), "a worker that starts clears up after one that was killed"
    begun = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(12) == 0
    assert time.monotonic() - begun < 9, "it does not wait for the end of its grace, but of an epoch"
    note = note_of(store, study)
    kept = kept_of(store, study)
    assert note["epochs"]["0"]["epoch"][-1] == kept < EPOCHS, "every epoch is kept"
    assert list(folder.glob("*.checkpoint"))
    assert not third.exists()

    # From here on no process is interrupted, and a checkpoint an epoch is a good part of what an
    # epoch costs.
    gate.unlink()
    start_worker(WARREN_CHECKPOINT_SECONDS="30")
    study.wait(timeout=PATIENCE, progress=False)
    trial = store.trials.one(study.id, 0)
    assert trial is not None
    scores, curves = undisturbed(model, seed_of(study.id, 0))
    assert trial["split_test_score"] == scores
    assert trial["split_epochs"] == curves
    assert trial["resumed_epochs"] == kept
    assert trial["attempts"] == 2, "of all that, only the training process may have died by its own fault"
    until(lambda: list(folder.iterdir()) == [], what="nothing is left of the checkpoints")
    assert note_of(store, study) == {}
    frame = study.epochs(0)
    assert frame.columns[:3].tolist() == ["fold", "epoch", "loss"]
    assert frame[frame["fold"] == 1]["loss"].tolist() == curves[1]["loss"]
