"""A publication whose broker or database goes away: it waits, or says what is in the queue and what
completes it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, cast

import pytest
from publishing import OBJECTIVE, Memory, numbers, publish_to

from producer.publishing import publication
from producer.publishing.outbox import Message
from producer.publishing.publication import publish_missing
from producer.space.space import Space
from warren.errors import BrokerError, StoreError
from warren.settings import Settings
from warren.storage.store import Store

IMPATIENT = Settings(WARREN_PATIENCE_SECONDS=0.01)


def test_a_broker_that_is_away_leaves_the_study_unsubmitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = Space({"max_depth": range(8)})
    memory = Memory(space, finished=[7], n_chunks=3)

    def publish(
        settings: Settings, queue: str, messages: Iterable[Message], on_safe: Callable[[Message], None], **_: Any
    ) -> int:
        for message in islice(messages, 2):
            on_safe(message)
        raise BrokerError("away")

    monkeypatch.setattr(publication, "publish", publish)
    with pytest.raises(
        BrokerError,
        match=r"^away\. 5 of 7 trials of study 'study' are in the queue; "
        r"study\.resume\(\) or the same submit\(\) publishes the rest$",
    ):
        publish_missing(cast("Store", memory), Settings(), "study", OBJECTIVE, space)
    assert memory.document is not None
    assert memory.document["submitted_at"] is None
    assert memory.document["generation"] == 3, "what is in the queue stays wanted"


def failing(memory: Memory, method: str, times: float) -> list[str]:
    """Let a call of the store fail some times; return the list of its failures."""
    failures: list[str] = []
    real = getattr(memory, method)

    def call(*arguments: Any, **options: Any) -> Any:
        if len(failures) < times:
            failures.append(method)
            raise StoreError("MongoDB is away")
        return real(*arguments, **options)

    setattr(memory, method, call)
    return failures


@pytest.mark.parametrize("method", ["study", "queue_shared", "update_study", "finished_numbers", "recount", "studies"])
def test_a_database_that_goes_away_for_a_moment_is_waited_for(
    method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    space = Space({"max_depth": range(4)})
    memory = Memory(space, finished=[0])
    failures = failing(memory, method, times=2)
    monkeypatch.setattr("warren.retry.sleep", lambda _: None)
    assert [number for chunk in numbers(publish_to(memory, space, monkeypatch)) for number in chunk] == [1, 2, 3]
    assert len(failures) == 2
    away, back = [record.getMessage() for record in caplog.records]
    assert away == "publishing study study waits for the database: MongoDB is away"
    assert re.fullmatch(r"the database is back after \d+\.\d s: it goes on", back)


def test_a_database_that_stays_away_says_that_nothing_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space({"max_depth": range(4)})
    memory = Memory(space)
    failing(memory, "finished_numbers", times=math.inf)
    with pytest.raises(StoreError, match=r"^MongoDB is away\. Nothing was published: study\.resume\(\) or the same"):
        publish_missing(cast("Store", memory), IMPATIENT, "study", OBJECTIVE, space)


def test_a_database_lost_for_good_says_that_all_was_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = Space({"max_depth": range(4)})
    memory = Memory(space)

    def publish(*_: Any, **__: Any) -> int:
        failing(memory, "update_study", times=math.inf)
        return 1

    monkeypatch.setattr(publication, "publish", publish)
    with pytest.raises(StoreError, match=r"^MongoDB is away\. All 4 trials of study 'study' are in the queue"):
        publish_missing(cast("Store", memory), IMPATIENT, "study", OBJECTIVE, space)
