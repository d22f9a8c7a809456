"""A study under attack: what an attacker overhears, forges and sends, and whether it came
to anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from uuid import uuid4

import pika
import psutil
import pytest
from acceptance.conftest import X, Y
from one_worker import OneWorker
from pika.adapters.blocking_connection import BlockingChannel
from polling import until
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

from producer import Study, submit
from producer.publishing import publication
from warren.broker import DATABASE_HEADER, channel
from warren.messages import encode_chunk
from warren.queues import DEAD_QUEUE
from warren.storage.study_document import StudyProgress

GRID = {"max_depth": [1, 2, 3], "min_samples_leaf": [1, 2]}
N_TRIALS = 6
FOREST = {"__estimator__": "sklearn.ensemble.RandomForestClassifier", "params": {"n_estimators": 3}}


@contextmanager
def held_up(worker: OneWorker) -> Iterator[None]:
    """Let the worker take nothing meanwhile: all is there when it looks."""
    process = psutil.Process(worker.process.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@contextmanager
def overheard() -> Iterator[list[bytes]]:
    """Return the bodies that are published meanwhile, as somebody sees them who may
    read the queue."""
    bodies: list[bytes] = []

    def encode(chunk: Any) -> bytes:
        bodies.append(encode_chunk(chunk))
        return bodies[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication, "encode_chunk", encode)
        yield bodies


def submit_trees(name: str = "", **options: Any) -> Study:
    given = {"cv": 2, "n_chunks": 2, "name": name or uuid4().hex} | options
    return submit(DecisionTreeClassifier(random_state=0), GRID, X, Y, **given)


Sent: TypeAlias = tuple[bytes, dict[str, Any]]
"""A body, and headers next to the one that names the database."""


def send(worker: OneWorker, study: Study, *messages: Sent) -> None:
    """Publish messages before the last chunk of a study, so that it still runs when they come."""
    lane = study.read(StudyProgress).queue
    with channel(worker.settings) as open_channel:
        waiting = []
        while (found := open_channel.basic_get(lane, auto_ack=True))[2] is not None:
            waiting.append(found)
        assert waiting
        publish(open_channel, study, lane, *messages)
        for _, properties, body in waiting:
            open_channel.basic_publish("", lane, body, properties)


def publish(open_channel: BlockingChannel, study: Study, queue: str, *messages: Sent) -> None:
    """Publish messages to a queue."""
    database = {DATABASE_HEADER: study.store.identity()}
    for body, headers in messages:
        open_channel.basic_publish("", queue, body, pika.BasicProperties(headers=database | headers))


def dead_letters(worker: OneWorker, count: int) -> dict[bytes, str]:
    """Take so many dead letters: reasons by body."""
    found: dict[bytes, str] = {}
    with channel(worker.settings) as open_channel:

        def take() -> bool:
            _, properties, body = open_channel.basic_get(DEAD_QUEUE, auto_ack=True)
            if body is not None and properties is not None:
                found[body] = str((properties.headers or {}).get("x-warren-reason"))
            return len(found) >= count

        until(take, what=f"{count} dead letters are there")
        assert open_channel.basic_get(DEAD_QUEUE, auto_ack=True)[2] is None
    return found


def changed(body: bytes, change: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    message = json.loads(body)
    return json.dumps(message | change(message)).encode()


def is_what_scikit_learn_finds(study: Study) -> bool:
    theirs = GridSearchCV(DecisionTreeClassifier(random_state=0), GRID, cv=2).fit(X, Y)
    ours = study.cv_results_
    return bool((ours["mean_test_score"] == theirs.cv_results_["mean_test_score"]).all()) and len(ours["params"]) == 6
