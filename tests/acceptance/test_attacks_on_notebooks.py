"""Who may write to the database attacks who reads it: a real study, changed, and a notebook's
process that reads it.

No code runs there, no file is written outside of what was asked for, and the process goes on. A
worker that reads the same blobs loses no training process to them.
"""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from acceptance.conftest import StartWorker, trainer_of
from lightgbm import LGBMRegressor
from polling import until
from servers import Urls
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeRegressor
from submitting import stored

from producer import Study, submit
from warren.encoding.codec import encode, encode_estimator
from warren.settings import Settings, load_settings
from warren.storage.dataset import write_parts
from warren.storage.documents import Document, now, trial_id
from warren.storage.store import Store
from worker.training.models import pack

RNG = np.random.default_rng(0)
X = RNG.random((40, 3))
Y = X @ [1.0, 2.0, 3.0]
MEMBER = LGBMRegressor(n_estimators=2, n_jobs=1, verbosity=-1, min_child_samples=5)

# What somebody does with a study that is there: each may fail, and the next is done.
NOTEBOOK = """
import sys
import numpy as np
from producer import Study

X = np.random.default_rng(0).random((40, 3))
study = Study.attach(sys.argv[1])
for act in (
    lambda: study.refit_estimator(),
    lambda: study.results(),
    lambda: study.best_model(timeout=60).predict(X),
    lambda: study.export("exported", timeout=60),
):
    try:
        act()
        print("done")
    except Exception as exc:
        print(f"{type(exc).__name__}: {exc}")
print("alive")
"""


def notebook(study: Study, home: Path, code: str = NOTEBOOK) -> list[str]:
    """Run a notebook's process in a home of its own; return what it said, once it has
    ended well."""
    home.mkdir()
    command = [sys.executable, "-c", code, study.id]
    environment = {**os.environ, "HOME": str(home)}
    ran = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.strip().splitlines()
    assert said[-1] == "alive", ran.stdout
    return said[:-1]


def writing(content: bytes) -> Callable[[IO[bytes]], None]:
    def write(stream: IO[bytes]) -> None:
        stream.write(content)

    return write


def replace_model(store: Store, study: Study, fitted: Any) -> None:
    """Put another model in the place of a study's, and say so in its documents, as who may write to
    a database can."""
    [own] = store.models_of(study.id)
    model = (store.trials.one(own, 0) or {})["model"]
    packed = pack(fitted)
    digest = hashlib.sha256(packed.content).hexdigest()
    name = f"{trial_id(own, 0)}:{digest}"
    store.models.put(name, writing(packed.content), {"study": own})
    change = {"file": name, "sha256": digest, "format": packed.format, "facts": packed.facts, "class": model["class"]}
    store.trials._collection.update_one({"_id": trial_id(own, 0)}, {"$set": {"model": model | change}})


@pytest.fixture
def changed(stack: Urls) -> Any:
    store = Store(load_settings())
    yield store
    store.close()


@pytest.mark.slow
def test_a_model_that_was_changed_writes_no_file(changed: Store, tmp_path: Path) -> None:
    """A step makes a path of X, and a bare booster among the members of a stack writes
    itself there."""
    estimator = make_pipeline(
        FunctionTransformer(), StackingRegressor([("one", MEMBER)], final_estimator=Ridge(), cv=2)
    )
    study = submit(estimator, {"stackingregressor__passthrough": [False]}, X, Y, cv=2, name="attacked model")
    fitted = study.wait(60, progress=False).best_model(timeout=60)
    home = tmp_path / "home"
    path = str(home / ".bashrc")
    fitted[0].set_params(func=np.sum, kw_args={"dtype": object, "initial": path, "where": False})
    stacking = fitted[1]
    stacking.estimators_, stacking.stack_method_ = [stacking.estimators_[0]._Booster], ["save_model"]
    replace_model(changed, study, fitted)
    said = notebook(study, home)
    assert said[:2] == ["done", "done"]
    assert all("StudyError: the stored model is not the study's" in one for one in said[2:]), said
    assert list(home.iterdir()) == []


def test_a_model_with_other_numbers_ends_no_process(changed: Store, tmp_path: Path) -> None:
    study = submit(DecisionTreeRegressor(random_state=0), {"max_depth": [3]}, X, Y, cv=2, name="attacked numbers")
    fitted = study.wait(60, progress=False).best_model(timeout=60)
    fitted.tree_.children_left[0] = fitted.tree_.children_right[0] = 2**40
    replace_model(changed, study, fitted)
    said = notebook(study, tmp_path / "home")
    assert said[:2] == ["done", "done"]
    assert all(
        "StudyError: the stored DecisionTreeRegressor holds numbers that are out of bounds" in one for one in said[2:]
    )


