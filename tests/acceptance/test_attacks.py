"""Somebody who may publish to the queue, against a live worker: no file is read or written, no
connection made."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acceptance.conftest import StartWorker, X, Y
from faulty import Sleeps
from hostile.attacks import CASES, made
from hostile.making import NOWHERE, Message
from pika.adapters.blocking_connection import BlockingChannel
from polling import until
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from producer import submit
from warren.broker import channel
from warren.queues import CHUNKS_QUEUE, DEAD_QUEUE, LANES
from warren.settings import Settings

PIPELINE = "sklearn.pipeline.Pipeline"
TREE, CAT, LGB, XGB = (
    made(f"{package}Classifier")
    for package in ("sklearn.tree.DecisionTree", "catboost.CatBoost", "lightgbm.LGBM", "xgboost.XGB")
)


@pytest.fixture
def open_channel(servers: Settings) -> Iterator[BlockingChannel]:
    with channel(servers) as found:
        yield found


def template(open_channel: BlockingChannel) -> Message:
    """Return a message of a study that runs, as somebody reads it who may read the queue."""
    submit(DecisionTreeClassifier(), {"max_depth": [2]}, X, Y, cv=2, n_chunks=1, name="theirs")
    bodies = [open_channel.basic_get(queue, auto_ack=True)[2] for queue in LANES]
    (body,) = [one for one in bodies if one is not None]
    found: Message = json.loads(body)
    return found


def attacks(place: Path, port: int) -> Iterator[tuple[Message, dict[str, Any]]]:
    """Yield estimators, and what a trial sets on them to get somewhere."""
    folder, secret = str(place / "written"), str(place / "secret")
    machines = f"127.0.0.1:{port},127.0.0.1:{port + 1}"
    swaps: tuple[tuple[Message, dict[str, Any]], ...] = (
        (CAT, {"allow_writing_files": True, "train_dir": folder, "output_borders": f"{folder}-borders"}),
        (LGB, {"num_machines": 2, "machines": machines, "time_out": 1}),
        (LGB, {"forcedsplits_filename": secret}),
        (made(PIPELINE, steps=[["b", TREE]]), {"memory": folder}),
        (made("sklearn.feature_extraction.text.CountVectorizer"), {"input": "filename"}),
    )
    for step, params in swaps:
        inside = {f"a__{name}": value for name, value in params.items()}
        for before, after in (
            ([["a", TREE]], [["a", step]]),
            ([{"__tuple__": ["a", TREE]}], [{"__tuple__": ["a", step]}]),
        ):
            pipeline = made(PIPELINE, steps=before)
            yield pipeline, {"steps": after, **inside}
            yield pipeline, {"a": step, **inside}
            deeper = made(PIPELINE, steps=[["p", pipeline]])
            yield deeper, {"p__steps": after, **{f"p__{name}": value for name, value in inside.items()}}
            grid = {"steps": [after], **{name: [value] for name, value in inside.items()}}
            yield made("sklearn.model_selection.GridSearchCV", estimator=pipeline, param_grid=grid, cv=2), {}
        yield (
            made("sklearn.ensemble.BaggingClassifier", estimator=TREE),
            {"estimator": step} | {f"estimator__{name}": value for name, value in params.items()},
        )
    yield LGB, {f"forcedsplits_filename={secret} max__bin": 3}
    yield made("sklearn.model_selection.GridSearchCV", estimator=LGB, param_grid={"max_bin": [f"255 fs={secret}"]}), {}
    text = {"dtype": {"__type__": "object"}, "initial": f"{secret}?format=csv", "where": False}
    made_of = made("sklearn.preprocessing.FunctionTransformer", func={"__function__": "numpy.sum"}, kw_args=text)
    yield made(PIPELINE, steps=[["text", made_of], ["clf", XGB]]), {}
    yield made("lightgbm.DaskLGBMClassifier"), {}


def dead_letters(open_channel: BlockingChannel, number: int, worker: subprocess.Popen[bytes]) -> list[str]:
    """Return the reasons of so many messages that were set aside."""
    found: list[str] = []
    deadline = time.monotonic() + 120
    while len(found) < number:
        _, properties, body = open_channel.basic_get(DEAD_QUEUE, auto_ack=True)
        if body is not None and properties is not None:
            found.append(str((properties.headers or {}).get("x-warren-reason")))
            continue
        assert worker.poll() is None, "the worker ended"
        assert time.monotonic() < deadline, f"{len(found)} of {number} came back: {found}"
        time.sleep(0.01)  # between two looks: the worker needs the processor too
    return found


def test_messages_of_an_attacker_read_and_write_nothing(
    open_channel: BlockingChannel, start_worker: StartWorker, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "secret").write_text('{"feature": 0, "threshold": 1}')
    opened = (place / "secret").stat().st_atime_ns
    message = template(open_channel)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        sent = 0
        for estimator, params in attacks(place, listener.getsockname()[1]):
            objective = message["objective"] | {"estimator": estimator}
            trials = [message["trials"][0] | {"params": params}]
            body = json.dumps(message | {"objective": objective, "trials": trials, "index": sent}).encode()
            open_channel.basic_publish("", CHUNKS_QUEUE, body)
            sent += 1
        for case in CASES.values():
            open_channel.basic_publish("", CHUNKS_QUEUE, case.body(message))
        worker = start_worker()
        reasons = dead_letters(open_channel, sent + len(CASES), worker)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert sent > 40
    assert all(reasons)
    assert [one.name for one in place.iterdir()] == ["secret"]
    assert (place / "secret").stat().st_atime_ns == opened, "no process has read it"
    assert not list(Path(NOWHERE).parent.glob(f"{Path(NOWHERE).name}*"))
    assert worker.poll() is None
    after = submit(DecisionTreeClassifier(), {"max_depth": [1, 2]}, X, Y, cv=2, name="after")
    assert after.wait(timeout=60, progress=False).status().complete == 2


def test_a_function_that_returns_no_table_fails_before_the_fit(servers: Settings, start_worker: StartWorker) -> None:
    start_worker()
    steps = Pipeline([("some", FunctionTransformer(np.max)), ("clf", XGBClassifier(n_estimators=2))])
    study = submit(steps, {"some__func": [np.max, np.log1p]}, X, Y, cv=2, name="tables").wait(
        timeout=120, progress=False
    )
    results = study.results()
    assert list(results["state"]) == ["FAILED", "COMPLETE"]
    assert "a function made np.float64(" in results["error"][0]
    assert "it must return an array, frame or sparse matrix with as many rows" in results["error"][0]


def test_what_honest_people_send_goes_the_same_way(servers: Settings, start_worker: StartWorker) -> None:
    """Swaps of steps in lists and tuples, keywords of functions, and a search in a search in
    joblib's processes."""
    start_worker(WARREN_THREADS="2")
    clip = FunctionTransformer(np.clip, kw_args={"a_min": 0, "a_max": 30})
    pipeline = Pipeline([["clip", clip], ["clf", LogisticRegression()]])
    search = GridSearchCV(pipeline, {"clip": [clip, "passthrough"], "clf": [DecisionTreeClassifier()]}, cv=2)
    chosen = [("clip", SelectKBest(f_classif, k=1)), ("clf", LogisticRegression())]
    grid = {"estimator__steps": [pipeline.steps, chosen], "estimator__clip": [FunctionTransformer(np.log1p)]}
    study = submit(search, grid, X, Y, cv=2, name="honest").wait(timeout=120, progress=False)
    assert study.status().complete == 2, study.results()["error"].tolist()


def test_a_trial_without_a_limit_of_its_own_has_the_worker_s(
    servers: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker(WARREN_TRIAL_SECONDS="1", WARREN_MAX_ATTEMPTS="1")
    study = submit(Sleeps(seconds=600.0), {"number": [0]}, X, Y, cv=2, name="endless")
    until(lambda: study.status().failed == 1, what="the trial has ended")
    assert "timed out after 1 seconds" in study.results()["error"][0]