@pytest.mark.slow
def test_a_study_that_was_changed_makes_no_estimator_that_writes(changed: Store, tmp_path: Path) -> None:
    estimator = make_pipeline(FunctionTransformer(), Ridge())
    study = submit(estimator, {"ridge__alpha": [1.0]}, X, Y, cv=2, name="attacked space").wait(60, progress=False)
    from catboost import CatBoostRegressor

    writes = encode_estimator(CatBoostRegressor(allow_writing_files=True, train_dir=str(tmp_path / "train")), "attack")
    steps = encode([("a", Ridge()), ("b", CatBoostRegressor())], "attack")
    spaces: list[Document] = [
        {"ridge": [writes]},
        {"steps": [steps], "b__train_dir": [str(tmp_path / "train")], "b__allow_writing_files": [True]},
    ]
    for number, space in enumerate(spaces):
        changed.update_study(study.id, {"$set": {"space": [space]}})
        shown = {name: f"{values[0]}" if name in {"ridge", "steps"} else values[0] for name, values in space.items()}
        for params, problem in ((None, "NoResultError"), (shown, "InputError")):
            if params:
                changed.trials._collection.update_many({"study_id": study.id}, {"$set": {"params": params}})
            home = tmp_path / f"home-{number}-{problem}"
            said = notebook(study, home)
            assert all(problem in said[position] for position in (0, 2, 3)), said
            assert list(home.iterdir()) == []
    assert not (tmp_path / "train").exists()


BOARD = """
import sys
from producer.views.tensorboard.log_folder import Board
from warren.settings import load_settings
from warren.storage.store import Store

board = Board(Store(load_settings()), "logs/deep/runs")
print(board.refresh().written)
print("alive")
"""


def test_ids_that_are_paths_lead_nowhere(servers: Settings, store: Store, tmp_path: Path) -> None:
    study = submit(Ridge(), {"alpha": [1.0]}, X, Y, cv=2)
    definition = stored(store, study)
    ended = {"state": "COMPLETE", "mean_test_score": 0.5, "params": {"alpha": 1.0}, "finished_at": now()}
    for elsewhere in ("../../../escaped", str(tmp_path / "absolute")):
        store._studies.insert_one(definition | {"_id": elsewhere, "progress": definition["progress"] | {"complete": 1}})
        document = {"_id": f"{elsewhere}:0", "study_id": elsewhere, "number": 0}
        store.trials._collection.insert_one(document | ended)
    named = {"_id": trial_id(study.id, 0), "study_id": study.id, "number": "../../../../../escaped"}
    store.trials._collection.insert_one(named | ended)
    store.update_study(study.id, {"$set": {"progress.complete": 1}})
    assert notebook(study, tmp_path / "home", BOARD) == ["0"]
    assert [one.name for one in tmp_path.iterdir()] == ["home"]
    assert [one.name for one in (tmp_path / "home").iterdir()] == ["logs"]


def archive(**parts: Any) -> bytes:
    stream = io.BytesIO()
    write_parts(parts, stream, compress=True)
    return stream.getvalue()


BLOBS: dict[str, bytes] = {
    "a bomb": archive(X=np.zeros(2**25)),
    "damaged": b"PK" + bytes(1000),
    "another": archive(X=np.ones((40, 3)), y=Y),
    "nothing": b"",
}


@pytest.mark.slow
def test_a_blob_that_was_changed_costs_no_training_process(
    servers: Settings, store: Store, start_worker: StartWorker
) -> None:
    worker = start_worker()
    submit(Ridge(), {"alpha": [2.0]}, X, Y, cv=2, name="before").wait(60, progress=False)
    trainer = trainer_of(worker)
    assert trainer is not None
    for number, (what, content) in enumerate(BLOBS.items()):
        for which in ("dataset", "splits"):
            worker.send_signal(signal.SIGSTOP)
            data = X[: 30 - number - (which == "splits") * 10]
            study = submit(Ridge(), {"alpha": [1.0]}, data, Y[: len(data)], cv=2, name=f"{what} {which}")
            name = stored(store, study)["objective"][which]
            store.datasets.delete(name, lambda: False)
            store.datasets.put(name, writing(content), {})
            worker.send_signal(signal.SIGCONT)
            until(lambda: stored(store, study)["dead_letters"], 60, f"a dead letter for {what}")  # noqa: B023
            [letter] = stored(store, study)["dead_letters"]
            assert f"blob {name[:12]} can't be read" in letter["reason"], letter
    submit(Ridge(), {"alpha": [3.0]}, X, Y, cv=2, name="after").wait(60, progress=False)
    assert trainer_of(worker) == trainer, "the same process has trained before and after"
